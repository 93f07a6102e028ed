import { expect, test } from 'vitest';
import { ChecksummedBytes, crc32cOf } from '../../src/checksum.ts';
import { recordChecksumIn, recordChecksumOf } from '../../src/wal/record-checksum.ts';

/** Bytes without a pattern, the same in each run. */
const BYTES = Uint8Array.from(
  { length: 400 },
  (_, index) => (index * index * 31 + index * 7) >>> 3,
);
const MEMORY = ChecksummedBytes.allocate(BYTES.length);
MEMORY.bytes.set(BYTES);

test('the checksum of a record of any length, at any offset, is that of its body and then of its header', () => {
  for (let length = 24; length <= 150; length += 1) {
    const offset = (length * 5) % 200;
    const record = BYTES.subarray(offset, offset + length);
    const expected = crc32cOf(record.subarray(0, 20), crc32cOf(record.subarray(24)));
    expect(recordChecksumIn(MEMORY, offset, length)).toBe(expected);
    expect(recordChecksumOf(new DataView(BYTES.buffer, offset, length))).toBe(expected);
  }
});
