/** Layers of at most 64 KiB that cost as much as layers can, and valid ones to read before them. */

import { encodeValue } from '../../src/layers/value-format.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { deltaKey, layerBytes, nodeBlock, offsetsOf, shortBlob } from '../support/hand-made.ts';
import { blockKey, LSN_RANGE, noise } from '../support/layers.ts';
import { encodeFrame } from '../support/zstd-frames.ts';
import { fuzzInput } from './fuzzing.ts';
import { frameBlob } from './seeds.ts';

export type CostlyKind =
  | 'layer'
  | 'document'
  | 'tenant-config'
  | 'metadata'
  | 'control-file'
  | 'build-input';

export interface CostlyFile {
  readonly name: string;
  readonly bytes: Buffer;
}

export const MAXIMUM_SIZE = 64 * 1024;
const MIB = 1024 * 1024;

export async function hostileLayers(): Promise<CostlyFile[]> {
  const zstd = await loadCompressor(19);
  const compressed = async (content: Uint8Array) => frameBlob(await zstd.compress(content));
  const rle = (blocks: number) =>
    frameBlob(
      encodeFrame({
        blocks: Array.from(
          { length: blocks },
          () => ({ kind: 'repeated', byte: 0, length: 131_072 }) as const,
        ),
      }),
    );
  const members = encodeValue({
    type: 'multixact_members_create',
    multixactOffset: 1,
    members: Array.from({ length: 131_000 }, () => ({ xid: 1, status: 2 })),
  });
  const path = encodeValue({ type: 'aux_file', path: 'a'.repeat(1_000_000), content: null });
  return [
    file('1 MiB of one byte in 46 bytes', 'image', rle(8)),
    file('128 KiB of one byte in 14 bytes', 'image', rle(1)),
    file('1 MiB of zeros as a compressor does it', 'image', await compressed(new Uint8Array(MIB))),
    file('more than the limit', 'image', rle(9)),
    file('a window of 8 MiB, in pieces', 'image', await manyBlocks(60)),
    file(
      'half a MiB of noise with itself',
      'image',
      await compressed(Buffer.concat([noise(9000, 1), Buffer.alloc(500_000, noise(9000, 1))])),
    ),
    file('a list of 131,000 members', 'delta', await compressed(members)),
    file('a path of 1 MB', 'delta', await compressed(path)),
    file('no value at all', 'delta', await compressed(new Uint8Array(MIB))),
    sharedOffset(),
    equalKeys(),
    sharedChildren(),
    ...Array.from({ length: 16 }, (_, seed) => ({
      name: `mutation ${seed}`,
      bytes: fuzzInput(seed).subarray(0, MAXIMUM_SIZE),
    })),
  ];
}

/** Two of them return as much as a scan may. */
export async function validLayers(): Promise<CostlyFile[]> {
  const zstd = await loadCompressor(1);
  const page = Buffer.concat([noise(300, 1), Buffer.alloc(7892, 7)]);
  const pageBlob = frameBlob(await zstd.compress(page));
  const value = shortBlob(encodeValue({ type: 'wal', willInit: false, bytes: noise(40, 1) }));
  const plain = Buffer.concat([Buffer.from([0x80, 0, 0x20, 0]), noise(8192, 1)]);
  const zeros = frameBlob(await zstd.compress(new Uint8Array(8192)));
  const large = frameBlob(await zstd.compress(new Uint8Array(MIB)));
  const list = encodeValue({
    type: 'clog_set_aborted',
    xids: Array.from({ length: 262_000 }, () => 1),
  });
  return [
    file('large pages', 'image', large, 38),
    file('large lists', 'delta', frameBlob(await zstd.compress(list)), 38),
    file('pages of zeros', 'image', zeros),
    file('pages', 'image', pageBlob),
    file('records', 'delta', value),
    file('plain pages', 'image', plain),
  ];
}

/** A layer with as many copies of the blob as fit. */
function file(
  name: string,
  kind: 'delta' | 'image',
  blob: Uint8Array,
  maximumCount = 4000,
): CostlyFile {
  const keySize = kind === 'delta' ? 26 : 18;
  const prefixLength = keySize - 4;
  const keyOf = (index: number) =>
    kind === 'delta' ? deltaKey(blockKey(0), LSN_RANGE.start + BigInt(index)) : blockKey(index);
  const perLeaf = Math.floor((8192 - 5 - prefixLength) / 9);
  for (
    let count = Math.min(maximumCount, Math.floor(MAXIMUM_SIZE / blob.length));
    ;
    count -= 1 + (count >> 6)
  ) {
    const leaves = Math.ceil(count / perLeaf);
    const size =
      8192 * (1 + Math.ceil((count * blob.length) / 8192) + leaves + (leaves > 1 ? 1 : 0));
    if (size > MAXIMUM_SIZE) continue;
    const blobs = Array.from({ length: count }, () => blob);
    const offsets = offsetsOf(blobs);
    const blocks = Array.from({ length: leaves }, (_, leaf) => {
      const from = leaf * perLeaf;
      const indexes = offsets.map((_, index) => index).slice(from, from + perLeaf);
      const values = indexes.map((index) => (offsets[index] ?? 0) * (kind === 'delta' ? 2 : 1));
      return nodeBlock({ keys: indexes.map(keyOf), values, prefixLength });
    });
    if (leaves > 1) {
      const keys = blocks.map((_, leaf) => keyOf(leaf * perLeaf));
      blocks.push(
        nodeBlock({ level: 1, keys, children: blocks.map((_, leaf) => leaf), prefixLength }),
      );
    }
    return { name, bytes: layerBytes({ kind, blobs, blocks }) };
  }
}

/** Blocks that may expand to 128 KiB each, but do not: the frame must be decompressed in pieces. */
async function manyBlocks(count: number): Promise<Uint8Array> {
  const frame = await (await loadCompressor(1)).compress(
    Buffer.alloc(4000, 'all work and no play '),
  );
  // Behind the header of 6 bytes is one block with its header.
  const block = frame.subarray(6 + 3);
  const blocks = Array.from(
    { length: count },
    () => ({ kind: 'compressed', bytes: block }) as const,
  );
  return frameBlob(encodeFrame({ blocks, window: 13 << 3 }));
}

function sharedOffset(): CostlyFile {
  const blob = Buffer.concat([Buffer.from([0x80, 0x00, 0x7f, 0x00]), noise(0x7f00, 1)]);
  const keys = Array.from({ length: 900 }, (_, index) => blockKey(index));
  const leaf = nodeBlock({ keys, values: keys.map(() => 8192), prefixLength: 14 });
  return {
    name: 'one blob for 900 entries',
    bytes: layerBytes({ kind: 'image', blobs: [blob], blocks: [leaf] }),
  };
}

function equalKeys(): CostlyFile {
  const blobs = Array.from({ length: 1300 }, () => shortBlob(new Uint8Array(1)));
  const values = offsetsOf(blobs);
  const leaf = nodeBlock({ keys: values.map(() => blockKey(1)), values, prefixLength: 17 });
  const root = nodeBlock({
    level: 1,
    keys: [1, 2, 3, 4].map(blockKey),
    children: [0, 1, 2, 3],
    prefixLength: 14,
  });
  const blocks = [leaf, leaf, leaf, leaf, root];
  return { name: 'thousands of equal keys', bytes: layerBytes({ kind: 'image', blobs, blocks }) };
}

function sharedChildren(): CostlyFile {
  const keys = Array.from({ length: 900 }, (_, index) => blockKey(index));
  const blobs = [shortBlob(new Uint8Array(1))];
  const leaf = nodeBlock({ keys: keys.slice(0, 1), values: offsetsOf(blobs), prefixLength: 14 });
  const inner = (level: number) =>
    nodeBlock({ level, keys, children: keys.map(() => level - 1), prefixLength: 14 });
  const blocks = [leaf, ...[1, 2, 3, 4, 5].map(inner)];
  return {
    name: 'one child for 900 entries, five levels',
    bytes: layerBytes({ kind: 'image', blobs, blocks }),
  };
}
