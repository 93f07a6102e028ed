/**
 * Names of WAL files, of upper-case hex digits:
 *
 *   TTTTTTTTLLLLLLLLSSSSSSSS                    segment: timeline, number / n, number % n
 *   TTTTTTTTLLLLLLLLSSSSSSSS.partial            segment that was not filled
 *   TTTTTTTTLLLLLLLLSSSSSSSS.OOOOOOOO.backup    backup history: a text; O is the start's offset
 *   TTTTTTTT.history                            timeline history: a text
 *
 * A segment begins at LSN number * size, and n = 2^32 / size, so that L is the high half of the LSN. A name alone does
 * not determine the size. Source: Postgres src/include/access/xlog_internal.h.
 */
import { checkCount, checkObject, checkText } from '../check-options.ts';
import { checkLsn, type Lsn } from '../layers/lsn.ts';
import { checkSegmentSize } from './page-format.ts';

/** The parsed name of a segment. */
export interface WalSegmentName {
  /** Complete, not yet filled, or the history of a base backup that began in it. */
  readonly kind: 'segment' | 'partial-segment' | 'backup-history';
  /** Timeline, from 1. */
  readonly timelineId: number;
  /** High half of the segment's start LSN. */
  readonly high: number;
  /** Number of the segment among those with this high half. */
  readonly low: number;
}

/** The parsed name of a file in a WAL directory. */
export type WalFileName =
  | WalSegmentName
  | { readonly kind: 'timeline-history'; readonly timelineId: number };

const SEGMENT = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial|\.[0-9A-F]{8}\.backup)?$/;
const HISTORY = /^([0-9A-F]{8})\.history$/;

/**
 * Parses a file name, without folders.
 *
 * @returns Undefined for a name of any other form, and for timeline 0.
 */
export function parseWalFileName(name: string): WalFileName | undefined {
  checkText('name of a WAL file', name);
  const history = HISTORY.exec(name);
  if (history !== null) {
    const timelineId = fromHex(history[1]);
    return timelineId === 0 ? undefined : { kind: 'timeline-history', timelineId };
  }
  const [, timeline, high, low, suffix] = SEGMENT.exec(name) ?? [];
  const timelineId = fromHex(timeline);
  if (timelineId === 0) return undefined;
  const kind =
    suffix === undefined ? 'segment' : suffix === '.partial' ? 'partial-segment' : 'backup-history';
  return { kind, timelineId, high: fromHex(high), low: fromHex(low) };
}

function fromHex(digits: string | undefined): number {
  return digits === undefined ? 0 : Number.parseInt(digits, 16);
}

/**
 * The name of the segment that holds an LSN.
 *
 * @param segmentSize Bytes of a segment.
 * @throws `invalid-input`, `out-of-range`.
 */
export function formatWalSegmentName(timelineId: number, lsn: Lsn, segmentSize: number): string {
  checkCount('timeline', timelineId, { from: 1, to: 0xffff_ffff });
  checkLsn(lsn);
  checkSegmentSize(segmentSize);
  const low = Number(lsn & 0xffff_ffffn);
  return toHex(timelineId) + toHex(Number(lsn >> 32n)) + toHex(Math.floor(low / segmentSize));
}

/** The name of a timeline's history. Throws `invalid-input`. */
export function formatTimelineHistoryName(timelineId: number): string {
  checkCount('timeline', timelineId, { from: 1, to: 0xffff_ffff });
  return `${toHex(timelineId)}.history`;
}

function toHex(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}

/**
 * Where a segment begins.
 *
 * @returns Undefined if there is no such segment of this size: its number is too high for it.
 * @throws `invalid-input`.
 */
export function startOfWalSegment(
  name: Pick<WalSegmentName, 'high' | 'low'>,
  segmentSize: number,
): Lsn | undefined {
  checkObject('name of a segment', name);
  const { high, low } = name;
  checkCount('high half of a segment', high, { to: 0xffff_ffff });
  checkCount('number of a segment', low, { to: 0xffff_ffff });
  checkSegmentSize(segmentSize);
  if (low >= 2 ** 32 / segmentSize) return undefined;
  return (BigInt(high) << 32n) + BigInt(low * segmentSize);
}
