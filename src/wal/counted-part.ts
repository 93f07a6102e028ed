/**
 * A part of WAL whose records are counted by themselves. A record belongs to the part in which it starts; the part is
 * read up to the first record of the next one, so that the two can be compared.
 *
 * Only a part without any damage counts. What is wrong with another one is for a reader that comes from the start of the
 * WAL to say, since it may depend on what is before and after the part.
 */
import { isStorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import type { WalRecordBatch } from './record-batch.ts';
import type { RecordSelection } from './record-selection.ts';
import { type RecordCounts, RecordTally } from './record-tally.ts';
import { openWal } from './wal-reader.ts';
import { walFiles } from './wal-source.ts';

/** Which part of what WAL; plain data. */
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

export interface CountedPart {
  /** Start of the first record. */
  readonly first: Lsn;
  /** Start of the first record of the next part. */
  readonly next: Lsn;
  readonly counts: RecordCounts;
}

/** Returns: undefined unless the part is complete and valid. Throws `aborted`. */
export async function countPart(
  part: WalPart,
  signal?: AbortSignal,
): Promise<CountedPart | undefined> {
  try {
    return await countRecords(part, signal);
  } catch (error) {
    if (isStorageError(error) && error.code !== 'aborted') return undefined;
    throw error;
  }
}

async function countRecords(
  { paths, timeline, start, until, end, selection }: WalPart,
  signal: AbortSignal | undefined,
): Promise<CountedPart | undefined> {
  const reader = await openWal(walFiles(paths), { start, end, timeline, signal });
  const tally = new RecordTally(reader.majorVersion, selection);
  let first: Lsn | undefined;
  let isDamaged = false;
  const onDamage = (): void => {
    isDamaged = true;
  };
  for await (const batch of reader) {
    if (batch.skipped !== undefined) return undefined;
    const to = recordsBefore(batch, until);
    first ??= batch.startLsn(0);
    tally.add(batch, { to, onDamage });
    if (isDamaged) return undefined;
    if (to < batch.length) return { first, next: batch.startLsn(to), counts: tally.counts() };
  }
  return undefined;
}

/** How many records of the batch start before the LSN. */
function recordsBefore(batch: WalRecordBatch, until: Lsn): number {
  let count = batch.length;
  while (count > 0 && batch.startLsn(count - 1) >= until) count -= 1;
  return count;
}
