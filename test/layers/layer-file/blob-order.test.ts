/** Offsets and lengths that contradict each other: the damaged entry is told from its neighbours. */
import { describe, expect, it } from 'vitest';
import { type ByteSource, bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { layerBytes, nodeBlock, offsetsOf, shortBlob } from '../../support/hand-made.ts';
import { blockKey, drain, noise } from '../../support/layers.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

const COUNT = 8;
const BLOBS = Array.from({ length: COUNT }, (_, index) => shortBlob(noise(10, index)));
const OFFSETS = offsetsOf(BLOBS);
const KEYS = Array.from({ length: COUNT }, (_, index) => blockKey(index));

interface Damage {
  /** By entry: how far the offset in the index is off. */
  readonly offsets?: Readonly<Record<number, number>>;
  /** By entry: how much longer the header says that the blob is. */
  readonly lengths?: Readonly<Record<number, number>>;
}

/** All entries in one leaf, or in leaves of three, two or one. */
const LEAF_SIZES = [COUNT, 3, 2, 1];

describe.each(LEAF_SIZES)(
  'one entry is damaged, and all others are salvaged, of leaves of %i,',
  (leafSize) => {
    it.each<[string, Damage, number]>([
      ['a blob is longer than it was', { lengths: { 2: 3 } }, 2],
      ['a blob is as long as four', { lengths: { 2: 31 } }, 2],
      ['the first blob is longer', { lengths: { 0: 40 } }, 0],
      ['the last blob but one is longer', { lengths: { 6: 5 } }, 6],
      ['an offset leaps over the next', { offsets: { 3: 15 } }, 3],
      ['an offset leaps over all others', { offsets: { 3: 60 } }, 3],
      ['the first offset leaps', { offsets: { 0: 50 } }, 0],
      ['an offset points back into the one before', { offsets: { 3: -5 } }, 3],
      ['a blob is longer by one byte', { lengths: { 2: 1 } }, 2],
      ['an offset points back by one byte', { offsets: { 3: -1 } }, 3],
      ['an offset points far back', { offsets: { 5: -30 } }, 5],
      ['an offset is that of the one before', { offsets: { 4: -11 } }, 4],
      ['an offset is that of the next', { offsets: { 4: 11 } }, 4],
      ['an offset lies in the summary', { offsets: { 4: -8000 } }, 4],
      ['an offset lies in the index', { offsets: { 4: 8000 } }, 4],
    ])('all other entries are salvaged where %s', async (_, damage, damaged) => {
      const bytes = damagedLayer(damage, leafSize);
      const reader = await openLayer(bytesSource(bytes), { blockCache: null });
      const expected = KEYS.map((_, index) => index).filter((index) => index !== damaged);
      const salvaged: number[] = [];
      const errors: number[] = [];
      for await (const item of reader.salvage()) {
        if (item.kind === 'entry') salvaged.push(item.entry.key[17] ?? -1);
        else if (item.kind === 'damaged-entry') errors.push(item.key[17] ?? -1);
      }
      expect(errors).toEqual([damaged]);
      expect(salvaged).toEqual(expected);
      // A strict read returns nothing but what is right, and then the error.
      const read: number[] = [];
      const scan = async () => {
        for await (const { key, bytes } of reader.entries()) {
          expect(bytes).toEqual(noise(10, key[17] ?? -1));
          read.push(key[17] ?? -1);
        }
      };
      expect((await storageErrorOf(scan())).key).toBe(
        `000000067F0000000500004000000000000${damaged}`,
      );
      expect(read).toEqual(expected.filter((index) => index < damaged));
      expect((await storageErrorOf(drain(reader.entries({ reverse: true })))).offset).toBeDefined();
    });
  },
);

describe('blobs that overlap are distinguished from intact ones', () => {
  const salvagedOf = async (bytes: Uint8Array): Promise<number[]> => {
    const reader = await openLayer(bytesSource(bytes), { blockCache: null });
    const salvaged: number[] = [];
    for await (const item of reader.salvage()) {
      if (item.kind === 'entry') salvaged.push(item.entry.key[17] ?? -1);
    }
    return salvaged;
  };

  it.each(LEAF_SIZES)(
    'a blob that overlaps two is damaged, though the first of them is, too, in leaves of %i',
    async (leafSize) => {
      // Blob 3 is a blob, but does not end where blob 4 starts.
      const bytes = damagedLayer({ lengths: { 2: 20, 3: -2 } }, leafSize);
      expect(await salvagedOf(bytes)).toEqual([0, 1, 3, 4, 5, 6, 7]);
    },
  );

  it('a blob that starts in the last byte of the one before it is damaged', async () => {
    const bytes = Buffer.from(damagedLayer({ offsets: { 3: -1 } }));
    // That byte reads as the header of a blob that ends before the next one.
    bytes[(OFFSETS[3] ?? 0) - 1] = 5;
    expect(await salvagedOf(bytes)).toEqual([0, 1, 2, 4, 5, 6, 7]);
  });

  it('a blob that overlaps bytes that are not a blob is kept', async () => {
    // The last offset points into the blob before it, where no blob is.
    const bytes = Buffer.from(damagedLayer({ offsets: { 7: -5 } }));
    bytes[(OFFSETS[7] ?? 0) - 5] = 0xf0;
    expect(await salvagedOf(bytes)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('blobs that reach far over others are damaged, however many there are', async () => {
    const count = 60;
    const blobs = Array.from({ length: count }, (_, index) => longBlob(noise(60_000, index)));
    const far = [5, 15, 25, 35, 45];
    for (const index of far) blobs[index]?.set([0x80, 0x12, 0x34, 0x56]);
    const keys = blobs.map((_, index) => blockKey(index));
    const leaf = nodeBlock({ keys, values: offsetsOf(blobs) });
    const bytes = layerBytes({ kind: 'image', blobs, blocks: [leaf] });
    const intact = [...blobs.keys()].filter((index) => !far.includes(index));
    expect(await salvagedOf(bytes)).toEqual(intact);
  });

  it('a blob whose header is cut by the end of a read is not treated as damaged', async () => {
    // The blob before it seems to end where the first read of 32 bytes ends, one byte after it starts.
    const blobs = [noise(10, 0), noise(13, 1), noise(200, 2), noise(10, 3)].map(longBlob);
    const offsets = offsetsOf(blobs);
    const second = Buffer.from(blobs[1] ?? []);
    second[3] = (second[3] ?? 0) + 1;
    const keys = KEYS.slice(0, 4);
    const leaf = nodeBlock({ keys, values: offsets });
    const bytes = layerBytes({
      kind: 'image',
      blobs: blobs.map((blob, index) => (index === 1 ? second : blob)),
      blocks: [leaf],
    });
    const reader = await openLayer(bytesSource(bytes), { blockCache: null });
    const salvaged: number[] = [];
    for await (const item of reader.salvageBatches({ pieceSize: 32 })) {
      if (item.kind !== 'batch') continue;
      for (let row = 0; row < item.batch.count; row += 1)
        salvaged.push(item.batch.key(row)[17] ?? -1);
    }
    expect(salvaged).toEqual([0, 2, 3]);
  });

  it('a blob after a damaged leaf is kept, though the blob before that leaf reaches into it', async () => {
    const bytes = Buffer.from(damagedLayer({ lengths: { 2: 60 } }, 3));
    // The second leaf is lost, so that nothing says where the third blob has to end.
    const indexStart = bytes.length - 4 * 8192;
    bytes.fill(0, indexStart + 8192, indexStart + 2 * 8192);
    expect(await salvagedOf(bytes)).toEqual([0, 1, 2, 6, 7]);
  });
});

it('a last blob of a leaf that reaches into a blob which ends where the one after it starts is damaged', async () => {
  // Its last byte reads as the header of such a blob, and the next leaf says that this is one.
  const header = 11;
  const blobs = BLOBS.map((blob, index) => (index === 2 ? blob.with(-1, header) : blob));
  const offsets = OFFSETS.with(3, (OFFSETS[3] ?? 0) - 1);
  const leaves = [
    nodeBlock({ keys: KEYS.slice(0, 3), values: offsets.slice(0, 3) }),
    nodeBlock({ keys: KEYS.slice(3), values: offsets.slice(3) }),
  ];
  const root = nodeBlock({ keys: [blockKey(0), blockKey(3)], children: [0, 1] });
  const bytes = layerBytes({ kind: 'image', blobs, blocks: [...leaves, root] });
  const reader = await openLayer(bytesSource(bytes), { blockCache: null });
  const items = await drain(reader.salvage());
  expect(items.map(({ kind }) => kind)).toEqual(
    KEYS.map((_, index) => (index === 2 ? 'damaged-entry' : 'entry')),
  );
  expect(await storageErrorOf(drain(reader.entries()))).toMatchObject({
    code: 'corrupt',
    offset: offsets[2],
  });
});

it.each([-8000, 9000])(
  'an offset outside the values is out-of-range, %i bytes off',
  async (off) => {
    const bytes = damagedLayer({ offsets: { 4: off } });
    const reader = await openLayer(bytesSource(bytes), { blockCache: null });
    for (const read of [() => drain(reader.entries()), () => reader.get(blockKey(4))]) {
      expect((await storageErrorOf(read())).code).toBe('out-of-range');
    }
  },
);

it('blobs that reach far, each before a damaged leaf, are not read again and again', async () => {
  const count = 100;
  const keys = Array.from({ length: count }, (_, index) => blockKey(index));
  const values = Buffer.alloc(1024 * 1024);
  // Each header says that the blob reaches to the end of the values.
  for (const index of keys.keys()) {
    values.writeUInt32BE(0x8000_0000 + values.length - 4 - index * 4, index * 4);
  }
  const leaves = keys.map((key, index) =>
    index % 2 === 0 ? nodeBlock({ keys: [key], values: [8192 + index * 4] }) : new Uint8Array(8192),
  );
  const half = keys.map((_, index) => index).slice(0, count / 2);
  const inner = [half, half.map((index) => index + count / 2)].map((children) =>
    nodeBlock({ keys: children.map((child) => blockKey(child)), children }),
  );
  const root = nodeBlock({
    level: 2,
    keys: [blockKey(0), blockKey(count / 2)],
    children: [count, count + 1],
  });
  const bytes = layerBytes({ kind: 'image', blobs: [values], blocks: [...leaves, ...inner, root] });
  const reader = await openLayer(bytesSource(bytes), { blockCache: null });
  const items = await drain(reader.salvage());
  expect(items.filter(({ kind }) => kind === 'entry')).toHaveLength(2);
  expect(items.filter(({ kind }) => kind === 'damaged-entry')).toHaveLength(count / 2 - 2);
});

describe('a get', () => {
  it.each([2, 6])('a get of a blob that reaches into the next is refused', async (index) => {
    const bytes = damagedLayer({ lengths: { [index]: 3 } });
    const reader = await openLayer(bytesSource(bytes), { blockCache: null });
    const refused = { code: 'corrupt', offset: OFFSETS[index] };
    expect(await storageErrorOf(reader.get(blockKey(index)))).toMatchObject(refused);
    expect(await storageErrorOf(reader.getMany(KEYS))).toMatchObject(refused);
    for (const other of KEYS.keys()) {
      if (other === index) continue;
      expect((await reader.get(blockKey(other)))?.bytes).toEqual(noise(10, other));
    }
  });

  it('a get succeeds although a later entry points before it', async () => {
    const bytes = damagedLayer({ offsets: { 4: -30 } });
    const reader = await openLayer(bytesSource(bytes), { blockCache: null });
    expect((await reader.get(blockKey(3)))?.bytes).toEqual(noise(10, 3));
    expect((await reader.getMany([blockKey(3)]))[0]?.bytes).toEqual(noise(10, 3));
  });
});

describe('offsets that go back and forth', () => {
  it('offsets that go back and forth do not make a scan read the values again and again', async () => {
    const count = 3000;
    const valuesSize = 3 * 1024 * 1024;
    const keys = Array.from({ length: count }, (_, index) => blockKey(index));
    // Low, nowhere, high, nowhere: no two neighbours tell which of them is wrong.
    const cycle = [8192 + 5, 0, 8192 + valuesSize - 5, 0];
    const values = keys.map((_, index) => cycle[index % 4] ?? 0);
    const perLeaf = 1000;
    const leaves = [0, 1, 2].map((leaf) =>
      nodeBlock({
        keys: keys.slice(leaf * perLeaf, (leaf + 1) * perLeaf),
        prefixLength: 16,
        values: values.slice(leaf * perLeaf, (leaf + 1) * perLeaf),
      }),
    );
    const root = nodeBlock({
      keys: [0, 1, 2].map((leaf) => blockKey(leaf * perLeaf)),
      children: [0, 1, 2],
    });
    const bytes = layerBytes({
      kind: 'image',
      blobs: [new Uint8Array(valuesSize).fill(0xf0)],
      blocks: [...leaves, root],
    });
    let bytesRead = 0;
    const source: ByteSource = {
      size: bytes.length,
      read: async (target, offset) => {
        bytesRead += target.length;
        return bytesSource(bytes).read(target, offset);
      },
    };
    const items = await drain((await openLayer(source, { blockCache: null })).salvage());
    expect(items.length).toBe(count);
    expect(items.every(({ kind }) => kind === 'damaged-entry')).toBe(true);
    expect(bytesRead).toBeLessThan(100 * bytes.length);
  });
});

function damagedLayer({ offsets = {}, lengths = {} }: Damage, leafSize = COUNT): Uint8Array {
  const blobs = BLOBS.map((blob, index) => {
    const copy = Uint8Array.from(blob);
    copy[0] = (copy[0] ?? 0) + (lengths[index] ?? 0);
    return copy;
  });
  const values = OFFSETS.map((offset, index) => offset + (offsets[index] ?? 0));
  const firsts = KEYS.map((_, index) => index).filter((index) => index % leafSize === 0);
  const leaves = firsts.map((first) =>
    nodeBlock({
      keys: KEYS.slice(first, first + leafSize),
      values: values.slice(first, first + leafSize),
    }),
  );
  if (leaves.length === 1) return layerBytes({ kind: 'image', blobs, blocks: leaves });
  const keys = firsts.map((first) => blockKey(first));
  const root = nodeBlock({ keys, children: [...leaves.keys()] });
  return layerBytes({ kind: 'image', blobs, blocks: [...leaves, root] });
}

function longBlob(content: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(0x8000_0000 + content.length);
  return Buffer.concat([header, content]);
}
