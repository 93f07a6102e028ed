/**
 * Ephemeral layer: the newest changes, not yet sorted into a file. Serialized values are appended to
 * a scratch file as they come, with an index in memory; then the layer is frozen and written out as
 * a delta layer. It is never recovered after a crash, so it is never synced.
 *
 * One writer at a time; puts land in call order. Readers may run beside it and see every value whose
 * put has returned or resolved.
 */
import { checkContent } from '../../blob-writer/blob-format.ts';
import { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import { ViewedBytes } from '../../byte-words.ts';
import { checkText } from '../../check-options.ts';
import { isStorageError, type Outcome, StorageError, withOutcome } from '../../errors.ts';
import { absolutePath, pathIn } from '../../virtual-file/absolute-path.ts';
import type { IoMode } from '../../virtual-file/file-system.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import type { TemporaryFile } from '../../virtual-file/temporary-file.ts';
import { inTurn } from '../../virtual-file/turns.ts';
import { createUnique } from '../../virtual-file/unique-file.ts';
import { checkValueBatch, type ValueBatch } from '../delta-layer/value-batch.ts';
import { parseIdentifier } from '../identifier.ts';
import { checkKey, type Key } from '../key.ts';
import { halvesOf } from '../layer-file/entry-layout.ts';
import type { FinishedLayer } from '../layer-file/layer-writer.ts';
import { formatScratchName } from '../layer-name.ts';
import {
  ALL_LSNS,
  checkLsn,
  checkWantedLsns,
  formatLsn,
  type Lsn,
  type LsnRange,
  MAXIMUM_LSN,
} from '../lsn.ts';
import { encodeValue, type Value, valueWillInit } from '../value-format.ts';
import { valuesOf } from './batch-values.ts';
import { MemoryIndex } from './memory-index.ts';
import { PutLimits } from './put-limits.ts';
import { checkReach, SingleRow } from './rows.ts';
import { writeOut } from './write-out.ts';

export interface EphemeralOptions {
  /** Where the scratch file goes; must exist. */
  readonly directory: string;
  /** 32 hex digits. */
  readonly tenantId: string;
  readonly timelineId: string;
  /** No LSN is below it. */
  readonly startLsn: Lsn;
  readonly openFiles?: OpenFiles | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of each of the two write buffers; default 1 MiB. */
  readonly bufferSize?: number | undefined;
  /** Of the scratch file and the delta layer; see `WriteOptions`. */
  readonly ioMode?: IoMode | undefined;
}

export interface WriteDeltaOptions {
  /** Where the layer goes; default: beside the scratch file. */
  readonly directory?: string | undefined;
  /** 8 hex digits. */
  readonly generation?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface EphemeralEntry {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly willInit: boolean;
  /** The serialized value. */
  readonly bytes: Uint8Array;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'frozen'; readonly endLsn: Lsn }
  | { readonly kind: 'closed' };

export class EphemeralLayer {
  readonly #options: EphemeralOptions;
  readonly #scratch: TemporaryFile;
  readonly #out: BufferedWriter;
  readonly #index = new MemoryIndex();
  /** The row of a put that waits for nothing. */
  readonly #row = new SingleRow();
  /** Views of the arrays that the last batch came in: the next one often comes in them, too. */
  #views = viewsOf(NO_KEYS, NO_LSNS);
  #state: State = { kind: 'open' };
  /** Layers that are written out, or were: what is on disk of them, as far as anybody can tell. */
  readonly #outcomes = new Map<string, Outcome>();
  readonly #limits: PutLimits;
  /** The last put that waits for a buffer; later ones wait for it, so that the index is in order. */
  #lastWaiting: Promise<void> | undefined;
  #waitingPuts = 0;

  /** Creates the scratch file. Throws `not-found`, `io`, `invalid-input`, `out-of-range`. */
  static async create(options: EphemeralOptions): Promise<EphemeralLayer> {
    parseIdentifier(options.tenantId, 'tenant id');
    parseIdentifier(options.timelineId, 'timeline id');
    checkLsn(options.startLsn, 'start LSN');
    checkText('directory', options.directory);
    const absolute = { ...options, directory: absolutePath(options.directory) };
    const scratch = await createScratchFile(absolute);
    try {
      return new EphemeralLayer(absolute, scratch);
    } catch (error) {
      // The first error counts. A file that cannot be removed is removed as a leftover.
      await Promise.allSettled([scratch.abandon()]);
      throw error;
    }
  }

  private constructor(options: EphemeralOptions, scratch: TemporaryFile) {
    const { bufferSize, signal } = options;
    this.#options = options;
    this.#scratch = scratch;
    this.#limits = new PutLimits(options.startLsn);
    this.#out = new BufferedWriter(scratch.file, { bufferSize, signal });
  }

  get entryCount(): number {
    return this.#index.entryCount;
  }

  /** Bytes in the scratch file, replaced values included. */
  get size(): number {
    return this.#out.offset;
  }

  /**
   * Adds a value; one of the same key and LSN is replaced.
   *
   * Requires: bytes in the value stay unchanged until a returned promise settles.
   * Returns: nothing while the buffer has room, else a promise.
   * Throws: `out-of-range`, `too-large`, `invalid-input`, and nothing was changed; `closed` once
   * frozen; `aborted`, `io`.
   * Durability: none.
   */
  put(key: Key, lsn: Lsn, value: Value): void | Promise<void> {
    return this.putSerialized(key, lsn, encodeValue(value), valueWillInit(value));
  }

  /** As `put`, for a value that is serialized already; it is not decoded. */
  putSerialized(key: Key, lsn: Lsn, bytes: Uint8Array, willInit: boolean): void | Promise<void> {
    checkKey(key);
    this.#throwUnlessOpen();
    checkContent(bytes);
    this.#limits.checkPut(key, lsn);
    const position = this.#out.offset;
    checkReach(position + bytes.length);
    const buffered = this.#out.append(bytes);
    const row = { key, lsn, length: bytes.length, willInit };
    if (buffered === undefined && this.#lastWaiting === undefined) {
      return this.#index.add(this.#row.set(row), position);
    }
    // The caller may change the key as soon as this has returned.
    const waiting = new SingleRow().set(row);
    return this.#addLater(buffered, () => this.#index.add(waiting, position));
  }

  /**
   * Adds many values in any order; the whole batch, or nothing of it.
   *
   * Requires: the arrays stay unchanged until a returned promise settles.
   * Returns, throws: as `put`.
   */
  putBatch(batch: ValueBatch): void | Promise<void> {
    this.#throwUnlessOpen();
    checkValueBatch(batch);
    const { count, lengths, willInit } = batch;
    const { keys, lsnHalves } = this.#viewsOf(batch);
    const { values, starts, first } = valuesOf(batch, this.#limits.checkBatch(batch, lsnHalves));
    checkReach(this.#out.offset + values.length);
    const position = this.#out.offset - first;
    const buffered = this.#out.append(values);
    const rows = { count, keys, lsnHalves, starts, lengths, willInit };
    if (buffered === undefined && this.#lastWaiting === undefined) {
      return this.#index.add(rows, position);
    }
    return this.#addLater(buffered, () => this.#index.add(rows, position));
  }

  /** The newest value of a key at or before an LSN; by default the newest. Its bytes are fresh. */
  async get(key: Key, lsn: Lsn = MAXIMUM_LSN): Promise<EphemeralEntry | undefined> {
    checkKey(key);
    checkLsn(lsn);
    this.#throwIfClosed();
    const row = this.#index.find(key, lsn);
    return row < 0 ? undefined : this.#read(key, row);
  }

  /** The values of a key, newest first; of an empty range none. */
  async *versions(key: Key, lsnRange: LsnRange = ALL_LSNS): AsyncGenerator<EphemeralEntry> {
    checkKey(key);
    checkWantedLsns(lsnRange);
    this.#throwIfClosed();
    const { start, end } = lsnRange;
    let row = start < end ? this.#index.find(key, end - 1n) : -1;
    while (row >= 0 && this.#index.rows.lsn(row) >= start) {
      yield await this.#read(key, row);
      this.#throwIfClosed();
      row = this.#index.olderRow(row);
    }
  }

  /**
   * Takes no more puts; every LSN is below `endLsn`. Waits for the puts under way.
   * Throws: `out-of-range` if an entry is not below, and the layer stays open; why a put failed that
   * nobody awaited; `closed` if it is frozen already.
   */
  async freeze(endLsn: Lsn): Promise<void> {
    this.#throwUnlessOpen();
    checkLsn(endLsn, 'end LSN');
    // Others may come while it waits for the last one.
    while (this.#lastWaiting !== undefined) await this.#lastWaiting;
    this.#out.throwIfFailed();
    const { count, highestLsn: highest } = this.#index.rows;
    if (endLsn <= this.#options.startLsn || (count > 0 && highest >= endLsn)) {
      throw new StorageError('out-of-range', {
        what: 'end LSN of the layer',
        path: this.#scratch.path,
        expected: `above ${formatLsn(highest > 0n ? highest : this.#options.startLsn)}`,
        actual: formatLsn(endLsn),
      });
    }
    this.#throwUnlessOpen();
    this.#state = { kind: 'frozen', endLsn };
  }

  /**
   * Writes all values as an L0 delta layer: all keys, LSNs from the start LSN to the end LSN.
   *
   * Requires: frozen. Calls for one directory and generation have their turns: once one has written
   * the layer, the next is refused by `exists`, with the outcome of the first.
   * Throws: `empty`, `exists`, and as a delta writer's `finish`; `outcome` tells what is on disk.
   * Durability: the layer is whole and under its name, whatever crashes, once this resolves.
   */
  async writeDelta(options: WriteDeltaOptions = {}): Promise<FinishedLayer> {
    const { directory = this.#options.directory, generation = '', signal } = options;
    const name = `${absolutePath(directory)}/${generation}`;
    try {
      return await inTurn({ owner: this, name, signal }, async () => {
        const outcomeBefore = this.#outcomes.get(name) ?? 'not-applied';
        this.#outcomes.set(name, 'in-doubt');
        try {
          const finished = await this.#writeDelta({ ...options, directory });
          this.#outcomes.set(name, 'durable');
          return finished;
        } catch (error) {
          const told = withOutcome(error, outcomeBefore);
          this.#outcomes.set(name, (isStorageError(told) && told.outcome) || 'in-doubt');
          throw told;
        }
      });
    } catch (error) {
      throw withOutcome(error, this.#outcomes.get(name) ?? 'not-applied');
    }
  }

  /** Deletes the scratch file. Doing so again is harmless. */
  async close(): Promise<void> {
    this.#state = { kind: 'closed' };
    await this.#out.abandon();
    await this.#scratch.abandon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #writeDelta({ directory, generation, signal }: WriteDeltaOptions): Promise<FinishedLayer> {
    const { tenantId, timelineId, startLsn, openFiles, bufferSize, ioMode } = this.#options;
    const lsnRange = { start: startLsn, end: this.#endLsnOfFrozen() };
    const scratch = { openFiles, bufferSize, ioMode };
    return writeOut(this.#index, this.#out, {
      ...scratch,
      directory: directory ?? this.#options.directory,
      ...{ tenantId, timelineId, lsnRange, generation, signal },
    });
  }

  /** Adds to the index what waits for a buffer, or for what waits before it. */
  #addLater(buffered: void | Promise<void>, addToIndex: () => void): Promise<void> {
    const indexed = this.#indexLater(this.#lastWaiting, buffered, addToIndex);
    // Whoever does not await it hears of a failure from the next call: the writer keeps it.
    indexed.catch(() => {});
    this.#lastWaiting = indexed;
    return indexed;
  }

  async #indexLater(
    before: Promise<void> | undefined,
    buffered: void | Promise<void>,
    addToIndex: () => void,
  ): Promise<void> {
    const place = ++this.#waitingPuts;
    await before;
    await buffered;
    addToIndex();
    if (place === this.#waitingPuts) this.#lastWaiting = undefined;
  }

  #viewsOf({ keys, lsns }: ValueBatch): BatchViews {
    if (this.#views.of !== keys || this.#views.ofLsns !== lsns) this.#views = viewsOf(keys, lsns);
    return this.#views;
  }

  async #read(key: Key, row: number): Promise<EphemeralEntry> {
    const lsn = this.#index.rows.lsn(row);
    const willInit = this.#index.rows.willInit(row) === 1;
    const bytes = new Uint8Array(this.#index.rows.length(row));
    await this.#out.readExactAt(bytes, this.#index.rows.position(row));
    return { key: Uint8Array.from(key), lsn, willInit, bytes };
  }

  #throwUnlessOpen(): void {
    if (this.#state.kind === 'open') return;
    throw new StorageError('closed', {
      what: `ephemeral layer is ${this.#state.kind}`,
      path: this.#scratch.path,
    });
  }

  #throwIfClosed(): void {
    if (this.#state.kind === 'closed') this.#throwUnlessOpen();
  }

  #endLsnOfFrozen(): Lsn {
    this.#throwIfClosed();
    if (this.#state.kind === 'frozen') return this.#state.endLsn;
    throw new StorageError('closed', { what: 'ephemeral layer is not frozen yet' });
  }
}

interface BatchViews {
  readonly of: Uint8Array;
  readonly ofLsns: BigUint64Array;
  readonly keys: DataView;
  readonly lsnHalves: Uint32Array;
}

const NO_KEYS = new Uint8Array(0);
const NO_LSNS = new BigUint64Array(0);

function viewsOf(keys: Uint8Array, lsns: BigUint64Array): BatchViews {
  return { of: keys, ofLsns: lsns, keys: new ViewedBytes(keys).view, lsnHalves: halvesOf(lsns) };
}

function createScratchFile({
  directory,
  openFiles,
  ioMode,
  signal,
}: EphemeralOptions): Promise<TemporaryFile> {
  const pathOf = (token: string): string => pathIn(directory, formatScratchName(token));
  return createUnique(pathOf, { openFiles, ioMode, durability: 'scratch', signal });
}
