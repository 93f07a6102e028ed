/**
 * Decompression of one zstd frame that nobody vouches for.
 *
 * The frame is scanned first: an incomplete one, bytes behind it, a window above the limit, or
 * blocks that must produce more than the limit are refused before anything is allocated. What is
 * left is decompressed in WebAssembly, on every platform with the same decoder, so that the same
 * file gives the same result everywhere: whole where little can come out, else block by block.
 */
import type { Zstd } from '@hpcc-js/wasm-zstd';
import { ZSTDDecoder } from 'zstddec/stream';
import { assert } from '../assert.ts';
import { StorageError } from '../errors.ts';
import { loadWasmZstd } from './wasm-zstd.ts';
import {
  MAXIMUM_ZSTD_BLOCK_LENGTH,
  scanZstdFrame,
  type ZstdFrame,
  zstdBlocks,
} from './zstd-frame.ts';

export interface DecompressionLimits {
  /** Most bytes that may come out of one blob. */
  readonly maximumLength: number;
  /** Largest window that a frame may ask for, in bytes. */
  readonly maximumWindowSize: number;
}

export const DEFAULT_DECOMPRESSION_LIMITS: DecompressionLimits = {
  maximumLength: 256 * 1024 * 1024,
  maximumWindowSize: 8 * 1024 * 1024,
};

/** Frames that cannot produce more than this are decompressed in one call. */
const ONE_CALL_LIMIT = 1024 * 1024;

export class Decompressor {
  readonly #oneCall: ZSTDDecoder;
  readonly #blockwise: Zstd;

  static #loading: Promise<Decompressor> | undefined;

  /** Compiles the decoders, once for the process. */
  static load(): Promise<Decompressor> {
    Decompressor.#loading ??= Decompressor.#load();
    return Decompressor.#loading;
  }

  static async #load(): Promise<Decompressor> {
    const oneCall = new ZSTDDecoder();
    const [blockwise] = await Promise.all([loadWasmZstd(), oneCall.init()]);
    return new Decompressor(oneCall, blockwise);
  }

  private constructor(oneCall: ZSTDDecoder, blockwise: Zstd) {
    this.#oneCall = oneCall;
    this.#blockwise = blockwise;
  }

  /**
   * Returns: the content, as a fresh array.
   * Throws: `corrupt`, `truncated`, `too-large`; offsets count from the start of the frame.
   */
  decompress(bytes: Uint8Array, limits: DecompressionLimits): Uint8Array {
    const frame = scanWithinLimits(bytes, limits);
    if (frame.maximumLength <= ONE_CALL_LIMIT) return this.#decompressWhole(bytes, frame, limits);
    const pieces: Uint8Array[] = [];
    this.#decompressBlocks(bytes, frame, limits, (piece) => pieces.push(piece));
    return Buffer.concat(pieces);
  }

  /**
   * Hands the content over in pieces of at most 1 MiB, each a fresh array.
   *
   * Returns: the length of the content.
   * Throws: as `decompress`; pieces may have been handed over before.
   */
  decompressPieces(
    bytes: Uint8Array,
    limits: DecompressionLimits,
    onPiece: (piece: Uint8Array) => void,
  ): number {
    const frame = scanWithinLimits(bytes, limits);
    if (frame.maximumLength > ONE_CALL_LIMIT) {
      return this.#decompressBlocks(bytes, frame, limits, onPiece);
    }
    const content = this.#decompressWhole(bytes, frame, limits);
    onPiece(content);
    return content.length;
  }

  #decompressWhole(bytes: Uint8Array, frame: ZstdFrame, limits: DecompressionLimits): Uint8Array {
    const capacity = Math.max(1, frame.contentSize ?? frame.maximumLength);
    // The package returns no bytes where the decoder reports an error.
    const content = this.#oneCall.decode(bytes, capacity);
    if (content.length === 0 && frame.maximumLength > 0) throw undecodable(0);
    checkLength(content.length, frame, limits);
    return content;
  }

  #decompressBlocks(
    bytes: Uint8Array,
    frame: ZstdFrame,
    limits: DecompressionLimits,
    onPiece: (piece: Uint8Array) => void,
  ): number {
    let length = 0;
    let start = 0;
    this.#blockwise.reset();
    for (const end of pieceEnds(bytes, frame)) {
      // No bytes come back where the decoder reports an error; no piece is empty otherwise.
      const piece = this.#blockwise.decompressChunk(
        bytes.subarray(start, end),
        2 * MAXIMUM_ZSTD_BLOCK_LENGTH,
      );
      if (piece.length === 0) throw undecodable(start);
      length += piece.length;
      if (length > limits.maximumLength) throw tooLarge(limits, `more than ${length}`);
      onPiece(piece);
      start = end;
    }
    assert(start === bytes.length, 'the last piece takes the rest of the frame');
    checkLength(length, frame, limits);
    return length;
  }
}

/**
 * Where to cut the frame so that each part produces something: one block with what is before it;
 * the last part takes the blocks that are certain to be empty, and the checksum.
 */
function pieceEnds(bytes: Uint8Array, frame: ZstdFrame): number[] {
  const ends: number[] = [];
  for (const block of zstdBlocks(bytes, frame.headerSize)) {
    if (block.length > 0) ends.push(block.end);
  }
  ends[ends.length - 1] = bytes.length;
  return ends;
}

function scanWithinLimits(bytes: Uint8Array, limits: DecompressionLimits): ZstdFrame {
  const frame = scanZstdFrame(bytes);
  if (frame.windowSize > limits.maximumWindowSize) {
    throw new StorageError('too-large', {
      what: 'window of the zstd frame',
      offset: 0,
      expected: `at most ${limits.maximumWindowSize} bytes`,
      actual: `${frame.windowSize}`,
    });
  }
  const atLeast = Math.max(frame.minimumLength, frame.contentSize ?? 0);
  if (atLeast > limits.maximumLength) throw tooLarge(limits, `at least ${atLeast}`);
  return frame;
}

function checkLength(length: number, frame: ZstdFrame, limits: DecompressionLimits): void {
  if (length > limits.maximumLength) throw tooLarge(limits, `${length}`);
  if (frame.contentSize === undefined || frame.contentSize === length) return;
  throw new StorageError('corrupt', {
    what: 'zstd frame',
    offset: 0,
    expected: `${frame.contentSize} bytes, as its header says`,
    actual: `${length}`,
  });
}

function tooLarge(limits: DecompressionLimits, actual: string): StorageError {
  return new StorageError('too-large', {
    what: 'decompressed blob',
    offset: 0,
    expected: `at most ${limits.maximumLength} bytes`,
    actual,
  });
}

function undecodable(offset: number): StorageError {
  return new StorageError('corrupt', {
    what: 'zstd frame',
    offset,
    expected: 'decodable blocks and a right checksum',
    actual: 'neither',
  });
}
