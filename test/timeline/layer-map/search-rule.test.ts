/** Which of the candidates is read next: each row of the rule. */
import { describe, expect, test } from 'vitest';
import { parseKey } from '../../../src/layers/key.ts';
import { formatLsn } from '../../../src/layers/lsn.ts';
import { LayerMap } from '../../../src/timeline/layer-map/layer-map.ts';
import type { MemoryLayer } from '../../../src/timeline/layer-map/memory-layers.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

const KEY = parseKey('000000067F00000005000040000000000000');
const RANGE = '000000067F00000005000040000000000000-000000067F00000005000040000000000001';
const image = (lsn: bigint): string => `${RANGE}__${formatLsn(lsn)}`;
const delta = (start: bigint, end: bigint): string =>
  `${RANGE}__${formatLsn(start)}-${formatLsn(end)}`;
const memory = (start: bigint, end?: bigint): MemoryLayer => ({ name: 'memory', start, end });
const D = delta(90n, 120n);
const I = image(100n);

describe('a search', () => {
  test.each([
    ['without a candidate', [D], [], 90n, undefined],
    ['with a delta alone', [D], [], 91n, [D, 90n]],
    ['with memory alone', [], [memory(50n)], 51n, ['memory', 50n]],
    ['with an image alone', [I], [], 101n, [I, 100n]],
    ['with a delta that ends above the image', [D, I], [], 121n, [D, 101n]],
    ['with an image that ends where the search ends', [D, I], [], 101n, [I, 100n]],
    ['below the image', [D, I], [], 100n, [D, 90n]],
    ['with an image that ends with the delta', [D, image(119n)], [], 130n, [image(119n), 119n]],
    ['with an image below the delta', [D, image(80n)], [], 130n, [D, 90n]],
    ['with memory above an image', [I], [memory(95n)], 130n, ['memory', 101n]],
    ['with an image at the end of the search, and memory', [I], [memory(95n)], 101n, [I, 100n]],
    ['with frozen memory that ends with the image', [I], [memory(95n, 101n)], 130n, [I, 100n]],
    ['with memory above a delta', [D], [memory(120n)], 130n, ['memory', 120n]],
    ['with memory that begins inside of a delta', [D], [memory(110n)], 130n, ['memory', 120n]],
    ['with a delta that ends with the search', [D], [memory(110n)], 120n, [D, 90n]],
    ['with a delta that ends above frozen memory', [D], [memory(100n, 110n)], 130n, [D, 90n]],
    ['with all three, the image first', [D, I], [memory(95n)], 101n, [I, 100n]],
    ['with all three, the memory uppermost', [D, I], [memory(95n)], 130n, ['memory', 120n]],
    ['with all three, the delta uppermost', [D, I], [memory(95n, 110n)], 130n, [D, 101n]],
    [
      'with memory frozen before the end of the search, and the open one',
      [],
      [memory(5n, 9n), { name: 'open', start: 9n }],
      9n,
      ['memory', 5n],
    ],
  ] as const)(
    'a search %s finds what a pageserver finds',
    (_, names, memoryLayers, endLsn, wanted) => {
      const map = LayerMap.fromNames(names, { memoryLayers });
      const [name, lsnFloor] = wanted ?? [];
      expect(map.search(KEY, endLsn)).toEqual(wanted && { name, lsnFloor });
    },
  );
});

test('memory has every key, those outside of all layers too', () => {
  const map = LayerMap.fromNames([I], { memoryLayers: [memory(200n)] });
  const all = { start: new Uint8Array(18), end: new Uint8Array(18).fill(0xff) };
  expect(map.rangeSearch(all, 300n)).toEqual([
    { name: 'memory', lsnFloor: 200n, keyRanges: [all] },
  ]);
});

test.each([
  ['an open layer before another', [memory(5n), memory(9n)]],
  ['overlapping LSNs', [memory(5n, 9n), memory(8n)]],
  ['an empty LSN range', [memory(5n, 5n)]],
])('layers in memory with %s are refused', (_, memoryLayers) => {
  const error = storageErrorThrownBy(() => LayerMap.fromNames([], { memoryLayers }));
  expect(error.code).toBe('out-of-range');
});

describe('a map', () => {
  test('a map describes its layers in order, with their sizes', () => {
    const l0 = `${'0'.repeat(36)}-${'F'.repeat(36)}__${formatLsn(1n)}-${formatLsn(2n)}`;
    const map = LayerMap.fromNames([I, D, l0], {
      sizes: new Map<string, number | bigint>([
        [I, 2n ** 60n],
        [D, 8192],
      ]),
    });
    const described = [...map.layers()].map(({ name, level, size }) => [name, level, size]);
    expect(described).toEqual([
      [l0, 'L0', undefined],
      [D, 'L1', 8192n],
      [I, 'image', 2n ** 60n],
    ]);
    expect(map.layerCount).toBe(3);
  });

  test('a map finds holes of a number of keys or more, L0s aside', () => {
    const key = (block: string): string => `000000067F000000050000400000${block}`;
    const between = (start: string, end: string): string =>
      `${key(start)}-${key(end)}__0000000000000010`;
    const map = LayerMap.fromNames([
      between('00000000', '00000010'),
      between('00000020', '00000030'),
      between('00000130', '00000140'),
      `${'0'.repeat(36)}-${'F'.repeat(36)}__${formatLsn(1n)}-${formatLsn(2n)}`,
    ]);
    expect(map.holes(16).map(({ keys }) => keys)).toEqual([16n, 256n]);
    expect(map.holes(17)).toEqual([
      {
        keyRange: { start: parseKey(key('00000030')), end: parseKey(key('00000130')) },
        keys: 256n,
      },
    ]);
  });
});
