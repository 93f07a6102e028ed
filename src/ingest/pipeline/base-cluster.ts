/** The cluster of a timeline, and whether WAL continues it. */
import { StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { decodeControlFile } from '../../postgres/control-file.ts';
import { controlFileKey } from '../../postgres/key-mapping.ts';
import { resultOf } from '../../timeline/read-page.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import {
  LONG_PAGE_HEADER_SIZE,
  SHORT_PAGE_HEADER_SIZE,
  WAL_PAGE_SIZE,
} from '../../wal/page-format.ts';
import type { WalRecordBatch } from '../../wal/record-batch.ts';
import type { WalReader } from '../../wal/wal-reader.ts';

/** The cluster of a timeline. */
export interface Cluster {
  readonly systemIdentifier: bigint;
  /** Version of Postgres, 14 to 17. */
  readonly majorVersion: number;
}

/** Reads pg_control from a timeline. Throws `not-found` if it has none, and as `Timeline.reconstruct`. */
export async function readCluster(timeline: Timeline): Promise<Cluster> {
  const key = controlFileKey();
  const found = await timeline.reconstruct(key, timeline.lastLsn);
  const result = await resultOf(found, { pgVersion: timeline.facts.pgVersion });
  if (result.kind !== 'page') {
    throw new StorageError('not-found', { what: 'base has no pg_control', key: formatKey(key) });
  }
  return decodeControlFile(result.bytes);
}

/** Throws `invalid-input` for WAL of another version or cluster. */
export function checkSameCluster(
  wal: Pick<WalReader, 'majorVersion' | 'systemIdentifier'>,
  cluster: Cluster,
): void {
  if (wal.majorVersion !== cluster.majorVersion) {
    throw new StorageError('invalid-input', {
      what: 'WAL of another version of Postgres than the base',
      expected: `${cluster.majorVersion}`,
      actual: `${wal.majorVersion}`,
    });
  }
  // WAL that a safekeeper stored may lack the page with the identifier.
  const { systemIdentifier = cluster.systemIdentifier } = wal;
  if (systemIdentifier === cluster.systemIdentifier) return;
  throw new StorageError('invalid-input', {
    what: 'WAL of another cluster than the base',
    expected: `system identifier ${cluster.systemIdentifier}`,
    actual: `${systemIdentifier}`,
  });
}

/** Where a timeline ends. */
export interface TimelineEnd {
  /** End LSN of its last record; after a fast import, an LSN in that record. */
  readonly lastLsn: Lsn;
  /** End LSN of the preceding record; null if unknown. */
  readonly previousLsn: Lsn | null;
}

/**
 * Checks that there is no record between the timeline and the first record of a batch: the preceding record must begin
 * in the timeline, where the timeline says.
 *
 * Returns: where the preceding record ends.
 * Throws: `gap`.
 */
export function checkFirstRecord(
  batch: WalRecordBatch,
  { lastLsn, previousLsn }: TimelineEnd,
): Lsn {
  const startLsn = batch.startLsn(0);
  const bytes = batch.bytes(0);
  const prevLsn = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(8, true);
  const isNext =
    prevLsn < lastLsn &&
    (previousLsn === null || startsAt(prevLsn, previousLsn)) &&
    startLsn >= lastLsn;
  if (isNext) return startsAt(startLsn, lastLsn) ? lastLsn : startLsn;
  throw new StorageError('gap', {
    what: `first record of the WAL, at ${formatPgLsn(startLsn)}, does not follow the base`,
    lsn: formatLsn(startLsn),
    expected: `a record after the one at ${formatPgLsn(previousLsn ?? lastLsn)}`,
    actual: `one after that at ${formatPgLsn(prevLsn)}`,
  });
}

const PAGE_SIZE = BigInt(WAL_PAGE_SIZE);

/** Whether a record that starts at `startLsn` follows one that ends at `endLsn`: at a border, after the page header. */
function startsAt(startLsn: Lsn, endLsn: Lsn): boolean {
  if (startLsn === endLsn) return true;
  if (endLsn % PAGE_SIZE !== 0n) return false;
  const header = startLsn - endLsn;
  return header === BigInt(SHORT_PAGE_HEADER_SIZE) || header === BigInt(LONG_PAGE_HEADER_SIZE);
}
