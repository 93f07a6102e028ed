/**
 * Selects the entries of a salvaging scan that can go into a new layer, and reports the others.
 *
 * In addition to the checks of the scan, a value of a delta layer must decode, and determines `willInit`; an image must
 * not be what zeros look like; and a pageserver must be able to hold the key.
 */
import { SHORT_BLOB_LIMIT } from '../../blob-writer/blob-format.ts';
import { isStorageError, type StorageError, untracedError, withPlace } from '../../errors.ts';
import { fitsPageserver, unfitKeyError } from '../../layers/key.ts';
import type { EntryBatch } from '../../layers/layer-file/entry-batch.ts';
import { EntryCursor } from '../../layers/layer-file/entry-cursor.ts';
import type { DamagedBlob, LooseBlob } from '../../layers/layer-file/loose-blobs.ts';
import { locateValueError } from '../../layers/layer-file/salvage.ts';
import type { DamagedSummary, SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import type { SalvagedScanItem } from '../../layers/layer-file/salvage-scan.ts';
import { formatLsn, MAXIMUM_LSN } from '../../layers/lsn.ts';
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
  const doubtful = new DoubtfulImage(sink, reader.path);
  for await (const item of reader.salvageBatches({ signal, rootError })) {
    if (doubtful.isHeld) await doubtful.decide(offsetOf(item));
    switch (item.kind) {
      case 'batch':
        await takeBatch(reader, item.batch, { sink, doubtful });
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
  if (doubtful.isHeld) await doubtful.decide(undefined);
}

/** Where the first entry of the item lies; undefined if it has none. */
function offsetOf(item: SalvagedScanItem | DamagedSummary): number | undefined {
  if (item.kind === 'batch') return item.batch.offsets[0];
  return item.kind === 'damaged-entry' ? item.offset : undefined;
}

async function takeBatch(
  reader: SalvageReader,
  batch: EntryBatch,
  { sink, doubtful }: { readonly sink: SalvageSink; readonly doubtful: DoubtfulImage },
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
    if (!isDelta && isDoubtful(row)) {
      doubtful.hold(row);
      const next = row.index + 1;
      if (next < batch.count) await doubtful.decide(batch.offsets[next]);
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

/**
 * Whether an image may be what zeros have left of another one: it is empty, and a zero follows, because the header of
 * an empty image is a zero; or it has the header of a long blob, and is short.
 */
function isDoubtful({ index, headerSize, compressed, batch }: EntryCursor): boolean {
  const length = batch.lengths[index] as number;
  if (headerSize > 1) return !compressed && length < SHORT_BLOB_LIMIT;
  return length === 0 && batch.buffer[batch.starts[index] as number] === 0;
}

/** A doubtful image. The offset of the next entry decides: images lie back to back. */
class DoubtfulImage {
  readonly #sink: SalvageSink;
  readonly #path: string | undefined;
  #held: (Omit<StoredEntry, 'willInit'> & { readonly offset: number }) | undefined;

  constructor(sink: SalvageSink, path: string | undefined) {
    this.#sink = sink;
    this.#path = path;
  }

  get isHeld(): boolean {
    return this.#held !== undefined;
  }

  /** Copies the image, which is short. */
  hold({ key, lsn, offset, index, batch }: EntryCursor): void {
    const blob = storedBlob(batch, index).slice();
    this.#held = { key: Uint8Array.from(key), lsn, offset, blob };
  }

  /** Passes the image on, or reports it as lost. `next`: offset of the next entry; undefined if it is unknown. */
  async decide(next: number | undefined): Promise<void> {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    const { key, lsn, offset, blob } = held;
    const end = offset + blob.length;
    if (next !== undefined && next > end) {
      const error = untracedError('corrupt', {
        ...{ what: 'image', path: this.#path, offset },
        expected: 'a blob that ends where the next one starts',
        actual: `zeros, or a blob of ${blob.length} bytes`,
      });
      this.#sink.log.entry(held, error);
      return;
    }
    await this.#sink.entry({ key, lsn, willInit: true, blob });
    this.#sink.log.recovered(key, offset, end);
  }
}

/** With its header, which precedes its content; compressed if it was stored so. */
function storedBlob(batch: EntryBatch, row: number): Uint8Array {
  const { starts, lengths, storedLengths, buffer } = batch;
  const end = (starts[row] as number) + (lengths[row] as number);
  return buffer.subarray(end - (storedLengths[row] as number), end);
}
