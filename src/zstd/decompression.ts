/**
 * Decompresses one untrusted zstd frame.
 *
 * The frame is scanned first: an incomplete frame, bytes after it, a window above the limit, or
 * blocks that must produce more than the limit are refused before anything is allocated. Other frames are
 * decompressed in WebAssembly, with the same decoder on every platform, so that the same file gives the same
 * result everywhere: in one call if the output is small, otherwise in pieces. Without WebAssembly, another
 * decoder of the process decompresses complete frames.
 */
import { isUint8Array } from 'node:util/types';
import {
  checkBytes,
  checkCallable,
  checkLimit,
  checkObject,
  checkOptions,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError, tooLarge } from '../errors.ts';
import { MAXIMUM_STREAM_PIECE, ZstdEngine, type ZstdStream } from './engine.ts';
import { type FallbackDecoder, loadFallbackDecoder } from './fallback-decoder.ts';
import {
  decodeZstdBlockHeader,
  decodeZstdFrameHeader,
  MAXIMUM_ZSTD_BLOCK_LENGTH,
  MAXIMUM_ZSTD_FRAME_HEADER_SIZE,
  scanZstdFrame,
  ZSTD_BLOCK_HEADER_SIZE,
  type ZstdBlock,
  type ZstdFrame,
  ZstdFrameScan,
  zstdBlocks,
} from './frame.ts';

/** Limits for untrusted frames. */
export interface DecompressionLimits {
  /** Maximum length of a decompressed content, in bytes. */
  readonly maximumLength: number;
  /** Maximum window that a frame may require, in bytes. */
  readonly maximumWindowSize: number;
}

/** 256 MiB of content, 8 MiB of window. */
export const DEFAULT_DECOMPRESSION_LIMITS: DecompressionLimits = {
  maximumLength: 256 * 1024 * 1024,
  maximumWindowSize: 8 * 1024 * 1024,
};

const LIMIT_NAMES: KnownOptions<DecompressionLimits> = {
  maximumLength: true,
  maximumWindowSize: true,
};

/** Throws `invalid-input` for limits that are not an object, or have an unknown name. */
export function checkLimitNames(limits: DecompressionLimits): void {
  checkObject('limits', limits);
  checkOptions(limits, LIMIT_NAMES);
}

/**
 * Contents that may be longer are always decompressed in pieces, even if the caller wants one array, so that
 * a frame meets the same decoder however it is read.
 */
export const MAXIMUM_PIECE_LENGTH = 256 * 1024;

/** Contents that cannot be longer are collected in one array from the start. */
const MAXIMUM_ROOM = 1024 * 1024;

/** The bytes of one frame, wherever they are. */
export interface FrameSource {
  /** Length of the frame, in bytes. */
  readonly length: number;
  /** Reads up to 128 KiB and a header. Returns: a view that is valid until the next call. */
  bytes(offset: number, length: number): Uint8Array | Promise<Uint8Array>;
}

/** Takes a piece of a content: a view that is valid until the function returns. */
export type OnPiece = (piece: Uint8Array) => void;

/**
 * Decompresses zstd frames within limits. Stateless for the caller: one instance serves the process.
 *
 * @example
 * const decompressor = await Decompressor.load();
 * const content = decompressor.decompress(frame, DEFAULT_DECOMPRESSION_LIMITS);
 */
export class Decompressor {
  readonly #decoder: ZstdEngine | FallbackDecoder;

  static #loading: Promise<Decompressor> | undefined;
  static #loaded: Decompressor | undefined;

  /**
   * Compiles the decoder, once per thread. After a failure the next call tries again.
   *
   * @throws `io` if there is neither WebAssembly nor another decoder
   */
  static load(): Promise<Decompressor> {
    Decompressor.#loading ??= loadDecoder().then(
      (decoder) => {
        Decompressor.#loaded = new Decompressor(decoder);
        return Decompressor.#loaded;
      },
      (error: unknown) => {
        Decompressor.#loading = undefined;
        throw error;
      },
    );
    return Decompressor.#loading;
  }

  /** The result of `load`, once it has resolved. */
  static get loaded(): Decompressor | undefined {
    return Decompressor.#loaded;
  }

  private constructor(decoder: ZstdEngine | FallbackDecoder) {
    this.#decoder = decoder;
  }

  /**
   * Decompresses a frame.
   *
   * @returns the content, in a new array
   * @throws `corrupt`, `truncated`, `too-large`; offsets count from the start of the frame
   */
  decompress(bytes: Uint8Array, limits: DecompressionLimits): Uint8Array {
    checkArguments(bytes, limits);
    const frame = scanWithinLimits(bytes, limits);
    if (typeof this.#decoder === 'function' || fitsInOneCall(bytes.length, frame)) {
      return this.decompressScanned(bytes, frame, limits).slice();
    }
    const content = new Content(frame);
    decompressBlocks(this.#decoder, bytes, {
      frame,
      limits,
      onPiece: (piece) => content.add(piece),
    });
    return content.whole();
  }

  /**
   * Passes the content to `onPiece` in pieces of at most 256 KiB, each a view that is valid until `onPiece`
   * returns.
   *
   * @returns the length of the content
   * @throws as `decompress`; `onPiece` may have been called before
   */
  decompressPieces(bytes: Uint8Array, limits: DecompressionLimits, onPiece: OnPiece): number {
    checkArguments(bytes, limits);
    checkCallable('onPiece', onPiece);
    const frame = scanWithinLimits(bytes, limits);
    if (typeof this.#decoder !== 'function' && !fitsInOneCall(bytes.length, frame)) {
      return decompressBlocks(this.#decoder, bytes, { frame, limits, onPiece });
    }
    const content = this.decompressScanned(bytes, frame, limits);
    for (let start = 0; start < content.length; start += MAXIMUM_PIECE_LENGTH) {
      onPiece(content.subarray(start, start + MAXIMUM_PIECE_LENGTH));
    }
    return content.length;
  }

  /**
   * Decompresses a frame that `scanWithinLimits` and `fitsInOneCall` accepted.
   *
   * @internal
   * @returns a view that is valid until the next call of any function here
   * @throws as `decompress`
   */
  decompressScanned(bytes: Uint8Array, frame: ZstdFrame, limits: DecompressionLimits): Uint8Array {
    const decoder = this.#decoder;
    const content =
      typeof decoder !== 'function'
        ? decoder.decompress(bytes, frame.contentSize ?? frame.maximumLength)
        : decompressByFallback(decoder, bytes, { frame, limits });
    if (content === undefined) throw undecodable(0);
    checkLength(content.length, frame, limits);
    return content;
  }

  /**
   * As `decompressPieces`, for a frame of any length: its bytes are read twice, first to check that it
   * is complete and within the limits, and are not kept in memory unless WebAssembly is missing.
   *
   * @internal
   */
  async decompressFrom(
    source: FrameSource,
    limits: DecompressionLimits,
    onPiece: OnPiece,
  ): Promise<number> {
    const frame = await scanSource(source, limits);
    const engine = this.#decoder;
    if (typeof engine === 'function') {
      return this.decompressPieces(await readWhole(source), limits, onPiece);
    }
    const stream = engine.acquireStream();
    try {
      const pieces = new PieceDecoder({ stream, limits, onPiece });
      pieces.begin(await source.bytes(0, frame.headerSize));
      const blockLimit = MAXIMUM_ZSTD_BLOCK_LENGTH;
      let end = frame.headerSize;
      for (let isLast = false; !isLast; ) {
        const readingHeader = source.bytes(end, ZSTD_BLOCK_HEADER_SIZE);
        const header = isUint8Array(readingHeader) ? readingHeader : await readingHeader;
        const place = { start: end, frameLength: source.length, blockLimit };
        const block = decodeZstdBlockHeader(header, place);
        const reading = source.bytes(block.start, block.end - block.start);
        pieces.add(block, isUint8Array(reading) ? reading : await reading);
        ({ end, isLast } = block);
      }
      return pieces.finish(await source.bytes(end, source.length - end), frame);
    } finally {
      engine.release(stream);
    }
  }
}

async function loadDecoder(): Promise<ZstdEngine | FallbackDecoder> {
  try {
    return await ZstdEngine.load();
  } catch (error) {
    const fallback = loadFallbackDecoder();
    if (fallback !== undefined) return fallback;
    throw error;
  }
}

interface FrameRequest {
  readonly frame: ZstdFrame;
  readonly limits: DecompressionLimits;
}

function decompressBlocks(
  engine: ZstdEngine,
  bytes: Uint8Array,
  { frame, limits, onPiece }: FrameRequest & { readonly onPiece: OnPiece },
): number {
  const stream = engine.acquireStream();
  try {
    const pieces = new PieceDecoder({ stream, limits, onPiece });
    pieces.begin(bytes.subarray(0, frame.headerSize));
    let end = frame.headerSize;
    for (const block of zstdBlocks(bytes, frame.headerSize)) {
      pieces.add(block, bytes.subarray(block.start, block.end));
      end = block.end;
    }
    return pieces.finish(bytes.subarray(end), frame);
  } finally {
    engine.release(stream);
  }
}

function decompressByFallback(
  decoder: FallbackDecoder,
  bytes: Uint8Array,
  { frame, limits }: FrameRequest,
): Uint8Array | undefined {
  const { contentSize, maximumLength } = frame;
  const capacity = Math.min(contentSize ?? maximumLength, limits.maximumLength);
  const content = decoder(bytes, { capacity, maximumLength });
  if (content === 'too-long') throw tooLong(limits, 'more');
  if (content === 'unbounded') {
    throw new StorageError('io', {
      what: 'cannot decompress a zstd frame within the limits in this process',
      offset: 0,
      expected: 'WebAssembly, or Node 22.15',
      actual: `blocks for up to ${maximumLength} bytes`,
    });
  }
  return content === 'corrupt' ? undefined : content;
}

/** Reads the frame in parts that a source must be able to return. */
async function readWhole(source: FrameSource): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.length);
  for (let start = 0; start < bytes.length; start += MAXIMUM_ZSTD_BLOCK_LENGTH) {
    const length = Math.min(MAXIMUM_ZSTD_BLOCK_LENGTH, bytes.length - start);
    bytes.set(await source.bytes(start, length), start);
  }
  return bytes;
}

/**
 * Cuts a frame after blocks so that each part produces at least one byte and at most one piece, because the
 * decoder reports an error by producing nothing. So empty blocks are skipped; an empty last block
 * joins the part before it.
 */
class PieceDecoder {
  readonly #stream: ZstdStream;
  readonly #limits: DecompressionLimits;
  readonly #onPiece: OnPiece;
  #partStart = 0;
  /** Maximum number of bytes that the part can produce. */
  #partLength = 0;
  #length = 0;

  constructor(options: { stream: ZstdStream; limits: DecompressionLimits; onPiece: OnPiece }) {
    this.#stream = options.stream;
    this.#limits = options.limits;
    this.#onPiece = options.onPiece;
  }

  begin(header: Uint8Array): void {
    this.#stream.begin();
    this.#stream.add(header);
  }

  add(block: ZstdBlock, bytes: Uint8Array): void {
    if (block.length === 0 && !block.isLast) return;
    const isFull =
      this.#partLength + block.length > MAXIMUM_STREAM_PIECE ||
      this.#stream.inputLength + bytes.length > MAXIMUM_STREAM_PIECE;
    if (isFull && block.length > 0 && this.#partLength > 0) {
      this.#flush();
      this.#partStart = block.start;
    }
    this.#stream.add(bytes);
    this.#partLength += block.length;
  }

  finish(checksum: Uint8Array, frame: ZstdFrame): number {
    this.#stream.add(checksum);
    this.#flush();
    checkLength(this.#length, frame, this.#limits);
    return this.#length;
  }

  #flush(): void {
    const piece = this.#stream.run();
    if (piece.length === 0 && this.#partLength > 0) throw undecodable(this.#partStart);
    this.#partLength = 0;
    this.#length += piece.length;
    if (this.#length > this.#limits.maximumLength) {
      throw tooLong(this.#limits, `more than ${this.#length}`);
    }
    if (piece.length > 0) this.#onPiece(piece);
  }
}

/** Collects pieces; a small content is copied only once. */
class Content {
  readonly #room: Uint8Array | undefined;
  readonly #pieces: Uint8Array[] = [];
  #length = 0;

  constructor({ maximumLength }: ZstdFrame) {
    if (maximumLength <= MAXIMUM_ROOM) this.#room = new Uint8Array(maximumLength);
  }

  add(piece: Uint8Array): void {
    if (this.#room === undefined) this.#pieces.push(piece.slice());
    else this.#room.set(piece, this.#length);
    this.#length += piece.length;
  }

  whole(): Uint8Array {
    return this.#room?.subarray(0, this.#length) ?? Buffer.concat(this.#pieces);
  }
}

/**
 * Whether the frame is decompressed in one call. A frame that is much longer than its output consists
 * mostly of empty blocks, and is not copied into the decoder's memory completely.
 */
export function fitsInOneCall(length: number, { maximumLength }: ZstdFrame): boolean {
  return maximumLength <= MAXIMUM_PIECE_LENGTH && length <= 2 * MAXIMUM_PIECE_LENGTH;
}

/** Throws: as `Decompressor.decompress`, for faults that show without decompressing. */
export function scanWithinLimits(bytes: Uint8Array, limits: DecompressionLimits): ZstdFrame {
  const frame = scanZstdFrame(bytes);
  checkLimits(frame, limits);
  return frame;
}

async function scanSource(source: FrameSource, limits: DecompressionLimits): Promise<ZstdFrame> {
  const begin = await source.bytes(0, Math.min(MAXIMUM_ZSTD_FRAME_HEADER_SIZE, source.length));
  const scan = new ZstdFrameScan(decodeZstdFrameHeader(begin), source.length);
  const { blockLimit } = scan;
  let start = scan.header.headerSize;
  for (let isLast = false; !isLast; ) {
    const reading = source.bytes(start, Math.min(ZSTD_BLOCK_HEADER_SIZE, source.length - start));
    // No await if the bytes are in memory: blocks may be 4 bytes long.
    const header = isUint8Array(reading) ? reading : await reading;
    const block = decodeZstdBlockHeader(header, { start, frameLength: source.length, blockLimit });
    scan.add(block);
    start = block.end;
    isLast = block.isLast;
  }
  const frame = scan.finish();
  checkLimits(frame, limits);
  return frame;
}

/** Those of the last call, whose names need not be looked at again. */
let knownLimits = DEFAULT_DECOMPRESSION_LIMITS;

/** Throws `invalid-input`. A limit that is not a number would not be a limit. */
function checkArguments(bytes: Uint8Array, limits: DecompressionLimits): void {
  checkBytes(bytes, 'zstd frame');
  if (limits !== knownLimits) checkLimitNames(limits);
  knownLimits = limits;
  checkLimit('maximumLength', limits.maximumLength);
  checkLimit('maximumWindowSize', limits.maximumWindowSize);
}

function checkLimits(frame: ZstdFrame, limits: DecompressionLimits): void {
  if (frame.windowSize > limits.maximumWindowSize) {
    throw tooLarge('window of the zstd frame', {
      maximum: limits.maximumWindowSize,
      actual: frame.windowSize,
      offset: 0,
    });
  }
  const atLeast = Math.max(frame.minimumLength, frame.contentSize ?? 0);
  if (atLeast > limits.maximumLength) throw tooLong(limits, `at least ${atLeast}`);
}

function checkLength(length: number, frame: ZstdFrame, limits: DecompressionLimits): void {
  if (length > limits.maximumLength) throw tooLong(limits, `${length}`);
  if (frame.contentSize === undefined || frame.contentSize === length) return;
  throw new StorageError('corrupt', {
    what: 'zstd frame',
    offset: 0,
    expected: `${frame.contentSize} bytes, as its header says`,
    actual: `${length}`,
  });
}

function tooLong({ maximumLength: maximum }: DecompressionLimits, actual: string): StorageError {
  return tooLarge('decompressed blob', { maximum, actual, offset: 0 });
}

function undecodable(offset: number): StorageError {
  return new StorageError('corrupt', {
    what: 'zstd frame',
    offset,
    expected: 'decodable blocks and a correct checksum',
    actual: 'an invalid block or checksum',
  });
}
