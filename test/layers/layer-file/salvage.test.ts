/**
 * What is left of a layer after one piece of it is cut off, zeroed or changed: every entry whose leaf
 * and blob are whole, and none that was not in the layer.
 */
import { describe, expect, it } from 'vitest';
import { type ByteSource, bytesSource } from '../../../src/blob-writer/byte-source.ts';
import type { StorageError } from '../../../src/errors.ts';
import { SalvageReader } from '../../../src/layers/layer-file/salvage-reader.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { seededChoices } from '../../../src/testing/choices.ts';
import {
  BLOCK,
  deltaKey,
  layerBytes,
  nodeBlock,
  offsetsOf,
  shortBlob,
} from '../../support/hand-made.ts';
import { blockKey, entryName, hex, LSN_RANGE, noise } from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

type Kind = 'delta' | 'image';

interface Layer {
  readonly bytes: Buffer;
  readonly kind: Kind;
  readonly indexStart: number;
  readonly entries: readonly Entry[];
}

interface Entry {
  readonly name: string;
  readonly content: string;
  /** Bytes that must be whole. */
  readonly blob: Extent;
  readonly leaf: Extent;
}

/** In bytes of the file; the end is exclusive. */
type Extent = readonly [number, number];

const PER_LEAF = 4;
const LSN = LSN_RANGE.start;

/** An index of that many levels, 3 children to a node; values of 60 bytes, some of 200. */
function layerOf(kind: Kind, levels: number): Layer {
  const leafCount = 3 ** (levels - 1);
  const contents = Array.from({ length: leafCount * PER_LEAF }, (_, index) =>
    contentOf(kind, noise(index % 5 === 0 ? 110 : 60, index)),
  );
  const blobs = contents.map(shortBlob);
  const offsets = offsetsOf(blobs);
  const keyOf = (index: number) =>
    kind === 'delta' ? deltaKey(blockKey(index * 2), LSN) : blockKey(index * 2);
  const leafValueOf = (offset: number) => (kind === 'delta' ? offset * 2 + 1 : offset);
  const blocks: Uint8Array[] = [];
  const leafBlocks: number[] = [];
  const build = (level: number, first: number): number => {
    if (level === 0) {
      const indexes = Array.from({ length: PER_LEAF }, (_, index) => first + index);
      leafBlocks.push(blocks.length);
      const values = indexes.map((index) => leafValueOf(offsets[index] ?? 0));
      return blocks.push(nodeBlock({ keys: indexes.map(keyOf), values })) - 1;
    }
    const span = PER_LEAF * 3 ** (level - 1);
    const starts = [0, 1, 2].map((child) => first + child * span);
    const children = starts.map((start) => build(level - 1, start));
    return blocks.push(nodeBlock({ level, keys: starts.map(keyOf), children })) - 1;
  };
  build(levels - 1, 0);
  const bytes = layerBytes({ kind, blobs, blocks });
  const indexStart = bytes.length - blocks.length * BLOCK;
  const keySize = kind === 'delta' ? 26 : 18;
  const entries = contents.map((content, index): Entry => {
    const offset = offsets[index] ?? 0;
    const leafAt = indexStart + (leafBlocks[Math.floor(index / PER_LEAF)] ?? 0) * BLOCK;
    const lsn = kind === 'delta' ? LSN : 0x1800n;
    return {
      name: entryName({ key: blockKey(index * 2), lsn }),
      content: hex(content) ?? '',
      blob: [offset, offset + (blobs[index]?.length ?? 0)],
      leaf: [leafAt, leafAt + 5 + PER_LEAF * (keySize + 5)],
    };
  });
  return { bytes, kind, indexStart, entries };
}

function contentOf(kind: Kind, bytes: Uint8Array): Uint8Array {
  return kind === 'delta' ? encodeValue({ type: 'image', bytes }) : bytes;
}

const LAYERS = (['delta', 'image'] as const).flatMap((kind) =>
  [1, 2, 3].map((levels) => [`${kind} layer of ${levels} levels`, layerOf(kind, levels)] as const),
);

async function salvaged(bytes: Uint8Array) {
  const name = '/layers/a';
  const entries: [string, string][] = [];
  const errors: StorageError[] = [];
  let blobs = 0;
  let thrown: StorageError | undefined;
  try {
    await using reader = await SalvageReader.open(bytesSource(bytes, name));
    for await (const item of reader.salvage()) {
      if (item.kind === 'entry') entries.push([entryName(item.entry), hex(item.entry.bytes) ?? '']);
      else if (item.kind === 'loose-blob') blobs += 1;
      else errors.push(item.error);
    }
  } catch (error) {
    thrown = await storageErrorOf(Promise.reject(error));
  }
  return { entries, errors, blobs, thrown };
}

function meets([start, end]: Extent, [from, to]: Extent): boolean {
  return start < to && from < end;
}

/** Requires: `damage` is where `bytes` differ from the layer's, or are missing. */
async function expectAllThatIsLeft(layer: Layer, bytes: Uint8Array, damage: Extent, seed: string) {
  const { entries, errors, thrown } = await salvaged(bytes);
  const names = entries.map(([name]) => name);
  expect([...names].sort(), seed).toEqual(names);
  const model = new Map(layer.entries.map((entry) => [entry.name, entry]));
  // In a leaf that was changed, keys may be any.
  const isLeafHit = layer.entries.some(({ leaf }) => meets(leaf, damage));
  const wrong = entries.filter(([name, content]) => {
    const entry = model.get(name);
    if (entry === undefined) return !isLeafHit;
    const isWhole = !meets(entry.leaf, damage) && !meets(entry.blob, damage);
    return isWhole && content !== entry.content;
  });
  expect(wrong, seed).toEqual([]);
  const given = new Set(names);
  const lost = layer.entries.filter(
    ({ name, leaf, blob }, index) =>
      !meets(leaf, damage) &&
      !meets(blob, damage) &&
      !given.has(name) &&
      !isBehindWrongOffset(layer, index, damage),
  );
  expect(
    lost.map(({ name }) => name),
    `${seed}, ${thrown?.message}`,
  ).toEqual([]);
  return { errors, thrown };
}

/** A wrong offset of the last entry of a leaf may reach into the first blob of the next leaf. */
function isBehindWrongOffset({ entries }: Layer, index: number, damage: Extent): boolean {
  const before = entries[index - 1];
  return index % PER_LEAF === 0 && before !== undefined && meets(before.leaf, damage);
}

/** Ranges that the summary has wrong leave nothing to be proven. */
const RANGES: Extent = [36, 88];

describe.each(LAYERS)('of a %s', (_, layer) => {
  const { bytes } = layer;

  it('all of an undamaged layer is returned, without an error', async () => {
    const { errors, thrown } = await expectAllThatIsLeft(layer, bytes, [0, 0], 'whole');
    expect([errors, thrown]).toEqual([[], undefined]);
  });

  it('all that is left is returned after a cut, with the damage', async () => {
    const choose = seededChoices(1);
    for (let run = 0; run < rounds(60); run += 1) {
      const index = bytes.length - layer.indexStart;
      const length = bytes.length - 1 - choose(run % 2 === 0 ? index : bytes.length - BLOCK);
      const damage: Extent = [length, bytes.length];
      const cut = bytes.subarray(0, length);
      const { errors, thrown } = await expectAllThatIsLeft(layer, cut, damage, `cut at ${length}`);
      expect(errors[0] ?? thrown).toMatchObject({ code: 'truncated', path: '/layers/a' });
    }
  });

  it('all that is left is returned after a part was zeroed', async () => {
    const choose = seededChoices(2);
    for (let run = 0; run < rounds(120); run += 1) {
      const start = run % 3 === 0 ? 0 : choose(bytes.length);
      const length = 1 + choose(run % 2 === 0 ? 300 : bytes.length - start);
      const damage: Extent = [start, Math.min(bytes.length, start + length)];
      if (meets(damage, RANGES) && (damage[0] > 3 || damage[1] < 96)) continue;
      const zeroed = Buffer.from(bytes);
      zeroed.fill(0, ...damage);
      const seed = `zeros from ${damage[0]} to ${damage[1]}`;
      // Where all of the summary is gone, nothing says at which LSN images are.
      const known = layer.kind === 'image' && damage[0] < 80 && damage[1] > 72;
      await expectAllThatIsLeft(known ? withoutLsn(layer) : layer, zeroed, damage, seed);
    }
  });

  it('all that is left is returned after a bit was flipped', async () => {
    const choose = seededChoices(3);
    const indexSize = bytes.length - layer.indexStart;
    for (let run = 0; run < rounds(200); run += 1) {
      const block = layer.indexStart + choose(indexSize / BLOCK) * BLOCK;
      const at =
        [block + choose(140), choose(96), BLOCK + choose(bytes.length - BLOCK)][run % 3] ?? 0;
      if (at >= RANGES[0] && at < RANGES[1] && !(layer.kind === 'image' && at >= 80)) continue;
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << choose(8));
      await expectAllThatIsLeft(layer, flipped, [at, at + 1], `bit at ${at}`);
    }
  });
});

function withoutLsn(layer: Layer): Layer {
  const entries = layer.entries.map((entry) => ({
    ...entry,
    name: entry.name.replace(/@.*/, '@0000000000000000'),
  }));
  return { ...layer, entries };
}

describe('a value that looks like a leaf', () => {
  it.each(['delta', 'image'] as const)(
    'a value that looks like a leaf gives no entries of a %s layer without a root',
    async (kind) => {
      const { bytes, fake } = layerWithFakeLeaf(kind);
      bytes.fill(0, bytes.length - BLOCK);
      for (const summary of ['whole', 'zeroed']) {
        if (summary === 'zeroed') bytes.fill(0, 0, BLOCK);
        const { entries } = await salvaged(bytes);
        expect(entries.length).toBe(2 * PER_LEAF);
        expect(entries.map(([name]) => name.slice(0, 36))).not.toContain(fake);
      }
    },
  );

  it.each(['delta', 'image'] as const)(
    'a value that looks like a leaf gives no entries of a %s layer without summary and first leaf, where the values end in it',
    async (kind) => {
      const { bytes, fake } = layerWithFakeLeaf(kind, 'last-block');
      bytes.fill(0, 0, BLOCK);
      bytes.fill(0, 3 * BLOCK, 4 * BLOCK);
      bytes.fill(0, bytes.length - BLOCK);
      const { entries } = await salvaged(bytes);
      expect(entries.length).toBe(PER_LEAF);
      expect(entries.map(([name]) => name.slice(0, 36))).not.toContain(fake);
    },
  );
});

/**
 * Its last value holds, at a block's border, a leaf with a key of its own: a whole block, or as much
 * as is used of one, where the values end.
 */
function layerWithFakeLeaf(
  kind: Kind,
  where: 'inner-block' | 'last-block' = 'inner-block',
): { bytes: Buffer; fake: string } {
  const keyOf = (block: number) =>
    kind === 'delta' ? deltaKey(blockKey(block), LSN) : blockKey(block);
  const leafValue = (offset: number) => (kind === 'delta' ? offset * 2 + 1 : offset);
  const small = Array.from({ length: 2 * PER_LEAF - 1 }, (_, index) =>
    shortBlob(contentOf(kind, noise(20, index))),
  );
  const start = offsetsOf([...small, new Uint8Array(0)]).at(-1) ?? 0;
  const fakeLeaf = nodeBlock({ keys: [keyOf(0x1000)], values: [leafValue(8192)] });
  const header = 4 + (kind === 'delta' ? 12 : 0);
  const held =
    where === 'inner-block' ? Buffer.concat([fakeLeaf, noise(50, 1)]) : fakeLeaf.subarray(0, 64);
  const image = Buffer.concat([new Uint8Array(2 * BLOCK - start - header), held]);
  const content = contentOf(kind, image);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(0x8000_0000 + content.length);
  const blobs = [...small, Buffer.concat([length, content])];
  const offsets = offsetsOf(blobs).map(leafValue);
  const leaf = (first: number) => {
    const indexes = Array.from({ length: PER_LEAF }, (_, index) => first + index);
    return nodeBlock({ keys: indexes.map(keyOf), values: indexes.map((at) => offsets[at] ?? 0) });
  };
  const root = nodeBlock({ keys: [keyOf(0), keyOf(PER_LEAF)], children: [0, 1] });
  const bytes = layerBytes({ kind, blobs, blocks: [leaf(0), leaf(PER_LEAF), root] });
  expect(bytes.subarray(2 * BLOCK, 3 * BLOCK)).toEqual(Buffer.from(fakeLeaf));
  return { bytes, fake: entryName({ key: blockKey(0x1000), lsn: LSN }).slice(0, 36) };
}

describe('of an index that is not where the summary says', () => {
  const [, layer] = LAYERS[2] ?? [];

  it.each([
    ['a root that is a leaf', 92, 0],
    ['a root that is an inner node', 92, 3],
    ['a root that is the inner node in front of it', 92, 11],
    ['a start beyond it', 88, 3],
    ['a start in front of it', 88, 1],
  ])('all is given, and a get is no absence, with %s', async (_, at, value) => {
    if (layer === undefined) throw new Error('there is a layer of three levels');
    const bytes = Buffer.from(layer.bytes);
    bytes.writeUInt32BE(value, at);
    const { errors } = await expectAllThatIsLeft(layer, bytes, [at, at + 4], String(value));
    expect(errors.length).toBeGreaterThan(0);
    const last = layer.entries.length * 2 - 2;
    const reading = openLayer(bytesSource(bytes)).then((reader) => reader.get(blockKey(last)));
    expect((await storageErrorOf(reading)).code).toMatch(/corrupt|truncated|out-of-range/);
    expect(await verifyLayer(bytesSource(bytes))).toMatchObject({ ok: false });
  });
});

describe('blobs without keys', () => {
  it.each(['delta', 'image'] as const)(
    'blobs without keys are given for a %s layer without a leaf',
    async (kind) => {
      const layer = layerOf(kind, 2);
      const bytes = Buffer.from(layer.bytes);
      bytes.fill(0, layer.indexStart);
      const { blobs, entries, errors } = await salvaged(bytes);
      expect(entries).toEqual([]);
      expect(errors).toMatchObject([{ code: 'corrupt' }]);
      expect(blobs).toBe(layer.entries.length);
    },
  );

  it('blobs without keys are given after the first one if that does not hold a value', async () => {
    const layer = layerOf('delta', 2);
    const bytes = Buffer.from(layer.bytes);
    bytes.fill(0, layer.indexStart);
    // The last byte of the tag, after a header of 1 byte.
    bytes[BLOCK + 4] = 9;
    const { blobs, errors, thrown } = await salvaged(bytes);
    expect(thrown).toBeUndefined();
    expect(blobs).toBe(layer.entries.length - 1);
    expect(errors).toMatchObject([{ code: 'corrupt' }, { code: 'corrupt', offset: BLOCK + 1 }]);
  });

  it('blobs without keys are searched for until the signal is aborted at any read, which is not reported as damage', async () => {
    const layer = layerOf('delta', 2);
    const bytes = Buffer.from(layer.bytes);
    bytes.fill(0, layer.indexStart);
    bytes[BLOCK + 4] = 9;
    const source = bytesSource(bytes);
    /** Code of the error that ends a salvage whose signal is aborted at that read, and how many reads there were. */
    const endOf = async (abortedRead: number) => {
      const controller = new AbortController();
      let reads = 0;
      const aborting: ByteSource = {
        size: source.size,
        read: (target, offset) => {
          if (reads === abortedRead) controller.abort();
          reads += 1;
          return source.read(target, offset);
        },
      };
      const reader = await SalvageReader.open(aborting);
      const opened = reads;
      try {
        for await (const _item of reader.salvage({ signal: controller.signal })) {
          // Only how it ends counts.
        }
        return { code: undefined, opened, reads };
      } catch (error) {
        return { code: (error as StorageError).code, opened, reads };
      }
    };
    const whole = await endOf(Number.POSITIVE_INFINITY);
    expect(whole.code).toBeUndefined();
    expect(whole.reads).toBeGreaterThan(whole.opened + 1);
    for (let read = whole.opened; read < whole.reads - 1; read += 1) {
      expect([read, (await endOf(read)).code]).toEqual([read, 'aborted']);
    }
  });

  it('no blobs without keys are returned if a range of keys is requested', async () => {
    const layer = layerOf('delta', 2);
    const bytes = Buffer.from(layer.bytes);
    bytes.fill(0, layer.indexStart);
    const reader = await SalvageReader.open(bytesSource(bytes));
    const keyRange = { start: blockKey(0), end: blockKey(1) };
    const reading = (async () => {
      for await (const _item of reader.salvage({ keyRange })) throw new Error('nothing is given');
    })();
    expect((await storageErrorOf(reading)).code).toBe('corrupt');
  });
});

it('opening a file without a summary ends when its signal is aborted', async () => {
  const source = bytesSource(noise(8 * BLOCK, 1));
  const opening = SalvageReader.open(source, { signal: AbortSignal.abort() });
  expect((await storageErrorOf(opening)).code).toBe('aborted');
});
