/**
 * Decompression without WebAssembly, by node:zlib (22.15 and later) or the optional native package.
 * Neither takes a frame in parts synchronously, so that a frame and its content are in memory completely.
 */
import * as zlib from 'node:zlib';
import { requireNative } from './native.ts';

/**
 * The native package has no limit for its output. The upper bound of the output is known, but is often far
 * above the true length; frames with a bound up to this are decompressed anyway.
 */
const MAXIMUM_UNLIMITED_LENGTH = 16 * 1024 * 1024;

export interface FrameLengths {
  /** Maximum length that the caller accepts. */
  readonly capacity: number;
  /** Maximum length that the blocks of the frame can produce. */
  readonly maximumLength: number;
}

/**
 * The content, or the reason why there is none: it exceeds the capacity, the frame is corrupt, or its
 * output may be too long for a decoder that cannot be stopped.
 */
export type FallbackOutcome = Uint8Array | 'too-long' | 'corrupt' | 'unbounded';

/** Requires: a frame that a scan found complete. */
export type FallbackDecoder = (frame: Uint8Array, lengths: FrameLengths) => FallbackOutcome;

/** Returns: undefined if the process has no other decoder. */
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

/** Windows above the caller's limit have been refused before. */
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
