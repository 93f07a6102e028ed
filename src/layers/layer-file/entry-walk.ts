/** Which part of the index a scan walks. */
import { checkObject, checkSignal } from '../../check-options.ts';
import type { WalkOptions } from '../disk-btree/walk.ts';
import { checkKey, type Key } from '../key.ts';
import { checkWantedLsns, type LsnRange } from '../lsn.ts';
import { type EntryLayout, justAbove } from './entry-layout.ts';
import type { EntryOptions } from './entry-options.ts';

/** The part of the index that a scan walks. Throws `invalid-input`, `out-of-range`. */
export function walkOfRanges(
  { keyRange, lsnRange, signal }: EntryOptions,
  layout: EntryLayout,
): WalkOptions {
  checkSignal(signal);
  if (lsnRange !== undefined) checkWantedRange(lsnRange);
  if (keyRange === undefined) return {};
  checkObject('keyRange', keyRange);
  checkKey(keyRange.start);
  checkKey(keyRange.end);
  return {
    start: layout.entryKey(keyRange.start, 0n),
    end: layout.entryKey(keyRange.end, 0n),
  };
}

/** The part of the index that has the versions of one key. Throws `invalid-input`, `out-of-range`. */
export function walkOfKey(key: Key, lsnRange: LsnRange, layout: EntryLayout): WalkOptions {
  checkKey(key);
  checkWantedRange(lsnRange);
  const { start, end } = lsnRange;
  const first = layout.entryKey(key, start);
  const isEmpty = start >= end;
  return { start: first, end: isEmpty ? first : justAbove(layout.entryKey(key, end - 1n)) };
}

function checkWantedRange(lsnRange: LsnRange): void {
  checkObject('lsnRange', lsnRange);
  checkWantedLsns(lsnRange);
}
