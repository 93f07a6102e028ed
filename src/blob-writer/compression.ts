/**
 * Compression of one blob into one zstd frame, with the fastest libzstd that is there: an optional
 * native package, node:zlib (22.15 and later), else WebAssembly.
 *
 * Frames are made as Neon makes them, by streaming: no content size, no checksum. At one level and
 * one version of libzstd all three give the same bytes; level 1 gives them over the versions, too.
 * Levels above 19 would ask readers for windows above 8 MiB; there, blobs up to that size become
 * single segments with their content size, and larger ones are compressed at level 19.
 */
import * as zlib from 'node:zlib';
import type { Zstd } from '@hpcc-js/wasm-zstd';
import { StorageError } from '../errors.ts';
import { loadWasmZstd } from './wasm-zstd.ts';
import { MAXIMUM_ZSTD_BLOCK_LENGTH, ZSTD_BLOCK_HEADER_SIZE, zstdBlocks } from './zstd-frame.ts';

export type Compression =
  | { readonly kind: 'none' }
  /** Level -7 to 22; 0 means libzstd's default, 3. */
  | { readonly kind: 'zstd'; readonly level: number };

/** What Neon's pageserver uses for image layers. */
export const DEFAULT_COMPRESSION: Compression = { kind: 'zstd', level: 1 };

export const MINIMUM_ZSTD_LEVEL = -7;
export const MAXIMUM_ZSTD_LEVEL = 22;

export type CompressorName = 'native' | 'node' | 'wasm';

export interface Compressor {
  readonly name: CompressorName;
  /** One frame, as a fresh array; the bytes must not change until it is there. */
  compress(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** Level above which a streamed frame asks for a window above 8 MiB. */
const LAST_STREAMED_LEVEL = 19;
const LARGEST_SINGLE_SEGMENT = 8 * 1024 * 1024;

/** Throws `invalid-input` for a level that libzstd does not have. */
export function checkCompression(compression: Compression): void {
  if (compression.kind === 'none') return;
  const { level } = compression;
  if (Number.isInteger(level) && level >= MINIMUM_ZSTD_LEVEL && level <= MAXIMUM_ZSTD_LEVEL) return;
  throw new StorageError('invalid-input', {
    what: 'zstd level',
    expected: `an integer from ${MINIMUM_ZSTD_LEVEL} to ${MAXIMUM_ZSTD_LEVEL}`,
    actual: String(level),
  });
}

/** The named compressor, or the fastest of this process. Throws `not-found` if it is not there. */
export async function loadCompressor(level: number, name?: CompressorName): Promise<Compressor> {
  checkCompression({ kind: 'zstd', level });
  if (level > LAST_STREAMED_LEVEL) return highLevelCompressor(await loadWasmZstd(), level);
  const candidates = name === undefined ? (['native', 'node', 'wasm'] as const) : [name];
  for (const candidate of candidates) {
    const compressor = await LOADERS[candidate](level);
    if (compressor !== undefined) return compressor;
  }
  throw new StorageError('not-found', { what: `zstd compressor ${name}` });
}

const LOADERS: Record<CompressorName, (level: number) => Promise<Compressor | undefined>> = {
  native: loadNative,
  node: async (level) => loadNode(level),
  wasm: async (level) => wasmCompressor(await loadWasmZstd(), level),
};

async function loadNative(level: number): Promise<Compressor | undefined> {
  const native = await importNative();
  if (native === undefined) return undefined;
  const encoder = new native.Encoder(level);
  return { name: 'native', compress: (bytes) => encoder.encode(asBuffer(bytes)) };
}

/** The package is optional, and has no binary for every platform. */
async function importNative(): Promise<typeof import('@toondepauw/node-zstd') | undefined> {
  try {
    const module = await import('@toondepauw/node-zstd');
    return module.default ?? module;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/** node:zlib as of 22.15; the type declarations are those of Node 20. */
interface ZlibWithZstd {
  readonly zstdCompress: (
    bytes: Uint8Array,
    options: { readonly params: Record<number, number> },
    done: (error: Error | null, frame: Buffer) => void,
  ) => void;
  readonly constants: { readonly ZSTD_c_compressionLevel: number };
}

function loadNode(level: number): Compressor | undefined {
  if (!hasZstd(zlib)) return undefined;
  const { zstdCompress, constants } = zlib;
  const options = { params: { [constants.ZSTD_c_compressionLevel]: level } };
  return {
    name: 'node',
    compress: (bytes) =>
      new Promise((resolve, reject) => {
        zstdCompress(bytes, options, (error, frame) => (error ? reject(error) : resolve(frame)));
      }),
  };
}

function hasZstd(module: object): module is ZlibWithZstd {
  return 'zstdCompress' in module && typeof module.zstdCompress === 'function';
}

function wasmCompressor(zstd: Zstd, level: number): Compressor {
  return { name: 'wasm', compress: (bytes) => compressStreamed(zstd, bytes, level) };
}

function highLevelCompressor(zstd: Zstd, level: number): Compressor {
  return {
    name: 'wasm',
    compress: (bytes) =>
      bytes.length <= LARGEST_SINGLE_SEGMENT
        ? zstd.compress(bytes, level)
        : compressStreamed(zstd, bytes, LAST_STREAMED_LEVEL),
  };
}

/**
 * The package flushes after every chunk, so that a frame ends in an empty block where Neon's ends in
 * the last full one: that block is cut off, and the one before it marked as the last. A content of
 * whole blocks ends in an empty block either way.
 */
function compressStreamed(zstd: Zstd, bytes: Uint8Array, level: number): Uint8Array {
  zstd.reset();
  zstd.setCompressionLevel(level === 0 ? zstd.defaultCLevel() : level);
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += MAXIMUM_ZSTD_BLOCK_LENGTH) {
    parts.push(zstd.compressChunk(bytes.subarray(start, start + MAXIMUM_ZSTD_BLOCK_LENGTH)));
  }
  parts.push(zstd.compressEnd());
  const frame = Buffer.concat(parts);
  return bytes.length % MAXIMUM_ZSTD_BLOCK_LENGTH === 0 ? frame : withoutEmptyLastBlock(frame);
}

/** Requires: a streamed frame: 4 bytes of magic, descriptor, window, and an empty last block. */
function withoutEmptyLastBlock(frame: Uint8Array): Uint8Array {
  const streamedHeaderSize = 6;
  let lastFull = streamedHeaderSize;
  for (const block of zstdBlocks(frame, streamedHeaderSize)) {
    if (!block.isLast) lastFull = block.start;
  }
  frame[lastFull] = (frame[lastFull] as number) | 1;
  return frame.subarray(0, frame.length - ZSTD_BLOCK_HEADER_SIZE);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
