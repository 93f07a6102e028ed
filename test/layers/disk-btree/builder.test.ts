/** The builder against a slow one that follows the description of the format word by word. */
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DiskBtreeBuilder } from '../../../src/layers/disk-btree/builder.ts';
import { MAXIMUM_LEAF_VALUE } from '../../../src/layers/disk-btree/node-format.ts';
import { type RandomKeys, randomKeys } from '../../support/random-keys.ts';
import { buildReferenceIndex, type ReferenceEntry } from '../../support/reference-index.ts';
import { rounds } from '../../support/rounds.ts';

/** LAYERFILE_LAYER_RUNS takes more of them. */
const RUNS = Number(process.env['LAYERFILE_LAYER_RUNS'] ?? rounds(25));

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('the index of ascending keys', () => {
  it('the index of ascending keys is the one that the format describes', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.nat(),
          keySize: fc.constantFrom(1, 4, 18, 26, 100, 255),
          count: fc.integer({ min: 1, max: 1500 }),
          busyBytes: fc.constantFrom(1, 2, 4, 12),
        }),
        (parameters) => {
          expectSameIndex(entriesOf(parameters));
        },
      ),
      { numRuns: RUNS },
    );
  });

  it.each<[string, RandomKeys, number]>([
    ['an image with runs', { seed: 2, keySize: 18, count: 40_000, busyBytes: 2 }, 2],
    ['long keys', { seed: 3, keySize: 200, count: 4_000, busyBytes: 200 }, 3],
    ['the longest keys', { seed: 4, keySize: 255, count: 31_000, busyBytes: 255 }, 4],
  ])(
    'the index of ascending keys of %s is the one that the format describes, on every level',
    (_, parameters, levels) => {
      const blocks = expectSameIndex(entriesOf(parameters));
      expect((blocks.at(-1)?.[2] ?? 0) + 1).toBe(levels);
    },
  );

  it('the index of keys that share nothing has a third level above 264 leaves', () => {
    const entries = Array.from({ length: 264 * 290 }, (_, index) => {
      const key = Buffer.alloc(26, 0xa5);
      key.writeUInt32BE(index * 50_000);
      return { key, value: leafValueOf(index) };
    });
    const blocks = expectSameIndex(entries);
    expect(blocks.at(-1)?.[2]).toBe(2);
  });

  it.each([
    // key size, entries that a leaf takes before it is compressed
    [26, 264],
    [18, 355],
    [4, 909],
  ])(
    'the index of %d-byte keys compresses no leaf of %d entries, but one of more',
    (keySize, count) => {
      const entries = runOf(keySize, count + 1);
      const [full] = expectSameIndex(entries.slice(0, count));
      expect([full?.[3], full?.[4]]).toEqual([0, keySize]);
      const [compressed] = expectSameIndex(entries);
      expect([compressed?.[3], compressed?.[4]]).toEqual([keySize - 2, 2]);
    },
  );

  it('the index of ascending keys never uses the last byte of a block: an entry that would fill it begins the next', () => {
    // 10 bytes are shared, so that 5 + 10 + 629 * (8 + 5) bytes would fill the block.
    const entries = runOf(18, 700).map(({ key, value }, index) => {
      key[10] = Math.floor(index / 100);
      return { key, value };
    });
    const [leaf] = expectSameIndex(entries);
    expect([leaf?.[3], leaf?.[4]]).toEqual([10, 8]);
    expect((leaf?.[0] ?? 0) * 256 + (leaf?.[1] ?? 0)).toBe(628);
  });

  it('the index of ascending keys ends a compressed leaf where a key does not share its prefix', () => {
    const low = runOf(18, 400);
    const high = runOf(18, 3).map(({ key, value }) => ({ key: withFirstByte(key, 1), value }));
    const blocks = expectSameIndex([...low, ...high]);
    expect(blocks.map((block) => (block[0] ?? 0) * 256 + (block[1] ?? 0))).toEqual([400, 3, 2]);
  });

  it('the index of ascending keys with one entry is one leaf', () => {
    const blocks = expectSameIndex([{ key: Uint8Array.of(7), value: MAXIMUM_LEAF_VALUE }]);
    expect([...(blocks[0]?.subarray(0, 12) ?? [])]).toEqual([
      ...[0, 1], // entries
      0, // level
      0, // prefix length
      1, // suffix length
      7, // key
      ...[0x7f, 0xff, 0xff, 0xff, 0xff], // value
      0, // padding
    ]);
  });
});

describe('a builder', () => {
  it('an index builder accepts only keys above the last', () => {
    const builder = new DiskBtreeBuilder(2, () => 0);
    expect(builder.accepts(Uint8Array.of(0, 0))).toBe(true);
    builder.put(Uint8Array.of(1, 1), 5);
    const accepted = [
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 255],
      [1, 2],
      [2, 0],
    ].map((key) => builder.accepts(Uint8Array.from(key)));
    expect(accepted).toEqual([false, false, false, false, true, true]);
    expect(builder.entryCount).toBe(1);
  });

  it('an index builder takes keys where they lie among others', () => {
    const keys = Uint8Array.of(9, 1, 1, 2, 0, 9);
    const blocks: Uint8Array[] = [];
    const builder = new DiskBtreeBuilder(2, (block) => blocks.push(block.slice()) - 1);
    builder.put(keys, 5, 1);
    expect([builder.accepts(keys, 1), builder.accepts(keys, 3)]).toEqual([false, true]);
    builder.put(keys, 6, 3);
    builder.finish();
    expect([...(blocks[0]?.subarray(5, 9) ?? [])]).toEqual([1, 1, 2, 0]);
  });

  it.each([
    ['the last one put', [[1, 1]], 0],
    ['a lower one than that', [[1, 0]], 0],
    [
      'one twice',
      [
        [1, 2],
        [1, 2],
      ],
      1,
    ],
    [
      'a lower one behind a higher',
      [
        [1, 2],
        [2, 0],
        [1, 9],
        [3, 0],
      ],
      2,
    ],
    [
      'none that is not above the one before',
      [
        [1, 2],
        [1, 3],
        [2, 0],
      ],
      3,
    ],
  ])(
    'an index builder takes a run up to a key that is not above the one before: %s',
    (_, keys, taken) => {
      const builder = new DiskBtreeBuilder(2, () => 0);
      builder.put(Uint8Array.of(1, 1), 5);
      const entries = keys.map((key, value) => ({ key: Uint8Array.from(key), value }));
      expect(builder.putRun(entryRunOf(entries), entries.length)).toBe(taken);
      expect(builder.entryCount).toBe(1 + taken);
      const last = taken === 0 ? [1, 1] : (keys[taken - 1] ?? []);
      expect(builder.accepts(Uint8Array.from(last))).toBe(false);
      expect(builder.accepts(Uint8Array.of(last[0] ?? 0, (last[1] ?? 0) + 1))).toBe(true);
    },
  );

  it.each(['with', 'without'])(
    'an index builder %s WebAssembly takes a long run up to a key that is not above the one before',
    (how) => {
      if (how === 'without') vi.stubGlobal('WebAssembly', undefined);
      fc.assert(
        fc.property(
          fc.constantFrom(18, 26),
          fc.integer({ min: 16, max: 512 }),
          fc.nat(),
          fc.nat(),
          fc.constantFrom(0, -1, -256),
          (keySize, count, where, seed, change) => {
            const parameters = { seed, keySize, count: count + 1, busyBytes: 2 };
            const [first, ...rest] = entriesOf(parameters);
            const bad = where % (rest.length + 1);
            const before = rest[bad - 1] ?? first;
            const last = rest[bad];
            if (first === undefined || before === undefined) return;
            // A key that is equal to the one before, or lower in its last byte or the one before that.
            if (last !== undefined) last.key.set(lowered(before.key, change));
            const blocks: Uint8Array[] = [];
            const builder = new DiskBtreeBuilder(
              keySize,
              (block) => blocks.push(block.slice()) - 1,
            );
            builder.put(first.key, first.value);
            expect(builder.putRun(entryRunOf(rest), rest.length)).toBe(bad);
            const taken = [first, ...rest.slice(0, bad)];
            expect(builder.entryCount).toBe(taken.length);
            builder.finish();
            expect(blocks).toEqual(
              buildReferenceIndex(taken).map((block) => Uint8Array.from(block)),
            );
          },
        ),
        { numRuns: 4 * RUNS },
      );
    },
  );

  it('an index builder without WebAssembly builds the same index', () => {
    vi.stubGlobal('WebAssembly', undefined);
    expectSameIndex(entriesOf({ seed: 7, keySize: 26, count: 3000, busyBytes: 4 }));
  });

  it('an index builder keeps nothing of the key that it was given', () => {
    const builder = new DiskBtreeBuilder(1, () => 0);
    const key = Uint8Array.of(5);
    builder.put(key, 1);
    key[0] = 1;
    expect(builder.accepts(Uint8Array.of(5))).toBe(false);
  });

  it('an index builder passes on blocks that the receiver may overwrite', () => {
    const seen: number[] = [];
    const builder = new DiskBtreeBuilder(100, (block) => {
      seen.push(block[1] ?? 0);
      block.fill(0xee);
      return seen.length - 1;
    });
    for (const { key, value } of runOf(100, 200)) builder.put(key, value);
    builder.finish();
    const blocks = expectSameIndex(runOf(100, 200));
    expect(seen).toEqual(blocks.map((block) => block[1]));
  });
});

/** Builds one by one and in runs, compares block by block, and returns the blocks. */
function expectSameIndex(entries: readonly ReferenceEntry[]): Uint8Array[] {
  const expected = buildReferenceIndex(entries);
  for (const put of [putOneByOne, putInRuns]) {
    const blocks: Uint8Array[] = [];
    const builder = new DiskBtreeBuilder(entries[0]?.key.length ?? 0, (block) => {
      blocks.push(block.slice());
      return blocks.length - 1;
    });
    put(builder, entries);
    expect(builder.entryCount).toBe(entries.length);
    const root = builder.finish();
    expect(root).toBe(expected.length - 1);
    expect(blocks.length).toBe(expected.length);
    const different = expected.findIndex(
      (block, index) => Buffer.compare(block, blocks[index] ?? Buffer.alloc(0)) !== 0,
    );
    expect(different).toBe(-1);
  }
  return expected;
}

function putOneByOne(builder: DiskBtreeBuilder, entries: readonly ReferenceEntry[]): void {
  for (const { key, value } of entries) builder.put(key, value);
}

/** Of 1, 2, 3 entries and so on, up to 700: some end in the middle of a leaf, some span two. */
function putInRuns(builder: DiskBtreeBuilder, entries: readonly ReferenceEntry[]): void {
  for (let first = 0, length = 1; first < entries.length; length = (length % 700) + 1) {
    const part = entries.slice(first, first + length);
    expect(builder.putRun(entryRunOf(part), part.length)).toBe(part.length);
    first += length;
  }
}

function entryRunOf(entries: readonly ReferenceEntry[], before: readonly number[] = [0xff]) {
  const parts = [Uint8Array.from(before), ...entries.map(({ key }) => key)];
  const keys = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let end = 0;
  for (const part of parts) {
    keys.set(part, end);
    end += part.length;
  }
  return {
    keys: new DataView(keys.buffer),
    keysAt: before.length,
    values: Float64Array.from(entries, ({ value }) => value),
  };
}

function entriesOf(parameters: RandomKeys): ReferenceEntry[] {
  return randomKeys(parameters).map((key, index) => ({ key, value: leafValueOf(index) }));
}

/** Spread over all 39 bits. */
function leafValueOf(index: number): number {
  return (index * 0x1234_5679 + index) % (MAXIMUM_LEAF_VALUE + 1);
}

/** Keys that differ in their last two bytes. */
function runOf(keySize: number, count: number): ReferenceEntry[] {
  return Array.from({ length: count }, (_, index) => {
    const key = new Uint8Array(keySize);
    key[keySize - 2] = index >> 8;
    key[keySize - 1] = index & 0xff;
    return { key, value: index };
  });
}

function withFirstByte(key: Uint8Array, byte: number): Uint8Array {
  const changed = key.slice();
  changed[0] = byte;
  return changed;
}

/** The key as a number, plus the change; itself if that is below zero. */
function lowered(key: Uint8Array, change: number): Uint8Array {
  const { length } = key;
  const value = BigInt(`0x${Buffer.from(key).toString('hex')}`) + BigInt(change);
  if (value < 0n) return Uint8Array.from(key);
  return Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex');
}
