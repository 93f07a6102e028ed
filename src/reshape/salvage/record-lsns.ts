/**
 * Finds the LSN at which each record of a census was stored, as far as it can be proven. A record does not contain its
 * own LSN, but it contains the start of the preceding record. A pageserver stores a record under the LSN of its end.
 *
 * Let p be the start of the record before R, and q the start of the record before the next known record:
 *
 *   chain   the known record before R starts at p: then R starts where that one ends
 *   room    R lies after the record at p, which has 24 bytes at least, and before or at q. If R does not fit
 *           between p + 24 and q, R is the record at q
 *   border  a layer starts 1 above the end of a record. If p is below that end, R is the first after it. A flipped
 *           bit that moves the border would go unnoticed, so the border must not be known from the summary alone
 *
 * A record that a server writes over one that was cut off by a crash starts later than the preceding one ends, but it
 * does not name a block. If none of these rules applies, the LSN stays unknown. All of this relies on checksums: only
 * valid records count.
 */
import type { LsnRange } from '../../layers/lsn.ts';
import { endOfRecord, startAfter } from '../../wal/record-extent.ts';
import { WAL_RECORD_HEADER_SIZE } from '../../wal/record-scanner.ts';
import type { RecordCensus } from './record-census.ts';

/** LSNs that the entries of a layer can have. */
export interface PlacedRange extends LsnRange {
  /** Whether the layer certainly starts there. */
  readonly isStartSure: boolean;
}

/** Copies of one record, which are stored for each of its blocks, in the order of the file. */
export interface RecordCopies {
  /** Numbers in the census. */
  readonly members: readonly number[];
  /** Undefined if it cannot be proven. */
  readonly lsn: bigint | undefined;
}

/** In the order of their LSNs. */
export function* recordLsns(
  census: RecordCensus,
  range: PlacedRange | undefined,
): Generator<RecordCopies> {
  const { previous, count } = census;
  const order = new Uint32Array(count);
  for (let record = 0; record < count; record += 1) order[record] = record;
  order.sort(
    (one, other) => (previous[one] as number) - (previous[other] as number) || one - other,
  );
  const border = range?.isStartSure ? borderOf(census, order, range) : undefined;
  let before: Placed | undefined;
  for (let from = 0; from < count; ) {
    const end = endOfGroup(census, order, from);
    const group = order.subarray(from, end);
    const next = end < count ? (previous[order[end] as number] as number) : undefined;
    before = place(census, group, { before, next, border });
    const lsn = before === undefined ? undefined : BigInt(before.end);
    const isInside =
      lsn !== undefined && (range === undefined || (lsn >= range.start && lsn < range.end));
    yield { members: [...group], lsn: isInside ? lsn : undefined };
    from = end;
  }
}

interface Placed {
  readonly start: number;
  readonly end: number;
}

interface Surroundings {
  /** The preceding known record, if its place is known. */
  readonly before: Placed | undefined;
  /** Start of the record before the next known one. */
  readonly next: number | undefined;
  /** End of the last record before the layer. */
  readonly border: number | undefined;
}

function place(
  census: RecordCensus,
  group: Uint32Array,
  { before, next, border }: Surroundings,
): Placed | undefined {
  const [first = 0] = group;
  // Two records cannot follow the same one.
  if (!group.every((record) => isSame(census, record, first))) return undefined;
  const length = census.lengths[first] as number;
  const previous = census.previous[first] as number;
  let start: number | undefined;
  if (before?.start === previous) start = startAfter(before.end);
  else if (border !== undefined && previous < border) start = startAfter(border);
  else if (next !== undefined && previous + WAL_RECORD_HEADER_SIZE + length > next) start = next;
  if (start === undefined || start <= previous) return undefined;
  const end = endOfRecord(start, length);
  // A contradiction: some records are not of this WAL.
  if (next !== undefined && (start > next || (start < next && end > next))) return undefined;
  return Number.isSafeInteger(end) ? { start, end } : undefined;
}

function isSame({ lengths, checksums }: RecordCensus, one: number, other: number): boolean {
  return lengths[one] === lengths[other] && checksums[one] === checksums[other];
}

function endOfGroup({ previous, count }: RecordCensus, order: Uint32Array, from: number): number {
  const value = previous[order[from] as number];
  let end = from + 1;
  while (end < count && previous[order[end] as number] === value) end += 1;
  return end;
}

/** Undefined if the layer does not start 1 above a place where a record can end, or several precede it. */
function borderOf(
  census: RecordCensus,
  order: Uint32Array,
  { start }: LsnRange,
): number | undefined {
  if (start <= 8n || start % 8n !== 1n) return undefined;
  const border = Number(start - 1n);
  if (!Number.isSafeInteger(border)) return undefined;
  const { previous, count } = census;
  if (count === 0) return undefined;
  const end = endOfGroup(census, order, 0);
  const second = end < count ? (previous[order[end] as number] as number) : border;
  return second >= border ? border : undefined;
}
