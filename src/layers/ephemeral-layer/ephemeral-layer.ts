/**
 * Ephemeral layer: the newest changes, in any order. Serialized values are appended to a scratch file,
 * with an index in memory. Then the layer is frozen, and written out as a delta layer. It is never
 * recovered after a crash, so it is never synced.
 *
 * One writer at a time; puts land in call order. Readers may run concurrently, and see every value whose put has
 * returned or resolved.
 */
import { checkContent } from '../../blob-writer/blob-format.ts';
import { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import {
  checkBigint,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../../check-options.ts';
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
import type { FinishedLayer } from '../layer-file/layer-writer.ts';
import {
  ALL_LSNS,
  checkLsn,
  checkWantedLsns,
  formatLsn,
  type Lsn,
  type LsnRange,
  MAXIMUM_LSN,
} from '../lsn.ts';
import { formatScratchName } from '../temporary-names.ts';
import { encodeValue, type Value, valueWillInit } from '../value-format.ts';
import { type BatchViews, NO_VIEWS, valuesOf, viewsOf } from './batch-values.ts';
import { MemoryIndex } from './memory-index.ts';
import { PutLimits } from './put-limits.ts';
import { checkReach, Rows, SingleRow } from './rows.ts';
import { checkWriteDeltaOptions, type WriteDeltaOptions } from './write-delta-options.ts';
import { type WriteOutOptions, writeOut } from './write-out.ts';
import type { WriteOutThread } from './write-out-thread.ts';

/** Options of `EphemeralLayer.create`. */
export interface EphemeralOptions {
  /** Directory of the scratch file; must exist. */
  readonly directory: string;
  /** 32 hex digits. */
  readonly tenantId: string;
  /** 32 hex digits. */
  readonly timelineId: string;
  /** First LSN of the layer, inclusive. */
  readonly startLsn: Lsn;
  /** Descriptors to use; default: those of the process. */
  readonly openFiles?: OpenFiles | undefined;
  /** Once aborted, every put fails with `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes of each of the two write buffers; default 1 MiB. */
  readonly bufferSize?: number | undefined;
  /** I/O mode of the scratch file and the delta layer; see `WriteOptions`. */
  readonly ioMode?: IoMode | undefined;
  /** Writes the delta layer if it runs. Requires: `openFiles` is not given. @internal */
  readonly thread?: WriteOutThread | undefined;
}

/** A value of an ephemeral layer; a copy. */
export interface EphemeralEntry {
  /** Key of the value. */
  readonly key: Key;
  /** LSN of the value. */
  readonly lsn: Lsn;
  /** True if the value needs no older one. */
  readonly willInit: boolean;
  /** The serialized value. */
  readonly bytes: Uint8Array;
}

const EPHEMERAL_OPTIONS: KnownOptions<EphemeralOptions> = {
  directory: true,
  tenantId: true,
  timelineId: true,
  startLsn: true,
  openFiles: true,
  signal: true,
  bufferSize: true,
  ioMode: true,
  thread: true,
};

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'frozen'; readonly endLsn: Lsn }
  | { readonly kind: 'closed' };

/**
 * Collects changes in any order, answers reads, and becomes a delta layer.
 *
 * @example
 * await using layer = await EphemeralLayer.create({ directory, tenantId, timelineId, startLsn });
 * await layer.put(key, lsn, { type: 'wal', willInit: false, bytes: record });
 * await layer.freeze(endLsn);
 * const { path } = await layer.writeDelta();
 */
export class EphemeralLayer {
  readonly #options: EphemeralOptions;
  readonly #scratch: TemporaryFile;
  readonly #out: BufferedWriter;
  readonly #index: MemoryIndex;
  /** The row of a put that need not wait; reused. */
  readonly #row = new SingleRow();
  /** Views of the arrays that the last batch came in: the next one often comes in them, too. */
  #views = NO_VIEWS;
  #state: State = { kind: 'open' };
  /** The known outcome, by path, of each layer that was or is being written out. */
  readonly #outcomes = new Map<string, Outcome>();
  readonly #limits: PutLimits;
  /** The last put that waits for a buffer; later ones wait for it, so that the index stays in order. */
  #lastWaiting: Promise<void> | undefined;
  #waitingPuts = 0;
  /** Resolves to the size of the scratch file when that has all values, for a thread. */
  #flushed: Promise<number> | undefined;
  /** Write-outs under way: they read the rows. */
  readonly #writing = new Set<Promise<FinishedLayer>>();

  /**
   * Creates the scratch file. A signal ends the wait for a descriptor.
   *
   * @throws `not-found`, `io`, `invalid-input`, `out-of-range`, `aborted`.
   */
  static async create(options: EphemeralOptions): Promise<EphemeralLayer> {
    checkOptions(options, EPHEMERAL_OPTIONS);
    checkText('directory', options.directory);
    parseIdentifier(options.tenantId, 'tenantId');
    parseIdentifier(options.timelineId, 'timelineId');
    checkBigint('startLsn', options.startLsn);
    checkLsn(options.startLsn, 'start LSN');
    checkOpenFiles(options.openFiles);
    checkSignal(options.signal);
    const absolute = { ...options, directory: absolutePath(options.directory) };
    const scratch = await createScratchFile(absolute);
    try {
      return new EphemeralLayer(absolute, scratch);
    } catch (error) {
      // The first error is thrown. A file that cannot be removed is removed as a leftover.
      await Promise.allSettled([scratch.abandon()]);
      throw error;
    }
  }

  private constructor(options: EphemeralOptions, scratch: TemporaryFile) {
    const { bufferSize, signal, thread } = options;
    this.#options = options;
    this.#index = new MemoryIndex(new Rows(thread?.rowMemory));
    this.#scratch = scratch;
    this.#limits = new PutLimits(options.startLsn);
    this.#out = new BufferedWriter(scratch.file, { bufferSize, signal });
  }

  /** Number of entries; replaced values do not count. */
  get entryCount(): number {
    return this.#index.entryCount;
  }

  /** Bytes in the scratch file, including replaced values. */
  get size(): number {
    return this.#out.offset;
  }

  /**
   * Adds a value, or replaces the one of the same key and LSN.
   *
   * @param value Its bytes must stay unchanged until a returned promise settles.
   * @returns Nothing while the buffer has room; else a promise. If not awaited, a failure surfaces on
   * the next call.
   * @throws `out-of-range`, `too-large` and `invalid-input`: nothing was changed. `closed` once frozen;
   * `aborted`, `io`.
   *
   * Durability: none.
   */
  put(key: Key, lsn: Lsn, value: Value): void | Promise<void> {
    return this.putSerialized(key, lsn, encodeValue(value), valueWillInit(value));
  }

  /**
   * Like `put`, for a serialized value, which is not decoded.
   *
   * @param willInit True if the value needs no older one.
   * @returns As `put`.
   * @throws As `put`.
   */
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
   * Adds many values in any order: all of them, or none if one is refused.
   *
   * @param batch Its arrays must stay unchanged until a returned promise settles.
   * @returns As `put`.
   * @throws As `put`.
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

  /**
   * Looks up the newest value of a key at or before an LSN.
   *
   * @param lsn Default: the highest LSN.
   * @returns Undefined if there is none; else the value, a copy.
   * @throws `closed`, `io`, `invalid-input`, `out-of-range`.
   */
  async get(key: Key, lsn: Lsn = MAXIMUM_LSN): Promise<EphemeralEntry | undefined> {
    checkKey(key);
    checkLsn(lsn);
    this.#throwIfClosed();
    const row = this.#index.find(key, lsn);
    return row < 0 ? undefined : this.#read(key, row);
  }

  /**
   * The values of a key, newest first.
   *
   * @param lsnRange Default: all LSNs.
   * @returns Values that are copies; none for an empty range.
   * @throws As `get`.
   */
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
   * Freezes the layer, which accepts no more puts. Waits for puts under way.
   *
   * @param endLsn Above the LSN of every entry; the end of the delta layer's range.
   * @throws `out-of-range` if an entry is not below: the layer stays open. `closed` if it is already
   * frozen; the failure of a put that was not awaited.
   */
  async freeze(endLsn: Lsn): Promise<void> {
    this.#throwUnlessOpen();
    checkLsn(endLsn, 'end LSN');
    // More puts may follow while this waits for the last one.
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
   * Writes all values as an L0 delta layer: all keys, LSNs from the start LSN to the end LSN. The layer must be frozen.
   * A signal ends the waits. Calls for one directory and generation take turns: after one has written the layer, the
   * next one throws `exists`, with the outcome of the first.
   *
   * @returns Where the layer is, and how large.
   * @throws `empty`, `exists`, `closed`, and as `DeltaLayerWriter.finish`; `error.outcome` states what is on disk.
   *
   * Durability: once this resolves, the complete layer survives a crash under its final name.
   */
  async writeDelta(options: WriteDeltaOptions = {}): Promise<FinishedLayer> {
    checkWriteDeltaOptions(options);
    const { directory = this.#options.directory, generation = '', signal } = options;
    const name = `${absolutePath(directory)}/${generation}`;
    try {
      return await inTurn({ owner: this, name, signal }, async () => {
        const outcomeBefore = this.#outcomes.get(name) ?? 'not-applied';
        this.#outcomes.set(name, 'in-doubt');
        try {
          const finished = await this.#untilWritten(this.#writeDelta({ ...options, directory }));
          this.#outcomes.set(name, 'durable');
          return finished;
        } catch (error) {
          const reported = withOutcome(error, outcomeBefore);
          this.#outcomes.set(name, (isStorageError(reported) && reported.outcome) || 'in-doubt');
          throw reported;
        }
      });
    } catch (error) {
      throw withOutcome(error, this.#outcomes.get(name) ?? 'not-applied');
    }
  }

  /**
   * Deletes the scratch file. Idempotent.
   *
   * @throws `io` if the file cannot be deleted.
   */
  async close(): Promise<void> {
    this.#state = { kind: 'closed' };
    await this.#out.abandon();
    // The next layer gets the memory of the rows, whichever thread reads them.
    if (this.#options.thread !== undefined) await Promise.allSettled(this.#writing);
    this.#index.rows.release();
    await this.#scratch.abandon();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #untilWritten(writing: Promise<FinishedLayer>): Promise<FinishedLayer> {
    this.#writing.add(writing);
    try {
      return await writing;
    } finally {
      this.#writing.delete(writing);
    }
  }

  async #writeDelta(chosen: WriteDeltaOptions): Promise<FinishedLayer> {
    const { directory = this.#options.directory, generation, keyRange, signal } = chosen;
    const { tenantId, timelineId, startLsn, openFiles, bufferSize, ioMode } = this.#options;
    const lsnRange = { start: startLsn, end: this.#endLsnOfFrozen() };
    const identity = { tenantId, timelineId, keyRange, lsnRange, generation };
    const options = { ...identity, directory, bufferSize, ioMode };
    const { thread } = this.#options;
    if (signal !== undefined || !thread?.isStarted) {
      // Before anything is waited for: the process may change its directory meanwhile.
      return writeOut(this.#index, this.#out, { ...options, openFiles, signal });
    }
    const stable = { ...options, directory: absolutePath(directory) };
    const written = await this.#writeOnThread(thread, stable);
    return written ?? writeOut(this.#index, this.#out, { ...stable, openFiles });
  }

  /** Undefined if the thread has ended. */
  async #writeOnThread(
    thread: WriteOutThread,
    options: WriteOutOptions,
  ): Promise<FinishedLayer | undefined> {
    this.#flushed ??= this.#out.finish();
    const scratch = { path: this.#scratch.path, size: await this.#flushed };
    const rows = this.#index.rows.share();
    return thread.write({ rows, scratch, options });
  }

  /** Adds to the index after a buffer is free, and after earlier puts that wait. */
  #addLater(buffered: void | Promise<void>, addToIndex: () => void): Promise<void> {
    const indexed = this.#indexLater(this.#lastWaiting, buffered, addToIndex);
    // If not awaited, the failure surfaces on the next call: the writer keeps it.
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

function createScratchFile({
  directory,
  openFiles,
  ioMode,
  signal,
}: EphemeralOptions): Promise<TemporaryFile> {
  const pathOf = (token: string): string => pathIn(directory, formatScratchName(token));
  return createUnique(pathOf, { openFiles, ioMode, durability: 'scratch', signal });
}
