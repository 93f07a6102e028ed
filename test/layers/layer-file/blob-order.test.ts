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

describe('one entry is damaged, and all others are salvaged, where', () => {
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
    const reader = await openLayer(bytesSource(damagedLayer(damage)), { blockCache: null });
    const expected = KEYS.map((_, index) => index).filter((index) => index !== damaged);
    const salvaged: number[] = [];
    const errors: number[] = [];
    for await (const item of reader.salvage()) {
      if (item.kind === 'entry') salvaged.push(item.entry.key[17] ?? -1);
      else if (item.kind === 'damaged-entry') errors.push(item.key[17] ?? -1);
    }
    expect(errors).toEqual([damaged]);
    expect(salvaged).toEqual(expected);
    // A strict read hands out nothing but what is right, and then the error.
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
});

it("a blob that starts in the last byte of another leaf's last blob is damaged", async () => {
  // That byte reads as the header of a blob which ends where the next one starts.
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
    KEYS.map((_, index) => (index === 3 ? 'damaged-entry' : 'entry')),
  );
  expect(await storageErrorOf(drain(reader.entries()))).toMatchObject({
    code: 'corrupt',
    offset: offsets[3],
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

function damagedLayer({ offsets = {}, lengths = {} }: Damage): Uint8Array {
  const blobs = BLOBS.map((blob, index) => {
    const copy = Uint8Array.from(blob);
    copy[0] = (copy[0] ?? 0) + (lengths[index] ?? 0);
    return copy;
  });
  const values = OFFSETS.map((offset, index) => offset + (offsets[index] ?? 0));
  return layerBytes({ kind: 'image', blobs, blocks: [nodeBlock({ keys: KEYS, values })] });
}
