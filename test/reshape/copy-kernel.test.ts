/** The copying loop of a merge, against entries that are laid out by hand. */
import { describe, expect, test } from 'vitest';
import { ChecksummedBytes } from '../../src/checksum.ts';
import { CRC32C_DATA_OFFSET } from '../../src/crc32c-module.ts';
import {
  COPY_KERNEL,
  GAP_SIZE,
  MAXIMUM_GAPS,
  SOURCE,
  SOURCE_SIZE,
} from '../../src/reshape/copy-kernel.ts';
import { noise } from '../support/layers.ts';

/** Where the arrays of a test lie. */
const PLACES = {
  order: 0,
  sources: 8192,
  keys: 16_384,
  leafValues: 98_304,
  starts: 131_072,
  lengths: 139_264,
  marks: 147_456,
  keysOut: 155_648,
  blobs: 262_144,
  gaps: 524_288,
  values: 540_672,
};
const SIZE = 1 << 20;
/** Offset in its file of the first value of each layer. */
const FIRST_OFFSET = 5_000_000_000;

interface Layer {
  /** Each with its header, followed by this many bytes of a gap. */
  readonly blobs: readonly { readonly bytes: Uint8Array; readonly gap?: number }[];
  /** Added to the offset of the entry with this index. */
  readonly moved?: { readonly entry: number; readonly by: number };
}

interface Copied {
  readonly size: number;
  readonly rows: readonly { readonly key: Uint8Array; readonly blob: Uint8Array; mark: number }[];
  readonly gaps: readonly { readonly row: number; readonly size: number }[];
}

function shortBlob(length: number): Uint8Array {
  return Uint8Array.of(length, ...noise(length, length));
}

function longBlob(length: number, first = 0x80): Uint8Array {
  const header = [first, length >> 16, (length >> 8) & 0xff, length & 0xff];
  return Uint8Array.from([...header, ...noise(length, length)]);
}

function copy(layers: readonly Layer[], order: readonly number[], maximumLength = 1 << 20): Copied {
  const memory = ChecksummedBytes.allocate(SIZE, COPY_KERNEL);
  const { bytes, view } = memory;
  let entry = 0;
  let valuesAt = PLACES.values;
  for (const [index, { blobs, moved }] of layers.entries()) {
    const source = PLACES.sources + index * SOURCE_SIZE;
    view.setUint32(source + SOURCE.next, entry, true);
    view.setUint32(source + SOURCE.shift, CRC32C_DATA_OFFSET + valuesAt - FIRST_OFFSET, true);
    let offset = FIRST_OFFSET;
    for (const [row, { bytes: blob, gap = 0 }] of [
      ...blobs,
      { bytes: new Uint8Array(0) },
    ].entries()) {
      const own = offset + (moved?.entry === row ? moved.by : 0);
      view.setFloat64(PLACES.leafValues + entry * 8, own * 2 + (row & 1), true);
      if (row < blobs.length) bytes.set(noise(26, entry), PLACES.keys + entry * 26);
      bytes.set(blob, valuesAt + offset - FIRST_OFFSET);
      offset += blob.length + gap;
      entry += 1;
    }
    view.setBigUint64(source + SOURCE.begin, BigInt(FIRST_OFFSET), true);
    view.setBigUint64(source + SOURCE.end, BigInt(offset), true);
    valuesAt += offset - FIRST_OFFSET;
  }
  for (const [row, layer] of order.entries()) view.setUint16(PLACES.order + row * 2, layer, true);
  const { sources, keys, leafValues, starts, lengths, marks, keysOut, blobs, gaps } = PLACES;
  const places = [PLACES.order, sources, keys, leafValues, starts, lengths, marks, keysOut, blobs];
  const addresses = [...places, gaps].map((place) => CRC32C_DATA_OFFSET + place);
  const size = memory.exports['copyEntries']?.(...addresses, order.length, maximumLength);
  if (size === undefined) throw new Error('no WebAssembly');
  if (size < 0) return { size, rows: [], gaps: [] };
  return {
    size,
    rows: order.map((_, row) => {
      const start = view.getUint32(starts + row * 4, true);
      const end = start + view.getUint32(lengths + row * 4, true);
      const key = bytes.slice(keysOut + row * 26, keysOut + (row + 1) * 26);
      return { key, blob: bytes.slice(blobs + start, blobs + end), mark: bytes[marks + row] ?? 2 };
    }),
    gaps: Array.from({ length: view.getUint32(gaps, true) }, (_, index) => {
      const at = gaps + (index + 1) * GAP_SIZE;
      return { row: view.getUint32(at, true), size: view.getUint32(at + 4, true) };
    }),
  };
}

describe('the copying loop', () => {
  test('copies keys, marks and blobs of all lengths in the order, and reports the gaps', () => {
    const lengths = [0, 1, 14, 15, 16, 17, 100, 127];
    const long = [128, 129, 507, 508, 509, 3000, 70_000];
    const first: Layer = { blobs: lengths.map((length) => ({ bytes: shortBlob(length) })) };
    const second: Layer = {
      blobs: long.map((length) => ({ bytes: longBlob(length), gap: length === 509 ? 7 : 0 })),
    };
    const order = [0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1];
    const { size, rows, gaps } = copy([first, second], order);
    const next = [0, 0];
    const expected = order.map((layer) => {
      const index = next[layer] as number;
      next[layer] = index + 1;
      const length = (layer === 0 ? lengths : long)[index] as number;
      const entry = layer === 0 ? index : lengths.length + 1 + index;
      return { key: noise(26, entry), blob: noise(length, length), mark: index & 1 };
    });
    expect(rows).toEqual(expected);
    const all = [...first.blobs, ...second.blobs];
    expect(size).toBe(all.reduce((sum, { bytes }) => sum + bytes.length, 0));
    expect(gaps).toEqual([{ row: 8, size: 7 }]);
  });

  const valid = { bytes: shortBlob(20) };
  test.each<[string, Layer, number]>([
    ['a compressed blob', { blobs: [valid, { bytes: longBlob(200, 0x90) }] }, 1 << 20],
    ['an unknown compression', { blobs: [valid, { bytes: longBlob(200, 0xc0) }] }, 1 << 20],
    ['a long header of a short blob', { blobs: [valid, { bytes: longBlob(127) }] }, 1 << 20],
    ['a blob above the limit', { blobs: [valid, { bytes: longBlob(200) }] }, 199],
    ['a short blob above the limit', { blobs: [valid] }, 19],
    [
      'a blob that reaches into the next one',
      { blobs: [{ bytes: shortBlob(20).fill(60, 0, 1) }, valid] },
      1 << 20,
    ],
    [
      'a header that reaches into the next blob',
      {
        blobs: [
          { bytes: Uint8Array.of(0x80, 0, 0) },
          { bytes: Uint8Array.of(200, ...noise(199, 1)) },
        ],
      },
      1 << 20,
    ],
    [
      'an offset before the values',
      { blobs: [valid, valid], moved: { entry: 0, by: -1 } },
      1 << 20,
    ],
    ['an offset after the values', { blobs: [valid, valid], moved: { entry: 2, by: 1 } }, 1 << 20],
    [
      'an offset not above the one before',
      { blobs: [valid, valid], moved: { entry: 1, by: -21 } },
      1 << 20,
    ],
    [
      'an offset below the one before',
      { blobs: [valid, valid, valid], moved: { entry: 2, by: -22 } },
      1 << 20,
    ],
  ])('refuses %s', (_, layer, maximumLength) => {
    const order = layer.blobs.map(() => 0);
    expect(copy([layer], order, maximumLength).size).toBe(-1);
  });

  test('accepts as many gaps as there is room for, and no more', () => {
    const layer = (count: number): Layer => ({
      blobs: Array.from({ length: count }, () => ({ bytes: shortBlob(1), gap: 1 })),
    });
    const order = (count: number) => Array.from({ length: count }, () => 0);
    const most = copy([layer(MAXIMUM_GAPS)], order(MAXIMUM_GAPS));
    expect(most.gaps.length).toBe(MAXIMUM_GAPS);
    expect(most.gaps.at(-1)).toEqual({ row: MAXIMUM_GAPS - 1, size: 1 });
    expect(copy([layer(MAXIMUM_GAPS + 1)], order(MAXIMUM_GAPS + 1)).size).toBe(-1);
  });
});
