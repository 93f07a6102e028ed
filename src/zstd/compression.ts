/**
 * Compresses one blob into one zstd frame with the fastest available libzstd: an optional native package,
 * node:zlib (22.15 and later), or WebAssembly.
 *
 * Frames are streamed, as Neon's are: no content size, no checksum. At one level and one version of libzstd
 * all three give the same bytes; level 1 gives the same bytes in all versions. Frames of levels above 19
 * would require windows above 8 MiB; at those levels, blobs up to that size become single segments with
 * their content size, and larger ones are compressed at level 19.
 */
import * as zlib from 'node:zlib';
import { checkBytes, checkChoice, checkCount, checkOneOf } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { ZstdEncoder } from './encoder.ts';
import { closeStreamedFrame, MAXIMUM_ZSTD_BLOCK_LENGTH } from './frame.ts';
import { MAXIMUM_ZSTD_LEVEL, MINIMUM_ZSTD_LEVEL } from './level.ts';
import { requireNative } from './native.ts';

/** How blobs are compressed. */
export type Compression =
  /** Not at all. */
  | { readonly kind: 'none' }
  /** One zstd frame per blob. Level -7 to 22; 0 means libzstd's default, 3. */
  | { readonly kind: 'zstd'; readonly level: number };

/** What Neon's pageserver uses for image layers: zstd at level 1. */
export const DEFAULT_COMPRESSION: Compression = { kind: 'zstd', level: 1 };

/** A build of libzstd: the optional native package, node:zlib, or WebAssembly. */
export type CompressorName = 'native' | 'node' | 'wasm';

/** Compresses contents at one level. */
export interface Compressor {
  /** Which implementation it is. */
  readonly name: CompressorName;
  /** Compression level, -7 to 22. */
  readonly level: number;
  /**
   * Compresses a content, on another thread if the library can.
   *
   * @param bytes must not change until the frame has been returned
   * @returns one frame, in a new array
   * @throws `invalid-input` unless it is a Uint8Array
   */
  compress(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /**
   * As `compress`, synchronously on this thread.
   *
   * @returns one frame, a view that is valid until the next call of any compressor or decompressor
   * @throws as `compress`
   */
  compressSync(bytes: Uint8Array): Uint8Array;
}

/**
 * Above this level the WebAssembly build is fastest: the others rebuild the tables of the level for each
 * frame, which at level 12 costs 25 ms a page, where compressing takes 1 ms.
 */
const LAST_LEVEL_OF_SMALL_TABLES = 9;

/** Above this level a streamed frame requires a window above 8 MiB. */
const LAST_STREAMED_LEVEL = 19;
const LARGEST_SINGLE_SEGMENT = 8 * 1024 * 1024;

/** Throws `invalid-input` for an unknown kind, and for a level that libzstd does not have. */
export function checkCompression(compression: Compression): void {
  checkOneOf('kind of compression', compression?.kind, ['none', 'zstd']);
  if (compression.kind === 'none') return;
  checkCount('zstd level', compression.level, { from: MINIMUM_ZSTD_LEVEL, to: MAXIMUM_ZSTD_LEVEL });
}

/**
 * Loads a compressor.
 *
 * @param level -7 to 22; 0 means 3
 * @param name default: the fastest one in this process
 * @throws `invalid-input` for a level out of range, `not-found` if the named compressor is not available,
 * `io` if WebAssembly is needed but not available
 */
export async function loadCompressor(level: number, name?: CompressorName): Promise<Compressor> {
  checkCompression({ kind: 'zstd', level });
  if (level > LAST_STREAMED_LEVEL) return highLevelCompressor(await ZstdEncoder.load(), level);
  checkChoice('name of a compressor', name, COMPRESSORS);
  if (name === undefined) return fastestCompressor(level);
  const compressor = await LOADERS[name](level);
  if (compressor !== undefined) return compressor;
  throw new StorageError('not-found', { what: `zstd compressor ${name}` });
}

async function fastestCompressor(level: number): Promise<Compressor> {
  const isQuick = level <= LAST_LEVEL_OF_SMALL_TABLES;
  const quick = isQuick ? otherCompressor(level) : undefined;
  if (quick !== undefined) return quick;
  try {
    return await LOADERS.wasm(level);
  } catch (error) {
    // Without WebAssembly, a slow compressor is better than none.
    const slow = otherCompressor(level);
    if (slow !== undefined) return slow;
    throw error;
  }
}

/** The fastest compressor without WebAssembly. */
function otherCompressor(level: number): Compressor | undefined {
  return LOADERS.native(level) ?? LOADERS.node(level);
}

const COMPRESSORS = ['native', 'node', 'wasm'] as const;

const LOADERS = {
  native: loadNative,
  node: loadNode,
  wasm: async (level: number) => wasmCompressor(await ZstdEncoder.load(), level),
} as const;

function loadNative(level: number): Compressor | undefined {
  const native = requireNative();
  if (native === undefined) return undefined;
  const encoder = new native.Encoder(level);
  return {
    name: 'native',
    level,
    compress: (bytes) => encoder.encode(asBuffer(bytes)),
    compressSync: (bytes) => encoder.encodeSync(asBuffer(bytes)),
  };
}

/** node:zlib as of 22.15; the type declarations are those of Node 20. */
interface ZlibWithZstd {
  readonly zstdCompress: (
    bytes: Uint8Array,
    options: ZlibZstdOptions,
    done: (error: Error | null, frame: Buffer) => void,
  ) => void;
  readonly zstdCompressSync: (bytes: Uint8Array, options: ZlibZstdOptions) => Buffer;
  readonly constants: { readonly ZSTD_c_compressionLevel: number; readonly ZSTD_e_flush: number };
}

interface ZlibZstdOptions {
  readonly params: Record<number, number>;
  readonly finishFlush?: number;
}

function loadNode(level: number): Compressor | undefined {
  if (!hasZstd(zlib)) return undefined;
  const { zstdCompress, zstdCompressSync, constants } = zlib;
  const params = { [constants.ZSTD_c_compressionLevel]: level };
  return {
    name: 'node',
    level,
    compress: (bytes) => {
      checkContent(bytes);
      return new Promise((resolve, reject) => {
        zstdCompress(bytes, { params }, (error, frame) => (error ? reject(error) : resolve(frame)));
      });
    },
    // Ending the frame in the same call as the content would make it a single segment.
    compressSync: (bytes) => {
      checkContent(bytes);
      if (bytes.length === 0) return zstdCompressSync(bytes, { params });
      const flushed = zstdCompressSync(bytes, { params, finishFlush: constants.ZSTD_e_flush });
      const isWhole = bytes.length % MAXIMUM_ZSTD_BLOCK_LENGTH === 0;
      const room = isWhole ? Buffer.concat([flushed, Buffer.alloc(3)]) : flushed;
      return closeStreamedFrame(room, flushed.length, bytes.length);
    },
  };
}

function hasZstd(module: object): module is ZlibWithZstd {
  return 'zstdCompress' in module && typeof module.zstdCompress === 'function';
}

function wasmCompressor(encoder: ZstdEncoder, level: number): Compressor {
  return fromSync(level, (bytes) => encoder.encode(bytes, level));
}

function highLevelCompressor(encoder: ZstdEncoder, level: number): Compressor {
  return fromSync(level, (bytes) =>
    bytes.length <= LARGEST_SINGLE_SEGMENT
      ? encoder.encodeSingleSegment(bytes, level)
      : encoder.encode(bytes, LAST_STREAMED_LEVEL),
  );
}

function fromSync(level: number, encode: Compressor['compressSync']): Compressor {
  const compressSync: Compressor['compressSync'] = (bytes) => {
    checkContent(bytes);
    return encode(bytes);
  };
  return { name: 'wasm', level, compressSync, compress: (bytes) => compressSync(bytes).slice() };
}

function asBuffer(bytes: Uint8Array): Buffer {
  checkContent(bytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function checkContent(bytes: Uint8Array): void {
  checkBytes(bytes, 'content to compress');
}
