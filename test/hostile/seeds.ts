/** Small valid layers that mutations start from. */
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { encodeValue, type Value, valueWillInit } from '../../src/layers/value-format.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { deltaKey, layerBytes, nodeBlock, offsetsOf } from '../support/hand-made.ts';
import { blockKey, LSN_RANGE, noise, writeDelta, writeImages } from '../support/layers.ts';
import { encodeFrame } from '../support/zstd-frames.ts';

/** A layer with what a structure-aware mutation must know of it. */
export interface Seed {
  readonly name: string;
  readonly kind: 'delta' | 'image';
  readonly bytes: Buffer;
  readonly indexStartBlock: number;
  readonly indexBlocks: number;
  /** Offsets of the blobs, ascending. */
  readonly blobs: readonly number[];
}

const VALUES: readonly Value[] = [
  { type: 'image', bytes: noise(40, 1) },
  { type: 'wal', willInit: false, bytes: noise(30, 2) },
  { type: 'wal', willInit: true, bytes: noise(200, 3) },
  { type: 'clear_vm', newHeapBlock: 7, oldHeapBlock: null, flags: 3 },
  { type: 'clog_set_committed', xids: [3, 4, 5], timestamp: 9n },
  { type: 'clog_set_aborted', xids: [6] },
  { type: 'multixact_offset_create', multixactId: 1, multixactOffset: 2 },
  { type: 'multixact_members_create', multixactOffset: 3, members: [{ xid: 8, status: 1 }] },
  { type: 'aux_file', path: 'pg_logical/\u00e4', content: noise(12, 4) },
  { type: 'truncate_vm', truncByte: 1n, truncOffset: 2n },
];

/**
 * Four blocks: summary, values, a leaf, and a root above it, so that there are two levels. Of an
 * image layer: one image in a zstd frame, one plain with a long header, the others short.
 */
export async function exhaustiveSeed(kind: 'delta' | 'image'): Promise<Seed> {
  const blobs =
    kind === 'delta'
      ? VALUES.slice(0, 6).map((value) => blobOf(encodeValue(value)))
      : [
          blobOf(noise(20, 5)),
          blobOf(noise(150, 6)),
          await zstdBlob(1),
          rleBlob(300),
          blobOf(noise(0, 7)),
        ];
  const keys = blobs.map((_, index) =>
    kind === 'delta'
      ? deltaKey(blockKey(index >> 1), LSN_RANGE.start + BigInt(index))
      : blockKey(index),
  );
  const values = offsetsOf(blobs).map((offset, index) =>
    kind === 'delta' ? offset * 2 + willInit(index) : offset,
  );
  const prefixLength = kind === 'delta' ? 17 : 17;
  const leaf = nodeBlock({ keys, values, prefixLength });
  const root = nodeBlock({ level: 1, keys: keys.slice(0, 1), children: [0], prefixLength: 0 });
  return seedOf(`exhaustive-${kind}`, layerBytes({ kind, blobs, blocks: [leaf, root] }));
}

function willInit(index: number): number {
  const value = VALUES[index];
  return value !== undefined && valueWillInit(value) ? 1 : 0;
}

/** Layers of one to three levels, of every sort of value and blob. */
export async function fuzzSeeds(): Promise<Seed[]> {
  const frames = [await zstdBlob(1), await zstdBlob(22), rleBlob(5000)];
  return [
    await exhaustiveSeed('delta'),
    await exhaustiveSeed('image'),
    await writtenDelta(),
    await writtenImages(),
    threeLevels('image', frames),
    threeLevels(
      'delta',
      VALUES.map((value) => blobOf(encodeValue(value))),
    ),
  ].reduce<Promise<Seed[]>>(async (all, seed) => [...(await all), await seed], Promise.resolve([]));
}

/** Two versions of each of a few keys, one value of each type. */
async function writtenDelta(): Promise<Seed> {
  const entries = VALUES.map((value, index) => ({
    key: blockKey(index >> 1),
    lsn: LSN_RANGE.start + BigInt(index),
    value,
  }));
  return seedOf('written-delta', (await writeDelta(entries)).bytes);
}

async function writtenImages(): Promise<Seed> {
  const entries = Array.from({ length: 12 }, (_, index) => ({
    key: blockKey(index * 3),
    image: index % 3 === 0 ? noise(100 + index, index) : new Uint8Array(500 + index).fill(index),
  }));
  const compression = { kind: 'zstd', level: 1 } as const;
  return seedOf('written-images', (await writeImages(entries, { compression })).bytes);
}

/** Two entries a leaf, two children a node. */
async function threeLevels(
  kind: 'delta' | 'image',
  contents: readonly Uint8Array[],
): Promise<Seed> {
  const blobs = Array.from(
    { length: 8 },
    (_, index) => contents[index % contents.length] ?? new Uint8Array(1),
  );
  const keyOf = (index: number) =>
    kind === 'delta' ? deltaKey(blockKey(index), LSN_RANGE.start + 1n) : blockKey(index * 300);
  const values = offsetsOf(blobs).map((offset) => (kind === 'delta' ? offset * 2 : offset));
  const leaf = (from: number) =>
    nodeBlock({ keys: [keyOf(from), keyOf(from + 1)], values: values.slice(from, from + 2) });
  const inner = (level: number, keys: number[], children: number[]) =>
    nodeBlock({ level, keys: keys.map(keyOf), children, prefixLength: 10 });
  const blocks = [
    leaf(0),
    leaf(2),
    inner(1, [0, 2], [0, 1]),
    leaf(4),
    leaf(6),
    inner(1, [4, 6], [3, 4]),
    inner(2, [0, 4], [2, 5]),
  ];
  return seedOf(`three-levels-${kind}`, layerBytes({ kind, blobs, blocks }));
}

async function seedOf(name: string, bytes: Uint8Array): Promise<Seed> {
  await using reader = await openLayer(bytesSource(bytes));
  const { kind, indexStartBlock, indexRootBlock } = reader.summary;
  const blobs: number[] = [];
  for await (const { offset } of reader.keys()) blobs.push(offset);
  const indexBlocks = indexRootBlock + 1;
  return { name, kind, bytes: Buffer.from(bytes), indexStartBlock, indexBlocks, blobs };
}

function blobOf(content: Uint8Array): Uint8Array {
  return content.length < 128
    ? Buffer.concat([Uint8Array.of(content.length), content])
    : Buffer.concat([longHeader(0x80, content.length), content]);
}

async function zstdBlob(level: number): Promise<Uint8Array> {
  const content = Buffer.concat([noise(60, 8), Buffer.alloc(200, 3), noise(60, 8)]);
  return frameBlob(await (await loadCompressor(level)).compress(content));
}

function rleBlob(length: number): Uint8Array {
  return frameBlob(
    encodeFrame({ blocks: [{ kind: 'repeated', byte: 7, length }], checksum: 'right' }),
  );
}

/** A zstd blob around any bytes. */
export function frameBlob(frame: Uint8Array): Uint8Array {
  return Buffer.concat([longHeader(0x90, frame.length), frame]);
}

function longHeader(flags: number, length: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(length);
  header[0] = flags | (length >>> 24);
  return header;
}
