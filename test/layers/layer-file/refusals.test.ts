/** What writers refuse, and that a refused put changes nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StorageErrorCode } from '../../../src/errors.ts';
import {
  DeltaLayerWriter,
  type DeltaWriteOptions,
} from '../../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import {
  ImageLayerWriter,
  type ImageWriteOptions,
} from '../../../src/layers/image-layer/writer.ts';
import { formatKey, type Key, maximumKey } from '../../../src/layers/key.ts';
import { type Lsn, MAXIMUM_LSN } from '../../../src/layers/lsn.ts';
import {
  blockKey,
  COMPRESSIONS,
  DIRECTORY,
  deltaOptions,
  IDS,
  IMAGE_LSN,
  imageOptions,
  memoryDisk,
  namesOn,
  noise,
} from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';

const KEY_RANGE = { start: blockKey(10), end: blockKey(1000) };
const LSN_RANGE = { start: 0x1000n, end: 0x2000n };
const BYTES = Uint8Array.of(1, 2, 3);

interface RefusedPut {
  readonly what: string;
  readonly key: Key;
  readonly lsn: Lsn;
  readonly code: StorageErrorCode;
  readonly bytes?: Uint8Array;
}

/** Each is refused right after (block 500, LSN 0x1800). */
const REFUSED_DELTA_PUTS: readonly RefusedPut[] = [
  { what: 'the same key and LSN', key: blockKey(500), lsn: 0x1800n, code: 'out-of-order' },
  { what: 'an older LSN', key: blockKey(500), lsn: 0x17ffn, code: 'out-of-order' },
  { what: 'a lower key', key: blockKey(499), lsn: 0x1fffn, code: 'out-of-order' },
  { what: 'the end key', key: blockKey(1000), lsn: 0x1800n, code: 'out-of-range' },
  { what: 'the last key', key: maximumKey(), lsn: 0x1800n, code: 'out-of-range' },
  { what: 'an LSN before the first', key: blockKey(501), lsn: 0xfffn, code: 'out-of-range' },
  { what: 'the end LSN', key: blockKey(501), lsn: 0x2000n, code: 'out-of-range' },
  { what: 'a negative LSN', key: blockKey(501), lsn: -1n, code: 'out-of-range' },
  {
    what: 'an LSN of 65 bits',
    key: blockKey(501),
    lsn: (1n << 64n) + 0x1800n,
    code: 'out-of-range',
  },
  { what: 'a short key', key: new Uint8Array(17), lsn: 0x1800n, code: 'invalid-input' },
  { what: 'a long key', key: new Uint8Array(19), lsn: 0x1800n, code: 'invalid-input' },
];

const REFUSED_IMAGE_PUTS = REFUSED_DELTA_PUTS.filter(
  ({ what }) => !what.includes('LSN') || what === 'the same key and LSN',
);

/** Blobs that are none, header included. */
const REFUSED_BLOBS: readonly [string, Uint8Array, StorageErrorCode][] = [
  ['no bytes', new Uint8Array(0), 'truncated'],
  ['half a header', Uint8Array.of(0x80, 0), 'truncated'],
  ['a short content', Uint8Array.of(3, 1, 2), 'truncated'],
  ['a long content', Uint8Array.of(3, 1, 2, 3, 4), 'corrupt'],
  ['reserved bits', Uint8Array.of(0xa0, 0, 0, 0), 'corrupt'],
  ['a payload that is not a frame', Uint8Array.of(0x90, 0, 0, 5, 1, 2, 3, 4, 5), 'corrupt'],
  ['no frame', Uint8Array.of(0x90, 0, 0, 0), 'truncated'],
];

describe('a put into a delta layer is refused:', () => {
  it.each(REFUSED_DELTA_PUTS)(
    'a put into a delta layer is refused: $what',
    async ({ key, lsn, code }) => {
      const disk = memoryDisk();
      await using writer = await deltaWriter(disk);
      await writer.putSerialized(blockKey(500), 0x1800n, BYTES, true);
      const { estimatedSize } = writer;
      for (const put of [
        () => writer.put(key, lsn, { type: 'image', bytes: BYTES }),
        () => writer.putSerialized(key, lsn, BYTES, true),
        () => writer.putBlob(key, lsn, Uint8Array.of(0), true),
      ]) {
        expect(storageErrorThrownBy(put).code).toBe(code);
      }
      expect(writer.entryCount).toBe(1);
      expect(writer.estimatedSize).toBe(estimatedSize);
    },
  );

  it('a first key below the first', async () => {
    await using writer = await deltaWriter(memoryDisk());
    const put = () => writer.putSerialized(blockKey(9), 0x1800n, BYTES, true);
    expect(storageErrorThrownBy(put)).toMatchObject({
      code: 'out-of-range',
      key: '000000067F00000005000040000000000009',
      lsn: '0000000000001800',
    });
  });

  it.each(REFUSED_BLOBS)('a delta layer refuses a blob with %s', async (_, blob, code) => {
    await using writer = await deltaWriter(memoryDisk());
    const put = () => writer.putBlob(blockKey(11), 0x1800n, blob, true);
    expect(storageErrorThrownBy(put).code).toBe(code);
    expect(writer.entryCount).toBe(0);
  });

  it('a batch with arrays that are too short', async () => {
    const batch = {
      count: 2,
      keys: Buffer.concat([blockKey(11), blockKey(12)]),
      lsns: BigUint64Array.of(0x1800n, 0x1800n),
      willInit: Uint8Array.of(1, 0),
      values: BYTES,
      starts: Uint32Array.of(0, 1),
      lengths: Uint32Array.of(1, 2),
    };
    await using writer = await deltaWriter(memoryDisk());
    for (const bad of [
      { ...batch, count: 3 },
      { ...batch, keys: batch.keys.subarray(1) },
      { ...batch, lengths: Uint32Array.of(1) },
      { ...batch, willInit: Uint8Array.of(1) },
      { ...batch, lsns: BigUint64Array.of(1n) },
      { ...batch, starts: Uint32Array.of(4, 0) },
      { ...batch, lengths: Uint32Array.of(4, 0) },
    ]) {
      expect(storageErrorThrownBy(() => writer.putBatch(bad)).code).toMatch(
        /^(invalid-input|out-of-range)$/,
      );
      expect(writer.entryCount).toBe(0);
    }
    const second = { ...batch, lengths: Uint32Array.of(1, 3) };
    expect(storageErrorThrownBy(() => writer.putBatch(second)).code).toBe('out-of-range');
    expect(writer.entryCount).toBe(1);
  });

  it.each([
    ['a key below the one before', { row: 2, block: 11, lsn: 0x1800n }, 'out-of-order'],
    ['the key and LSN before', { row: 2, block: 12, lsn: 0x1800n }, 'out-of-order'],
    ['an LSN below the range', { row: 2, block: 13, lsn: 0xfffn }, 'out-of-range'],
    ['an LSN at the end of the range', { row: 2, block: 13, lsn: 0x2000n }, 'out-of-range'],
    ['a key below the range', { row: 0, block: 9, lsn: 0x1800n }, 'out-of-range'],
    ['a key at the end of the range', { row: 3, block: 1000, lsn: 0x1800n }, 'out-of-range'],
  ] as const)(
    'a batch is refused from the row with %s on',
    async (_, { row, block, lsn }, code) => {
      const blocks = [11, 12, 13, 14].map((other, at) => (at === row ? block : other));
      const lsns = [0, 1, 2, 3].map((at) => (at === row ? lsn : 0x1800n));
      await using writer = await deltaWriter(memoryDisk());
      const put = () =>
        writer.putBatch({
          count: 4,
          keys: Buffer.concat(blocks.map(blockKey)),
          lsns: BigUint64Array.from(lsns),
          willInit: Uint8Array.of(1, 0, 1, 0),
          values: BYTES,
          starts: Uint32Array.of(0, 1, 2, 0),
          lengths: Uint32Array.of(1, 1, 1, 3),
        });
      expect(storageErrorThrownBy(put)).toMatchObject({ code, key: formatKey(blockKey(block)) });
      expect(writer.entryCount).toBe(row);
      // The next one may follow.
      await writer.putSerialized(blockKey(999), 0x1800n, BYTES, true);
      const { entryCount } = await writer.finish();
      expect(entryCount).toBe(row + 1);
    },
  );

  it('a value of more than 0x0fffffff bytes', async () => {
    const large = new Uint8Array(0x1000_0000);
    await using delta = await deltaWriter(memoryDisk());
    const put = () => delta.putSerialized(blockKey(11), 0x1800n, large, true);
    expect(storageErrorThrownBy(put).code).toBe('too-large');
    const disk = memoryDisk();
    for (const compression of COMPRESSIONS.slice(0, 2)) {
      await using images = await imageWriter(disk, { compression });
      expect(storageErrorThrownBy(() => images.put(blockKey(11), large)).code).toBe('too-large');
      expect(images.entryCount).toBe(0);
    }
  });
});

describe('a put into an image layer is refused:', () => {
  it.each(REFUSED_IMAGE_PUTS)(
    'a put into an image layer is refused: $what',
    async ({ key, code }) => {
      const disk = memoryDisk();
      for (const compression of COMPRESSIONS.slice(0, 2)) {
        await using writer = await imageWriter(disk, { compression });
        await writer.put(blockKey(500), new Uint8Array(500));
        expect(storageErrorThrownBy(() => writer.put(key, BYTES)).code).toBe(code);
        expect(storageErrorThrownBy(() => writer.putBlob(key, Uint8Array.of(0))).code).toBe(code);
        expect(writer.entryCount).toBe(1);
      }
    },
  );

  it.each(REFUSED_BLOBS)('an image layer refuses a blob with %s', async (_, blob, code) => {
    await using writer = await imageWriter(memoryDisk());
    expect(storageErrorThrownBy(() => writer.putBlob(blockKey(11), blob)).code).toBe(code);
    expect(writer.entryCount).toBe(0);
  });
});

/** Callers without a type checker: an array takes a string for as many zeros. */
describe('a content that is not bytes is refused', () => {
  it.each<[string, unknown]>([
    ['a string', 'abc'],
    ['an ArrayBuffer', new ArrayBuffer(3)],
    ['a list', [1, 2, 3]],
    ['nothing', undefined],
  ])('a content that is %s is refused', async (_, content) => {
    const bytes = content as Uint8Array;
    const disk = memoryDisk();
    const delta = await DeltaLayerWriter.create(deltaOptions(disk));
    const image = await ImageLayerWriter.create(imageOptions(disk));
    const ephemeral = await EphemeralLayer.create({
      ...{ ...IDS, directory: DIRECTORY, startLsn: 0n, openFiles: disk.openFiles },
    });
    const lsn = LSN_RANGE.start;
    for (const put of [
      () => delta.put(blockKey(1), lsn, { type: 'image', bytes }),
      () => delta.put(blockKey(1), lsn, { type: 'wal', willInit: true, bytes }),
      () => delta.putSerialized(blockKey(1), lsn, bytes, true),
      () => delta.putBlob(blockKey(1), lsn, bytes, true),
      () => image.put(blockKey(1), bytes),
      () => image.putBlob(blockKey(1), bytes),
      () => ephemeral.put(blockKey(1), lsn, { type: 'aux_file', path: 'p', content: bytes }),
      () => ephemeral.putSerialized(blockKey(1), lsn, bytes, true),
    ]) {
      expect(storageErrorThrownBy(put).code).toBe('invalid-input');
    }
    for (const writer of [delta, image, ephemeral]) await writer[Symbol.asyncDispose]();
  });
});

describe('a batch is refused whose arrays have other types:', () => {
  const batch = {
    count: 1,
    keys: blockKey(1),
    lsns: BigUint64Array.of(LSN_RANGE.start),
    willInit: Uint8Array.of(1),
    values: BYTES,
    starts: Uint32Array.of(0),
    lengths: Uint32Array.of(3),
  };

  it.each<[string, object]>([
    ['keys', { keys: [...blockKey(1)] }],
    ['LSNs', { lsns: [LSN_RANGE.start] }],
    ['willInit', { willInit: [true] }],
    ['values', { values: 'abc' }],
    ['starts', { starts: [-1] }],
    ['lengths', { lengths: [1.5] }],
  ])('a batch whose %s have another type is refused', async (_, wrong) => {
    const disk = memoryDisk();
    const delta = await DeltaLayerWriter.create(deltaOptions(disk));
    const ephemeral = await EphemeralLayer.create({
      ...{ ...IDS, directory: DIRECTORY, startLsn: 0n, openFiles: disk.openFiles },
    });
    const mixed = { ...batch, ...wrong };
    for (const layer of [delta, ephemeral]) {
      expect(storageErrorThrownBy(() => layer.putBatch(mixed)).code).toBe('invalid-input');
      expect(layer.entryCount).toBe(0);
      await layer.putBatch(batch);
      await layer[Symbol.asyncDispose]();
    }
  });
});

describe('refused puts change nothing', () => {
  it('refused puts change nothing in a delta layer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: REFUSED_DELTA_PUTS.length - 1 })),
        async (refused) => {
          const files = [];
          for (const withRefused of [false, true]) {
            const disk = memoryDisk();
            await using writer = await deltaWriter(disk, { bufferSize: 64 });
            await writer.putSerialized(blockKey(500), 0x1800n, BYTES, true);
            for (const index of withRefused ? refused : []) {
              const { key, lsn } = REFUSED_DELTA_PUTS[index] ?? { key: BYTES, lsn: 0n };
              storageErrorThrownBy(() => writer.putSerialized(key, lsn, noise(200, index), false));
            }
            await writer.putSerialized(blockKey(500), 0x1801n, noise(300, 5), false);
            const { path } = await writer.finish();
            files.push(disk.fileSystem.contentOf(path));
          }
          expect(Buffer.compare(files[0] ?? BYTES, files[1] ?? BYTES)).toBe(0);
        },
      ),
      { numRuns: rounds(30) },
    );
  });

  it('refused puts change nothing in an image layer, also while others are in compression', async () => {
    const files = [];
    for (const withRefused of [false, true]) {
      const disk = memoryDisk();
      await using writer = await imageWriter(disk, { compression: { kind: 'zstd', level: 1 } });
      for (let block = 100; block < 130; block += 1) {
        void writer.put(blockKey(block), noise(2000, 3).fill(1, 0, 1000));
        if (!withRefused) continue;
        storageErrorThrownBy(() => writer.put(blockKey(block), new Uint8Array(2000)));
        storageErrorThrownBy(() => writer.put(blockKey(2000), new Uint8Array(2000)));
        storageErrorThrownBy(() => writer.putBlob(blockKey(block + 1), Uint8Array.of(1)));
      }
      const { path, entryCount } = await writer.finish();
      expect(entryCount).toBe(30);
      files.push(disk.fileSystem.contentOf(path));
    }
    expect(Buffer.compare(files[0] ?? BYTES, files[1] ?? BYTES)).toBe(0);
  });
});

describe('what was put may change once put has returned nothing', () => {
  it('what was put may change once put has returned nothing, even a Buffer, whose slices are not copies', async () => {
    for (const compression of COMPRESSIONS.slice(0, 2)) {
      const disk = memoryDisk();
      await using writer = await imageWriter(disk, { compression });
      const key = Buffer.alloc(18);
      for (let block = 100; block < 120; block += 1) {
        const image = Buffer.alloc(block % 2 === 0 ? 1000 : 100, block);
        key.set(blockKey(block));
        expect(writer.put(key, image)).toBeUndefined();
        key.fill(0xff);
        image.fill(0xff);
      }
      const { path } = await writer.finish();
      await using reader = await ImageLayerReader.open(path, { openFiles: disk.openFiles });
      const read = [];
      for await (const entry of reader.entries()) read.push([entry.key[17], entry.bytes[0]]);
      expect(read).toEqual(Array.from({ length: 20 }, (_, index) => [100 + index, 100 + index]));
    }
  });
});

describe('a writer is not created', () => {
  it.each<[string, Partial<DeltaWriteOptions>, StorageErrorCode]>([
    ['an empty key range', { keyRange: { start: blockKey(5), end: blockKey(5) } }, 'out-of-range'],
    [
      'a reversed key range',
      { keyRange: { start: blockKey(6), end: blockKey(5) } },
      'out-of-range',
    ],
    ['a short key', { keyRange: { start: BYTES, end: blockKey(5) } }, 'invalid-input'],
    ['an empty LSN range', { lsnRange: { start: 5n, end: 5n } }, 'out-of-range'],
    ['an LSN above u64', { lsnRange: { start: 5n, end: MAXIMUM_LSN + 1n } }, 'out-of-range'],
    ['an invalid tenant', { tenantId: 'x' }, 'invalid-input'],
    ['an invalid timeline', { timelineId: '00' }, 'invalid-input'],
    ['an invalid generation', { generation: '../1' }, 'invalid-input'],
    ['a directory that is missing', { directory: '/missing' }, 'not-found'],
    ['a buffer of no bytes', { bufferSize: 0 }, 'invalid-input'],
    ['a buffer of half a byte', { bufferSize: 0.5 }, 'invalid-input'],
    ['memory that is no number', { indexMemoryLimit: Number.NaN }, 'invalid-input'],
    ['memory below nothing', { indexMemoryLimit: -1 }, 'invalid-input'],
    ['a signal that has fired', { signal: AbortSignal.abort() }, 'aborted'],
  ])('a writer of a delta layer is not created with %s', async (_, options, code) => {
    const disk = memoryDisk();
    const error = await storageErrorOf(DeltaLayerWriter.create(deltaOptions(disk, options)));
    expect(error.code).toBe(code);
    expect(namesOn(disk)).toEqual([]);
    expect(disk.fileSystem.openCount).toBe(0);
  });

  it.each<[string, Partial<ImageWriteOptions>, StorageErrorCode]>([
    ['a negative LSN', { lsn: -1n }, 'out-of-range'],
    ['an LSN above u64', { lsn: MAXIMUM_LSN + 1n }, 'out-of-range'],
    ['a level below the lowest', { compression: { kind: 'zstd', level: -8 } }, 'invalid-input'],
    ['a level above the highest', { compression: { kind: 'zstd', level: 23 } }, 'invalid-input'],
    ['half a level', { compression: { kind: 'zstd', level: 1.5 } }, 'invalid-input'],
  ])('a writer of an image layer is not created with %s', async (_, options, code) => {
    const disk = memoryDisk();
    const error = await storageErrorOf(ImageLayerWriter.create(imageOptions(disk, options)));
    expect(error.code).toBe(code);
    expect(namesOn(disk)).toEqual([]);
  });

  it('a writer is not created in a directory that is a file', async () => {
    const disk = memoryDisk();
    disk.fileSystem.createFile('/layers/file', BYTES);
    const options = deltaOptions(disk, { directory: '/layers/file' });
    const error = await storageErrorOf(DeltaLayerWriter.create(options));
    expect(error.code).toMatch(/^(io|not-found)$/);
  });

  it('a writer is created with the extremes of keys and LSNs', async () => {
    const disk = memoryDisk();
    const keyRange = { start: new Uint8Array(18), end: maximumKey() };
    const lsnRange = { start: MAXIMUM_LSN - 1n, end: MAXIMUM_LSN };
    await using delta = await DeltaLayerWriter.create(deltaOptions(disk, { keyRange, lsnRange }));
    await delta.putSerialized(new Uint8Array(18), MAXIMUM_LSN - 1n, BYTES, true);
    expect((await delta.finish()).entryCount).toBe(1);
    await using image = await ImageLayerWriter.create(
      imageOptions(disk, { keyRange, lsn: MAXIMUM_LSN }),
    );
    await image.put(new Uint8Array(18), BYTES);
    expect((await image.finish()).name).toMatch(/__F{16}$/);
  });

  it('a writer whose ranges change later writes what it was created for', async () => {
    const disk = memoryDisk();
    const keyRange = { start: blockKey(10), end: blockKey(1000) };
    await using delta = await DeltaLayerWriter.create(deltaOptions(disk, { keyRange }));
    await using image = await ImageLayerWriter.create(
      imageOptions(disk, { keyRange, lsn: IMAGE_LSN }),
    );
    keyRange.start.fill(0);
    keyRange.end.fill(1);
    await delta.putSerialized(blockKey(10), 0x1800n, BYTES, true);
    await image.put(blockKey(10), BYTES);
    for (const { path } of [await delta.finish(), await image.finish()]) {
      const summary = disk.fileSystem.contentOf(path);
      expect(Buffer.compare(summary.subarray(36, 54), blockKey(10))).toBe(0);
      expect(Buffer.compare(summary.subarray(54, 72), blockKey(1000))).toBe(0);
    }
  });
});

function deltaWriter(disk = memoryDisk(), options: Partial<DeltaWriteOptions> = {}) {
  const ranges = { keyRange: KEY_RANGE, lsnRange: LSN_RANGE };
  return DeltaLayerWriter.create(deltaOptions(disk, { ...ranges, ...options }));
}

function imageWriter(disk = memoryDisk(), options: Partial<ImageWriteOptions> = {}) {
  return ImageLayerWriter.create(imageOptions(disk, { keyRange: KEY_RANGE, ...options }));
}
