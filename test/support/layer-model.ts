/** A layer as an ordered list of what was put, and a comparison with what a reader says. */
import fc from 'fast-check';
import { expect } from 'vitest';
import type { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import type { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { addToKey, compareKeys, type Key, type KeyRange } from '../../src/layers/key.ts';
import type { LayerEntry } from '../../src/layers/layer-file/entry-batch.ts';
import type { Lsn, LsnRange } from '../../src/layers/lsn.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { blockKey, drain, entryName, hex, LSN_RANGE } from './layers.ts';

/** Sizes of a writer's buffer, in bytes: smaller than a blob, a block, and the default. */
export const BUFFER_SIZES = [100, 128, 4096, 8192, 65_536, undefined];

export interface ModelEntry {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly willInit: boolean;
  readonly bytes: Uint8Array;
}

type Reader = DeltaLayerReader | ImageLayerReader;
type Choose = (n: number) => number;

/** Lengths on both sides of every border: header forms, blocks, and small ones. */
export function blobLengths(): fc.Arbitrary<number> {
  return fc.oneof(
    fc.constantFrom(0, 1, 126, 127, 128, 129, 8191, 8192, 8193),
    fc.integer({ min: 0, max: 300 }),
  );
}

/** Compares everything that a reader offers with the model, over random ranges. */
export async function expectSameLayer(
  reader: Reader,
  model: readonly ModelEntry[],
  seed: number,
): Promise<void> {
  const choose = seededChoices(seed);
  await expectScans(reader, model, {});
  for (let round = 0; round < 4; round += 1) {
    await expectScans(reader, model, {
      keyRange: choose(4) === 0 ? undefined : someKeyRange(model, choose),
      lsnRange: choose(2) === 0 ? undefined : someLsnRange(choose),
    });
  }
  await expectGets(reader, model, choose);
  await expectVersions(reader, model, choose);
  await expectStatistics(reader, model);
}

interface Ranges {
  readonly keyRange?: KeyRange | undefined;
  readonly lsnRange?: LsnRange | undefined;
}

async function expectScans(
  reader: Reader,
  model: readonly ModelEntry[],
  ranges: Ranges,
): Promise<void> {
  const expected = model.filter((entry) => isWithin(entry, ranges));
  const contents = expected.map(describeModelEntry);
  const forward = await drain(reader.entries(ranges));
  expect(forward.map(describeEntry)).toEqual(contents);
  const reverse = await drain(reader.entries({ ...ranges, reverse: true }));
  expect(reverse.map(describeEntry)).toEqual([...contents].reverse());
  const batched: string[] = [];
  for await (const batch of reader.batches(ranges)) {
    for (let index = 0; index < batch.count; index += 1) {
      batched.push(describeEntry(batch.entry(index)));
      expect(hex(batch.bytes(index))).toBe(hex(batch.entry(index).bytes));
      expect(batch.lsn(index)).toBe(batch.lsns[index]);
    }
  }
  expect(batched).toEqual(contents);
  const names = expected.map((entry) => `${entryName(entry)} ${entry.willInit}`);
  for (const reversed of [false, true]) {
    const keys = await drain(reader.keys({ ...ranges, reverse: reversed }));
    const found = keys.map((entry) => `${entryName(entry)} ${entry.willInit}`);
    expect(found).toEqual(reversed ? [...names].reverse() : names);
  }
  const salvaged: string[] = [];
  for await (const item of reader.salvage(ranges)) {
    if (item.kind !== 'entry') throw new Error(`no damage expected: ${item.kind}`);
    salvaged.push(describeEntry(item.entry));
  }
  expect(salvaged).toEqual(contents);
}

async function expectGets(
  reader: Reader,
  model: readonly ModelEntry[],
  choose: Choose,
): Promise<void> {
  const probes = Array.from({ length: 30 }, () => someKey(model, choose));
  const lsn = choose(3) === 0 ? undefined : someLsn(model, choose);
  const expected = probes.map((probe) => describeFound(newest(model, probe, lsn)));
  const one = await Promise.all(probes.map((probe) => reader.get(probe, lsn)));
  expect(one.map((entry) => (entry === undefined ? undefined : describeEntry(entry)))).toEqual(
    expected,
  );
  const many = await reader.getMany(probes, lsn);
  expect(many.map((entry) => (entry === undefined ? undefined : describeEntry(entry)))).toEqual(
    expected,
  );
}

async function expectVersions(
  reader: Reader,
  model: readonly ModelEntry[],
  choose: Choose,
): Promise<void> {
  for (let round = 0; round < 8; round += 1) {
    const key = someKey(model, choose);
    const lsnRange = choose(2) === 0 ? undefined : someLsnRange(choose);
    const expected = model
      .filter((entry) => compareKeys(entry.key, key) === 0 && isWithin(entry, { lsnRange }))
      .map(describeModelEntry)
      .reverse();
    expect((await drain(reader.versions(key, lsnRange))).map(describeEntry)).toEqual(expected);
  }
}

async function expectStatistics(reader: Reader, model: readonly ModelEntry[]): Promise<void> {
  const blocks = await drain(reader.indexBlocks());
  let leafEntries = 0;
  let levels = 0;
  for (const block of blocks) {
    if (block.kind === 'damaged') throw block.error;
    if (block.level === 0) leafEntries += block.entryCount;
    levels = Math.max(levels, block.level + 1);
    expect(compareKeys(block.firstKey, block.lastKey)).toBeLessThanOrEqual(0);
    expect(block.firstLsn === undefined).toBe(reader.summary.kind === 'image');
  }
  expect(leafEntries).toBe(model.length);
  expect(await reader.statistics()).toEqual({
    entryCount: model.length,
    indexBlockCount: blocks.length,
    levelCount: levels,
    valuesSize: (reader.summary.indexStartBlock - 1) * 8192,
    indexSize: blocks.length * 8192,
  });
  expect(reader.size).toBe((reader.summary.indexStartBlock + blocks.length) * 8192);
}

function isWithin({ key, lsn }: ModelEntry, { keyRange, lsnRange }: Ranges): boolean {
  const isKeyWithin =
    keyRange === undefined ||
    (compareKeys(key, keyRange.start) >= 0 && compareKeys(key, keyRange.end) < 0);
  return isKeyWithin && (lsnRange === undefined || (lsn >= lsnRange.start && lsn < lsnRange.end));
}

function newest(
  model: readonly ModelEntry[],
  key: Key,
  lsn: Lsn | undefined,
): ModelEntry | undefined {
  return model.findLast(
    (entry) => compareKeys(entry.key, key) === 0 && (lsn === undefined || entry.lsn <= lsn),
  );
}

function describeFound(entry: ModelEntry | undefined): string | undefined {
  return entry === undefined ? undefined : describeModelEntry(entry);
}

function describeModelEntry(entry: ModelEntry): string {
  return `${entryName(entry)} ${entry.willInit} ${hex(entry.bytes)}`;
}

function describeEntry(entry: LayerEntry): string {
  return `${entryName(entry)} ${entry.willInit} ${hex(entry.bytes)}`;
}

/** One of the layer's, the one after it, or any. */
function someKey(model: readonly ModelEntry[], choose: Choose): Key {
  const key = model[choose(model.length)]?.key ?? blockKey(0);
  return [key, addToKey(key, 1), blockKey(choose(0x20_0000))][choose(3)] ?? key;
}

/** Sometimes empty, sometimes reversed. */
function someKeyRange(model: readonly ModelEntry[], choose: Choose): KeyRange {
  return { start: someKey(model, choose), end: someKey(model, choose) };
}

function someLsn(model: readonly ModelEntry[], choose: Choose): Lsn {
  const lsn = model[choose(model.length)]?.lsn ?? 0n;
  return [lsn, lsn - 1n, LSN_RANGE.start + BigInt(choose(0x1000)), 0n][choose(4)] ?? lsn;
}

function someLsnRange(choose: Choose): LsnRange {
  const start = LSN_RANGE.start + BigInt(choose(0x1100));
  return { start, end: start + BigInt(choose(0x400)) };
}

export function inOrder(entries: ModelEntry[]): ModelEntry[] {
  return entries.sort(
    (left, right) => compareKeys(left.key, right.key) || (left.lsn < right.lsn ? -1 : 1),
  );
}
