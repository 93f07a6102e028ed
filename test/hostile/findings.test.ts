/** What the fuzzer found, each by the seed that found it, and as small as it can be. */
import { describe, expect, it } from 'vitest';
import { loadCompressor } from '../../src/blob-writer/compression.ts';
import { DEFAULT_DECOMPRESSION_LIMITS, Decompressor } from '../../src/blob-writer/decompression.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';
import { encodeFrame } from '../support/zstd-frames.ts';
import { execute } from './fuzzing.ts';

it('a content that is longer than its header says is refused, not written beyond its room', async () => {
  const decompressor = await Decompressor.load();
  const compressor = await loadCompressor(1, 'wasm');
  const content = Buffer.alloc(131_072, 'a text that repeats itself ');
  // Behind the header of 6 bytes is one block with its header, then an empty last one.
  const frame = await compressor.compress(content);
  const block = frame.subarray(9, frame.length - 3);
  const blocks = Array.from({ length: 4 }, () => ({ kind: 'compressed', bytes: block }) as const);
  for (const value of [300_000n, 524_287n, 524_288n]) {
    const claiming = encodeFrame({ blocks, contentSize: { size: 4, value }, window: 13 << 3 });
    const decompress = () => decompressor.decompress(claiming, DEFAULT_DECOMPRESSION_LIMITS);
    if (value === 524_288n) expect(decompress().length).toBe(524_288);
    else expect(storageErrorThrownBy(decompress).code).toBe('corrupt');
  }
});

describe('a compressed block of no bytes', () => {
  it('is refused whole and in pieces, where the decoders disagree', async () => {
    const frame = encodeFrame({
      blocks: [
        { kind: 'compressed', bytes: new Uint8Array(0) },
        { kind: 'repeated', byte: 7, length: 131_072 },
        { kind: 'repeated', byte: 8, length: 200 },
      ],
    });
    const decompressor = await Decompressor.load();
    const limits = DEFAULT_DECOMPRESSION_LIMITS;
    for (const decompress of [
      () => decompressor.decompress(frame, limits),
      () => decompressor.decompressPieces(frame, limits, () => {}),
    ]) {
      expect(storageErrorThrownBy(decompress)).toMatchObject({ code: 'corrupt', offset: 6 });
    }
  });

  it('is the same to a scan and to a stream: seed 11747', async () => {
    expect(await execute(11_747)).toBe('layer damaged');
  });
});
