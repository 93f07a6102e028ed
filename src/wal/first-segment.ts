/**
 * The WAL from which a server starts: a segment with an LSN, without the records before that LSN, and optionally with
 * the record of a shutdown checkpoint there.
 *
 *   first page of the segment       long header
 *   ...                             zeros
 *   page that has the LSN           header; a record from the page before seems to end at the LSN
 *   at the LSN                      the record; its rest is on the next page if it does not fit
 *   up to the end of the segment    zeros
 *
 * Readers of WAL check the first page of a segment and the page that they read, and accept zeros elsewhere. A
 * pageserver makes the same for a compute, without the record.
 * Source: Neon libs/postgres_ffi/src/xlog_utils.rs (generate_wal_segment).
 */
import type { Lsn } from '../layers/lsn.ts';
import { CHECKPOINT_SIZE } from './main-data/checkpoint.ts';
import {
  encodeWalPageHeader,
  LONG_PAGE_HEADER_SIZE,
  SHORT_PAGE_HEADER_SIZE,
  WAL_PAGE_SIZE,
} from './page-format.ts';
import { CRC_OFFSET } from './record-checksum.ts';
import { recordChecksum } from './record-format.ts';
import { WAL_RECORD_HEADER_SIZE } from './record-scanner.ts';
import { formatWalSegmentName } from './segment-name.ts';

/** Records begin at multiples of 8. */
const RECORD_ALIGNMENT = 8n;
const PAGE = BigInt(WAL_PAGE_SIZE);

/** The cluster of the WAL. */
export interface WalCluster {
  readonly majorVersion: number;
  readonly systemIdentifier: bigint;
  /** WAL timeline. */
  readonly timelineId: number;
  /** Bytes of a segment. */
  readonly segmentSize: number;
}

/** A file of WAL: zeros, except for some pages. */
export interface SparseWalFile {
  readonly name: string;
  readonly size: number;
  readonly pages: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
}

/** Where a record can begin at or after an LSN: at a multiple of 8, after the header of its page. */
export function recordStartAt(lsn: Lsn, segmentSize: number): Lsn {
  const aligned = ((lsn + RECORD_ALIGNMENT - 1n) / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
  const page = aligned - (aligned % PAGE);
  const start = page + BigInt(headerSizeAt(page, segmentSize));
  return aligned < start ? start : aligned;
}

/** The record of a shutdown checkpoint. `checkpoint` has 88 bytes. */
export function shutdownCheckpointRecord(checkpoint: Uint8Array, prevLsn: Lsn): Uint8Array {
  const length = WAL_RECORD_HEADER_SIZE + 2 + CHECKPOINT_SIZE;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setBigUint64(8, prevLsn, true);
  // Info and resource manager are 0: a shutdown checkpoint, of XLOG.
  bytes[WAL_RECORD_HEADER_SIZE] = SHORT_MAIN_DATA;
  bytes[WAL_RECORD_HEADER_SIZE + 1] = CHECKPOINT_SIZE;
  bytes.set(checkpoint, WAL_RECORD_HEADER_SIZE + 2);
  view.setUint32(CRC_OFFSET, recordChecksum(bytes), true);
  return bytes;
}

/** Id of the header of main data that is shorter than 256 bytes. */
const SHORT_MAIN_DATA = 255;

/**
 * The segment that has an LSN, with a record there; a second one if the record does not fit.
 *
 * Requires: a record can begin at the LSN (`recordStartAt`).
 * @param record Undefined for none.
 * @throws `invalid-input`.
 */
export function walStartingAt(
  lsn: Lsn,
  record: Uint8Array | undefined,
  cluster: WalCluster,
): SparseWalFile[] {
  const { segmentSize, timelineId } = cluster;
  const size = BigInt(segmentSize);
  const files = new Map<Lsn, { name: string; pages: { offset: number; bytes: Uint8Array }[] }>();
  const addPage = (pageLsn: Lsn, remainingLength: number): Uint8Array => {
    const start = pageLsn - (pageLsn % size);
    const name = formatWalSegmentName(timelineId, pageLsn, segmentSize);
    const file = files.get(start) ?? { name, pages: [] };
    files.set(start, file);
    const bytes = new Uint8Array(WAL_PAGE_SIZE);
    bytes.set(headerOf(pageLsn, remainingLength, cluster));
    file.pages.push({ offset: Number(pageLsn - start), bytes });
    return bytes;
  };
  let pageLsn = lsn - (lsn % PAGE);
  if (pageLsn % size !== 0n) addPage(pageLsn - (pageLsn % size), 0);
  let at = Number(lsn - pageLsn);
  let page = addPage(pageLsn, at - headerSizeAt(pageLsn, segmentSize));
  let rest = record ?? new Uint8Array(0);
  for (;;) {
    const part = rest.subarray(0, WAL_PAGE_SIZE - at);
    page.set(part, at);
    rest = rest.subarray(part.length);
    if (rest.length === 0) break;
    pageLsn += PAGE;
    page = addPage(pageLsn, rest.length);
    at = headerSizeAt(pageLsn, segmentSize);
  }
  return [...files.values()].map((file) => ({ ...file, size: segmentSize }));
}

function headerSizeAt(pageLsn: Lsn, segmentSize: number): number {
  return pageLsn % BigInt(segmentSize) === 0n ? LONG_PAGE_HEADER_SIZE : SHORT_PAGE_HEADER_SIZE;
}

function headerOf(
  lsn: Lsn,
  remainingLength: number,
  { majorVersion, timelineId, systemIdentifier, segmentSize }: WalCluster,
): Uint8Array {
  const isFirst = lsn % BigInt(segmentSize) === 0n;
  return encodeWalPageHeader({
    ...{ majorVersion, timelineId, lsn, remainingLength },
    continuesRecord: remainingLength > 0,
    overwritesRecord: false,
    segment: isFirst ? { systemIdentifier, segmentSize } : undefined,
  });
}
