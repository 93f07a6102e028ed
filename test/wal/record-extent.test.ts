import { describe, expect, test } from 'vitest';
import { parseLsn } from '../../src/layers/lsn.ts';
import { endOfRecord, startAfter } from '../../src/wal/record-extent.ts';
import { goldenWal, WAL_VERSIONS } from '../support/golden-wal.ts';

const PAGE = 8192;
const SEGMENT = 16 * 1024 * 1024;
const GOLDEN_SEGMENT = 1024 * 1024;

describe('a record ends', () => {
  test.each([
    ['within its page, at the next multiple of 8', PAGE + 24, 45, PAGE + 72],
    ['at the end of its page', PAGE + 24, PAGE - 24, 2 * PAGE],
    ['after the header of the next page', PAGE + 8000, 200, 2 * PAGE + 24 + 8],
    ['after the long header of the next segment', SEGMENT - 8, 24, SEGMENT + 40 + 16],
    ['after several pages', PAGE + 24, PAGE - 24 + PAGE - 24 + 8, 3 * PAGE + 24 + 8],
  ])('a record ends %s', (_, start, length, end) => {
    expect(endOfRecord(start, length)).toBe(end);
  });

  test('a record ends where the next one starts, unless a page begins there', () => {
    expect(startAfter(PAGE + 72)).toBe(PAGE + 72);
    expect(startAfter(2 * PAGE)).toBe(2 * PAGE + 24);
    expect(startAfter(SEGMENT)).toBe(SEGMENT + 40);
  });

  test.each(WAL_VERSIONS)('a record ends where the real server of version %i says', (version) => {
    const { records } = goldenWal(version);
    const places = records.map((record) => ({
      start: Number(parseLsn(record.start_lsn)),
      end: Number(parseLsn(record.end_lsn)),
      previous: Number(parseLsn(record.prev_lsn)),
      length: record.record_length,
      isSwitch: record.record_type === 'SWITCH',
      isOverwriting: record.record_type === 'OVERWRITE_CONTRECORD',
    }));
    expect(places.length).toBeGreaterThan(100);
    const wrong = places.filter(({ start, end, length, isSwitch }, index) => {
      if (isSwitch) return false;
      const next = places[index + 1];
      // Written over a record that a crash had cut, on the next page.
      const follows = next?.previous === start && !next.isOverwriting;
      return (
        endOfRecord(start, length, GOLDEN_SEGMENT) !== end ||
        (follows && next.start !== startAfter(end, GOLDEN_SEGMENT))
      );
    });
    expect(wrong.slice(0, 3)).toEqual([]);
  });
});
