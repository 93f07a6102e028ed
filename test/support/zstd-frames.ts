/** zstd frames, put together by hand from blocks that need no compressor. */

export type TestBlock =
  | { readonly kind: 'raw'; readonly bytes: Uint8Array }
  | { readonly kind: 'repeated'; readonly byte: number; readonly length: number }
  /** As a compressor wrote it; what it expands to is not checked here. */
  | { readonly kind: 'compressed'; readonly bytes: Uint8Array }
  | { readonly kind: 'reserved'; readonly bytes: Uint8Array };

export interface TestFrame {
  readonly blocks: readonly TestBlock[];
  /** Window descriptor; a single segment has none. Default: 8 MiB. */
  readonly window?: number | undefined;
  /** The field of that many bytes: 1 and more make it a single segment unless a window is given. */
  readonly contentSize?: { readonly size: 1 | 2 | 4 | 8; readonly value: bigint } | undefined;
  readonly dictionary?: Uint8Array | undefined;
  /** Of the content; `wrong` is off by one bit. */
  readonly checksum?: 'right' | 'wrong' | undefined;
  readonly reservedBit?: boolean | undefined;
}

const KIND_BITS = { raw: 0, repeated: 1, compressed: 2, reserved: 3 } as const;

export function encodeFrame(frame: TestFrame): Buffer {
  const { contentSize, checksum, window } = frame;
  const dictionary = frame.dictionary ?? new Uint8Array(0);
  const isSingleSegment = contentSize !== undefined && window === undefined;
  const sizeFlag = contentSize === undefined ? 0 : { 1: 0, 2: 1, 4: 2, 8: 3 }[contentSize.size];
  const descriptor =
    (sizeFlag << 6) |
    (isSingleSegment ? 0x20 : 0) |
    (frame.reservedBit ? 0x08 : 0) |
    (checksum === undefined ? 0 : 0x04) |
    [0, 1, 2, 4].indexOf(dictionary.length);
  const parts: Buffer[] = [Buffer.of(0x28, 0xb5, 0x2f, 0xfd, descriptor)];
  if (!isSingleSegment) parts.push(Buffer.of(window ?? 13 << 3));
  parts.push(Buffer.from(dictionary));
  if (contentSize !== undefined) parts.push(littleEndian(contentSize));
  for (const [index, block] of frame.blocks.entries()) {
    const isLast = index === frame.blocks.length - 1;
    const data = block.kind === 'repeated' ? Buffer.of(block.byte) : Buffer.from(block.bytes);
    const size = block.kind === 'repeated' ? block.length : block.bytes.length;
    const header = (isLast ? 1 : 0) | (KIND_BITS[block.kind] << 1) | (size << 3);
    parts.push(Buffer.of(header & 0xff, (header >> 8) & 0xff, (header >> 16) & 0xff), data);
  }
  if (checksum !== undefined) {
    const sum = Buffer.alloc(4);
    const right = Number(xxh64(contentOf(frame.blocks)) & 0xffff_ffffn);
    sum.writeUInt32LE((checksum === 'right' ? right : right ^ 1) >>> 0);
    parts.push(sum);
  }
  return Buffer.concat(parts);
}

/** What the blocks expand to. Requires: none is compressed. */
export function contentOf(blocks: readonly TestBlock[]): Buffer {
  return Buffer.concat(
    blocks.map((block) => {
      if (block.kind === 'repeated') return Buffer.alloc(block.length, block.byte);
      if (block.kind === 'raw') return Buffer.from(block.bytes);
      throw new Error('the content of such a block is not known here');
    }),
  );
}

/** The field of two bytes counts from 256. */
function littleEndian({ size, value }: { readonly size: number; readonly value: bigint }): Buffer {
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(BigInt.asUintN(64, size === 2 ? value - 256n : value));
  return field.subarray(0, size);
}

const P1 = 0x9e3779b185ebca87n;
const P2 = 0xc2b2ae3d27d4eb4fn;
const P3 = 0x165667b19e3779f9n;
const P4 = 0x85ebca77c2b2ae63n;
const P5 = 0x27d4eb2f165667c5n;

/** XXH64 with seed 0, the content checksum of zstd. */
export function xxh64(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  let hash = P5;
  if (bytes.length >= 32) {
    let [a, b, c, d] = [u64(P1 + P2), P2, 0n, u64(-P1)];
    for (; at + 32 <= bytes.length; at += 32) {
      a = round(a, view.getBigUint64(at, true));
      b = round(b, view.getBigUint64(at + 8, true));
      c = round(c, view.getBigUint64(at + 16, true));
      d = round(d, view.getBigUint64(at + 24, true));
    }
    hash = u64(rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n));
    for (const lane of [a, b, c, d]) hash = u64((hash ^ round(0n, lane)) * P1 + P4);
  }
  hash = u64(hash + BigInt(bytes.length));
  for (; at + 8 <= bytes.length; at += 8) {
    hash = u64(rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * P1 + P4);
  }
  for (; at + 4 <= bytes.length; at += 4) {
    hash = u64(rotate(hash ^ u64(BigInt(view.getUint32(at, true)) * P1), 23n) * P2 + P3);
  }
  for (; at < bytes.length; at += 1) {
    hash = u64(rotate(hash ^ u64(BigInt(view.getUint8(at)) * P5), 11n) * P1);
  }
  hash = u64((hash ^ (hash >> 33n)) * P2);
  hash = u64((hash ^ (hash >> 29n)) * P3);
  return hash ^ (hash >> 32n);
}

function round(lane: bigint, input: bigint): bigint {
  return u64(rotate(u64(lane + input * P2), 31n) * P1);
}

function rotate(value: bigint, bits: bigint): bigint {
  return u64((value << bits) | (value >> (64n - bits)));
}

function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}
