/** Small layers with one to three index levels, random damages of them, and what is intact after one. */
import fc from 'fast-check';
import { isStorageError } from '../../src/errors.ts';
import { formatKey, type Key } from '../../src/layers/key.ts';
import { formatLayerName } from '../../src/layers/layer-name.ts';
import { formatLsn } from '../../src/layers/lsn.ts';
import { encodeValue } from '../../src/layers/value-format.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { Decompressor } from '../../src/zstd/decompression.ts';
import { zstdBlob } from './blobs.ts';
import { BLOCK, deltaKey, layerBytes, nodeBlock, offsetsOf, shortBlob } from './hand-made.ts';
import { blockKey, hex, IMAGE_LSN, KEY_RANGE, LSN_RANGE, noise } from './layers.ts';

export type Kind = 'delta' | 'image';

/** In bytes of the file; the end is exclusive. */
type Extent = readonly [number, number];

export interface SampleEntry {
  /** `KEY@LSN HEX`. */
  readonly line: string;
  readonly blob: Extent;
  readonly leaf: Extent;
}

export interface SampleLayer {
  readonly kind: Kind;
  readonly name: string;
  readonly bytes: Buffer;
  readonly indexStart: number;
  readonly entries: readonly SampleEntry[];
}

/** An index of that many levels, with 3 children to a node and 5 to 9 entries to a leaf. */
export async function sampleLayer(kind: Kind, levels: number): Promise<SampleLayer> {
  const choose = seededChoices(levels + (kind === 'delta' ? 10 : 20));
  const leafSizes = Array.from({ length: 3 ** (levels - 1) }, () => 5 + choose(5));
  const count = leafSizes.reduce((sum, size) => sum + size, 0);
  const contents = Array.from({ length: count }, (_, index) => contentOf(kind, index, choose));
  const compressor = await loadCompressor(1);
  const blobs = contents.map((content, index) => {
    if (content.length < 128) return shortBlob(content);
    const isCompressed = kind === 'image' && index % 3 === 0;
    return isCompressed ? zstdBlob(compressor.compressSync(content)) : longBlob(content);
  });
  const offsets = offsetsOf(blobs);
  const keyOf = (index: number) =>
    kind === 'delta' ? deltaKey(blockKey(index >>> 1), lsnOf(kind, index)) : blockKey(index * 2);
  const blocks: Uint8Array[] = [];
  const leafOf: number[] = [];
  const usedOf: number[] = [];
  let nextEntry = 0;
  let nextLeaf = 0;
  const build = (level: number): { block: number; first: number } => {
    const first = nextEntry;
    if (level === 0) {
      const size = leafSizes[nextLeaf] ?? 0;
      nextLeaf += 1;
      const indexes = Array.from({ length: size }, () => nextEntry++);
      for (const index of indexes) leafOf[index] = blocks.length;
      const values = indexes.map((index) => {
        const offset = offsets[index] ?? 0;
        return kind === 'delta' ? offset * 2 + 1 : offset;
      });
      const prefixLength = choose(2) * 12;
      const keys = indexes.map(keyOf);
      const suffix = (keys[0]?.length ?? 0) - prefixLength;
      usedOf[blocks.length] = 5 + prefixLength + size * (suffix + 5);
      blocks.push(nodeBlock({ keys, prefixLength, values }));
      return { block: blocks.length - 1, first };
    }
    const children = [0, 1, 2].map(() => build(level - 1));
    const keys = children.map((child) => keyOf(child.first));
    blocks.push(nodeBlock({ level, keys, children: children.map(({ block }) => block) }));
    return { block: blocks.length - 1, first };
  };
  build(levels - 1);
  const bytes = layerBytes({ kind, blobs, blocks });
  const indexStart = bytes.length - blocks.length * BLOCK;
  const entries = contents.map((content, index): SampleEntry => {
    const offset = offsets[index] ?? 0;
    const block = leafOf[index] ?? 0;
    const leafAt = indexStart + block * BLOCK;
    const key = kind === 'delta' ? blockKey(index >>> 1) : blockKey(index * 2);
    return {
      line: lineOf(key, lsnOf(kind, index), content),
      blob: [offset, offset + (blobs[index]?.length ?? 0)],
      leaf: [leafAt, leafAt + (usedOf[block] ?? 0)],
    };
  });
  const name =
    kind === 'delta'
      ? formatLayerName({ kind, keyRange: KEY_RANGE, lsnRange: LSN_RANGE })
      : formatLayerName({ kind, keyRange: KEY_RANGE, lsn: IMAGE_LSN });
  return { kind, name, bytes, indexStart, entries };
}

export function lineOf(key: Key, lsn: bigint, content: Uint8Array): string {
  return `${formatKey(key)}@${formatLsn(lsn)} ${hex(content)}`;
}

function lsnOf(kind: Kind, index: number): bigint {
  return kind === 'delta' ? LSN_RANGE.start + BigInt(index) : IMAGE_LSN;
}

function contentOf(kind: Kind, index: number, choose: (n: number) => number): Uint8Array {
  const length = [40, 100, 127, 128, 300, 900, 9000][choose(7)] ?? 0;
  const half = noise(length / 2, index);
  // Compressible by half.
  const bytes = new Uint8Array(Buffer.concat([half, half]));
  return kind === 'delta' ? encodeValue({ type: 'image', bytes }) : bytes;
}

function longBlob(content: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(0x8000_0000 + content.length);
  return Buffer.concat([header, content]);
}

/** A damage; places are fractions of a part, of 2^16. */
export type Damage =
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'zeroed-block'; readonly at: number }
  | { readonly kind: 'zeros'; readonly at: number; readonly length: number }
  | { readonly kind: 'flip'; readonly part: Part; readonly at: number; readonly bits: number }
  | { readonly kind: 'swap'; readonly one: number; readonly other: number };

type Part = 'summary' | 'values' | 'index';

const place = fc.nat(0xffff);

/** One to three damages. */
export function damages(): fc.Arbitrary<Damage[]> {
  const flip = fc.record({
    kind: fc.constant('flip' as const),
    part: fc.constantFrom<Part>('summary', 'values', 'index', 'index'),
    at: place,
    bits: fc.integer({ min: 1, max: 255 }),
  });
  const damage = fc.oneof(
    fc.record({ kind: fc.constant('cut' as const), at: place }),
    fc.record({ kind: fc.constant('zeroed-block' as const), at: place }),
    fc.record({
      kind: fc.constant('zeros' as const),
      at: place,
      length: fc.integer({ min: 1, max: 600 }),
    }),
    { arbitrary: flip, weight: 3 },
    fc.record({ kind: fc.constant('swap' as const), one: place, other: place }),
  );
  return fc.array(damage, { minLength: 1, maxLength: 3 });
}

export function damaged({ bytes, indexStart }: SampleLayer, list: readonly Damage[]): Buffer {
  let result = Buffer.from(bytes);
  const blockCount = bytes.length / BLOCK;
  const blockAt = (at: number) => Math.floor((at * blockCount) / 0x1_0000) * BLOCK;
  for (const damage of list) {
    switch (damage.kind) {
      case 'cut':
        result = result.subarray(0, Math.floor((damage.at * bytes.length) / 0x1_0000));
        break;
      case 'zeroed-block':
        zero(result, blockAt(damage.at), BLOCK);
        break;
      case 'zeros': {
        const start = Math.floor((damage.at * bytes.length) / 0x1_0000);
        zero(result, start, damage.length);
        break;
      }
      case 'flip': {
        const [start, end] = {
          summary: [0, 96],
          values: [BLOCK, indexStart],
          // Half of a block is more than a small node uses.
          index: [indexStart, bytes.length],
        }[damage.part] as [number, number];
        let at = start + Math.floor((damage.at * (end - start)) / 0x1_0000);
        if (damage.part === 'index') at = at - (at % BLOCK) + (at % 300);
        if (at < result.length) result[at] = (result[at] ?? 0) ^ damage.bits;
        break;
      }
      case 'swap': {
        const [one, other] = [blockAt(damage.one), blockAt(damage.other)];
        if (Math.max(one, other) + BLOCK > result.length) break;
        const first = Buffer.from(result.subarray(one, one + BLOCK));
        result.copy(result, one, other, other + BLOCK);
        first.copy(result, other);
        break;
      }
    }
  }
  return result;
}

function zero(bytes: Buffer, start: number, length: number): void {
  if (start < bytes.length) bytes.fill(0, start, Math.min(bytes.length, start + length));
}

/** The entries whose leaf and blob are as they were. */
export function intactEntries(layer: SampleLayer, bytes: Buffer): SampleEntry[] {
  const isIntact = ([start, end]: Extent) =>
    end <= bytes.length && layer.bytes.subarray(start, end).equals(bytes.subarray(start, end));
  return layer.entries.filter(({ blob, leaf }) => isIntact(blob) && isIntact(leaf));
}

/** A line for each entry that any block of the file has, as a leaf, with what lies at its offset. */
export async function linesInFile(
  kind: Kind,
  bytes: Buffer,
  imageLsn: bigint,
): Promise<Set<string>> {
  const lines = new Set<string>();
  const decompressor = await Decompressor.load();
  const keySize = kind === 'delta' ? 26 : 18;
  for (let at = BLOCK; at < bytes.length; at += BLOCK) {
    const block = Buffer.alloc(BLOCK);
    bytes.copy(block, 0, at);
    const count = block.readUInt16BE(0);
    const [prefix, suffix] = [block[3] ?? 0, block[4] ?? 0];
    if (block[2] !== 0 || prefix + suffix !== keySize) continue;
    if (5 + prefix + count * (suffix + 5) > BLOCK) continue;
    for (let index = 0; index < count; index += 1) {
      const from = 5 + prefix + index * suffix;
      const key = Buffer.concat([
        block.subarray(5, 5 + prefix),
        block.subarray(from, from + suffix),
      ]);
      const value = block.readUIntBE(5 + prefix + count * suffix + index * 5, 5);
      const content = contentAt(
        bytes,
        kind === 'delta' ? Math.floor(value / 2) : value,
        decompressor,
      );
      if (content === undefined) continue;
      const lsn = kind === 'delta' ? key.readBigUInt64BE(18) : imageLsn;
      lines.add(lineOf(key.subarray(0, 18), lsn, content));
    }
  }
  return lines;
}

function contentAt(bytes: Buffer, offset: number, decompressor: Decompressor): Buffer | undefined {
  const first = bytes[offset];
  if (first === undefined || first >= 0xa0 || offset + 4 > bytes.length) return undefined;
  const size = first < 0x80 ? 1 : 4;
  const length = first < 0x80 ? first : bytes.readUInt32BE(offset) & 0x0fff_ffff;
  const payload = bytes.subarray(offset + size, offset + size + length);
  if (payload.length < length) return undefined;
  if (first < 0x90) return payload;
  try {
    const limits = { maximumLength: 1 << 24, maximumWindowSize: 1 << 23 };
    return Buffer.from(decompressor.decompress(payload, limits));
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
}
