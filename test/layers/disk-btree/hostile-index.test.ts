/** Indexes that no writer makes: every read ends, and returns nothing that is not there. */
import { strictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { StorageError, type StorageErrorCode } from '../../../src/errors.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { BlockCache } from '../../../src/layers/disk-btree/block-cache.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import { type Key, nextKey } from '../../../src/layers/key.ts';
import { type Lsn, MAXIMUM_LSN } from '../../../src/layers/lsn.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { seededChoices } from '../../../src/testing/choices.ts';
import {
  deltaKey,
  type LayerSpec,
  layerBytes,
  type NodeSpec,
  nodeBlock,
  offsetsOf,
  shortBlob,
} from '../../support/hand-made.ts';
import { blockKey, hex, LSN_RANGE } from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';
import { readEveryWay } from '../../support/valid-reads.ts';

const KEYS = Array.from({ length: 8 }, (_, index) => blockKey(index * 16));
const BLOBS = KEYS.map((_, index) => shortBlob(Uint8Array.of(index)));
const OFFSETS = offsetsOf(BLOBS);
const PROBES = [...KEYS, blockKey(7), blockKey(24), blockKey(0xf_0000)];

/**
 * Three levels of two entries a node:
 *
 *   6         K0        K4
 *   2, 5      K0  K2    K4  K6
 *   0 1, 3 4  01  23    45  67
 */
const VALID: readonly NodeSpec[] = [
  leaf(0, 2),
  leaf(2, 4),
  { level: 1, keys: keysAt(0, 2), children: [0, 1] },
  leaf(4, 6),
  leaf(6, 8),
  { level: 1, keys: keysAt(4, 6), children: [3, 4] },
  { level: 2, keys: keysAt(0, 4), children: [2, 5] },
];

type Changes = Readonly<Record<number, Partial<NodeSpec>>>;

it('the index that the others are made from is valid', async () => {
  const { error, strict, damage, report } = await read({});
  expect(error).toBeUndefined();
  expect(damage).toEqual([]);
  expect(strict.length).toBe(8);
  expect(report.findings).toEqual([]);
});

describe('an index is refused by a strict read, and salvaged in order, with', () => {
  it.each<[string, Changes, StorageErrorCode, number]>([
    // what, change, code of the strict read, entries that salvaging saves
    ['a root that is its own child', { 6: { children: [6, 5] } }, 'out-of-range', 8],
    ['a child that is its grandparent', { 2: { children: [6, 1] } }, 'out-of-range', 8],
    ['a child above its parent', { 2: { children: [3, 1] } }, 'out-of-range', 8],
    ['a child beyond the index', { 6: { children: [2, 7] } }, 'out-of-range', 8],
    ['a child of the largest number', { 5: { children: [3, 0xffff_ffff] } }, 'out-of-range', 8],
    ['a child whose number overflows', { 5: { children: [0xffff_fffe, 4] } }, 'out-of-range', 8],
    ['two parents of one inner node', { 6: { children: [2, 2] } }, 'corrupt', 8],
    ['two parents of one leaf', { 5: { children: [3, 3] } }, 'corrupt', 8],
    ['a leaf under two inner nodes', { 5: { children: [1, 4] } }, 'corrupt', 8],
    ['a leaf where an inner node should be', { 6: { children: [0, 5] } }, 'corrupt', 8],
    ['an inner node of its parent’s level', { 2: { level: 2 } }, 'corrupt', 8],
    ['a root of level 255', { 6: { level: 255 } }, 'corrupt', 8],
    ['a root one level too low', { 6: { level: 1 } }, 'corrupt', 8],
    ['a leaf that calls itself inner', { 4: { level: 1 } }, 'corrupt', 6],
    ['equal keys in a leaf', { 1: { keys: [key(2), key(2)] } }, 'out-of-order', 7],
    ['descending keys in a leaf', { 1: { keys: [key(2), blockKey(31)] } }, 'out-of-order', 7],
    ['equal keys in an inner node', { 5: { keys: [key(4), key(4)] } }, 'out-of-order', 8],
    ['descending keys in the root', { 6: { keys: [key(4), key(0)] } }, 'out-of-order', 8],
    ['a key of the next sibling', { 0: { keys: [key(0), key(2)] } }, 'corrupt', 7],
    ['a key of the next cousin', { 1: { keys: [key(2), key(4)] } }, 'corrupt', 7],
    ['a key above the next sibling', { 3: { keys: [key(4), blockKey(1000)] } }, 'corrupt', 7],
    [
      'a first key below the one in the parent',
      { 1: { keys: [blockKey(17), key(3)] } },
      'corrupt',
      8,
    ],
    [
      'a first key above the one in the parent',
      { 4: { keys: [blockKey(97), key(7)] } },
      'corrupt',
      8,
    ],
    [
      'a key in the parent that its child has not',
      { 2: { keys: [key(0), blockKey(33)] } },
      'corrupt',
      8,
    ],
    [
      'a key in the root that its child has not',
      { 6: { keys: [blockKey(1), key(4)] } },
      'corrupt',
      8,
    ],
    ['a key below the range of the layer', { 0: { keys: [lowKey(), key(1)] } }, 'corrupt', 7],
    ['a key above the range of the layer', { 4: { keys: [key(6), highKey()] } }, 'out-of-range', 7],
    ['no entries in a leaf', { 3: { patch: { 0: [0, 0] } } }, 'corrupt', 6],
    ['more entries than a block holds', { 3: { patch: { 0: [0xff, 0xff] } } }, 'corrupt', 6],
    ['keys of another size', { 3: { patch: { 4: [26] } } }, 'corrupt', 6],
    ['a child where a value should be', { 0: { patch: { 41: [0x80] } } }, 'corrupt', 7],
    ['a value where a child should be', { 5: { patch: { 41: [0] } } }, 'corrupt', 8],
  ])(
    'an index with %s is refused by a strict read, and salvaged in order',
    async (_, changes, code, saved) => {
      const { error, salvaged, report } = await read(changes);
      expect(error?.code).toBe(code);
      expect(error?.path).toBeDefined();
      expect(error?.offset).toBeTypeOf('number');
      expect(error?.stack).toMatch(/\n {4}at .*reader\.ts/);
      expect(report.ok).toBe(false);
      expect(salvaged.length).toBe(saved);
    },
  );

  it.each<[string, Partial<LayerSpec>, StorageErrorCode]>([
    ['a root beyond the file', { indexRootBlock: 7 }, 'truncated'],
    ['a root of the largest number', { indexRootBlock: 0xffff_ffff }, 'truncated'],
    ['a start beyond the file', { indexStartBlock: 0xffff_ffff }, 'truncated'],
    ['a start in the summary', { indexStartBlock: 0 }, 'out-of-range'],
    ['a start that leaves no place for values', { indexStartBlock: 1 }, 'out-of-range'],
    ['a root that is a leaf among others', { indexRootBlock: 0 }, 'out-of-range'],
    ['a range below all keys', rangeOf(blockKey(0), blockKey(0)), 'out-of-range'],
    ['a range that is reversed', rangeOf(blockKey(200), blockKey(0)), 'out-of-range'],
    ['a range that starts too late', rangeOf(blockKey(1), blockKey(200)), 'out-of-range'],
    ['a range that ends too early', rangeOf(blockKey(0), key(7)), 'out-of-range'],
  ])(
    'a summary with %s is refused by a strict read, and its layer is salvaged',
    async (name, spec, code) => {
      const { error, report } = await read({}, spec);
      if (name.includes('among others')) expect(report.warnings).toBeGreaterThan(0);
      else expect(error?.code).toBe(code);
    },
  );

  it('an LSN outside the range of the layer', async () => {
    const lsns = [LSN_RANGE.start - 1n, LSN_RANGE.start, LSN_RANGE.end - 1n, LSN_RANGE.end];
    const blobs = lsns.map(() => shortBlob(encodeValue({ type: 'clog_set_aborted', xids: [] })));
    const bytes = layerBytes({
      kind: 'delta',
      blobs,
      blocks: [
        nodeBlock({
          keys: lsns.map((lsn) => deltaKey(key(0), lsn)),
          values: offsetsOf(blobs).map((offset) => offset * 2),
        }),
      ],
    });
    const { error, salvaged, damage } = await readEveryWay(bytes, PROBES);
    expect(error?.code).toBe('out-of-range');
    expect(damage.map(({ lsn }) => lsn)).toEqual(['0000000000000FFF', '0000000000002000']);
    expect(salvaged.length).toBe(2);
  });
});

describe('an index of 256 levels', () => {
  it('an index of 256 levels is read where each node has one child', async () => {
    const bytes = layerBytes({
      kind: 'image',
      blobs: BLOBS.slice(0, 1),
      blocks: Array.from({ length: 256 }, (_, level) =>
        nodeBlock(
          level === 0
            ? leaf(0, 1)
            : { level, keys: keysAt(0), prefixLength: 18, children: [level - 1] },
        ),
      ),
    });
    const { error, strict } = await readEveryWay(bytes, PROBES);
    expect(error).toBeUndefined();
    expect(strict.length).toBe(1);
  });

  it('an index of 256 levels in which every node has the same child 300 times is refused, and salvaged quickly', async () => {
    const keys = Array.from({ length: 300 }, (_, index) => blockKey(index));
    const blocks = Array.from({ length: 256 }, (_, level) =>
      nodeBlock(
        level === 0
          ? { keys: keysAt(0), values: [OFFSETS[0] ?? 0] }
          : { level, keys, children: keys.map(() => level - 1) },
      ),
    );
    const bytes = layerBytes({ kind: 'image', blobs: BLOBS, blocks });
    const { error, salvaged, damage } = await readEveryWay(bytes, PROBES);
    expect(error?.code).toBe('corrupt');
    expect(salvaged.length).toBe(1);
    expect(damage.length).toBeLessThan(256 * 300);
  });
});

describe('blocks that nothing leads to', () => {
  it('blocks that nothing leads to are a warning, whatever they hold', async () => {
    for (const stray of [new Uint8Array(8192), new Uint8Array(8192).fill(0xff)]) {
      const { error, report } = await read({}, {}, stray);
      expect(error).toBeUndefined();
      expect(report).toMatchObject({ ok: true, warnings: 1 });
      expect(report.findings[0]?.message).toMatch(/unreachable index block/);
    }
  });

  it('blocks that nothing leads to are not counted where damage hides the way to them', async () => {
    const { report } = await read({ 2: { patch: { 0: [0, 0] } } });
    expect(report).toMatchObject({ ok: false, errors: 1, warnings: 0 });
  });
});

describe('a valid index with a few changes', () => {
  it('a valid index with a few changes is read consistently in every way, or refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        await readEveryWay(mutated(seed), PROBES);
      }),
      { numRuns: rounds(150) },
    );
  });
});

describe('a lookup in a changed index whose nodes have prefixes', () => {
  it('a lookup in a changed index whose nodes have prefixes finds what one finds that compares complete keys, entry by entry, or is refused', async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        const blocks = changedPrefixedBlocks(seed);
        const source = bytesSource(layerBytes({ kind: 'delta', blobs: VALUE_BLOBS, blocks }));
        for (const blockCache of [null, new BlockCache(1), new BlockCache(100)]) {
          await using reader = await DeltaLayerReader.open(source, { blockCache });
          // The second time, what was found valid comes from the cache.
          for (const [probe, lsn] of [...LOOKUPS, ...LOOKUPS]) {
            const entry = orRefused(() => reader.getSync(probe, lsn));
            if (entry === 'refused') continue;
            const sought = deltaKey(probe, lsn);
            const slow = slowLookup(blocks, sought);
            const expected = slow?.startsWith(hexKey(sought)) ? slow : undefined;
            strictEqual(entry && placeOf(deltaKey(entry.key, entry.lsn), entry.offset), expected);
            if (entry !== undefined) found += 1;
          }
        }
      }),
      { numRuns: 60 },
    );
    expect(found).toBeGreaterThan(1000);
  });
});

/** Versions of three keys, so that prefixes end in a key, after one, and inside an LSN. */
const VERSIONS: readonly (readonly [Key, Lsn])[] = [
  [key(0), 0x1001n],
  [key(1), 0x1001n],
  [key(1), 0x1002n],
  [key(1), 0x1100n],
  [key(1), 0x1101n],
  [key(1), 0x1102n],
  [key(7), 0x1001n],
  [key(7), 0x1fffn],
];
const VALUE_BLOBS = VERSIONS.map((_, index) =>
  shortBlob(encodeValue({ type: 'clog_set_aborted', xids: [index] })),
);
const LOOKUPS: readonly (readonly [Key, Lsn])[] = [
  ...VERSIONS,
  ...KEYS.map((other) => [other, MAXIMUM_LSN] as const),
].flatMap(([own, lsn]) => [
  [own, lsn],
  [own, lsn - 1n],
  [nextKey(own), lsn],
  [withByte(own, 3, 0x80), lsn],
  [withByte(own, 8, 0), lsn],
]);

/** As `VALID`, of versions; prefixes are as long as they can be, and then some bytes are others. */
function changedPrefixedBlocks(seed: number): Uint8Array[] {
  const choose = seededChoices(seed);
  const entryKeys = VERSIONS.map(([own, lsn]) => deltaKey(own, lsn));
  const values = offsetsOf(VALUE_BLOBS).map((offset) => 2 * offset);
  const blocks = VALID.map(({ keys, level, children }) => {
    const places = keys.map((own) => KEYS.indexOf(own));
    const spec: NodeSpec = {
      keys: places.map((place) => entryKeys[place] ?? new Uint8Array(26)),
      ...(children === undefined
        ? { values: places.map((place) => values[place] ?? 0) }
        : { level: level ?? 1, children }),
    };
    return nodeBlock({ ...spec, prefixLength: sharedLength(spec.keys) });
  });
  for (let change = choose(4); change > 0; change -= 1) {
    const block = blocks[choose(blocks.length)] ?? new Uint8Array(64);
    const at = choose(5 + 26 + 26);
    block[at] = choose(2) === 0 ? (block[at] ?? 0) + 1 : choose(256);
  }
  return blocks;
}

function sharedLength(keys: readonly Uint8Array[]): number {
  const [first = new Uint8Array(0), last = first] = [keys[0], keys.at(-1)];
  return first.findIndex((byte, at) => byte !== last[at]);
}

/** The last entry that is at most the key, where whole keys lead; nothing is checked. */
function slowLookup(blocks: readonly Uint8Array[], wanted: Uint8Array): string | undefined {
  for (let block = Buffer.from(blocks.at(-1) ?? []); ; ) {
    const count = block.readUInt16BE(0);
    const [level = 0, prefixLength = 0, suffixLength = 0] = block.subarray(2);
    const suffixesAt = 5 + prefixLength;
    const keys = Array.from({ length: count }, (_, index) => {
      const at = suffixesAt + index * suffixLength;
      return Buffer.concat([block.subarray(5, suffixesAt), block.subarray(at, at + suffixLength)]);
    });
    const index = keys.findLastIndex((own) => Buffer.compare(own, wanted) <= 0);
    const own = keys[index];
    if (own === undefined) return undefined;
    const value = block.readUIntBE(suffixesAt + count * suffixLength + index * 5, 5);
    if (level === 0) return placeOf(own, Math.floor(value / 2));
    block = Buffer.from(blocks[value % 2 ** 32] ?? []);
  }
}

function placeOf(entryKey: Uint8Array, offset: number): string {
  return `${hex(entryKey)} at ${offset}`;
}

/** Of an entry key, the key. */
function hexKey(entryKey: Uint8Array): string {
  return hex(entryKey.subarray(0, 18)) ?? '';
}

function withByte(own: Key, at: number, byte: number): Key {
  const other = own.slice();
  other[at] = byte;
  return other;
}

function orRefused<T>(read: () => T): T | 'refused' {
  try {
    return read();
  } catch (error) {
    storageErrorOrThrow(error);
    return 'refused';
  }
}

/** One to three fields of one to three nodes are other ones. */
function mutated(seed: number): Uint8Array {
  const choose = seededChoices(seed);
  const specs = VALID.map((spec): NodeSpec => ({ ...spec }));
  for (let change = 0; change <= choose(3); change += 1) {
    const at = choose(specs.length);
    const spec = specs[at] ?? leaf(0, 1);
    specs[at] = { ...spec, ...mutation(spec, choose) };
  }
  return layerBytes({ kind: 'image', blobs: BLOBS, blocks: specs.map(nodeBlock) });
}

function mutation(spec: NodeSpec, choose: (n: number) => number): Partial<NodeSpec> {
  const index = choose(2);
  switch (choose(6)) {
    case 0:
      return { level: choose(4) };
    case 1:
      return { keys: spec.keys.map((own, at) => (at === index ? key(choose(8)) : own)) };
    case 2:
      return { keys: spec.keys.map((own, at) => (at === index ? nextKey(own) : own)) };
    case 3:
      return spec.children === undefined
        ? { values: (spec.values ?? []).map((own, at) => (at === index ? 8192 + choose(20) : own)) }
        : { children: spec.children.map((own, at) => (at === index ? choose(8) : own)) };
    case 4:
      return { keys: [...spec.keys].reverse() };
    default:
      return { patch: { [choose(64)]: [choose(256)] } };
  }
}

function read(changes: Changes, spec: Partial<LayerSpec> = {}, stray?: Uint8Array) {
  const blocks = VALID.map((valid, block) => nodeBlock({ ...valid, ...changes[block] }));
  if (stray !== undefined) {
    // In front of the root, so that the root stays the last one.
    blocks.splice(6, 0, stray);
  }
  return readEveryWay(layerBytes({ kind: 'image', blobs: BLOBS, blocks, ...spec }), PROBES);
}

describe('a lookup does not report damage on its way as absence:', () => {
  it.each<[string, Changes, Key]>([
    ['a first key above the one in the parent', { 4: { keys: [blockKey(97), key(7)] } }, key(6)],
    ['a first key below the one in the parent', { 1: { keys: [blockKey(17), key(3)] } }, key(2)],
    ['a key of the next sibling', { 0: { keys: [key(0), key(2)] } }, key(1)],
    ['a key of the next cousin', { 1: { keys: [key(2), key(4)] } }, key(3)],
    ['a leaf where an inner node should be', { 6: { children: [0, 5] } }, key(2)],
    ['two parents of one leaf', { 5: { children: [3, 3] } }, key(6)],
  ])('a lookup reports damage on its way, not absence: %s', async (_, changes, wanted) => {
    const blocks = VALID.map((valid, block) => nodeBlock({ ...valid, ...changes[block] }));
    const source = bytesSource(layerBytes({ kind: 'image', blobs: BLOBS, blocks }), 'name');
    for (const blockCache of [null, new BlockCache(1), new BlockCache(100)]) {
      const reader = await ImageLayerReader.open(source, { blockCache });
      // What was found valid on the way is in the cache for those that come after.
      for (const other of PROBES) await reader.get(other).catch(storageErrorOrThrow);
      for (let round = 0; round < 2; round += 1) {
        expect(storageErrorThrownBy(() => reader.getSync(wanted)).code).toBe('corrupt');
        expect((await storageErrorOf(reader.get(wanted))).code).toBe('corrupt');
        expect((await storageErrorOf(reader.getMany([wanted, ...PROBES]))).code).toBe('corrupt');
      }
    }
  });
});

function storageErrorOrThrow(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  throw error;
}

function leaf(from: number, to: number): NodeSpec {
  return { keys: KEYS.slice(from, to), values: OFFSETS.slice(from, to) };
}

function key(index: number): Key {
  return KEYS[index] ?? blockKey(0xfff);
}

function keysAt(...indexes: number[]): Key[] {
  return indexes.map(key);
}

/** Below and above the keys that the layer is for. */
function lowKey(): Key {
  const low = key(0).slice();
  low[4] = 0;
  return low;
}

function highKey(): Key {
  return new Uint8Array(18).fill(0xfe);
}

function rangeOf(start: Key, end: Key): Partial<LayerSpec> {
  return { keyRange: { start, end } };
}
