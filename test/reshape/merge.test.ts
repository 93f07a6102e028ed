import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareKeys, formatKey } from '../../src/layers/key.ts';
import type { LayerReader } from '../../src/layers/layer-file/layer-reader.ts';
import { encodeValue } from '../../src/layers/value-format.ts';
import { isKeyBelow, keyOfWords, LayerMerge, wordsOfKey } from '../../src/reshape/merge.ts';
import { KEY_WORDS } from '../../src/reshape/merge-input.ts';
import { mergeLayers } from '../../src/reshape/merge-layers.ts';
import { shardKeeps } from '../../src/timeline/shard-owner.ts';
import { blockKey, hex, memoryDisk } from '../support/layers.ts';
import {
  EVERYTHING,
  imageOf,
  type ModelEntry,
  modelEntries,
  modelValue,
  writeModelDelta,
  writeModelImages,
} from '../support/random-layers.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

interface MergedEntry {
  readonly block: number;
  readonly lsn: number;
  readonly kind: 'image' | 'record';
  readonly input: number;
}

async function merged(readers: readonly LayerReader[]): Promise<string[]> {
  const lines: string[] = [];
  await using merge = await LayerMerge.begin(readers);
  for (let head = merge.head; head !== undefined; head = merge.head) {
    const { batch, row, index, isImage } = head;
    const isRecord = !isImage && batch.bytes(row)[3] !== 0;
    const block = batch.key(row).at(-1) ?? 0;
    const kind = isRecord ? 'record' : 'image';
    lines.push(lineOf({ block, lsn: Number(batch.lsn(row)), kind, input: index }));
    await merge.advance();
  }
  return lines;
}

function lineOf({ block, lsn, kind, input }: MergedEntry): string {
  return `${block} ${lsn} ${kind} of ${input}`;
}

function inOrder(entries: readonly MergedEntry[]): string[] {
  return inOrderOf(entries).map(lineOf);
}

function inOrderOf(entries: readonly MergedEntry[]): MergedEntry[] {
  const kinds = { image: 0, record: 1 };
  return [...entries].sort(
    (one, other) =>
      one.block - other.block ||
      one.lsn - other.lsn ||
      kinds[one.kind] - kinds[other.kind] ||
      one.input - other.input,
  );
}

const LSNS = { min: 16, max: 40 };

describe('a merge', () => {
  test('a merge has all entries of random layers in the order of key, LSN, kind and input', async () => {
    const images = fc.record({
      lsn: fc.integer(LSNS),
      blocks: fc.uniqueArray(fc.nat(12), { minLength: 1 }),
    });
    const layers = fc.array(fc.oneof(modelEntries(LSNS, 20), images), { maxLength: 9 });
    await fc.assert(
      fc.asyncProperty(layers, async (inputs) => {
        const readers: LayerReader[] = [];
        const expected: MergedEntry[] = [];
        for (const [input, layer] of inputs.entries()) {
          // Layers of the same ranges have the same name.
          const disk = memoryDisk();
          if (Array.isArray(layer)) {
            readers.push(await writeModelDelta(disk, layer, { start: 16n, end: 41n }));
            for (const { block, lsn, kind } of layer) {
              expected.push({ block, lsn, kind: kind === 'image' ? kind : 'record', input });
            }
          } else {
            const blocks = [...layer.blocks].sort((one, other) => one - other);
            readers.push(await writeModelImages(disk, blocks, BigInt(layer.lsn)));
            for (const block of blocks)
              expected.push({ block, lsn: layer.lsn, kind: 'image', input });
          }
        }
        expect(await merged(readers)).toEqual(inOrder(expected));
      }),
      { numRuns: rounds(30) },
    );
  });

  test('a merge of layers with several leaves continues from leaf to leaf', async () => {
    const inputs = [0, 1, 2].map((input) =>
      Array.from({ length: 900 }, (_, at): ModelEntry => {
        return {
          block: Math.floor(at / 5),
          lsn: 16 + 3 * (at % 5) + input,
          kind: 'rec',
          length: 9,
        };
      }),
    );
    const readers: LayerReader[] = [];
    for (const entries of inputs) {
      readers.push(await writeModelDelta(memoryDisk(), entries, { start: 16n, end: 64n }));
    }
    const expected = inputs.flatMap((entries, input) =>
      entries.map(({ block, lsn }) => ({ block, lsn, kind: 'record' as const, input })),
    );
    expect(await merged(readers)).toEqual(inOrder(expected));
  });

  test('bounds the bytes of a key from above, and knows a bound for most keys', async () => {
    const readers: LayerReader[] = [];
    for (let input = 0; input < 5; input += 1) {
      const entries = Array.from({ length: 900 }, (_, at): ModelEntry => {
        const [block, lsn] = [Math.floor(at / 3), 16 + 5 * (at % 3) + input];
        return { block, lsn, kind: 'rec', length: (at * 7) % 300 };
      });
      const kept = entries.filter(({ block }) => block % (input + 1) === 0);
      readers.push(await writeModelDelta(memoryDisk(), kept, { start: 16n, end: 64n }));
    }
    await using merge = await LayerMerge.begin(readers);
    const key = new Float64Array(KEY_WORDS);
    const bounds: number[] = [];
    while (merge.head !== undefined) {
      if (bounds.length === 0 || !merge.isAt(key)) {
        merge.copyKey(key);
        bounds.push(merge.keySizeBound);
        expect(merge.keySizeBound).toBeGreaterThanOrEqual(await merge.keySize(key));
      }
      await merge.advance();
    }
    expect(bounds.length).toBe(300);
    expect(bounds.filter((bound) => bound < 400_000).length).toBeGreaterThan(150);
  });

  test('a merge keeps keys as words that have their order, and give them back', () => {
    const key = fc.uint8Array({ minLength: 18, maxLength: 18 });
    fc.assert(
      fc.property(key, key, fc.nat(18), (one, other, shared) => {
        other.set(one.subarray(0, shared));
        const [words, others] = [wordsOfKey(one), wordsOfKey(other)];
        expect(keyOfWords(words)).toEqual(one);
        expect(isKeyBelow(words, others)).toBe(compareKeys(one, other) < 0);
      }),
    );
  });

  test('a merge of nothing has no head', async () => {
    await using merge = await LayerMerge.begin([]);
    expect(merge.head).toBeUndefined();
  });

  test('a merge begins no scan of a layer whose keys it has not reached', async () => {
    const disk = memoryDisk();
    const first = await writeModelDelta(disk, [{ block: 1, lsn: 20, kind: 'rec', length: 5 }], {
      start: 16n,
      end: 41n,
    });
    const images = await writeModelImages(disk, [3], 30n);
    await using merge = await LayerMerge.begin([first, images]);
    expect(merge.inputs.map(({ isUnreached }) => isUnreached)).toEqual([false, true]);
    await merge.advance();
    expect(merge.inputs.map(({ isUnreached }) => isUnreached)).toEqual([false, false]);
  });

  test('a merge ends with the signal', async () => {
    const reader = await writeModelDelta(
      memoryDisk(),
      Array.from({ length: 2000 }, (_, at) => ({ block: at, lsn: 20, kind: 'rec', length: 5 })),
      { start: 16n, end: 41n },
    );
    const abort = new AbortController();
    await using merge = await LayerMerge.begin([reader], { signal: abort.signal });
    abort.abort();
    await expect(
      (async () => {
        while (merge.head !== undefined) await merge.advance();
      })(),
    ).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('merged entries of layers', () => {
  const key = (block: number): string => formatKey(blockKey(block));

  test('merged entries of layers are those of some keys, LSNs and a shard, of random layers', async () => {
    const ranges = fc.array(fc.tuple(fc.nat(13), fc.nat(13)), { maxLength: 3 });
    const shards = fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined });
    const lsns = fc.tuple(fc.integer(LSNS), fc.integer(LSNS));
    await fc.assert(
      fc.asyncProperty(
        fc.array(modelEntries(LSNS, 20), { maxLength: 4 }),
        ranges,
        lsns,
        shards,
        async (inputs, pairs, [from, to], shardNumber) => {
          const readers: LayerReader[] = [];
          for (const entries of inputs) {
            const disk = memoryDisk();
            readers.push(await writeModelDelta(disk, entries, { start: 16n, end: 41n }));
          }
          const keyRanges = pairs.map(([one, other]) => {
            const [low, high] = [Math.min(one, other), Math.max(one, other)];
            return { start: blockKey(low), end: blockKey(high + 1) };
          });
          const lsnRange = { start: BigInt(Math.min(from, to)), end: BigInt(Math.max(from, to)) };
          const sharding = { count: 3, stripeSize: 2 };
          const shard = shardNumber === undefined ? undefined : { sharding, shardNumber };
          const found: string[] = [];
          const merging = mergeLayers(readers, { keyRanges, lsnRange, shard });
          for await (const entry of merging) {
            expect(entry.layerKind).toBe('delta');
            found.push(
              `${formatKey(entry.key)} ${entry.lsn} ${hex(entry.bytes)} of ${readers.indexOf(entry.reader)}`,
            );
          }
          const expected = inputs
            .flatMap((entries, input) => entries.map((entry) => ({ ...entry, input })))
            .filter(({ block, lsn }) => {
              const isInside = pairs.some(
                ([one, other]) => block >= Math.min(one, other) && block <= Math.max(one, other),
              );
              const isKept =
                shard === undefined || shardKeeps(blockKey(block), sharding, shard.shardNumber);
              return isInside && isKept && lsn >= lsnRange.start && lsn < lsnRange.end;
            })
            .map(({ kind, ...entry }): MergedEntry => {
              return { ...entry, kind: kind === 'image' ? kind : 'record' };
            });
          const lines = inOrderOf(expected).map(
            (entry) =>
              `${key(entry.block)} ${entry.lsn} ${entryBytes(inputs, entry)} of ${entry.input}`,
          );
          expect(found).toEqual(lines);
        },
      ),
      { numRuns: rounds(30) },
    );
  });

  test('merged entries of layers are copies that stay as they are, and distinguish images from values', async () => {
    const disk = memoryDisk();
    const entries: ModelEntry[] = [{ block: 3, lsn: 20, kind: 'image', length: 9 }];
    const delta = await writeModelDelta(disk, entries, { start: 16n, end: 41n });
    const images = await writeModelImages(disk, [3, 4], 20n);
    const found = [];
    for await (const entry of mergeLayers([delta, images])) found.push(entry);
    expect(found.map(({ layerKind, reader }) => [layerKind, reader === delta])).toEqual([
      ['delta', true],
      ['image', false],
      ['image', false],
    ]);
    expect(found.at(1)?.bytes).toEqual(imageOf(3));
  });

  test('merged entries of layers of a wrong option are refused', () => {
    const options = { keyRange: EVERYTHING } as object;
    expect(storageErrorThrownBy(() => mergeLayers([], options)).code).toBe('invalid-input');
  });
});

function entryBytes(
  inputs: readonly (readonly ModelEntry[])[],
  { block, lsn, input }: Pick<MergedEntry, 'block' | 'lsn' | 'input'>,
): string {
  const entry = inputs[input]?.find((each) => each.block === block && each.lsn === lsn);
  return entry === undefined ? '' : `${hex(encodeValue(modelValue(entry)))}`;
}
