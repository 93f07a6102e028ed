/**
 * Mutations of layers: of bytes, which know nothing, and of the structure, which know where counts,
 * levels, lengths and pointers are, so that what lies after the first check is reached, too.
 */
import { BLOCK } from '../support/hand-made.ts';
import { type ReferenceNode, referenceNode } from '../support/reference-reader.ts';
import { encodeFrame, type TestBlock } from '../support/zstd-frames.ts';
import { frameBlob, type Seed } from './seeds.ts';

/** An integer from 0 to n - 1. */
export type Choose = (n: number) => number;

/** One to four mutations of a seed; a fresh array. */
export function mutateLayer(seeds: readonly Seed[], choose: Choose): Buffer {
  const seed = pick(seeds, choose);
  let bytes: Buffer = Buffer.from(seed.bytes);
  for (let count = 1 + choose(4); count > 0 && bytes.length > 0; count -= 1) {
    bytes = pick(
      choose(4) === 0 ? BYTE_MUTATIONS : STRUCTURE_MUTATIONS,
      choose,
    )({
      bytes,
      seed,
      seeds,
      choose,
    });
  }
  return bytes;
}

interface Mutation {
  readonly bytes: Buffer;
  readonly seed: Seed;
  readonly seeds: readonly Seed[];
  readonly choose: Choose;
}

type Mutate = (mutation: Mutation) => Buffer;

/** One to four mutations of any bytes; a fresh array. */
export function mutateBytes(bytes: Uint8Array, choose: Choose): Buffer {
  const seed = {
    name: '',
    kind: 'delta',
    bytes: Buffer.from(bytes),
    indexStartBlock: 0,
    indexBlocks: 0,
    blobs: [],
  } as const;
  let mutated: Buffer = Buffer.from(bytes);
  for (let count = 1 + choose(4); count > 0 && mutated.length > 0; count -= 1) {
    mutated = pick(BYTE_MUTATIONS, choose)({ bytes: mutated, seed, seeds: [seed], choose });
  }
  return mutated;
}

const BYTE_MUTATIONS: readonly Mutate[] = [
  ({ bytes, choose }) => {
    const at = choose(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << choose(8));
    return bytes;
  },
  ({ bytes, choose }) => {
    bytes[choose(bytes.length)] = pick([0, 1, 0x7f, 0x80, 0xff, choose(256)], choose);
    return bytes;
  },
  ({ bytes, choose }) => {
    const from = choose(bytes.length);
    const length = 1 + choose(32);
    bytes.copy(bytes, choose(bytes.length), from, from + length);
    return bytes;
  },
  ({ bytes, choose }) => {
    const from = choose(bytes.length);
    bytes.fill(pick([0, 0xff], choose), from, Math.min(from + 1 + choose(16), bytes.length));
    return bytes;
  },
  ({ bytes, choose }) => Buffer.from(bytes.subarray(0, 1 + choose(bytes.length))),
  ({ bytes, choose }) => {
    const at = choose(bytes.length);
    const inserted = Buffer.alloc(1 + choose(8), choose(256));
    return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
  },
  ({ bytes, choose }) => {
    const at = choose(bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + choose(8))]);
  },
];

const STRUCTURE_MUTATIONS: readonly Mutate[] = [
  changeSummary,
  changeSummary,
  changeNodeHeader,
  changeNodeHeader,
  changeKey,
  changeKey,
  changePointer,
  changePointer,
  swapEntries,
  changeBlobHeader,
  changeBlobHeader,
  replaceBlob,
  changeBlock,
  resize,
];

function changeSummary({ bytes, seed, choose }: Mutation): Buffer {
  if (bytes.length < BLOCK) return bytes;
  const startAt = seed.kind === 'delta' ? 88 : 80;
  switch (choose(6)) {
    case 0:
      bytes.writeUInt32BE(interesting(seed.indexStartBlock, choose), startAt);
      break;
    case 1:
      bytes.writeUInt32BE(interesting(seed.indexBlocks - 1, choose), startAt + 4);
      break;
    case 2:
      bytes.copy(bytes, 36 + 18 * choose(2), 36 + 18 * choose(2), 54);
      break;
    case 3: {
      const at = 36 + choose(36);
      bytes[at] = ((bytes[at] ?? 0) + pick([1, 255], choose)) & 0xff;
      break;
    }
    case 4: {
      const at = 72 + 8 * choose(2);
      bytes.writeBigUInt64BE(
        BigInt.asUintN(
          64,
          bytes.readBigUInt64BE(at) + pick([1n, -1n, 1n << 40n, -(1n << 63n)], choose),
        ),
        at,
      );
      break;
    }
    default:
      bytes.writeUInt16BE(pick([0x5a60, 0x5a61, 0x5a62, 0], choose), 0);
  }
  return bytes;
}

/** A node of the seed as the bytes have it now; undefined if earlier mutations made it unreadable. */
function pickNode({ bytes, seed, choose }: Mutation): ReferenceNode | undefined {
  return referenceNode(bytes, (seed.indexStartBlock + choose(seed.indexBlocks)) * BLOCK);
}

function changeNodeHeader(mutation: Mutation): Buffer {
  const { bytes, choose } = mutation;
  const node = pickNode(mutation);
  if (node === undefined) return bytes;
  const { at, count, level, prefixLength, suffixLength } = node;
  switch (choose(5)) {
    case 0:
      bytes.writeUInt16BE(pick([0, 1, count - 1, count + 1, 2 * count, 1366, 0xffff], choose), at);
      break;
    case 1:
      bytes[at + 2] = pick([0, 1, 2, level + 1, level - 1, 255], choose);
      break;
    case 2:
      // Prefix and suffix still add up.
      bytes[at + 3] = prefixLength + 1;
      bytes[at + 4] = suffixLength - 1;
      break;
    case 3:
      bytes[at + 3] = prefixLength - 1;
      bytes[at + 4] = suffixLength + 1;
      break;
    default:
      bytes[at + 3 + choose(2)] = pick([0, 17, 18, 26, 255, choose(256)], choose);
  }
  return bytes;
}

function changeKey(mutation: Mutation): Buffer {
  const { bytes, choose } = mutation;
  const node = pickNode(mutation);
  if (node === undefined || node.suffixLength === 0) return bytes;
  const { count, suffixesAt, suffixLength } = node;
  const keyAt = suffixesAt + choose(count) * suffixLength;
  if (choose(2) === 0) {
    const fromAt = suffixesAt + choose(count) * suffixLength;
    bytes.copy(bytes, keyAt, fromAt, fromAt + suffixLength);
  } else {
    const at = keyAt + choose(suffixLength);
    bytes[at] = ((bytes[at] ?? 0) + pick([1, 255, 128], choose)) & 0xff;
  }
  return bytes;
}

function changePointer(mutation: Mutation): Buffer {
  const { bytes, seed, choose } = mutation;
  const node = pickNode(mutation);
  if (node === undefined) return bytes;
  const at = node.valuesAt + 5 * choose(node.count);
  const scale = seed.kind === 'delta' ? 2 : 1;
  if (node.level > 0) {
    const self = node.at / BLOCK - seed.indexStartBlock;
    bytes.writeUInt32BE(
      pick([choose(seed.indexBlocks), self, self + 1, 0xffff_ffff], choose),
      at + 1,
    );
    if (choose(8) === 0) bytes[at] = choose(256);
    return bytes;
  }
  const region = seed.indexStartBlock * BLOCK;
  const offset = pick(
    [
      pick(seed.blobs, choose),
      pick(seed.blobs, choose) + choose(5),
      0,
      BLOCK - 1,
      BLOCK,
      region - 1,
      region,
      choose(region),
      0x3f_ffff_ffff,
    ],
    choose,
  );
  bytes.writeUIntBE(Math.min(offset * scale + choose(scale), 0xff_ffff_ffff), at, 5);
  return bytes;
}

function swapEntries(mutation: Mutation): Buffer {
  const { bytes, choose } = mutation;
  const node = pickNode(mutation);
  if (node === undefined) return bytes;
  const [stride, base] = pick(
    [
      [node.suffixLength, node.suffixesAt],
      [5, node.valuesAt],
    ] as const,
    choose,
  );
  const left = base + choose(node.count) * stride;
  const right = base + choose(node.count) * stride;
  const kept = Buffer.from(bytes.subarray(left, left + stride));
  bytes.copy(bytes, left, right, right + stride);
  kept.copy(bytes, right);
  return bytes;
}

function changeBlobHeader({ bytes, seed, choose }: Mutation): Buffer {
  const at = pick(seed.blobs, choose);
  if (at + 4 > bytes.length) return bytes;
  switch (choose(4)) {
    case 0:
      bytes[at] = choose(128);
      break;
    case 1:
      bytes[at] = (bytes[at] ?? 0) ^ pick([0x80, 0x10, 0x20, 0x40, 0x01], choose);
      break;
    case 2:
      bytes.writeUInt32BE(
        (0x8000_0000 + interesting(bytes.readUInt32BE(at) & 0xfff_ffff, choose)) >>> 0,
        at,
      );
      break;
    default:
      bytes.writeUInt32BE(
        pick([0x8fff_ffff, 0x9fff_ffff, 0x8000_0000, 0x9000_0000, 0xf000_0001], choose),
        at,
      );
  }
  return bytes;
}

/** Puts a frame made by hand over what was there. */
function replaceBlob({ bytes, seed, choose }: Mutation): Buffer {
  const at = pick(seed.blobs, choose);
  const blocks: TestBlock[] = Array.from({ length: 1 + choose(12) }, () =>
    choose(3) > 0
      ? {
          kind: 'repeated',
          byte: choose(256),
          length: pick([0, 1, 100, 131_072, choose(131_073)], choose),
        }
      : {
          kind: pick(['raw', 'compressed', 'reserved'] as const, choose),
          bytes: Buffer.alloc(choose(20), choose(256)),
        },
  );
  const value = pick([0n, 1n, 255n, 256n, 1n << 20n, (1n << 63n) + 1n], choose);
  const size = pick([1, 2, 4, 8] as const, choose);
  const hasRaw = blocks.some(({ kind }) => kind === 'compressed' || kind === 'reserved');
  const frame = encodeFrame({
    blocks,
    window: choose(4) === 0 ? choose(256) : 0x58,
    contentSize: choose(4) === 0 ? { size, value } : undefined,
    checksum: choose(4) === 0 && !hasRaw ? pick(['right', 'wrong'] as const, choose) : undefined,
  });
  if (choose(4) === 0 && frame.length > 0) frame[choose(frame.length)] = choose(256);
  Buffer.from(frameBlob(frame)).copy(bytes, at);
  return bytes;
}

/** Copies, swaps, removes, or takes a block from another file. */
function changeBlock({ bytes, seeds, choose }: Mutation): Buffer {
  const count = Math.floor(bytes.length / BLOCK);
  if (count === 0) return bytes;
  const target = choose(count) * BLOCK;
  switch (choose(4)) {
    case 0: {
      const source = choose(count) * BLOCK;
      bytes.copy(bytes, target, source, source + BLOCK);
      return bytes;
    }
    case 1:
      return Buffer.concat([bytes.subarray(0, target), bytes.subarray(target + BLOCK)]);
    case 2:
      return Buffer.concat([
        bytes.subarray(0, target),
        bytes.subarray(target, target + BLOCK),
        bytes.subarray(target),
      ]);
    default: {
      const other = pick(seeds, choose).bytes;
      const source = choose(Math.floor(other.length / BLOCK)) * BLOCK;
      other.copy(bytes, target, source, source + BLOCK);
      return bytes;
    }
  }
}

function resize({ bytes, choose }: Mutation): Buffer {
  const border = choose(Math.floor(bytes.length / BLOCK) + 1) * BLOCK;
  const length = Math.max(0, border + pick([-1, 0, 1, choose(BLOCK)], choose));
  const resized = Buffer.alloc(length, pick([0, 0xff], choose));
  bytes.copy(resized);
  return resized;
}

function interesting(value: number, choose: Choose): number {
  const near = [value, value - 1, value + 1, value * 2, 0, 1, 2, 0x7fff_ffff, 0xffff_ffff, 1 << 28];
  return pick(near, choose) >>> 0;
}

function pick<T>(from: readonly T[], choose: Choose): T {
  return from[choose(from.length)] as T;
}
