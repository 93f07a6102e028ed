/** A range of keys, and the gaps between borders of layers that it touches. */
import { StorageError } from '../../errors.ts';
import { formatKey, type KeyRange } from '../../layers/key.ts';
import type { Gap } from './coverage.ts';
import { KEY_WORDS, keyNumber } from './key-number.ts';
import type { LayerTable } from './layer-table.ts';
import { compareRows, rowsBelow, rowsUpTo } from './words.ts';

export interface KeySpan {
  /** With its own copies of the keys. */
  readonly keyRange: KeyRange;
  /** The first gap with keys of the range; -1 if it starts below the first border. */
  readonly first: Gap;
  /** The last gap, inclusive: `first - 1` for an empty range. */
  readonly last: Gap;
  /** The first border at or above the start. */
  readonly firstBorder: number;
}

/** Throws `out-of-range` for a start above the end, and for keys that a pageserver cannot hold. */
export function keySpan(table: LayerTable, keyRange: KeyRange): KeySpan {
  const start = keyNumber(keyRange?.start, 'start of the key range');
  const end = keyNumber(keyRange.end, 'end of the key range');
  const order = compareRows(start, 0, end, 0, KEY_WORDS);
  if (order > 0) {
    throw new StorageError('out-of-range', {
      what: 'key range',
      expected: 'a start that is not above the end',
      actual: `${formatKey(keyRange.start)}-${formatKey(keyRange.end)}`,
    });
  }
  const first = rowsUpTo(table.keyWords, start) - 1;
  return {
    keyRange: { start: Uint8Array.from(keyRange.start), end: Uint8Array.from(keyRange.end) },
    first,
    last: order === 0 ? first - 1 : rowsBelow(table.keyWords, end) - 1,
    firstBorder: rowsBelow(table.keyWords, start),
  };
}

/** The keys of some gaps of a span, clipped to it. */
export function partRange(table: LayerTable, span: KeySpan, from: Gap, to: Gap): KeyRange {
  return {
    start: from === span.first ? span.keyRange.start : table.borderKey(from),
    end: to === span.last ? span.keyRange.end : table.borderKey(to + 1),
  };
}
