/**
 * A part of WAL that is read separately. A record belongs to the part in which it starts; the part is read up to the
 * first record of the next one, so that the two can be compared.
 *
 * Only an undamaged part counts. Damage is left to a reader that starts at the beginning of the WAL, since what is
 * wrong may depend on the WAL before and after the part.
 */
import { isStorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import type { WalChunk, WalRecordBatch } from './record-batch.ts';
import type { RecordSelection } from './record-selection.ts';
import { openWalWith, type WalReader } from './wal-reader.ts';
import { walFiles } from './wal-source.ts';

/** Bytes that are read beyond the end of a part for the next record. Nearly all records are much shorter. */
const READ_BEYOND = 64n * 1024n * 1024n;

/** The WAL, and the part of it; plain data. */
export interface WalPart {
  /** All files of the source. */
  readonly paths: readonly string[];
  /** As in `WalReadOptions`. */
  readonly timeline: number | undefined;
  /** Undefined for the start of the WAL. */
  readonly start: Lsn | undefined;
  /** Where the next part begins. */
  readonly until: Lsn;
  /** No record that ends after it is read. */
  readonly end: Lsn;
  readonly selection: RecordSelection;
}

/** What WAL to divide. */
export interface DividedWal extends Pick<WalPart, 'paths' | 'timeline' | 'start' | 'selection'> {
  /** As given to the reader. */
  readonly end: Lsn | undefined;
  /** Where the segments begin and end. */
  readonly extent: { readonly start: Lsn; readonly end: Lsn };
}

/** Where the records of a part begin and end. */
export interface PartBorders {
  /** Start of the first record. */
  readonly first: Lsn;
  /** Start of the first record of the next part. */
  readonly next: Lsn;
}

export interface PartReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** The memory of the previous part, reused; initially empty. One part is read in it at a time. */
  readonly chunks: WalChunk[];
}

/** Uses the first `count` records of a batch. Returns: whether all of them are valid. */
export type BatchUse = (batch: WalRecordBatch, count: number) => boolean | Promise<boolean>;

/** The parts of the WAL between multiples of a length, in bytes, except the last one, because no other follows it. */
export function partsOf(wal: DividedWal, length: bigint): WalPart[] {
  const { paths, timeline, selection, extent } = wal;
  const parts: WalPart[] = [];
  const last = wal.end !== undefined && wal.end < extent.end ? wal.end : extent.end;
  let { start } = wal;
  const from = start ?? extent.start;
  for (let until = from - (from % length) + length; until < last; until += length) {
    const beyond = until + READ_BEYOND;
    const end = beyond < last ? beyond : last;
    parts.push({ paths, timeline, selection, start, until, end });
    start = until;
  }
  return parts;
}

/**
 * Reads the records of a part.
 *
 * @param begin Called with the reader before its first batch; returns the consumer of the batches.
 * @returns undefined unless the part is complete and valid.
 * @throws `aborted`.
 */
export async function readPart(
  part: WalPart,
  begin: (reader: WalReader) => BatchUse,
  options: PartReadOptions,
): Promise<PartBorders | undefined> {
  try {
    return await readBatches(part, begin, options);
  } catch (error) {
    if (isStorageError(error) && error.code !== 'aborted') return undefined;
    throw error;
  }
}

async function readBatches(
  { paths, timeline, start, until, end }: WalPart,
  begin: (reader: WalReader) => BatchUse,
  { signal, chunks }: PartReadOptions,
): Promise<PartBorders | undefined> {
  const reader = await openWalWith(walFiles(paths), { start, end, timeline, signal }, chunks);
  const use = begin(reader);
  let first: Lsn | undefined;
  for await (const batch of reader) {
    if (batch.skipped !== undefined) return undefined;
    const count = recordsBefore(batch, until);
    first ??= batch.startLsn(0);
    if (!(await use(batch, count))) return undefined;
    if (count < batch.length) return { first, next: batch.startLsn(count) };
  }
  return undefined;
}

/** How many records of the batch start before the LSN. */
function recordsBefore(batch: WalRecordBatch, until: Lsn): number {
  let count = batch.length;
  while (count > 0 && batch.startLsn(count - 1) >= until) count -= 1;
  return count;
}
