/**
 * Selects the entries of a salvaging scan that can go into a new layer, and reports the others.
 *
 * In addition to the checks of the scan, a value of a delta layer must decode, and determines `willInit`; an image must
 * not be what zeros look like; and a pageserver must be able to hold the key.
 */
import { isStorageError, type StorageError, untracedError, withPlace } from '../../errors.ts';
import { fitsPageserver, unfitKeyError } from '../../layers/key.ts';
import type { EntryBatch } from '../../layers/layer-file/entry-batch.ts';
import { EntryCursor } from '../../layers/layer-file/entry-cursor.ts';
import type { DamagedBlob, LooseBlob } from '../../layers/layer-file/loose-blobs.ts';
import { locateValueError } from '../../layers/layer-file/salvage.ts';
import type { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
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
  for await (const item of reader.salvageBatches({ signal, rootError })) {
    switch (item.kind) {
      case 'batch':
        await takeBatch(reader, item.batch, sink);
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
}

async function takeBatch(
  reader: SalvageReader,
  batch: EntryBatch,
  sink: SalvageSink,
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
    const unfit =
      unfitness(row, sink, reader.path) ?? (isDelta ? undefined : zeroed(row, batch, reader.path));
    if (unfit !== undefined) {
      sink.log.entry(row, unfit);
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

/** The header of an empty image is a zero. If the next entry is not directly after it, there was another image. */
function zeroed(
  { index, offset }: EntryCursor,
  { offsets, storedLengths, starts, buffer, count }: EntryBatch,
  path: string | undefined,
): StorageError | undefined {
  const isEmpty = storedLengths[index] === 1;
  if (!isEmpty || index + 1 === count || offsets[index + 1] === offset + 1) return undefined;
  if (buffer[starts[index] as number] !== 0) return undefined;
  return untracedError('corrupt', {
    ...{ what: 'image', path, offset },
    expected: 'a blob as far as the next one',
    actual: 'zeros',
  });
}

/** With its header, which precedes its content; compressed if it was stored so. */
export function storedBlob(batch: EntryBatch, row: number): Uint8Array {
  const { starts, lengths, storedLengths, buffer } = batch;
  const end = (starts[row] as number) + (lengths[row] as number);
  return buffer.subarray(end - (storedLengths[row] as number), end);
}
