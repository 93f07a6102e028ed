import { describe, expect, test } from 'vitest';
import { decodeWalPageHeader, isSegmentSize } from '../../src/wal/page-format.ts';
import {
  formatTimelineHistoryName,
  formatWalSegmentName,
  parseWalFileName,
  startOfWalSegment,
} from '../../src/wal/segment-name.ts';
import { decodeTimelineHistory, TimelinePath } from '../../src/wal/timeline-history.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const MIB = 1024 * 1024;
const hex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

describe('page header', () => {
  // Magic and flags, timeline, LSN, rest of a record and padding; system identifier, sizes.
  const long = hex(
    '10D1 0700 01000000 0000A00000000000 20000000 00000000 6860D1280FC00B6B 00001000 00200000',
  );

  test('page header of a real segment has all fields', () => {
    expect(decodeWalPageHeader(long)).toEqual({
      majorVersion: 15,
      continuesRecord: true,
      overwritesRecord: false,
      timelineId: 1,
      lsn: 0xa0_0000n,
      remainingLength: 0x20,
      segment: { systemIdentifier: 0x6b0b_c00f_28d1_6068n, segmentSize: MIB },
    });
  });

  test.each([0, 23, 24, 39])('a page header cut to %i bytes is truncated', (length) => {
    const error = storageErrorThrownBy(() => decodeWalPageHeader(long.subarray(0, length)));
    expect(error).toMatchObject({ code: 'truncated', offset: length });
  });

  test.each([
    ['magic, that of version 18,', 0, 0x18, 'unsupported-version', 0],
    ['magic, that of no version,', 1, 0x11, 'corrupt', 0],
    ['flags', 3, 0x80, 'corrupt', 2],
    ['segment size', 32, 0x01, 'corrupt', 32],
    ['page size', 37, 0x40, 'corrupt', 36],
  ])('a page header with a wrong %s is refused there', (_, byte, value, code, offset) => {
    const bytes = long.slice();
    bytes[byte] = value;
    expect(storageErrorThrownBy(() => decodeWalPageHeader(bytes))).toMatchObject({ code, offset });
  });

  test('segment sizes are powers of two from 1 MiB to 1 GiB', () => {
    for (let bits = 20; bits <= 30; bits += 1) expect(isSegmentSize(2 ** bits)).toBe(true);
    for (const size of [0, 1, MIB / 2, MIB + 1, 3 * MIB, 2 ** 31, -MIB]) {
      expect(isSegmentSize(size)).toBe(false);
    }
  });
});

describe('names', () => {
  test('names of the segment of an LSN depend on the size of segments', () => {
    const lsn = 0x170_0058n;
    expect(formatWalSegmentName(1, lsn, MIB)).toBe('000000010000000000000017');
    expect(formatWalSegmentName(1, lsn, 16 * MIB)).toBe('000000010000000000000001');
    expect(formatWalSegmentName(10, 0xa_ffff_ffffn, 1024 * MIB)).toBe('0000000A0000000A00000003');
    expect(formatTimelineHistoryName(10)).toBe('0000000A.history');
  });

  test.each([
    ['0000000200000001000000FE', { kind: 'segment', timelineId: 2, high: 1, low: 254 }],
    [
      '000000010000000000000001.partial',
      { kind: 'partial-segment', timelineId: 1, high: 0, low: 1 },
    ],
    [
      '000000010000000000000001.00000028.backup',
      { kind: 'backup-history', timelineId: 1, high: 0, low: 1 },
    ],
    ['0000000B.history', { kind: 'timeline-history', timelineId: 11 }],
    ['000000000000000000000001', undefined],
    ['00000000.history', undefined],
    ['00000001000000000000000a', undefined],
    ['0000000100000000000000010', undefined],
    ['000000010000000000000001.partial.x', undefined],
    ['', undefined],
  ])('the name %s is parsed as the WAL file that it names, if any', (name, parsed) => {
    expect(parseWalFileName(name)).toEqual(parsed);
  });

  test('names of segments give the start of the segment, if there is one of this size', () => {
    expect(startOfWalSegment({ high: 1, low: 255 }, 16 * MIB)).toBe(0x1_ff00_0000n);
    expect(startOfWalSegment({ high: 1, low: 256 }, 16 * MIB)).toBeUndefined();
    expect(storageErrorThrownBy(() => formatWalSegmentName(1, 0n, 3 * MIB)).code).toBe(
      'invalid-input',
    );
  });
});

describe('timeline history', () => {
  test('timeline history has an ancestor a line, oldest first; comments and blank lines are ignored', () => {
    const text = '# made by hand\n1\t0/180E4E0\tno recovery target specified\n\n2\t1/0\tbefore 4\n';
    expect(decodeTimelineHistory(ascii(text), 4)).toEqual([
      { timelineId: 1, switchLsn: 0x180_e4e0n, reason: 'no recovery target specified' },
      { timelineId: 2, switchLsn: 0x1_0000_0000n, reason: 'before 4' },
    ]);
  });

  test.each([
    ['a line without an LSN', '1\tx\n', 0],
    ['a timeline that does not ascend', '2\t0/10\n2\t0/20\n', 7],
    ['its own timeline', '4\t0/10\n', 0],
    ['a switch that descends', '1\t0/20\n2\t0/10\n', 7],
    ['timeline 0', '0\t0/20\n', 0],
  ])('a timeline history with %s is corrupt there', (_, text, offset) => {
    const error = storageErrorThrownBy(() => decodeTimelineHistory(ascii(text), 4));
    expect(error).toMatchObject({ code: 'corrupt', offset });
  });

  test('timeline history says whose WAL a place is, and which files may have it', () => {
    const path = new TimelinePath(4, decodeTimelineHistory(ascii('1\t0/180\n2\t0/300\n'), 4));
    expect([0x17fn, 0x180n, 0x2ffn, 0x300n].map((lsn) => path.timelineAt(lsn))).toEqual([
      1, 2, 2, 4,
    ]);
    expect(path.timelinesOf(0x100n, 0x200n)).toEqual([2, 1]);
    expect(path.timelinesOf(0x200n, 0x300n)).toEqual([2]);
    expect(path.timelinesOf(0x300n, 0x400n)).toEqual([4]);
  });

  test('timeline history of very many timelines is searched, not walked for each segment', () => {
    const ancestors = Array.from({ length: 100_000 }, (_, index) => ({
      timelineId: index + 1,
      switchLsn: BigInt(index + 1) * 0x100n,
      reason: '',
    }));
    const path = new TimelinePath(100_001, ancestors);
    const begin = process.cpuUsage();
    for (const index of [1, 1000, 50_000, 99_999]) {
      const lsn = BigInt(index) * 0x100n;
      expect(path.timelinesOf(lsn, lsn + 1n)).toEqual([index + 1]);
      expect(path.timelineAt(lsn)).toBe(index + 1);
      expect(path.endOf(index)).toBe(lsn);
    }
    expect(process.cpuUsage(begin).user).toBeLessThan(1_000_000);
    expect(path.timelinesOf(0n, 0xff_ffff_ffffn)).toHaveLength(100_001);
  });
});
