import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { MAXIMUM_ZSTD_BLOCK_LENGTH, scanZstdFrame, zstdBlocks } from '../../src/zstd/frame.ts';
import { bytesOf } from '../support/blobs.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';
import { encodeFrame, type TestFrame } from '../support/zstd-frames.ts';

const HELLO = Buffer.from('hello');
const HELLO_BLOCK = { kind: 'raw', bytes: HELLO } as const;

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

describe('literal frames', () => {
  test('a streamed one: magic, descriptor, window of 8 MiB, one raw block', () => {
    const frame = hex(
      '28b52ffd' + // magic
        '00' + //        descriptor: nothing but a window
        '68' + //        window: exponent 13, mantissa 0
        '290000' + //    last, raw, 5 bytes
        '68656c6c6f',
    );
    expect(scanZstdFrame(frame)).toEqual({
      headerSize: 6,
      windowSize: 8 * 1024 * 1024,
      contentSize: undefined,
      hasChecksum: false,
      minimumLength: 5,
      maximumLength: 5,
    });
    expect([...zstdBlocks(frame, 6)]).toEqual([
      { start: 6, end: 14, kind: 'raw', length: 5, isLast: true },
    ]);
    expect(encodeFrame({ blocks: [HELLO_BLOCK] }).equals(frame)).toBe(true);
  });

  test('a single segment: content size of one byte, checksum', () => {
    const frame = hex(
      '28b52ffd' +
        '24' + //        descriptor: single segment, checksum
        '05' + //        content size
        '290000' +
        '68656c6c6f' +
        '46d1b3f7', //   checksum, of any value: the scan does not look
    );
    expect(scanZstdFrame(frame)).toEqual({
      headerSize: 6,
      windowSize: 5,
      contentSize: 5,
      hasChecksum: true,
      minimumLength: 5,
      maximumLength: 5,
    });
  });

  test('repeated, compressed and empty blocks', () => {
    const frame = hex(
      '28b52ffd 00 00' + //       window of 1 KiB
        '020800 61' + //          repeated, 256 times
        '000000' + //             raw, nothing
        '140000 0102' + //        compressed, 2 bytes
        '010000', //              last, raw, nothing
    );
    expect([...zstdBlocks(frame, 6, 1024)]).toEqual([
      { start: 6, end: 10, kind: 'repeated', length: 256, isLast: false },
      { start: 10, end: 13, kind: 'raw', length: 0, isLast: false },
      { start: 13, end: 18, kind: 'compressed', length: 1024, isLast: false },
      { start: 18, end: 21, kind: 'raw', length: 0, isLast: true },
    ]);
    expect(scanZstdFrame(frame)).toMatchObject({
      windowSize: 1024,
      minimumLength: 256,
      maximumLength: 256 + 1024,
    });
  });
});

describe('the header', () => {
  test.each([
    [0x00, 1024],
    [0x01, 1152],
    [0x07, 1920],
    [0x08, 2048],
    [0x68, 8 * 2 ** 20],
    [0x69, 9 * 2 ** 20],
    [0x70, 16 * 2 ** 20],
    [0xf8, 2 ** 41],
    [0xff, 2 ** 41 + 7 * 2 ** 38],
  ])('the window descriptor %i means a window of %i bytes', (window, windowSize) => {
    expect(scanZstdFrame(encodeFrame({ blocks: [HELLO_BLOCK], window })).windowSize).toBe(
      windowSize,
    );
  });

  test.each([
    [1, 5n],
    [4, 5n],
    [8, 5n],
  ] as const)(
    'a content size in %i bytes is read, and the header is that much longer',
    (size, value) => {
      const frame = encodeFrame({ blocks: [HELLO_BLOCK], contentSize: { size, value } });
      expect(scanZstdFrame(frame)).toMatchObject({ contentSize: 5, headerSize: 5 + size });
    },
  );

  test('a content size in two bytes counts from 256', () => {
    const blocks = [{ kind: 'repeated', byte: 1, length: 256 }] as const;
    const frame = encodeFrame({ blocks, contentSize: { size: 2, value: 256n } });
    expect(frame.subarray(5, 7).toString('hex')).toBe('0000');
    expect(scanZstdFrame(frame).contentSize).toBe(256);
  });

  test('a content size in a header with a window', () => {
    const frame = encodeFrame({
      blocks: [{ kind: 'repeated', byte: 1, length: 700 }],
      contentSize: { size: 4, value: 700n },
      window: 0,
    });
    expect(scanZstdFrame(frame)).toMatchObject({ contentSize: 700, windowSize: 1024 });
  });

  test.each<[string, bigint]>([
    ['more than the blocks hold', 6n],
    ['less than the blocks hold', 4n],
    ['2^32 - 1', 0xffffffffn],
  ])('a content size of %s is corrupt', (_, value) => {
    for (const window of [undefined, 0x68]) {
      const frame = encodeFrame({ blocks: [HELLO_BLOCK], contentSize: { size: 4, value }, window });
      // In a single segment the size is the window, too, and no block is larger than that.
      expect(storageErrorThrownBy(() => scanZstdFrame(frame)).code).toBe('corrupt');
    }
  });

  test('a content size beyond 2^53 is too-large', () => {
    const frame = encodeFrame({
      blocks: [HELLO_BLOCK],
      contentSize: { size: 8, value: 2n ** 53n },
    });
    expect(storageErrorThrownBy(() => scanZstdFrame(frame))).toMatchObject({
      code: 'too-large',
      offset: 5,
      actual: '9007199254740992',
    });
  });

  test('a content size of 2^53 - 1 is a number, which the blocks do not reach', () => {
    const value = BigInt(Number.MAX_SAFE_INTEGER);
    const frame = encodeFrame({ blocks: [HELLO_BLOCK], contentSize: { size: 8, value } });
    expect(storageErrorThrownBy(() => scanZstdFrame(frame)).code).toBe('corrupt');
  });

  test.each([1, 2, 4])('a dictionary id of %i bytes is corrupt, unless it is 0', (size) => {
    const dictionary = new Uint8Array(size);
    const none = encodeFrame({ blocks: [HELLO_BLOCK], dictionary });
    expect(scanZstdFrame(none).headerSize).toBe(6 + size);
    for (let index = 0; index < size; index += 1) {
      const one = encodeFrame({ blocks: [HELLO_BLOCK], dictionary: dictionary.with(index, 1) });
      expect(storageErrorThrownBy(() => scanZstdFrame(one))).toMatchObject({
        code: 'corrupt',
        offset: 6,
        expected: 'no dictionary',
      });
    }
  });

  test('the reserved bit is corrupt', () => {
    const frame = encodeFrame({ blocks: [HELLO_BLOCK], reservedBit: true });
    expect(storageErrorThrownBy(() => scanZstdFrame(frame))).toMatchObject({
      code: 'corrupt',
      offset: 4,
    });
  });

  test('the unused bit is ignored', () => {
    const frame = encodeFrame({ blocks: [HELLO_BLOCK] });
    frame[4] = 0x10;
    expect(scanZstdFrame(frame).headerSize).toBe(6);
  });

  test.each(['00000000', '27b52ffd', '502a4d18', '22b52ffd'])(
    'a frame with the magic %s is corrupt',
    (magic) => {
      const frame = encodeFrame({ blocks: [HELLO_BLOCK] });
      frame.set(hex(magic));
      const error = storageErrorThrownBy(() => scanZstdFrame(frame));
      expect(error).toMatchObject({ code: 'corrupt', offset: 0, expected: 'magic 0xfd2fb528' });
    },
  );
});

describe('blocks', () => {
  test('blocks of the reserved type are corrupt, with their place', () => {
    const blocks = [HELLO_BLOCK, { kind: 'reserved', bytes: HELLO }] as const;
    expect(storageErrorThrownBy(() => scanZstdFrame(encodeFrame({ blocks })))).toMatchObject({
      code: 'corrupt',
      offset: 14,
      actual: '3',
    });
  });

  test('blocks that are compressed have at least one byte', () => {
    const blocks = [HELLO_BLOCK, { kind: 'compressed', bytes: new Uint8Array(0) }] as const;
    expect(storageErrorThrownBy(() => scanZstdFrame(encodeFrame({ blocks })))).toMatchObject({
      code: 'corrupt',
      offset: 14,
      expected: 'at least 1 compressed byte',
    });
  });

  test.each([14, 15, 16])(
    'blocks whose header is cut at %i are told from those that are cut',
    (length) => {
      const frame = encodeFrame({ blocks: [HELLO_BLOCK, HELLO_BLOCK] });
      const error = storageErrorThrownBy(() => scanZstdFrame(frame.subarray(0, length)));
      expect(error).toMatchObject({ code: 'truncated', offset: 14 });
      expect(error.message).toContain('zstd block header');
    },
  );

  test.each(['raw', 'repeated', 'compressed'] as const)(
    '%s blocks longer than 128 KiB, or than the window, are corrupt',
    (kind) => {
      const block = (length: number) =>
        kind === 'repeated' ? { kind, byte: 0, length } : { kind, bytes: new Uint8Array(length) };
      for (const [window, limit] of [
        [0x68, MAXIMUM_ZSTD_BLOCK_LENGTH],
        [0x00, 1024],
      ] as const) {
        scanZstdFrame(encodeFrame({ blocks: [block(limit)], window }));
        const frame = encodeFrame({ blocks: [HELLO_BLOCK, block(limit + 1)], window });
        expect(storageErrorThrownBy(() => scanZstdFrame(frame))).toMatchObject({
          code: 'corrupt',
          offset: 14,
          actual: `${limit + 1}`,
        });
      }
    },
  );

  test('blocks are missing in a frame that ends with its header', () => {
    const frame = encodeFrame({ blocks: [HELLO_BLOCK] }).subarray(0, 6);
    expect(storageErrorThrownBy(() => scanZstdFrame(frame))).toMatchObject({
      code: 'truncated',
      offset: 6,
      expected: '3 bytes',
    });
  });

  test('a frame of nothing has no content', () => {
    const frame = encodeFrame({ blocks: [{ kind: 'raw', bytes: new Uint8Array(0) }] });
    expect(scanZstdFrame(frame)).toMatchObject({ minimumLength: 0, maximumLength: 0 });
  });
});

describe('any frame', () => {
  const frames: [string, TestFrame][] = [
    ['streamed', { blocks: [HELLO_BLOCK, HELLO_BLOCK] }],
    ['with a checksum', { blocks: [HELLO_BLOCK], checksum: 'right' }],
    [
      'with everything',
      {
        blocks: [HELLO_BLOCK, { kind: 'repeated', byte: 7, length: 9 }],
        contentSize: { size: 8, value: 14n },
        dictionary: new Uint8Array(4),
        checksum: 'right',
      },
    ],
  ];

  test.each(frames)('a frame (%s) cut anywhere is truncated, within its bytes', (_, test) => {
    const frame = encodeFrame(test);
    scanZstdFrame(frame);
    for (let length = 0; length < frame.length; length += 1) {
      const error = storageErrorThrownBy(() => scanZstdFrame(frame.subarray(0, length)));
      expect(error.code).toBe('truncated');
      expect(error.offset).toBeLessThanOrEqual(length);
    }
  });

  test.each(frames)('a frame (%s) followed by a byte is corrupt', (_, test) => {
    const frame = encodeFrame(test);
    for (const tail of [Buffer.of(0), frame]) {
      const error = storageErrorThrownBy(() => scanZstdFrame(Buffer.concat([frame, tail])));
      expect(error).toMatchObject({ code: 'corrupt', offset: frame.length });
    }
  });

  test('any frame of the compressor is scanned the same, cut anywhere truncated', async () => {
    const compressor = await loadCompressor(1, 'wasm');
    const content = bytesOf(150_000, 5);
    const frame = await compressor.compress(content);
    const scanned = scanZstdFrame(frame);
    expect(scanned.contentSize).toBeUndefined();
    expect(scanned.hasChecksum).toBe(false);
    expect(scanned.minimumLength).toBeLessThanOrEqual(content.length);
    expect(scanned.maximumLength).toBeGreaterThanOrEqual(content.length);
    for (let length = 0; length < frame.length; length += 1 + Math.floor(length / 50)) {
      const error = storageErrorThrownBy(() => scanZstdFrame(frame.subarray(0, length)));
      expect(error.code).toBe('truncated');
    }
  });

  test('any bytes are a frame or a typed error within them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (noise, hasMagic) => {
        const bytes = hasMagic ? Buffer.concat([hex('28b52ffd'), noise]) : noise;
        try {
          const { maximumLength, minimumLength, headerSize } = scanZstdFrame(bytes);
          expect(minimumLength).toBeLessThanOrEqual(maximumLength);
          expect(headerSize).toBeLessThan(bytes.length);
        } catch (error) {
          if (!(error instanceof StorageError)) throw error;
          expect(['corrupt', 'truncated', 'too-large']).toContain(error.code);
          expect(error.offset).toBeLessThanOrEqual(bytes.length);
        }
      }),
      { numRuns: rounds(5000) },
    );
  });
});
