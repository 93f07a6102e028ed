/**
 * A set of keys as ranges: ascending, not empty, and not touching each other.
 *
 * The functions return new lists and do not change their arguments. Lists of one range per key are
 * usual, so all of them take time in proportion to the ranges, not to the keys.
 */
import { compareKeys, KEY_SIZE, type Key, type KeyRange, nextKey } from '../layers/key.ts';

export type KeySpace = readonly KeyRange[];

/**
 * The range that holds only this key. The last of all keys has none, because the end of a range is a key.
 */
export function singleKey(key: Key): KeyRange {
  return { start: key, end: nextKey(key) };
}

/** Whether the range holds one key. */
export function isSingleKey({ start, end }: KeyRange): boolean {
  const last = start[KEY_SIZE - 1] as number;
  // A carry from 0xFF is rare, and left to the general code.
  if (last === 0xff) return compareKeys(nextKey(start), end) === 0;
  if (end[KEY_SIZE - 1] !== last + 1) return false;
  for (let byte = 0; byte < KEY_SIZE - 1; byte += 1) if (start[byte] !== end[byte]) return false;
  return true;
}

/** Sorts and joins ranges that may overlap; empty ones are left out. */
export function normalized(ranges: Iterable<KeyRange>): KeyRange[] {
  const sorted = [...ranges]
    .filter(({ start, end }) => compareKeys(start, end) < 0)
    .sort((left, right) => compareKeys(left.start, right.start));
  const joined: KeyRange[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last === undefined || compareKeys(last.end, range.start) < 0) joined.push(range);
    else if (compareKeys(last.end, range.end) < 0) {
      joined[joined.length - 1] = { start: last.start, end: range.end };
    }
  }
  return joined;
}

/** The keys of `space` that are not in `removed`. */
export function subtract(space: KeySpace, removed: KeySpace): KeySpace {
  if (removed.length === 0 || space.length === 0) return space;
  const left: KeyRange[] = [];
  let next = 0;
  for (const { start: first, end } of space) {
    let start = first;
    while (next < removed.length && compareKeys((removed[next] as KeyRange).end, start) <= 0)
      next += 1;
    for (let at = next; at < removed.length; at += 1) {
      const cut = removed[at] as KeyRange;
      if (compareKeys(cut.start, end) >= 0) break;
      if (compareKeys(start, cut.start) < 0) left.push({ start, end: cut.start });
      start = cut.end;
      if (compareKeys(start, end) >= 0) break;
    }
    if (compareKeys(start, end) < 0) left.push({ start, end });
  }
  return left;
}

/** The keys that are in both spaces. */
export function intersect(left: KeySpace, right: KeySpace): KeyRange[] {
  const both: KeyRange[] = [];
  for (let at = 0, other = 0; at < left.length && other < right.length; ) {
    const one = left[at] as KeyRange;
    const two = right[other] as KeyRange;
    const start = compareKeys(one.start, two.start) < 0 ? two.start : one.start;
    const isOneFirst = compareKeys(one.end, two.end) < 0;
    const end = isOneFirst ? one.end : two.end;
    if (compareKeys(start, end) < 0) both.push({ start, end });
    if (isOneFirst) at += 1;
    else other += 1;
  }
  return both;
}
