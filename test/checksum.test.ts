import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import * as Checksum from '../src/checksum.ts';
import { rounds } from './support/rounds.ts';

const { crc32cOf, ChecksummedBytes } = Checksum;

/** RFC 3720, B.4, and the check value of the catalogues. */
test.each([
  ['nothing', Buffer.alloc(0), 0],
  ['123456789', Buffer.from('123456789'), 0xe3069283],
  ['32 bytes of zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 bytes that ascend', Buffer.from(Array.from({ length: 32 }, (_, n) => n)), 0x46dd794e],
  ['32 bytes that descend', Buffer.from(Array.from({ length: 32 }, (_, n) => 31 - n)), 0x113fdb5c],
])('CRC-32C of %s is unsigned and right', (_, bytes, expected) => {
  expect(crc32cOf(bytes)).toBe(expected);
});

test('of a part of a larger array it is that of the part', () => {
  expect(crc32cOf(Buffer.from('x123456789y').subarray(1, 10))).toBe(0xe3069283);
});

test('of any length is that of its bytes one at a time', () => {
  const bytes = Uint8Array.from({ length: 70 }, (_, index) => index * 37);
  let crc = 0;
  for (let length = 1; length <= bytes.length; length += 1) {
    crc = crc32cOf(bytes.subarray(length - 1, length), crc);
    expect(crc32cOf(bytes.subarray(0, length))).toBe(crc);
  }
});

/** One bit after the other, as the definition has it. */
function crcByBits(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : 0x82f63b78);
  }
  return ~crc >>> 0;
}

/** Bytes without a pattern, the same in each run. */
const RANDOM = Uint8Array.from(
  { length: 70_000 },
  (_, index) => Math.imul(index, 2654435761) >>> 21,
);

/** Around the steps of 4, 8 and 16 bytes, the shortest folded run, a piece of it, and what is copied at a time. */
const LENGTHS = [
  ...Array.from({ length: 301 }, (_, length) => length),
  ...[2047, 2048, 2049, 2063, 2064, 8192, 16_383, 16_384, 16_400, 18_431, 18_432],
  ...[32_767, 32_768, 32_769, 65_553],
];

async function withoutWebAssembly<T>(use: (checksum: typeof Checksum) => T): Promise<T> {
  vi.stubGlobal('WebAssembly', undefined);
  vi.resetModules();
  try {
    return use(await import('../src/checksum.ts'));
  } finally {
    vi.unstubAllGlobals();
  }
}

function checkRuns({ crc32cOf, ChecksummedBytes }: typeof Checksum): void {
  const memory = ChecksummedBytes.allocate(RANDOM.length);
  memory.bytes.set(RANDOM);
  for (const length of LENGTHS) {
    const from = (length * 7) % 61;
    const run = RANDOM.subarray(from, from + length);
    const expected = crcByBits(run, length);
    expect(crc32cOf(run, length), `${length} bytes`).toBe(expected);
    expect(memory.crc32c(from, from + length, length), `${length} bytes in place`).toBe(expected);
  }
}

test('of a run of any length, at any offset, it is that of its bits one at a time', () => {
  checkRuns(Checksum);
});

test.each([
  { starts: [13], longest: 70_000 },
  { starts: Array.from({ length: 16 }, (_, start) => start), longest: 3000 },
])('of each length up to $longest it is that of its bits one at a time', ({ starts, longest }) => {
  const memory = ChecksummedBytes.allocate(RANDOM.length + 16);
  memory.bytes.set(RANDOM);
  for (const start of starts) {
    let expected = start * 0x1111_1111;
    for (let length = 0; length <= longest; length += 1) {
      const computed = memory.crc32c(start, start + length, start * 0x1111_1111);
      if (computed !== expected) expect(computed, `${length} bytes from ${start}`).toBe(expected);
      expected = crcByBits(memory.bytes.subarray(start + length, start + length + 1), expected);
    }
  }
});

test('without WebAssembly it is the same', async () => {
  await withoutWebAssembly(checkRuns);
});

test('of random runs after random checksums it is that of their bits', () => {
  const runs = Number(process.env['LAYERFILE_CHECKSUM_RUNS'] ?? rounds(100));
  const memory = ChecksummedBytes.allocate(20_000);
  const bytes = fc.uint8Array({ maxLength: 6000, size: 'max' });
  fc.assert(
    fc.property(
      bytes,
      fc.nat(2000),
      fc.integer({ min: 0, max: 0xffff_ffff }),
      (run, at, before) => {
        memory.bytes.set(run, at);
        const expected = crcByBits(run, before);
        expect(memory.crc32c(at, at + run.length, before)).toBe(expected);
        expect(crc32cOf(run, before)).toBe(expected);
      },
    ),
    { numRuns: runs },
  );
});

test('bytes that are there already are checked in place', () => {
  const memory = ChecksummedBytes.of(RANDOM.subarray(100, 5000));
  expect(memory.crc32c(3, 4000)).toBe(crcByBits(RANDOM.subarray(103, 4100)));
});

test('memory for bytes is filled with zeros, and has exactly their length', () => {
  const { bytes, view } = ChecksummedBytes.allocate(100_000);
  expect(bytes.length).toBe(100_000);
  expect(view.byteLength).toBe(100_000);
  expect(bytes.every((byte) => byte === 0)).toBe(true);
});
