/**
 * Selects the entries of a salvaging scan that can go into a new layer, and reports the others.
 *
 * In addition to the checks of the scan, a value of a delta layer must decode, and determines `willInit`; an image must
 * not be what zeros look like; and a pageserver must be able to hold the key.
 */
import { isStorageError, type StorageError, untracedError, withPlace } from '../../errors.ts';
import { fitsPageserver, type Key, unfitKeyError } from '../../layers/key.ts';
import type { EntryBatch } from '../../layers/layer-file/entry-batch.ts';
import { EntryCursor } from '../../layers/layer-file/entry-cursor.ts';
import type { DamagedBlob, LooseBlob } from '../../layers/layer-file/loose-blobs.ts';
import { locateValueError } from '../../layers/layer-file/salvage.ts';
import type { DamagedSummary, SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import type { SalvagedScanItem } from '../../layers/layer-file/salvage-scan.ts';
import { formatLsn, type Lsn, MAXIMUM_LSN } from '../../layers/lsn.ts';
import type { LossLog } from './loss-log.ts';
import type { StoredEntry } from './salvaged-output.ts';

/** What to do with the items of a scan. */
export interface SalvageSink {
  readonly log: LossLog;
  readonly keyCheck: 'strict' | 'ignore' | undefined;
  readonly signal: AbortSignal | undefined;
  /** Why the root is not used. */
  readonly rootError: StorageError | undefined;
  /** Receives an entry; its views are valid until the promise settles. */
  readonly entry: (entry: StoredEntry) => void | Promise<void>;
  /** Receives what is found if no leaf is left. */
  readonly loose: (blob: LooseBlob | DamagedBlob) => void | Promise<void>;
}

/** Throws: the error of a file of which nothing can be read; `io`, `aborted`; errors of the sink. */
export async function salvageEntries(reader: SalvageReader, sink: SalvageSink): Promise<void> {
  const { log, signal, rootError } = sink;
  const empty = new EmptyImage(sink, reader.path);
  for await (const item of reader.salvageBatches({ signal, rootError })) {
    if (empty.isHeld) await empty.decide(offsetOf(item));
    switch (item.kind) {
      case 'batch':
        await takeBatch(reader, item.batch, { sink, empty });
        break;
      case 'damaged-entry':
        log.entry(item, item.error);
        break;
      case 'damaged-block':
        log.block(item.error);
        break;
      case 'damaged-summary':
        break;
      default:
        await sink.loose(item);
    }
  }
  if (empty.isHeld) await empty.decide(undefined);
}

/** Where the first entry of the item lies; undefined if it has none. */
function offsetOf(item: SalvagedScanItem | DamagedSummary): number | undefined {
  if (item.kind === 'batch') return item.batch.offsets[0];
  return item.kind === 'damaged-entry' ? item.offset : undefined;
}

async function takeBatch(
  reader: SalvageReader,
  batch: EntryBatch,
  { sink, empty }: { readonly sink: SalvageSink; readonly empty: EmptyImage },
): Promise<void> {
  const isDelta = reader.summary.kind === 'delta';
  const row = new EntryCursor(batch);
  for (; !row.isDone; row.index += 1) {
    const { key, lsn, offset, storedLength } = row;
    let { willInit } = row;
    try {
      if (isDelta) willInit = row.outline().willInit;
    } catch (error) {
      if (!isStorageError(error)) throw error;
      sink.log.entry(row, withPlace(locateValueError(error, row, reader.path)));
      continue;
    }
    const unfit = unfitness(row, sink, reader.path);
    if (unfit !== undefined) {
      sink.log.entry(row, unfit);
      continue;
    }
    if (!isDelta && isBeforeZero(row, batch)) {
      empty.hold(row);
      const next = row.index + 1;
      if (next < batch.count) await empty.decide(batch.offsets[next]);
      continue;
    }
    const room = sink.entry({ key, lsn, willInit, blob: storedBlob(batch, row.index) });
    if (room !== undefined) await room;
    sink.log.recovered(key, offset, offset + storedLength);
  }
}

function unfitness(
  { key, lsn, offset }: EntryCursor,
  { keyCheck }: SalvageSink,
  path: string | undefined,
): StorageError | undefined {
  const isFit = keyCheck === 'ignore' || fitsPageserver(key);
  if (isFit && lsn < MAXIMUM_LSN) return undefined;
  return unfitKeyError(key, 0, { path, offset, lsn: formatLsn(lsn) });
}

/** Whether an image is empty, and a zero follows it. */
function isBeforeZero(
  { index }: EntryCursor,
  { storedLengths, starts, buffer }: EntryBatch,
): boolean {
  return storedLengths[index] === 1 && buffer[starts[index] as number] === 0;
}

/**
 * An empty image before a zero, which may be what zeros have left of another image: the header of an empty
 * image is a zero. The offset of the next entry decides: images lie back to back.
 */
class EmptyImage {
  readonly #sink: SalvageSink;
  readonly #path: string | undefined;
  #held: { readonly key: Key; readonly lsn: Lsn; readonly offset: number } | undefined;

  constructor(sink: SalvageSink, path: string | undefined) {
    this.#sink = sink;
    this.#path = path;
  }

  get isHeld(): boolean {
    return this.#held !== undefined;
  }

  hold({ key, lsn, offset }: EntryCursor): void {
    this.#held = { key: Uint8Array.from(key), lsn, offset };
  }

  /** Passes the image on, or reports it as lost. `next`: offset of the next entry; undefined if it is unknown. */
  async decide(next: number | undefined): Promise<void> {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    const { key, lsn, offset } = held;
    const end = offset + 1;
    if (next !== undefined && next > end) {
      const error = untracedError('corrupt', {
        ...{ what: 'image', path: this.#path, offset },
        expected: 'a blob as far as the next one',
        actual: 'zeros',
      });
      this.#sink.log.entry(held, error);
      return;
    }
    await this.#sink.entry({ key, lsn, willInit: true, blob: EMPTY_BLOB });
    this.#sink.log.recovered(key, offset, end);
  }
}

/** The header of an empty image. */
const EMPTY_BLOB = new Uint8Array(1);

/** With its header, which precedes its content; compressed if it was stored so. */
export function storedBlob(batch: EntryBatch, row: number): Uint8Array {
  const { starts, lengths, storedLengths, buffer } = batch;
  const end = (starts[row] as number) + (lengths[row] as number);
  return buffer.subarray(end - (storedLengths[row] as number), end);
}
