/** Random layers on a disk in memory, and their entries as a plain list. */
import fc from 'fast-check';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { ImageLayerWriter } from '../../src/layers/image-layer/writer.ts';
import { formatKey, maximumKey, minimumKey } from '../../src/layers/key.ts';
import { formatLsn, type Lsn, type LsnRange } from '../../src/layers/lsn.ts';
import type { Value } from '../../src/layers/value-format.ts';
import { LayerFiles } from '../../src/timeline/layer-files.ts';
import { LayerMap } from '../../src/timeline/layer-map/layer-map.ts';
import { Timeline } from '../../src/timeline/timeline.ts';
import { blockKey, DIRECTORY, IDS, type MemoryDisk, noise } from './layers.ts';

export const EVERYTHING = { start: minimumKey(), end: maximumKey() };

/** An entry; its bytes tell it from all others. */
export interface ModelEntry {
  readonly block: number;
  readonly lsn: number;
  readonly kind: 'image' | 'init' | 'rec';
  readonly length: number;
}

export function modelEntries(
  lsns: { readonly min: number; readonly max: number },
  maxLength = 200,
): fc.Arbitrary<ModelEntry[]> {
  const entry = fc.record({
    block: fc.nat(12),
    lsn: fc.integer(lsns),
    kind: fc.constantFrom<ModelEntry['kind']>('image', 'init', 'rec'),
    length: fc.nat(maxLength),
  });
  const place = ({ block, lsn }: ModelEntry): string => `${block} ${lsn}`;
  return fc
    .uniqueArray(entry, { selector: place, minLength: 1, maxLength: 60 })
    .map((entries) => entries.sort(byPlace));
}

export function byPlace(one: ModelEntry, other: ModelEntry): number {
  return one.block - other.block || one.lsn - other.lsn;
}

export function bytesOf({ block, lsn, length }: ModelEntry): Uint8Array {
  return noise(length, block * 1009 + lsn);
}

export function modelValue(entry: ModelEntry): Value {
  const bytes = bytesOf(entry);
  if (entry.kind === 'image') return { type: 'image', bytes };
  return { type: 'wal', willInit: entry.kind === 'init', bytes };
}

export async function writeModelDelta(
  disk: MemoryDisk,
  entries: readonly ModelEntry[],
  lsnRange: LsnRange,
): Promise<DeltaLayerReader> {
  const { openFiles } = disk;
  const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange: EVERYTHING, lsnRange };
  await using writer = await DeltaLayerWriter.create(options);
  for (const entry of entries) {
    await writer.put(blockKey(entry.block), BigInt(entry.lsn), modelValue(entry));
  }
  const { path } = await writer.finish();
  return DeltaLayerReader.open(path, { openFiles });
}

export async function writeModelImages(
  disk: MemoryDisk,
  blocks: readonly number[],
  lsn: Lsn,
): Promise<ImageLayerReader> {
  const { openFiles } = disk;
  const keyRange = { start: blockKey(blocks[0] ?? 0), end: blockKey(1000) };
  const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange, lsn };
  await using writer = await ImageLayerWriter.create(options);
  for (const block of blocks) await writer.put(blockKey(block), imageOf(block));
  const { path } = await writer.finish();
  return ImageLayerReader.open(path, { openFiles });
}

/** A timeline of layers on the disk. */
export function timelineOn({ fileSystem }: MemoryDisk, names: readonly string[]): Timeline {
  const places = new Map(
    names.map((name) => {
      const path = `${DIRECTORY}/${name}`;
      return [name, { path, size: undefined, input: async () => fileSystem.contentOf(path) }];
    }),
  );
  const files = new LayerFiles(places, { readOptions: {}, tenantId: undefined, maximumIdle: 8 });
  const facts = {
    ...{ timelineId: undefined, tenantId: undefined, shard: undefined, ancestor: undefined },
    ...{ diskConsistentLsn: undefined, latestGcCutoffLsn: undefined, pgVersion: 17 },
    relationsMovedAt: undefined,
  };
  const openAncestor = () => Promise.reject(new Error('no ancestor'));
  const map = LayerMap.fromNames(names);
  return new Timeline({ facts, map, files, openAncestor, maximumBytes: 1 << 24 });
}

/** Compressible, for an image that is stored as a frame. */
export function imageOf(block: number): Uint8Array {
  return new Uint8Array(300 + block).fill(block);
}

/** All entries of a layer, one line each. */
export async function linesOf(reader: DeltaLayerReader | ImageLayerReader): Promise<string[]> {
  const lines: string[] = [];
  for await (const { key, lsn, willInit, bytes } of reader.entries()) {
    lines.push(lineOf(formatKey(key), lsn, willInit, bytes));
  }
  return lines;
}

export function lineOf(key: string, lsn: Lsn, willInit: boolean, bytes: Uint8Array): string {
  return `${key} ${formatLsn(lsn)} ${willInit} ${Buffer.from(bytes).toString('base64')}`;
}
