/** A process without WebAssembly: what else decompresses, and what is said where nothing does. */
import * as zlib from 'node:zlib';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { Decompressor, MAXIMUM_PIECE_LENGTH } from '../../src/zstd/decompression.ts';
import { loadFallbackDecoder } from '../../src/zstd/fallback-decoder.ts';
import { ZstdModule } from '../../src/zstd/module.ts';
import { bytesOf } from '../support/blobs.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const LIMITS = { maximumLength: 8 * 1024 * 1024, maximumWindowSize: 8 * 1024 * 1024 };
const LENGTHS = [0, 1, 8192, MAXIMUM_PIECE_LENGTH, MAXIMUM_PIECE_LENGTH + 1, 3_000_000];

const wasm = globalThis['WebAssembly' as keyof typeof globalThis];

let decompressor: Decompressor;
beforeAll(async () => {
  vi.stubGlobal('WebAssembly', undefined);
  decompressor = await Decompressor.load();
});

async function frameOf(content: Uint8Array): Promise<Uint8Array> {
  return (await loadCompressor(1)).compress(content);
}

function sourceOf(frame: Uint8Array) {
  return {
    length: frame.length,
    bytes: async (offset: number, length: number) => frame.subarray(offset, offset + length),
  };
}

describe.each(LENGTHS)('a frame of %d bytes', (length) => {
  test('a frame is decompressed in every way', async () => {
    const content = bytesOf(length, 7);
    const frame = await frameOf(content);
    expect(Buffer.compare(decompressor.decompress(frame, LIMITS), content)).toBe(0);
    for (const inPieces of [
      (onPiece: (piece: Uint8Array) => void) =>
        decompressor.decompressPieces(frame, LIMITS, onPiece),
      (onPiece: (piece: Uint8Array) => void) =>
        decompressor.decompressFrom(sourceOf(frame), LIMITS, onPiece),
    ]) {
      const pieces: Buffer[] = [];
      const told = await inPieces((piece) => {
        expect(piece.length).toBeLessThanOrEqual(MAXIMUM_PIECE_LENGTH);
        pieces.push(Buffer.from(piece));
      });
      expect(told).toBe(length);
      expect(Buffer.compare(Buffer.concat(pieces), content)).toBe(0);
    }
  });
});

test('a frame above the limit is too large, and one at the limit is not', async () => {
  const content = bytesOf(100_000, 3);
  const frame = await frameOf(content);
  const limits = (maximumLength: number) => ({ ...LIMITS, maximumLength });
  expect(decompressor.decompress(frame, limits(100_000)).length).toBe(100_000);
  const error = storageErrorThrownBy(() => decompressor.decompress(frame, limits(99_999)));
  expect(error).toMatchObject({ code: 'too-large' });
});

test('a frame with a damaged block is corrupt', async () => {
  const frame = Buffer.from(await frameOf(Buffer.alloc(50_000, 'damaged, and compressed; ')));
  frame.fill(0xff, 9);
  const error = storageErrorThrownBy(() => decompressor.decompress(frame, LIMITS));
  expect(error).toMatchObject({ code: 'corrupt', offset: 0 });
});

test('a decoder without a limit does not begin what might produce too much', async () => {
  const decode = loadFallbackDecoder();
  const frame = await frameOf(bytesOf(1000, 1));
  const outcome = decode?.(frame, { capacity: 1000, maximumLength: 17 * 1024 * 1024 });
  // That of node:zlib has a limit.
  if ('zstdDecompressSync' in zlib) expect(outcome).toHaveLength(1000);
  else expect(outcome).toBe('unbounded');
  expect(decode?.(frame, { capacity: 1000, maximumLength: 16 * 1024 * 1024 })).toHaveLength(1000);
  expect(decode?.(frame, { capacity: 999, maximumLength: 1000 })).toBe('too-long');
});

test('levels that are best compressed by WebAssembly are compressed by something else', async () => {
  const compressor = await loadCompressor(12);
  expect(compressor.name).not.toBe('wasm');
  const content = bytesOf(8192, 5);
  const frame = await compressor.compress(content);
  expect(Buffer.compare(decompressor.decompress(frame, LIMITS), content)).toBe(0);
});

test('without WebAssembly, an error names it; once it is available, the call succeeds', async () => {
  expect(await storageErrorOf(loadCompressor(22))).toMatchObject({
    code: 'io',
    expected: 'WebAssembly',
  });
  const error = await storageErrorOf(ZstdModule.load());
  expect(error.message).toMatch(/^cannot compress or decompress zstd in this process: /);
  vi.stubGlobal('WebAssembly', wasm);
  expect((await loadCompressor(22)).name).toBe('wasm');
  vi.stubGlobal('WebAssembly', undefined);
});
