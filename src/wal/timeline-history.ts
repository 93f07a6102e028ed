/**
 * Timeline history: which timeline wrote which part of the WAL that leads to a timeline. A text file of
 * one line for each ancestor, oldest first; blank lines and `#` comments are ignored:
 *
 *   parent timeline  HI/LO of the switch  reason
 *
 * Fields are separated by blanks or tabs. The parent wrote everything before the switch that no older
 * timeline wrote. Timelines ascend, and switches do not descend.
 * Source: Postgres src/backend/access/transam/timeline.c.
 */
import { checkBytes, checkCount } from '../check-options.ts';
import { corrupt } from '../errors.ts';
import { formatPgLsn, type Lsn, MAXIMUM_LSN, parseLsn } from '../layers/lsn.ts';

/** An ancestor of a timeline. */
export interface TimelineAncestor {
  /** Number of the timeline. */
  readonly timelineId: number;
  /** Where the next timeline takes over. */
  readonly switchLsn: Lsn;
  /** Why, in words. */
  readonly reason: string;
}

/** Maximum number of ancestors in a history; longer ones are refused. */
const MAXIMUM_ANCESTORS = 100_000;

/**
 * Decodes the history of a timeline.
 *
 * @returns Its ancestors, oldest first.
 * @throws `corrupt` with the offset of the line; `invalid-input`.
 */
export function decodeTimelineHistory(bytes: Uint8Array, timelineId: number): TimelineAncestor[] {
  checkBytes(bytes, 'timeline history');
  checkCount('timeline', timelineId, { from: 1, to: 0xffff_ffff });
  const ancestors: TimelineAncestor[] = [];
  let offset = 0;
  for (const line of Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString('latin1')
    .split('\n')) {
    const text = line.trim();
    if (text !== '' && !text.startsWith('#')) {
      const ancestor = decodeLine(text, offset);
      checkOrder(ancestors.at(-1), ancestor, { offset, timelineId });
      if (ancestors.length === MAXIMUM_ANCESTORS) {
        throw corrupt('timeline history', offset, `at most ${MAXIMUM_ANCESTORS} lines`, 'more');
      }
      ancestors.push(ancestor);
    }
    offset += line.length + 1;
  }
  return ancestors;
}

const LINE = /^([0-9]{1,10})[ \t]+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(?:[ \t]+(.*))?$/;

function decodeLine(text: string, offset: number): TimelineAncestor {
  const [, timeline, lsn, reason = ''] = LINE.exec(text) ?? [];
  const timelineId = Number(timeline);
  if (lsn === undefined || timelineId < 1 || timelineId > 0xffff_ffff) {
    throw corrupt('line of the timeline history', offset, 'timeline, HI/LO, reason', text);
  }
  return { timelineId, switchLsn: parseLsn(lsn), reason };
}

function checkOrder(
  before: TimelineAncestor | undefined,
  { timelineId, switchLsn }: TimelineAncestor,
  { offset, timelineId: descendant }: { readonly offset: number; readonly timelineId: number },
): void {
  const lowest = (before?.timelineId ?? 0) + 1;
  if (timelineId < lowest || timelineId >= descendant) {
    const expected = `${lowest} to ${descendant - 1}`;
    throw corrupt('timeline in the history', offset, expected, `${timelineId}`);
  }
  if (before !== undefined && switchLsn < before.switchLsn) {
    const expected = `${formatPgLsn(before.switchLsn)} or above`;
    throw corrupt('switch in the history', offset, expected, formatPgLsn(switchLsn));
  }
}

/** The WAL that leads to a timeline: its own WAL, and that of its ancestors before their switches. */
export class TimelinePath {
  /** The timeline that the path leads to. */
  readonly timelineId: number;
  /** Ancestors, oldest first. */
  readonly ancestors: readonly TimelineAncestor[];

  /** Requires: ancestors as returned by `decodeTimelineHistory`; empty if they are unknown. */
  constructor(timelineId: number, ancestors: readonly TimelineAncestor[] = []) {
    this.timelineId = timelineId;
    this.ancestors = ancestors;
  }

  /** The timeline that wrote the byte at an LSN. */
  timelineAt(lsn: Lsn): number {
    const index = firstIndex(this.ancestors, ({ switchLsn }) => lsn < switchLsn);
    return this.ancestors[index]?.timelineId ?? this.timelineId;
  }

  /** Where a timeline ends on the path; the highest LSN for the last one. */
  endOf(timelineId: number): Lsn {
    const index = firstIndex(this.ancestors, (one) => one.timelineId >= timelineId);
    const ancestor = this.ancestors[index];
    return ancestor?.timelineId === timelineId ? ancestor.switchLsn : MAXIMUM_LSN;
  }

  /**
   * Timelines whose files for a segment have WAL of the path, best first: the file of the newest timeline has a copy of
   * the WAL of the others.
   */
  timelinesOf(segmentStart: Lsn, segmentEnd: Lsn): number[] {
    const { ancestors } = this;
    const found: number[] = [];
    let index = firstIndex(ancestors, ({ switchLsn }) => switchLsn > segmentStart);
    for (; index < ancestors.length; index += 1) {
      if ((ancestors[index - 1]?.switchLsn ?? 0n) >= segmentEnd) break;
      found.push((ancestors[index] as TimelineAncestor).timelineId);
    }
    if ((ancestors[index - 1]?.switchLsn ?? 0n) < segmentEnd) found.push(this.timelineId);
    return found.reverse();
  }
}

/** Index of the first item that is wanted, as all after it are; the length if there is none. */
function firstIndex<T>(items: readonly T[], isWanted: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (isWanted(items[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}
