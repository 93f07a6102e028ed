import { expect, test } from 'vitest';
import { crc32cOf } from '../../src/checksum.ts';
import { recordChecksumAt } from '../../src/wal/record-checksum.ts';

/** Bytes without a pattern, the same in each run. */
const BYTES = Uint8Array.from(
  { length: 400 },
  (_, index) => (index * index * 31 + index * 7) >>> 3,
);
const VIEW = new DataView(BYTES.buffer);

test('the checksum of a record of any length, at any offset, is that of its body and then of its header', () => {
  for (let length = 24; length <= 150; length += 1) {
    const offset = (length * 5) % 200;
    const record = BYTES.subarray(offset, offset + length);
    const expected = crc32cOf(record.subarray(0, 20), crc32cOf(record.subarray(24)));
    expect(recordChecksumAt(VIEW, offset, length)).toBe(expected);
  }
});
