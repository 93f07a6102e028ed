/** Small layers on a disk in memory, and short ways to look at what readers return. */
import { basename } from 'node:path';
import { DeltaLayerWriter, type DeltaWriteOptions } from '../../src/layers/delta-layer/writer.ts';
import { ImageLayerWriter, type ImageWriteOptions } from '../../src/layers/image-layer/writer.ts';
import { formatKey, type Key, keyFromFields } from '../../src/layers/key.ts';
import type { FinishedLayer } from '../../src/layers/layer-file/layer-writer.ts';
import { formatLsn, type Lsn } from '../../src/layers/lsn.ts';
import { encodeValue, type Value, valueWillInit } from '../../src/layers/value-format.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import type { Compression } from '../../src/zstd/compression.ts';

export const IDS = {
  tenantId: '11223344556677889900aabbccddeeff',
  timelineId: 'ffeeddccbbaa00998877665544332211',
};

/** Where layers lie on a disk in memory. */
export const DIRECTORY = '/layers';

export const LSN_RANGE = { start: 0x1000n, end: 0x2000n };
export const IMAGE_LSN = 0x1800n;

export interface MemoryDisk {
  readonly fileSystem: MemoryFileSystem;
  readonly openFiles: OpenFiles;
}

export function memoryDisk(): MemoryDisk {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory(DIRECTORY);
  return { fileSystem, openFiles: new OpenFiles({ fileSystem }) };
}

/** Block `block` of one relation. */
export function blockKey(block: number): Key {
  return keyFromFields({
    field1: 0,
    field2: 1663,
    field3: 5,
    field4: 16384,
    field5: 0,
    field6: block,
  });
}

export const KEY_RANGE = { start: blockKey(0), end: blockKey(0x10_0000) };

export interface DeltaEntry {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly value: Value;
}

export interface ImageEntry {
  readonly key: Key;
  readonly image: Uint8Array;
}

export interface WrittenLayer {
  readonly finished: FinishedLayer;
  readonly bytes: Uint8Array;
}

export function deltaOptions(
  disk: MemoryDisk,
  options: Partial<DeltaWriteOptions> = {},
): DeltaWriteOptions {
  return {
    directory: DIRECTORY,
    ...IDS,
    keyRange: KEY_RANGE,
    lsnRange: LSN_RANGE,
    openFiles: disk.openFiles,
    ...options,
  };
}

export function imageOptions(
  disk: MemoryDisk,
  options: Partial<ImageWriteOptions> = {},
): ImageWriteOptions {
  return {
    directory: DIRECTORY,
    ...IDS,
    keyRange: KEY_RANGE,
    lsn: IMAGE_LSN,
    compression: { kind: 'none' },
    openFiles: disk.openFiles,
    ...options,
  };
}

export async function writeDelta(
  entries: readonly DeltaEntry[],
  options: Partial<DeltaWriteOptions> = {},
): Promise<WrittenLayer> {
  const disk = memoryDisk();
  await using writer = await DeltaLayerWriter.create(deltaOptions(disk, options));
  for (const { key, lsn, value } of entries) {
    await writer.putSerialized(key, lsn, encodeValue(value), valueWillInit(value));
  }
  const finished = await writer.finish();
  return { finished, bytes: disk.fileSystem.contentOf(finished.path) };
}

export async function writeImages(
  entries: readonly ImageEntry[],
  options: Partial<ImageWriteOptions> = {},
): Promise<WrittenLayer> {
  const disk = memoryDisk();
  await using writer = await ImageLayerWriter.create(imageOptions(disk, options));
  for (const { key, image } of entries) await writer.put(key, image);
  const finished = await writer.finish();
  return { finished, bytes: disk.fileSystem.contentOf(finished.path) };
}

/** The bytes under the name of a layer, on a disk of their own. */
export function diskWith(path: string, bytes: Uint8Array): MemoryDisk {
  const disk = memoryDisk();
  disk.fileSystem.createFile(path, bytes);
  return disk;
}

export async function drain<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Key and LSN as text, so that failures can be read and entries found in a model. */
export function entryName({ key, lsn }: { readonly key: Key; readonly lsn: Lsn }): string {
  return `${formatKey(key)}@${formatLsn(lsn)}`;
}

export function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('hex');
}

/** Names in the directory, without it. */
export function namesOn({ fileSystem }: MemoryDisk): string[] {
  return fileSystem.paths().map((path) => basename(path));
}

/** Bytes that do not compress, the same for the same seed. */
export function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed * 2 + 1) >>> 0;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export const COMPRESSIONS: readonly Compression[] = [
  { kind: 'none' },
  { kind: 'zstd', level: 1 },
  { kind: 'zstd', level: 3 },
  { kind: 'zstd', level: -5 },
  { kind: 'zstd', level: 22 },
];
