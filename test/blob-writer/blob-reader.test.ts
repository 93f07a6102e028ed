import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Blob, BlobRequest } from '../../src/blob-writer/blob-location.ts';
import { BlobReader } from '../../src/blob-writer/blob-reader.ts';
import {
  type ByteSource,
  bytesSource,
  fileSource,
  handleSource,
} from '../../src/blob-writer/byte-source.ts';
import { cachedSource, ValueCache } from '../../src/blob-writer/value-cache.ts';
import { StorageError } from '../../src/errors.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { DEFAULT_DECOMPRESSION_LIMITS } from '../../src/zstd/decompression.ts';
import { bytesOf, countingSource, writeBlobs } from '../support/blobs.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const LIMITS = DEFAULT_DECOMPRESSION_LIMITS;

function readerOf(source: ByteSource, start = 0, end = source.size, limits = LIMITS): BlobReader {
  return new BlobReader(source, { start, end }, limits);
}

function hexReader(hex: string, path?: string): BlobReader {
  return readerOf(bytesSource(Buffer.from(hex, 'hex'), path));
}

const LENGTHS = [0, 1, 2, 126, 127, 128, 129, 8187, 8188, 8191, 8192, 8193, 8252, 8253, 20_000];

describe('one blob', () => {
  test.each(LENGTHS)('a blob of %i bytes comes back, plain and compressed', async (length) => {
    const content = bytesOf(length, 7);
    const { file, offsets, end } = await writeBlobs(
      [
        { content, compressed: false },
        { content, compressed: true },
        { content: bytesOf(5, 1), compressed: false },
      ],
      { startOffset: 3 },
    );
    const reader = readerOf(bytesSource(file), 3);
    const ends = [...offsets.slice(1), end];
    for (const index of [0, 1]) {
      const offset = offsets[index] ?? 0;
      const expected = {
        offset,
        storedLength: (ends[index] ?? 0) - offset,
        compressed: index === 1 && length >= 128,
      };
      for (const hint of [
        undefined,
        ends[index],
        offset + 1,
        offset,
        0,
        1e9,
        offset + 0.5,
        Number.NaN,
      ]) {
        const { bytes, ...rest } = await reader.read({ offset, end: hint });
        expect(rest).toEqual(expected);
        expect(Buffer.compare(bytes, content)).toBe(0);
      }
    }
  });

  test('a blob takes one read if its end is known, and two if it is long and its end is not', async () => {
    const content = bytesOf(50_000, 7);
    const { file, end } = await writeBlobs([{ content, compressed: false }]);
    const known = countingSource(file);
    await readerOf(known).read({ offset: 0, end });
    expect(known.reads).toEqual([{ offset: 0, length: end }]);
    const unknown = countingSource(file);
    await readerOf(unknown).read({ offset: 0 });
    expect(unknown.reads).toHaveLength(2);
    expect(unknown.reads.reduce((sum, { length }) => sum + length, 0)).toBe(end);
  });

  test('a page with its header takes one read', async () => {
    const { file } = await writeBlobs(
      Array.from({ length: 3 }, () => ({ content: bytesOf(8192, 1), compressed: false })),
    );
    const source = countingSource(file);
    await readerOf(source).read({ offset: 0 });
    expect(source.reads).toHaveLength(1);
  });

  test.each([1, 7, 4096])(
    'a blob comes back from a source that gives %i bytes at a time',
    async (limit) => {
      const content = bytesOf(9000, 7);
      const { file } = await writeBlobs([{ content, compressed: true }]);
      const { bytes } = await readerOf(countingSource(file, { limit })).read({ offset: 0 });
      expect(Buffer.compare(bytes, content)).toBe(0);
    },
  );

  test('a blob is a fresh array each time', async () => {
    const source = bytesSource(Uint8Array.of(2, 8, 9));
    const { bytes } = await readerOf(source).read({ offset: 0 });
    bytes.fill(0);
    expect([...(await readerOf(source).read({ offset: 0 })).bytes]).toEqual([8, 9]);
  });
});

describe('where blobs may lie', () => {
  const file = Buffer.from('ffff02aabb01cc80000002ddee', 'hex');

  test('a blob that ends at the border is read, one beyond it is truncated', async () => {
    const reader = readerOf(bytesSource(file, 'name'), 2, 7);
    expect((await reader.read({ offset: 5 })).storedLength).toBe(2);
    const cut = readerOf(bytesSource(file, 'name'), 2, 6);
    for (const end of [undefined, 7, 6, 100]) {
      expect(await storageErrorOf(cut.read({ offset: 5, end }))).toMatchObject({
        code: 'truncated',
        path: 'name',
        offset: 5,
        actual: '7',
      });
    }
  });

  test.each([8, 9, 10])('a blob whose header is cut at %i is truncated', async (end) => {
    const reader = readerOf(bytesSource(file, 'name'), 2, end);
    const error = await storageErrorOf(reader.read({ offset: 7 }));
    expect(error).toMatchObject({ code: 'truncated', path: 'name', offset: 7, actual: '11' });
    expect(error.message).toContain('blob header reaches beyond the values');
  });

  test.each([-1, 0, 1, 7, 8, 100, 2.5, Number.NaN, 2 ** 53])(
    'an offset of %d, which is outside the blobs, is out-of-range, and nothing is read',
    async (offset) => {
      const source = countingSource(file, { path: 'name' });
      const reader = readerOf(source, 2, 7);
      const error = await storageErrorOf(reader.read({ offset }));
      expect(error).toMatchObject({ code: 'out-of-range', path: 'name', actual: `${offset}` });
      expect(await reader.readMany([{ offset }])).toMatchObject([{ code: 'out-of-range' }]);
      expect(source.reads).toEqual([]);
    },
  );

  test('a region beyond the source ends with it', async () => {
    const reader = readerOf(bytesSource(file), 2, 1e9);
    expect(reader.region).toEqual({ start: 2, end: 13 });
  });
});

describe('damage', () => {
  test.each([
    ['a length far beyond the file', '8fffffff00', 'truncated', 0],
    ['an unknown compression', 'b000000100', 'corrupt', 0],
    ['a payload that is not a frame', '9000000501020304ff', 'corrupt', 4],
    ['an empty frame', '9000000000', 'truncated', 4],
    ['a frame followed by more bytes', '9000000a28b52ffd005801000099', 'corrupt', 13],
    ['a frame that is cut', '9000000828b52ffd00580900', 'truncated', 10],
    ['a window of 16 MiB', '9000000928b52ffd0070010000', 'too-large', 4],
  ])('a blob with %s is refused with its place', async (_, hex, code, offset) => {
    const reader = hexReader(hex, 'name');
    const single = await storageErrorOf(reader.read({ offset: 0 }));
    expect(single).toMatchObject({ code, offset, path: 'name' });
    const [many] = await reader.readMany([{ offset: 0 }]);
    expect(many).toMatchObject({ code, offset, path: 'name' });
  });

  test('a source without a name gives errors without one', async () => {
    const error = await storageErrorOf(hexReader('b000000100').read({ offset: 0 }));
    expect(error.path).toBeUndefined();
    expect(error.message).toMatch(/^blob header at offset 0/);
  });

  test('a huge length is refused before anything is allocated', async () => {
    const file = new Uint8Array(100);
    file.set([0x8f, 0xff, 0xff, 0xff]);
    const source = countingSource(file);
    for (let turn = 0; turn < 1000; turn += 1) {
      await storageErrorOf(readerOf(source).read({ offset: 0 }));
    }
    expect(source.reads.every(({ length }) => length <= 100)).toBe(true);
  });

  test('a plain blob above the limit is too-large before it is read', async () => {
    const content = bytesOf(100_000, 7);
    const { file, end } = await writeBlobs([{ content, compressed: false }]);
    const source = countingSource(file);
    const limits = { ...LIMITS, maximumLength: 99_999 };
    const error = await storageErrorOf(readerOf(source, 0, end, limits).read({ offset: 0 }));
    expect(error).toMatchObject({ code: 'too-large', offset: 0, actual: '100000' });
    expect(source.reads).toHaveLength(1);
    const exact = { ...LIMITS, maximumLength: 100_000 };
    const { bytes } = await readerOf(source, 0, end, exact).read({ offset: 0 });
    expect(bytes).toHaveLength(100_000);
  });

  test('a compressed blob above the limit is too-large', async () => {
    const { file, end } = await writeBlobs([{ content: new Uint8Array(1000), compressed: true }]);
    const limits = { ...LIMITS, maximumLength: 999 };
    const reader = readerOf(bytesSource(file, 'name'), 0, end, limits);
    const error = await storageErrorOf(reader.read({ offset: 0 }));
    expect(error).toMatchObject({ code: 'too-large', path: 'name', offset: 4 });
  });

  test('a source that ends before its size is truncated', async () => {
    const bytes = Buffer.from('8000008001020304', 'hex');
    const source: ByteSource = { ...bytesSource(bytes, 'name'), size: 1000 };
    const error = await storageErrorOf(readerOf(source).read({ offset: 0, end: 132 }));
    expect(error).toMatchObject({ code: 'truncated', path: 'name', offset: 8 });
    const many = readerOf(source).readMany([{ offset: 0, end: 132 }]);
    expect((await storageErrorOf(many)).code).toBe('truncated');
  });

  test('a source that ends within the rest of a blob is truncated, of many blobs, too', async () => {
    const bytes = Buffer.from('8000008001020304', 'hex');
    const source: ByteSource = { ...bytesSource(bytes, 'name'), size: 1000 };
    const requests = [{ offset: 0, end: 8 }];
    for (const reading of [
      readerOf(source).readMany(requests),
      readerOf(source).readManyStored(requests),
    ]) {
      expect(await storageErrorOf(reading)).toMatchObject({
        code: 'truncated',
        offset: 8,
        path: 'name',
      });
    }
  });

  test('a failing source is io, of one and of many', async () => {
    const failure = new StorageError('io', { what: 'broken', errno: 'EIO' });
    const source: ByteSource = { size: 100, read: () => Promise.reject(failure) };
    expect(await storageErrorOf(readerOf(source).read({ offset: 1 }))).toBe(failure);
    expect(await storageErrorOf(readerOf(source).readMany([{ offset: 1 }]))).toBe(failure);
  });

  test.each(['closed', 'sync-failed', 'io'] as const)(
    'a source that is %s before the rest of a blob is read makes every read of the blob fail',
    async (code) => {
      const failure = new StorageError(code, { what: 'the rest' });
      const { file } = await writeBlobs([{ content: bytesOf(20_000, 1), compressed: false }]);
      const { size, read } = bytesSource(file);
      const source: ByteSource = {
        size,
        read: (target, offset) => (offset === 0 ? read(target, offset) : Promise.reject(failure)),
      };
      expect(await storageErrorOf(readerOf(source).readMany([{ offset: 0 }]))).toBe(failure);
    },
  );
});

describe('a blob or its error is the same', () => {
  async function orError(action: () => Blob | Promise<Blob>): Promise<unknown> {
    try {
      const { bytes, ...rest } = await action();
      return { ...rest, bytes: Buffer.from(bytes).toString('hex') };
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return { code: error.code, offset: error.offset, message: error.message };
    }
  }

  test('whether read asynchronously, synchronously or from the cache, whatever the bytes are', async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ length: fc.oneof(fc.nat(300), fc.nat(9000)), compressed: fc.boolean() }),
          { minLength: 1, maxLength: 12 },
        ),
        fc.array(fc.record({ at: fc.nat(30_000), value: fc.nat(255) }), { maxLength: 4 }),
        fc.array(fc.record({ pick: fc.nat(12), shift: fc.integer({ min: -9, max: 9 }) })),
        fc.constantFrom(1, 3, 100),
        async (specs, damage, shifts, capacity) => {
          const { file, offsets, end } = await writeBlobs(
            specs.map(({ length, compressed }, n) => ({ content: bytesOf(length, n), compressed })),
          );
          for (const { at, value } of damage) file[at % file.length] = value;
          const source = cachedSource(bytesSource(file, 'name'), new ValueCache(capacity));
          const limits = { ...LIMITS, maximumLength: 8000 };
          const reader = readerOf(source, 0, end, limits);
          const requests: BlobRequest[] = [...offsets, end].map((offset, n) => {
            const next = offsets[n + 1] ?? end;
            return { offset, end: next, limit: next };
          });
          for (const { pick, shift } of shifts) {
            const request = requests[pick % requests.length];
            if (request === undefined) continue;
            requests.push({ offset: request.offset + shift, limit: request.limit });
            requests.push({ offset: request.offset, limit: (request.limit ?? 0) + shift });
          }
          for (const request of requests) {
            const expected = await orError(() => reader.read(request));
            expect(await orError(() => reader.readSync(request))).toEqual(expected);
            const cached = reader.readCached(request);
            if (cached === undefined) continue;
            found += 1;
            expect(await orError(() => cached)).toEqual(expected);
          }
        },
      ),
      { numRuns: rounds(200) },
    );
    // 71 in 50 runs on average, with a standard deviation of 16.
    expect(found).toBeGreaterThan(10);
  });

  test('a blob is read into memory that the caller may write to', async () => {
    const lengths = [40, 100, 3000];
    const { file, offsets } = await writeBlobs(
      [...lengths, 9000].map((length, n) => ({ content: bytesOf(length, n), compressed: false })),
    );
    const reader = readerOf(cachedSource(bytesSource(file), new ValueCache(10)));
    const ways: ((request: BlobRequest) => Promise<Blob> | Blob | undefined)[] = [
      (request) => reader.read(request),
      (request) => reader.readSync(request),
      (request) => reader.readCached(request),
    ];
    for (const read of [...ways, ...ways]) {
      for (const [n, length] of lengths.entries()) {
        const blob = await read({ offset: offsets[n] ?? 0, end: offsets[n + 1] });
        expect(Buffer.compare(blob?.bytes ?? Buffer.of(), bytesOf(length, n))).toBe(0);
        blob?.bytes.fill(0);
      }
    }
  });
});

describe('many blobs', () => {
  test('many blobs come in the order of the requests, repetitions included, each with its error', async () => {
    const file = Buffer.from('01aa02bbccf0000000' + '0101' + '05', 'hex');
    const reader = readerOf(bytesSource(file, 'name'));
    const results = await reader.readMany(
      [9, 0, 5, 2, 0, 99, 11, -1].map((offset) => ({ offset })),
    );
    const shown = results.map((result) =>
      result instanceof StorageError ? result.code : Buffer.from(result.bytes).toString('hex'),
    );
    expect(shown).toEqual([
      '01',
      'aa',
      'corrupt',
      'bbcc',
      'aa',
      'out-of-range',
      'truncated',
      'out-of-range',
    ]);
  });

  test('an empty list of blobs makes no read', async () => {
    const source = countingSource(new Uint8Array(10));
    expect(await readerOf(source).readMany([])).toEqual([]);
    expect(source.reads).toEqual([]);
  });

  test('many blobs that touch are read together, up to the maximum', async () => {
    const contents = Array.from({ length: 64 }, (_, n) => bytesOf(8192, n));
    const { file, offsets, end } = await writeBlobs(
      contents.map((content) => ({ content, compressed: false })),
      { bufferSize: 65_536 },
    );
    const requests = offsets.map((offset, n) => ({ offset, end: offsets[n + 1] ?? end }));
    const reversed = requests.toReversed();
    for (const [maximumReadSize, expected] of [
      [undefined, Math.ceil(end / (15 * 8196))],
      [end, 1],
      [8196 * 4, 16],
      [1, 64],
      [0, 64],
    ] as const) {
      const source = countingSource(file);
      const results = await readerOf(source).readMany(reversed, { maximumReadSize });
      expect(source.reads).toHaveLength(expected);
      expect(source.reads.reduce((sum, { length }) => sum + length, 0)).toBe(end);
      for (const [n, result] of results.entries()) {
        const content = contents[63 - n] ?? new Uint8Array(0);
        expect(Buffer.compare((result as Blob).bytes, content)).toBe(0);
      }
    }
  });

  test('many blobs that lie apart are read apart', async () => {
    const { file, offsets, end } = await writeBlobs(
      Array.from({ length: 20 }, (_, n) => ({ content: bytesOf(1000, n), compressed: false })),
    );
    const source = countingSource(file);
    const requests = [0, 5, 6, 12].map((n) => ({
      offset: offsets[n] ?? 0,
      end: offsets[n + 1] ?? end,
    }));
    await readerOf(source).readMany(requests);
    expect(source.reads.map(({ length }) => length)).toEqual(
      [1003, 2006, 1003].map((n) => n + n / 1003),
    );
  });

  test('many blobs are right with any hints about their ends and any maximum', async () => {
    const lengths = fc.array(fc.oneof(fc.nat(300), fc.constantFrom(...LENGTHS)), {
      minLength: 1,
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(
        lengths,
        fc.array(fc.tuple(fc.nat(30), fc.option(fc.integer({ min: -5, max: 30_000 })))),
        fc.integer({ min: 0, max: 40_000 }),
        fc.nat(10),
        fc.integer({ min: 20, max: 3000 }),
        async (allLengths, picks, maximumReadSize, startOffset, limit) => {
          const blobs = allLengths.map((length, n) => ({
            content: bytesOf(length, n),
            compressed: n % 3 === 0,
          }));
          const { file, offsets, end } = await writeBlobs(blobs, { startOffset });
          const trailer = new Uint8Array(file.length + 100).fill(0xff);
          trailer.set(file);
          const source = countingSource(trailer, { limit });
          const reader = readerOf(source, startOffset, end);
          const requests = picks.map(([pick, hint]) => {
            const offset = offsets[pick % offsets.length] ?? 0;
            return { offset, end: hint === null ? undefined : offset + hint };
          });
          const results = await reader.readMany(requests, { maximumReadSize });
          for (const [n, [pick]] of picks.entries()) {
            const result = results[n];
            if (result instanceof StorageError || result === undefined) throw result;
            expect(result.offset).toBe(requests[n]?.offset);
            const { content } = blobs[pick % blobs.length] ?? { content: undefined };
            expect(Buffer.from(result.bytes).equals(content ?? new Uint8Array(1))).toBe(true);
          }
          const isInside = ({ offset, length }: { offset: number; length: number }) =>
            offset >= startOffset && offset + length <= end;
          expect(source.reads.every(isInside)).toBe(true);
        },
      ),
      { numRuns: rounds(100) },
    );
  });
});

test('any bytes at any offset are a blob or a typed error', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.nat(420), async (bytes, offset) => {
      const reader = readerOf(bytesSource(bytes, 'name'));
      const [many] = await reader.readMany([{ offset }]);
      const single: Blob | StorageError = await reader.read({ offset }).catch((error: unknown) => {
        if (error instanceof StorageError) return error;
        throw error;
      });
      if (single instanceof StorageError) {
        expect(many).toMatchObject({ code: single.code, offset: single.offset, path: 'name' });
      } else {
        expect(many).toEqual(single);
        expect(single.offset + single.storedLength).toBeLessThanOrEqual(bytes.length);
      }
    }),
    { numRuns: rounds(2000) },
  );
});

describe('sources', () => {
  test('a FileHandle, a VirtualFile and bytes read the same', async () => {
    const { file, offsets } = await writeBlobs([
      { content: bytesOf(9000, 1), compressed: false },
      { content: bytesOf(9000, 2), compressed: true },
    ]);
    const path = join(temporaryDirectory(), 'blobs');
    await fs.writeFile(path, file);
    const handle = await fs.open(path);
    const virtual = await VirtualFile.open(path, { read: true });
    const sources = [
      await handleSource(handle, path),
      await fileSource(virtual),
      bytesSource(file),
    ];
    for (const source of sources) {
      expect(source.size).toBe(file.length);
      const target = new Uint8Array(10);
      expect(await source.read(target, file.length - 4)).toBe(4);
      expect(await source.read(target, file.length)).toBe(0);
      for (const [n, offset] of offsets.entries()) {
        const { bytes } = await readerOf(source).read({ offset });
        expect(Buffer.compare(bytes, bytesOf(9000, n + 1))).toBe(0);
      }
    }
    expect(sources.map((source) => source.path)).toEqual([path, path, undefined]);
    await handle.close();
    await virtual.close();
  });

  test('a file that was cut after it was opened is truncated', async () => {
    const path = join(temporaryDirectory(), 'blobs');
    await fs.writeFile(path, Buffer.from('80000080', 'hex'));
    await fs.truncate(path, 132);
    const handle = await fs.open(path);
    const source = await handleSource(handle, path);
    await fs.truncate(path, 50);
    const error = await storageErrorOf(readerOf(source).read({ offset: 0 }));
    expect(error).toMatchObject({ code: 'truncated', path, offset: 50 });
    await handle.close();
  });

  test('a FileHandle that fails is io', async () => {
    const path = join(temporaryDirectory(), 'blobs');
    await fs.writeFile(path, new Uint8Array(100));
    const handle = await fs.open(path);
    const source = await handleSource(handle, path);
    await handle.close();
    const error = await storageErrorOf(readerOf(source).read({ offset: 0 }));
    expect(error).toMatchObject({ code: 'io', path });
    const again = await storageErrorOf(handleSource(handle, path));
    expect(again).toMatchObject({ code: 'io', path });
  });
});
