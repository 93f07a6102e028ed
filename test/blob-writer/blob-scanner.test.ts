import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlobReader } from '../../src/blob-writer/blob-reader.ts';
import { BlobScanner } from '../../src/blob-writer/blob-scanner.ts';
import { type ByteSource, bytesSource } from '../../src/blob-writer/byte-source.ts';
import { StorageError } from '../../src/errors.ts';
import { DEFAULT_DECOMPRESSION_LIMITS, Decompressor } from '../../src/zstd/decompression.ts';
import {
  type BlobSpec,
  bytesOf,
  countingSource,
  failingSource,
  writeBlobs,
} from '../support/blobs.ts';
import { gate, isPending } from '../support/gate.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

function scannerOf(
  source: ByteSource,
  {
    start = 0,
    end = source.size,
    pieceSize,
  }: { start?: number; end?: number; pieceSize?: number } = {},
): BlobScanner {
  return new BlobScanner(new BlobReader(source, { start, end }, DEFAULT_DECOMPRESSION_LIMITS), {
    pieceSize,
  });
}

/** The stored bytes of the blob at the offset: the frame, where it is compressed. */
async function payloadAt(scanner: BlobScanner, offset: number): Promise<Buffer> {
  if (!scanner.locate(offset)) {
    await scanner.load(offset);
    if (!scanner.locate(offset)) throw new Error(`no blob at ${offset} after loading it`);
  }
  const { bytes, payloadStart, payloadLength } = scanner;
  return Buffer.from(bytes.subarray(payloadStart, payloadStart + payloadLength));
}

function hexScanner(hex: string, end?: number): BlobScanner {
  const source = bytesSource(Buffer.from(hex, 'hex'), 'name');
  return scannerOf(source, end === undefined ? {} : { end });
}

describe('a row of blobs', () => {
  const LIMIT = 200;

  function located(scanner: BlobScanner, offsets: readonly number[], previousEnd: number) {
    const places = {
      starts: new Uint32Array(50),
      lengths: new Uint32Array(50),
      storedLengths: new Uint32Array(50),
    };
    const row = {
      offsets: Float64Array.from(offsets),
      from: 0,
      to: offsets.length - 1,
      previousEnd,
    };
    const count = scanner.locateRow(row, places, 3);
    return Array.from({ length: count }, (_, index) => [
      places.starts[index + 3],
      places.lengths[index + 3],
      places.storedLengths[index + 3],
    ]);
  }

  test('a row of blobs is found as far as each blob alone is, and is plain', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            length: fc.integer({ min: 0, max: LIMIT + 20 }),
            compressed: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
          }),
          { minLength: 1, maxLength: 30 },
        ),
        fc.integer({ min: 100, max: 3000 }),
        fc.integer({ min: 0, max: 29 }),
        async (specs, pieceSize, first) => {
          const blobs = specs.map(({ length, compressed }, n) => ({
            content: bytesOf(length, n),
            compressed: compressed && length >= 128,
          }));
          const { file, offsets, end } = await writeBlobs(blobs);
          const limits = { ...DEFAULT_DECOMPRESSION_LIMITS, maximumLength: LIMIT };
          const reader = new BlobReader(bytesSource(file), { start: 0, end }, limits);
          const scanner = new BlobScanner(reader, { pieceSize });
          const from = Math.min(first, offsets.length - 1);
          const start = offsets[from] ?? 0;
          if ((blobs[from]?.content.length ?? 0) <= LIMIT) await scanner.load(start);
          const expected: unknown[] = [];
          for (const offset of offsets.slice(from)) {
            let isFound = false;
            try {
              isFound = scanner.locate(offset);
            } catch (error) {
              expect(error).toMatchObject({ code: 'too-large' });
            }
            if (!isFound || scanner.compressed) break;
            const { payloadStart, payloadLength, headerSize } = scanner;
            expected.push([payloadStart, payloadLength, headerSize + payloadLength]);
          }
          const row = [...offsets.slice(from), end];
          expect(located(scanner, row, start)).toEqual(expected);
          await scanner.close();
        },
      ),
    );
  });

  test('a row of blobs ends in front of what is not where it should be', async () => {
    const bytes = Buffer.from('01aa02bbcc03ddeeff', 'hex');
    const scanner = scannerOf(bytesSource(bytes), { start: 0, end: 9 });
    await scanner.load(0);
    const all = [[1, 1, 2], [3, 2, 3], [6, 3, 4]]; // biome-ignore format: one line
    expect(located(scanner, [0, 2, 5, 9], 0)).toEqual(all);
    expect(located(scanner, [0, 2, 5, Number.POSITIVE_INFINITY], 0)).toEqual(all);
    // The last reaches into what follows; the first lies in what was before; one points back.
    expect(located(scanner, [0, 2, 5, 8], 0)).toEqual(all.slice(0, 2));
    expect(located(scanner, [0, 2, 5, 9], 1)).toEqual([]);
    expect(located(scanner, [2, 0, 5, 9], 0)).toEqual([]);
    expect(located(scanner, [0, 2, 2, 9], 0)).toEqual(all.slice(0, 1));
    expect(located(scanner, [-1, 2], 0)).toEqual([]);
    expect(located(scanner, [9, 20], 0)).toEqual([]);
    expect(located(scanner, [100, 200], 0)).toEqual([]);
  });

  test.each([
    ['has a blob of 1 MiB', 1024 * 1024, 3],
    ['ends in front of a larger one, also where all of it is at hand', 1024 * 1024 + 1, 1],
  ])('a row of blobs %s', async (_, length, count) => {
    const { file, offsets, end } = await writeBlobs(
      [10, length, 10].map((size, n) => ({ content: bytesOf(size, n), compressed: false })),
      { bufferSize: 1024 * 1024 },
    );
    const scanner = scannerOf(bytesSource(file), { end, pieceSize: 4 * 1024 * 1024 });
    const [first = 0] = offsets;
    await scanner.load(first);
    expect(located(scanner, [...offsets, end], first)).toHaveLength(count);
    await scanner.close();
  });

  test('a row of blobs ends in front of a header that cannot be, and of one that is cut', async () => {
    for (const hex of ['01aaa0000000', '01aa900000001111', '01aa80', '01aa8000', '01aa05ff']) {
      const bytes = Buffer.from(hex, 'hex');
      const scanner = scannerOf(bytesSource(bytes), { start: 0, end: bytes.length });
      await scanner.load(0);
      expect(located(scanner, [0, 2, bytes.length], 0)).toEqual([[1, 1, 2]]);
    }
  });
});

describe('scanning', () => {
  test('a scan of blobs reads each byte once, in complete pieces', async () => {
    const blobs: BlobSpec[] = Array.from({ length: 400 }, (_, n) => ({
      content: bytesOf((n * 37) % 900, n),
      compressed: false,
    }));
    const { file, offsets, end } = await writeBlobs(blobs, { startOffset: 100 });
    const source = countingSource(file);
    const scanner = scannerOf(source, { start: 100, end, pieceSize: 5000 });
    for (const [n, offset] of offsets.entries()) {
      expect((await payloadAt(scanner, offset)).equals(blobs[n]?.content ?? Buffer.of(1))).toBe(
        true,
      );
    }
    await scanner.close();
    expect(source.reads.reduce((sum, { length }) => sum + length, 0)).toBe(end - 100);
    expect(source.reads).toHaveLength(Math.ceil((end - 100) / 5000));
  });

  test('a scan of blobs reads the next piece while the last one is used', async () => {
    const { file, offsets, end } = await writeBlobs(
      Array.from({ length: 4 }, (_, n) => ({ content: bytesOf(999, n), compressed: false })),
    );
    const source = countingSource(file);
    const scanner = scannerOf(source, { pieceSize: 1003 });
    await payloadAt(scanner, offsets[0] ?? 0);
    expect(source.reads.map(({ offset }) => offset)).toEqual([0, 1003]);
    await payloadAt(scanner, offsets[3] ?? 0);
    await scanner.close();
    expect(source.reads.every(({ offset, length }) => offset + length <= end)).toBe(true);
  });

  test('a scan of blobs reads more pieces ahead, up to three, as long as it goes from one to the next', async () => {
    const { file, offsets } = await writeBlobs(
      Array.from({ length: 40 }, (_, n) => ({ content: bytesOf(999, n), compressed: false })),
    );
    const source = countingSource(file);
    const scanner = scannerOf(source, { pieceSize: 1003 });
    const ahead: number[] = [];
    for (const n of [0, 1, 2, 3, 4, 20, 21, 22]) {
      expect((await payloadAt(scanner, offsets[n] ?? 0)).equals(bytesOf(999, n))).toBe(true);
      ahead.push((source.reads.at(-1)?.offset ?? 0) / 1003 - n);
    }
    expect(ahead).toEqual([1, 2, 3, 3, 3, 1, 2, 3]);
    await scanner.close();
  });

  describe('that began before the first blob was known', () => {
    async function begun({ gap = 0, pieceSize = 1003 } = {}) {
      const written = await writeBlobs(
        Array.from({ length: 40 }, (_, n) => ({ content: bytesOf(999, n), compressed: false })),
        { startOffset: 50 + gap },
      );
      const source = countingSource(written.file);
      const scanner = scannerOf(source, { start: 50, end: written.end, pieceSize });
      scanner.begin();
      return { ...written, source, scanner };
    }

    test('a scan of blobs has two pieces in flight, and takes the first of them', async () => {
      const { scanner, source, offsets, end } = await begun();
      expect(source.reads.map(({ offset }) => offset)).toEqual([50, 1053]);
      for (const [n, offset] of offsets.entries()) {
        expect((await payloadAt(scanner, offset)).equals(bytesOf(999, n))).toBe(true);
      }
      await scanner.close();
      expect(source.reads.reduce((sum, { length }) => sum + length, 0)).toBe(end - 50);
    });

    test('a scan of blobs that began before the first blob was known reads again if that is after a gap', async () => {
      const { scanner, source, offsets } = await begun({ gap: 9 });
      expect((await payloadAt(scanner, offsets[0] ?? 0)).equals(bytesOf(999, 0))).toBe(true);
      expect(source.reads.map(({ offset }) => offset)).toEqual([50, 1053, 59, 1062]);
      await scanner.close();
    });

    test('a scan of blobs that began before the first blob was known reads all that there is, and no more, where that is less than a piece', async () => {
      const { scanner, source, offsets, end } = await begun({ pieceSize: 1_000_000 });
      for (const [n, offset] of offsets.entries()) {
        expect((await payloadAt(scanner, offset)).equals(bytesOf(999, n))).toBe(true);
      }
      await scanner.close();
      expect(source.reads).toEqual([{ offset: 50, length: end - 50 }]);
    });

    test('a scan of blobs waits for what is in flight when it is closed', async () => {
      const { opened, open } = gate();
      const source: ByteSource = {
        ...bytesSource(new Uint8Array(5000)),
        read: async (target) => {
          await opened;
          return target.length;
        },
      };
      const scanner = scannerOf(source, { pieceSize: 1000 });
      scanner.begin();
      const closing = scanner.close();
      expect(await isPending(closing)).toBe(true);
      open();
      await closing;
    });

    test('a failed read ahead is reported when its piece is needed, not before', async () => {
      const { file, offsets } = await writeBlobs(
        Array.from({ length: 3 }, (_, n) => ({ content: bytesOf(999, n), compressed: false })),
      );
      const source: ByteSource = {
        ...bytesSource(file),
        read: async (target, offset) => {
          if (offset === 1003) throw new StorageError('io', { what: 'bad sector' });
          return bytesSource(file).read(target, offset);
        },
      };
      const scanner = scannerOf(source, { pieceSize: 1003 });
      scanner.begin();
      expect((await payloadAt(scanner, offsets[0] ?? 0)).equals(bytesOf(999, 0))).toBe(true);
      expect(await storageErrorOf(payloadAt(scanner, offsets[1] ?? 0))).toMatchObject({
        code: 'io',
      });
      await scanner.close();
    });
  });

  test('a scan of blobs continues where a blob reaches into pieces that were read ahead', async () => {
    const lengths = [...Array.from({ length: 12 }, () => 500), 9000, 500, 500, 2500, 500];
    const { file, offsets } = await writeBlobs(
      lengths.map((length, n) => ({ content: bytesOf(length, n), compressed: false })),
    );
    const scanner = scannerOf(bytesSource(file), { pieceSize: 1003 });
    for (const [n, offset] of offsets.entries()) {
      expect((await payloadAt(scanner, offset)).equals(bytesOf(lengths[n] ?? 0, n))).toBe(true);
    }
    await scanner.close();
  });

  test('a long scan needs no more than five buffers', async () => {
    const { file, offsets } = await writeBlobs(
      Array.from({ length: 300 }, (_, n) => ({ content: bytesOf(999, n), compressed: false })),
    );
    let buffers = 0;
    const source: ByteSource = {
      ...bytesSource(file),
      newBuffer: (length) => {
        buffers += 1;
        return new Uint8Array(length);
      },
    };
    const scanner = scannerOf(source, { pieceSize: 2000 });
    for (const offset of offsets) await payloadAt(scanner, offset);
    for (let n = 0; n < 300; n += 7) await payloadAt(scanner, offsets[n] ?? 0);
    await scanner.close();
    expect(buffers).toBeLessThanOrEqual(5);
  });

  test('a scan of blobs gives the header size, and whether the blob is compressed', async () => {
    const { file, offsets } = await writeBlobs([
      { content: bytesOf(127, 1), compressed: true },
      { content: bytesOf(128, 1), compressed: false },
      { content: new Uint8Array(5000), compressed: true },
    ]);
    const scanner = scannerOf(bytesSource(file));
    const seen: [number, boolean][] = [];
    for (const offset of offsets) {
      await payloadAt(scanner, offset);
      seen.push([scanner.headerSize, scanner.compressed]);
    }
    expect(seen).toEqual([
      [1, false],
      [4, false],
      [4, true],
    ]);
    await scanner.close();
  });

  test('a scan of blobs skips blobs that are not requested', async () => {
    const { file, offsets } = await writeBlobs(
      Array.from({ length: 300 }, (_, n) => ({ content: bytesOf(1000, n), compressed: false })),
    );
    const source = countingSource(file);
    const scanner = scannerOf(source, { pieceSize: 4096 });
    for (const n of [0, 1, 299]) {
      expect((await payloadAt(scanner, offsets[n] ?? 0)).equals(bytesOf(1000, n))).toBe(true);
    }
    await scanner.close();
    expect(source.reads.length).toBeLessThan(6);
  });

  test('a scan of blobs finds blobs that are longer than a piece, and longer than what is carried over', async () => {
    const lengths = [100_000, 10, 70_000, 65_536, 65_537, 3, 200_000];
    const { file, offsets } = await writeBlobs(
      lengths.map((length, n) => ({ content: bytesOf(length, n), compressed: false })),
      { bufferSize: 100_000 },
    );
    for (const pieceSize of [1000, 65_536, 70_000, 90_000, undefined]) {
      const scanner = scannerOf(bytesSource(file), pieceSize === undefined ? {} : { pieceSize });
      for (const [n, offset] of offsets.entries()) {
        const payload = await payloadAt(scanner, offset);
        expect(payload.equals(bytesOf(lengths[n] ?? 0, n))).toBe(true);
      }
      await scanner.close();
    }
  });

  test('a scan of blobs in any order, over pieces of any size, gives the right bytes', async () => {
    const decompressor = await Decompressor.load();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.nat(20), fc.nat(300), fc.constantFrom(127, 128, 8192, 66_000)), {
          minLength: 1,
          maxLength: 12,
        }),
        fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 20_000 })),
        fc.array(fc.nat(11), { maxLength: 20 }),
        fc.boolean(),
        fc.nat(9),
        async (lengths, pieceSize, picks, inOrder, startOffset) => {
          const blobs = lengths.map((length, n) => ({
            content: bytesOf(length, n),
            compressed: n % 3 === 1,
          }));
          const { file, offsets, end } = await writeBlobs(blobs, { startOffset });
          const trailer = new Uint8Array(file.length + 50).fill(0xff);
          trailer.set(file);
          const source = countingSource(trailer, { limit: 7000 });
          const scanner = scannerOf(source, { start: startOffset, end, pieceSize });
          const order = picks.map((pick) => pick % blobs.length);
          if (inOrder) order.sort((left, right) => left - right);
          for (const n of inOrder ? [...order, ...blobs.keys()] : order) {
            const payload = await payloadAt(scanner, offsets[n] ?? 0);
            const content = scanner.compressed
              ? decompressor.decompress(payload, DEFAULT_DECOMPRESSION_LIMITS)
              : payload;
            expect(Buffer.from(content).equals(blobs[n]?.content ?? Buffer.of(1))).toBe(true);
          }
          await scanner.close();
          expect(source.reads.every(({ offset, length }) => offset + length <= end)).toBe(true);
        },
      ),
      { numRuns: rounds(150) },
    );
  });
});

describe('large blobs that are left where they are', () => {
  const MIB = 1024 * 1024;
  const lengths = [100, 3 * MIB, 5, MIB, MIB + 1, 5 * MIB, 7];

  test.each([20_000, MIB])(
    'large blobs that are left in place are known by their headers, over pieces of %i bytes',
    async (size) => {
      const { file, offsets, end } = await writeBlobs(
        lengths.map((length, n) => ({ content: bytesOf(length, n), compressed: false })),
        { bufferSize: MIB },
      );
      const source = countingSource(file);
      const reader = new BlobReader(source, { start: 0, end }, DEFAULT_DECOMPRESSION_LIMITS);
      const scanner = new BlobScanner(reader, { pieceSize: size, largeBlobs: 'leave' });
      for (const [n, offset] of offsets.entries()) {
        const length = lengths[n] ?? 0;
        if (!scanner.locate(offset)) await scanner.load(offset);
        expect(scanner.locate(offset)).toBe(true);
        expect(scanner.isWhole).toBe(length <= MIB);
        expect(scanner.payloadLength).toBe(length);
        expect(scanner.headerSize).toBe(length < 128 ? 1 : 4);
        if (!scanner.isWhole) continue;
        const { bytes, payloadStart } = scanner;
        const payload = Buffer.from(bytes.subarray(payloadStart, payloadStart + length));
        expect(payload.equals(bytesOf(length, n))).toBe(true);
      }
      await scanner.close();
      expect(Math.max(...source.reads.map(({ length }) => length))).toBeLessThanOrEqual(MIB + 4);
      if (size < MIB) {
        const read = source.reads.reduce((sum, { length }) => sum + length, 0);
        expect(read).toBeLessThan(2 * MIB);
      }
    },
  );

  test('large blobs that are left in place are refused as others are', async () => {
    const header = Buffer.from('80200001', 'hex');
    const source = bytesSource(Buffer.concat([header, Buffer.alloc(2 * MIB)]), 'name');
    const limits = { ...DEFAULT_DECOMPRESSION_LIMITS, maximumLength: 2 * MIB };
    const whole = new BlobReader(source, { start: 0, end: source.size }, limits);
    expect(
      await storageErrorOf(
        new BlobScanner(whole, { pieceSize: 1000, largeBlobs: 'leave' }).load(0),
      ),
    ).toMatchObject({
      code: 'truncated',
      path: 'name',
      offset: 0,
    });
    const longer = bytesSource(Buffer.concat([header, Buffer.alloc(2 * MIB + 1)]), 'name');
    const limited = new BlobReader(longer, { start: 0, end: longer.size }, limits);
    expect(
      await storageErrorOf(
        new BlobScanner(limited, { pieceSize: 1000, largeBlobs: 'leave' }).load(0),
      ),
    ).toMatchObject({
      code: 'too-large',
      path: 'name',
    });
  });
});

describe('what is refused', () => {
  test.each([
    ['a header cut by the end of the values', '80000080', 3, 'truncated', 'blob header reaches'],
    ['a header of which one byte is there', '80000080', 1, 'truncated', 'blob header reaches'],
    ['content cut by the end of the values', '03010203', 3, 'truncated', 'blob reaches'],
    ['a length beyond the file', '8fffffff0102', undefined, 'truncated', 'blob reaches'],
    ['an unknown compression', 'f000000000', undefined, 'corrupt', 'blob header'],
  ])('%s is refused with path and offset', async (_, hex, end, code, what) => {
    const scanner = hexScanner(`00${hex}`, end === undefined ? undefined : end + 1);
    const error = await storageErrorOf(payloadAt(scanner, 1));
    expect(error).toMatchObject({ code, offset: 1, path: 'name' });
    expect(error.message).toContain(what);
    // The same again, now that the bytes are at hand.
    expect(await storageErrorOf(payloadAt(scanner, 1))).toMatchObject({ code, offset: 1 });
    // And the blob before it can still be read.
    expect(await payloadAt(scanner, 0)).toHaveLength(0);
    await scanner.close();
  });

  test.each([1, 2, 3])(
    'a header cut by the end of the values is truncated over pieces of %i bytes, too',
    async (pieceSize) => {
      const source = bytesSource(Buffer.from('018080000001aa', 'hex'), 'name');
      const scanner = scannerOf(source, { end: 5, pieceSize });
      expect((await payloadAt(scanner, 0)).toString('hex')).toBe('80');
      expect(await storageErrorOf(payloadAt(scanner, 2))).toMatchObject({
        code: 'truncated',
        offset: 2,
      });
      const longer = scannerOf(source, { pieceSize });
      expect((await payloadAt(longer, 2)).toString('hex')).toBe('aa');
      await longer.close();
    },
  );

  test.each([-1, 0, 7, 8, 1.5, Number.NaN])(
    'an offset of %d, where no blob can begin, is out-of-range',
    async (offset) => {
      const source = bytesSource(new Uint8Array(20), 'name');
      const scanner = scannerOf(source, { start: 1, end: 7 });
      await scanner.load(1);
      expect(storageErrorThrownBy(() => scanner.locate(offset))).toMatchObject({
        code: 'out-of-range',
        path: 'name',
      });
      expect((await storageErrorOf(scanner.load(offset))).code).toBe('out-of-range');
      await scanner.close();
    },
  );

  test('a plain blob above the limit is too-large, and not read to its end', async () => {
    const { file } = await writeBlobs([{ content: bytesOf(5000, 1), compressed: false }]);
    for (const pieceSize of [100, 10_000]) {
      const source = countingSource(file, { path: 'name' });
      const limits = { ...DEFAULT_DECOMPRESSION_LIMITS, maximumLength: 4999 };
      const reader = new BlobReader(source, { start: 0, end: file.length }, limits);
      const scanner = new BlobScanner(reader, { pieceSize });
      const error = await storageErrorOf(payloadAt(scanner, 0));
      expect(error).toMatchObject({ code: 'too-large', offset: 0, path: 'name', actual: '5000' });
      expect(source.reads).toHaveLength(1);
      await scanner.close();
    }
  });

  test('a source that fails is io, ahead of the scan as well, and the scan can continue', async () => {
    const { file, offsets } = await writeBlobs(
      Array.from({ length: 10 }, (_, n) => ({ content: bytesOf(100, n), compressed: false })),
    );
    const source = failingSource(file);
    const scanner = scannerOf(source, { pieceSize: 150 });
    await payloadAt(scanner, offsets[0] ?? 0);
    await payloadAt(scanner, offsets[1] ?? 0);
    source.fails = true;
    await payloadAt(scanner, offsets[2] ?? 0).catch(() => {});
    expect(await storageErrorOf(payloadAt(scanner, offsets[6] ?? 0))).toMatchObject({
      errno: 'EIO',
    });
    source.fails = false;
    for (const [n, offset] of offsets.entries()) {
      expect((await payloadAt(scanner, offset)).equals(bytesOf(100, n))).toBe(true);
    }
    await scanner.close();
  });
});

test('closing waits for the reads ahead, also where they fail', async () => {
  const { opened, open } = gate();
  const inner = bytesSource(new Uint8Array(1000), 'name');
  let reads = 0;
  const source: ByteSource = {
    ...inner,
    read: async (target, offset) => {
      reads += 1;
      if (reads === 1) return inner.read(target, offset);
      await opened;
      throw new StorageError('io', { what: 'broken' });
    },
  };
  const scanner = scannerOf(source, { pieceSize: 10 });
  await scanner.load(0);
  const closing = scanner.close();
  expect(await isPending(closing)).toBe(true);
  open();
  await closing;
  await scanner.close();
});

test.each([0, -1, 0.5, Number.NaN, '8192'])('reads of %s bytes are refused', (pieceSize) => {
  const options: { pieceSize?: number } = Object.fromEntries([['pieceSize', pieceSize]]);
  const error = storageErrorThrownBy(() => scannerOf(bytesSource(new Uint8Array(9)), options));
  expect(error).toMatchObject({ code: 'invalid-input', actual: expect.any(String) });
});

test('large blobs that are neither loaded nor left are refused', () => {
  const reader = new BlobReader(
    bytesSource(new Uint8Array(9)),
    { start: 0, end: 9 },
    DEFAULT_DECOMPRESSION_LIMITS,
  );
  const options = JSON.parse('{"largeBlobs":"stream"}');
  const error = storageErrorThrownBy(() => new BlobScanner(reader, options));
  expect(error).toMatchObject({ code: 'invalid-input' });
});
