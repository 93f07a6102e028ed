/**
 * Decompression where there is no WebAssembly: by node:zlib (22.15 and later), else by the optional
 * native package. Neither can be given a frame in parts without waiting, so that a frame and its
 * content are held as a whole.
 */
import * as zlib from 'node:zlib';
import { requireNative } from './native.ts';

/**
 * The native package takes no limit. What can come out of a frame is known, but that is an upper
 * bound, often far above what does; up to here it is decompressed all the same.
 */
const MAXIMUM_UNLIMITED_LENGTH = 16 * 1024 * 1024;

export interface FrameLengths {
  /** Bytes that may come out. */
  readonly capacity: number;
  /** Bytes that can come out, as the blocks of the frame say. */
  readonly maximumLength: number;
}

/**
 * The content; or why there is none: it is longer than the capacity, the frame is corrupt, or it
 * might produce too much for a decoder that cannot be stopped.
 */
export type FallbackOutcome = Uint8Array | 'too-long' | 'corrupt' | 'unbounded';

/** Requires: a frame that was scanned and found complete. */
export type FallbackDecoder = (frame: Uint8Array, lengths: FrameLengths) => FallbackOutcome;

/** Undefined where there is none, either. */
export function loadFallbackDecoder(): FallbackDecoder | undefined {
  return zlibDecoder(zlib) ?? nativeDecoder();
}

/** node:zlib as of 22.15; the type declarations are those of Node 20. */
interface ZlibWithZstd {
  readonly zstdDecompressSync: (
    bytes: Uint8Array,
    options: { readonly maxOutputLength: number; readonly params: Record<number, number> },
  ) => Buffer;
  readonly constants: { readonly ZSTD_d_windowLogMax: number };
}

/** Larger windows have been refused, by the limits of the caller. */
const LARGEST_WINDOW_LOG = 31;

function zlibDecoder(module: object): FallbackDecoder | undefined {
  if (!hasZstd(module)) return undefined;
  const { zstdDecompressSync, constants } = module;
  const params = { [constants.ZSTD_d_windowLogMax]: LARGEST_WINDOW_LOG };
  return (frame, { capacity }) => {
    try {
      return zstdDecompressSync(frame, { maxOutputLength: Math.max(1, capacity), params });
    } catch (error) {
      return codeOf(error) === 'ERR_BUFFER_TOO_LARGE' ? 'too-long' : 'corrupt';
    }
  };
}

function hasZstd(module: object): module is ZlibWithZstd {
  return 'zstdDecompressSync' in module && typeof module.zstdDecompressSync === 'function';
}

function nativeDecoder(): FallbackDecoder | undefined {
  const native = requireNative();
  if (native === undefined) return undefined;
  const decoder = new native.Decoder();
  return (frame, { capacity, maximumLength }) => {
    if (maximumLength > Math.max(capacity, MAXIMUM_UNLIMITED_LENGTH)) return 'unbounded';
    try {
      const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
      const content = decoder.decodeSync(bytes);
      return content.length > capacity ? 'too-long' : content;
    } catch {
      return 'corrupt';
    }
  };
}

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}
