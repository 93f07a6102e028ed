/**
 * The structure of a zstd frame (RFC 8878), read without decompressing: where it ends, and how much it
 * can expand to. So a bad frame is refused before a byte is allocated for it, whichever library would
 * decompress it.
 *
 *   magic        28 B5 2F FD
 *   descriptor   u8: content size flag (2 bits), single segment, unused, reserved, checksum,
 *                dictionary id flag (2 bits)
 *   window       u8, absent in a single segment frame: exponent (5 bits), mantissa (3 bits)
 *   dictionary   0, 1, 2 or 4 bytes
 *   content size 0, 1, 2, 4 or 8 bytes, little-endian
 *   blocks       3-byte header, little-endian: last (1 bit), type (2 bits), size (21 bits)
 *   checksum     4 bytes, if the descriptor says so
 */
import { corrupt, StorageError } from '../errors.ts';

export interface ZstdFrameHeader {
  /** Bytes before the first block. */
  readonly headerSize: number;
  /** Bytes that a streaming decoder must keep. */
  readonly windowSize: number;
  /** The content size that the header states, if it states one. */
  readonly contentSize: number | undefined;
  readonly hasChecksum: boolean;
}

export interface ZstdFrame extends ZstdFrameHeader {
  /** Minimum and maximum number of bytes that the blocks can produce. */
  readonly minimumLength: number;
  readonly maximumLength: number;
}

export interface ZstdBlock {
  /** Offset of the block's header in the frame. */
  readonly start: number;
  /** Offset of the first byte after the block. */
  readonly end: number;
  readonly kind: 'raw' | 'repeated' | 'compressed';
  /** Number of bytes that it produces; an upper bound if it is compressed. */
  readonly length: number;
  readonly isLast: boolean;
}

export interface ZstdBlockPlace {
  /** Offset of the block's header in the frame. */
  readonly start: number;
  readonly frameLength: number;
  readonly blockLimit: number;
}

export const MAXIMUM_ZSTD_FRAME_HEADER_SIZE = 18;
export const ZSTD_BLOCK_HEADER_SIZE = 3;
export const MAXIMUM_ZSTD_BLOCK_LENGTH = 128 * 1024;

/** Magic, descriptor, window: the header of a frame without content size. */
const STREAMED_HEADER_SIZE = 6;

const MAGIC = 0xfd2fb528;
const CHECKSUM_SIZE = 4;
const DICTIONARY_ID_SIZES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_SIZES = [0, 2, 4, 8] as const;
const LAST_BLOCK_FLAG = 1;
const EMPTY_LAST_BLOCK = Uint8Array.of(LAST_BLOCK_FLAG, 0, 0);
const BLOCK_KINDS = ['raw', 'repeated', 'compressed'] as const;

/**
 * Requires: `bytes` should be exactly one frame.
 * Throws: `corrupt` for anything else, `truncated` where the frame is longer than the bytes; offsets
 * count from the start of the frame.
 */
export function scanZstdFrame(bytes: Uint8Array): ZstdFrame {
  const scan = new ZstdFrameScan(decodeZstdFrameHeader(bytes), bytes.length);
  const place = { frameLength: bytes.length, blockLimit: scan.blockLimit };
  let start = scan.header.headerSize;
  // Not by `zstdBlocks`: every compressed blob of a scan comes here, and a generator costs more than the rest.
  for (let isLast = false; !isLast; ) {
    const header = bytes.subarray(start, start + ZSTD_BLOCK_HEADER_SIZE);
    const block = decodeZstdBlockHeader(header, { start, ...place });
    scan.add(block);
    start = block.end;
    isLast = block.isLast;
  }
  return scan.finish();
}

/** Adds up the blocks of a frame, wherever its bytes are. */
export class ZstdFrameScan {
  readonly header: ZstdFrameHeader;
  /** Bytes that one block can produce, at most. */
  readonly blockLimit: number;
  readonly #length: number;
  #minimumLength = 0;
  #maximumLength = 0;
  #end: number;

  /** `length` is that of the whole frame, as its blob says. */
  constructor(header: ZstdFrameHeader, length: number) {
    this.header = header;
    this.blockLimit = Math.min(header.windowSize, MAXIMUM_ZSTD_BLOCK_LENGTH);
    this.#length = length;
    this.#end = header.headerSize;
  }

  add(block: ZstdBlock): void {
    if (block.kind !== 'compressed') this.#minimumLength += block.length;
    this.#maximumLength += block.length;
    this.#end = block.end;
  }

  /** Requires: the last block was added. Throws: `corrupt`, `truncated`. */
  finish(): ZstdFrame {
    const { header } = this;
    const minimumLength = this.#minimumLength;
    const maximumLength = this.#maximumLength;
    const checksumSize = header.hasChecksum ? CHECKSUM_SIZE : 0;
    const end = this.#end + checksumSize;
    if (end > this.#length) throw incomplete('checksum', this.#end, CHECKSUM_SIZE);
    if (end < this.#length) {
      const found = `${this.#length - end} bytes`;
      throw corrupt('bytes after the zstd frame', end, 'end of blob', found);
    }
    const { headerSize, windowSize, contentSize, hasChecksum } = header;
    if (contentSize !== undefined && (contentSize < minimumLength || contentSize > maximumLength)) {
      throw corrupt(
        'content size of the zstd frame',
        0,
        `${minimumLength} to ${maximumLength} bytes, as the blocks say`,
        `${contentSize}`,
      );
    }
    // Not `...header`: V8 keeps the result of a spread until a full collection.
    return { headerSize, windowSize, contentSize, hasChecksum, minimumLength, maximumLength };
  }
}

/** The blocks of a frame in order, each checked to lie within the bytes. */
export function* zstdBlocks(
  bytes: Uint8Array,
  headerSize: number,
  blockLimit = MAXIMUM_ZSTD_BLOCK_LENGTH,
): Generator<ZstdBlock> {
  for (let start = headerSize; ; ) {
    const header = bytes.subarray(start, start + ZSTD_BLOCK_HEADER_SIZE);
    const block = decodeZstdBlockHeader(header, { start, frameLength: bytes.length, blockLimit });
    yield block;
    if (block.isLast) return;
    start = block.end;
  }
}

/**
 * Ends a frame that a streaming compressor has flushed, as the compressor would: if the content ends inside
 * a block, that block is marked as the last; otherwise an empty last block follows.
 *
 * Requires: header and blocks lie in the first `length` bytes, and the array has 3 more bytes.
 * Returns: the frame, a view of the bytes.
 */
export function closeStreamedFrame(
  bytes: Uint8Array,
  length: number,
  contentLength: number,
): Uint8Array {
  if (contentLength % MAXIMUM_ZSTD_BLOCK_LENGTH === 0) {
    bytes.set(EMPTY_LAST_BLOCK, length);
    return bytes.subarray(0, length + ZSTD_BLOCK_HEADER_SIZE);
  }
  const frame = bytes.subarray(0, length);
  let start = STREAMED_HEADER_SIZE;
  for (let end = start; end < length; ) {
    start = end;
    const header = frame.subarray(start, start + ZSTD_BLOCK_HEADER_SIZE);
    const blockLimit = MAXIMUM_ZSTD_BLOCK_LENGTH;
    ({ end } = decodeZstdBlockHeader(header, { start, frameLength: length, blockLimit }));
  }
  frame[start] = (frame[start] as number) | LAST_BLOCK_FLAG;
  return frame;
}

/**
 * Requires: `bytes` begins with the frame and holds all of it, or 18 bytes at least.
 * Throws: `corrupt`, `truncated`, `too-large`.
 */
export function decodeZstdFrameHeader(bytes: Uint8Array): ZstdFrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 5) throw incomplete('zstd frame header', 0, 5);
  const magic = view.getUint32(0, true);
  if (magic !== MAGIC) {
    throw corrupt('zstd frame', 0, `magic ${hex32(MAGIC)}`, hex32(magic));
  }
  const descriptor = view.getUint8(4);
  if ((descriptor & 0b1000) !== 0) throw corrupt('zstd frame header', 4, 'reserved bit 0', '1');
  const isSingleSegment = (descriptor & 0b10_0000) !== 0;
  const dictionarySize = DICTIONARY_ID_SIZES[(descriptor & 0b11) as 0 | 1 | 2 | 3];
  const sizeFlag = (descriptor >> 6) as 0 | 1 | 2 | 3;
  const contentSizeSize = sizeFlag === 0 && isSingleSegment ? 1 : CONTENT_SIZE_SIZES[sizeFlag];
  const windowAt = 5;
  const dictionaryAt = windowAt + (isSingleSegment ? 0 : 1);
  const contentSizeAt = dictionaryAt + dictionarySize;
  const headerSize = contentSizeAt + contentSizeSize;
  if (bytes.length < headerSize) throw incomplete('zstd frame header', 0, headerSize);
  if (
    dictionarySize > 0 &&
    bytes.subarray(dictionaryAt, contentSizeAt).some((byte) => byte !== 0)
  ) {
    throw corrupt('zstd frame', dictionaryAt, 'no dictionary', 'a dictionary id');
  }
  const contentSize = decodeContentSize(view, contentSizeAt, contentSizeSize);
  const windowSize = isSingleSegment
    ? (contentSize ?? 0)
    : decodeWindowSize(view.getUint8(windowAt));
  return { headerSize, windowSize, contentSize, hasChecksum: (descriptor & 0b100) !== 0 };
}

/**
 * Requires: `bytes` are the 3 of the header, or fewer where the frame ends.
 * Throws: `corrupt`, `truncated`.
 */
export function decodeZstdBlockHeader(bytes: Uint8Array, place: ZstdBlockPlace): ZstdBlock {
  const { start, frameLength, blockLimit } = place;
  if (bytes.length < ZSTD_BLOCK_HEADER_SIZE) {
    throw incomplete('zstd block header', start, ZSTD_BLOCK_HEADER_SIZE);
  }
  const header = (bytes[0] as number) | ((bytes[1] as number) << 8) | ((bytes[2] as number) << 16);
  const size = header >> 3;
  const kind = BLOCK_KINDS[(header >> 1) & 0b11];
  if (kind === undefined) throw corrupt('zstd block', start, 'type 0, 1 or 2', '3');
  if (size > blockLimit) {
    throw corrupt('zstd block', start, `at most ${blockLimit} bytes`, `${size}`);
  }
  // Decoders disagree on it: libzstd refuses it in one call, and passes over it in a stream.
  if (kind === 'compressed' && size === 0) {
    throw corrupt('zstd block', start, 'at least 1 compressed byte', '0');
  }
  const end = start + ZSTD_BLOCK_HEADER_SIZE + (kind === 'repeated' ? 1 : size);
  if (end > frameLength) throw incomplete('zstd block', start, end - start);
  const length = kind === 'compressed' ? blockLimit : size;
  return { start, end, kind, length, isLast: (header & LAST_BLOCK_FLAG) !== 0 };
}

function decodeContentSize(view: DataView, at: number, size: number): number | undefined {
  switch (size) {
    case 0:
      return undefined;
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    default: {
      const contentSize = view.getBigUint64(at, true);
      if (contentSize > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new StorageError('too-large', {
          what: 'content size of the zstd frame',
          offset: at,
          actual: `${contentSize}`,
        });
      }
      return Number(contentSize);
    }
  }
}

function decodeWindowSize(windowDescriptor: number): number {
  const base = 2 ** (10 + (windowDescriptor >> 3));
  return base + (base / 8) * (windowDescriptor & 0b111);
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

function incomplete(what: string, offset: number, size: number): StorageError {
  return new StorageError('truncated', {
    what: `${what} is incomplete`,
    offset,
    expected: `${size} bytes`,
    actual: 'end of blob',
  });
}
