/** Lists of names that no pageserver would give. */
import { describe, expect, test } from 'vitest';
import { isStorageError } from '../../../src/errors.ts';
import { parseKey } from '../../../src/layers/key.ts';
import { formatLsn } from '../../../src/layers/lsn.ts';
import { LayerMap } from '../../../src/timeline/layer-map/layer-map.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

const A = '000000067F00000005000040000000000000';
const B = '000000067F00000005000040000000000001';
const LOW = '0'.repeat(36);
const HIGH = 'F'.repeat(36);
const WIDE = '0000010000000000050000400000000000A0';
const image = (start: string, end: string, lsn = '0000000000000010'): string =>
  `${start}-${end}__${lsn}`;
const delta = (start: string, end: string, from: bigint, to: bigint): string =>
  `${start}-${end}__${formatLsn(from)}-${formatLsn(to)}`;

describe('a list of layers is refused', () => {
  test.each([
    ['with a text that is no name', ['notes.txt'], 'invalid-input'],
    [
      'with a name that could be a delta or an image',
      [`${image(A, B)}-00000011`],
      'ambiguous-name',
    ],
    ['with a delta of descending LSNs', [delta(A, B, 2n, 1n)], 'invalid-input'],
    ['with a delta of descending keys', [delta(B, A, 1n, 2n)], 'invalid-input'],
    ['with an image of descending keys', [image(B, A)], 'out-of-range'],
    ['with a key whose field 2 has more than 16 bits', [image(LOW, WIDE)], 'out-of-range'],
    [
      'with two keys that are the same in 128 bits',
      [image(`7F0000${'F'.repeat(30)}`, HIGH)],
      'out-of-range',
    ],
    ['with an image at the highest LSN', [image(A, B, 'F'.repeat(16))], 'out-of-range'],
    ['with a layer twice', [image(A, B), image(A, B)], 'invalid-input'],
    [
      'with a layer in two generations',
      [image(A, B), `${image(A, B)}-v1-00000002`],
      'invalid-input',
    ],
    [
      'with a layer in two writings',
      [image(A, B), image(A.toLowerCase(), B, '10')],
      'invalid-input',
    ],
  ] as const)('a list of layers %s is refused', (_, names, code) => {
    const error = storageErrorThrownBy(() => LayerMap.fromNames(names));
    expect(error.code).toBe(code);
  });

  test('a list of layers is refused after as many names as are allowed, without waiting for the others', () => {
    let given = 0;
    function* names(): Generator<string> {
      for (; ; given += 1) yield image(LOW, HIGH, given.toString(16).padStart(16, '0'));
    }
    const error = storageErrorThrownBy(() => LayerMap.fromNames(names(), { maximumLayers: 3000 }));
    expect(error.code).toBe('too-large');
    expect(given).toBe(3000);
  });
});

describe('a list of layers is accepted', () => {
  test('a list of layers is accepted with field 2 of FFFFFFFF and 22222222, whose upper half does not count', () => {
    const start = '00FFFFFFFF00000000000000000000000000';
    const name = image(start, HIGH);
    const map = LayerMap.fromNames([name, image('002222222200000000000000000000000000', start)]);
    expect(map.search(parseKey(start), 0x20n)).toEqual({ name, lsnFloor: 0x10n });
    expect(map.search(parseKey('000000FFFF00000000000000000000000000'), 0x20n)?.name).toBe(name);
  });

  test('a list of layers is accepted with short LSNs and a generation, and is answered with the names as given', () => {
    const name = `${A}-${B}__10-20-v1-00000002`;
    expect(LayerMap.fromNames([name]).search(parseKey(A), 0x20n)?.name).toBe(name);
  });

  test('an empty list of layers is accepted', () => {
    const map = LayerMap.fromNames([]);
    const all = { start: parseKey(LOW), end: parseKey(HIGH) };
    expect(map.search(parseKey(A), 1n << 64n)).toBeUndefined();
    expect(map.rangeSearch(all, 10n)).toEqual([]);
    expect(map.imageCoverage(all, 10n)).toEqual([]);
    expect(map.countDeltas(all, { start: 0n, end: 1n << 64n })).toBe(0);
    expect(map.imageLayerExists(all, { start: 0n, end: 10n })).toBe(false);
    expect(map.imageLayerExists({ start: all.start, end: all.start }, { start: 0n, end: 1n })).toBe(
      true,
    );
    expect(map.visibility([5n])).toEqual({ visible: [], covered: [] });
    expect(map.violation()).toBeUndefined();
    expect(map.holes(1)).toEqual([]);
  });

  test('a list of layers is accepted with deltas that lie 20,000 deep, and the depth is counted', () => {
    const names = Array.from({ length: 20_000 }, (_, at) =>
      delta(A, B, BigInt(at), BigInt(at + 1)),
    );
    const map = LayerMap.fromNames(names);
    const keys = { start: parseKey(LOW), end: parseKey(HIGH) };
    expect(map.countDeltas(keys, { start: 0n, end: 1n << 64n })).toBe(20_000);
    expect(map.countDeltas(keys, { start: 0n, end: 1n << 64n }, 3)).toBe(3);
  });
});

describe('a question is refused', () => {
  const map = LayerMap.fromNames([image(A, B)]);
  const keys = { start: parseKey(A), end: parseKey(B) };

  test.each([
    ['of a key of 17 bytes', () => map.search(new Uint8Array(17), 1n), 'invalid-input'],
    ['of a key beyond 128 bits', () => map.search(parseKey(WIDE), 1n), 'out-of-range'],
    ['of an LSN above 2^64', () => map.search(keys.start, (1n << 64n) + 1n), 'out-of-range'],
    [
      'of an LSN that is a number',
      () => Reflect.apply(map.search, map, [keys.start, 1]),
      'out-of-range',
    ],
    [
      'of a reversed range',
      () => map.rangeSearch({ start: keys.end, end: keys.start }, 1n),
      'out-of-range',
    ],
    [
      'of a negative limit',
      () => map.countDeltas(keys, { start: 0n, end: 1n }, -1),
      'invalid-input',
    ],
    ['of holes of no key', () => map.holes(0), 'invalid-input'],
    ['of a read point below 0', () => map.visibility([-1n]), 'out-of-range'],
  ] as const)('a question %s is refused', (_, ask, code) => {
    expect(storageErrorThrownBy(ask).code).toBe(code);
  });
});

test('an error names the place of the key in the list', () => {
  expect(() => LayerMap.fromNames([image(A, B), image(LOW, WIDE)])).toThrow(
    `key of layer 1 of the list (key ${WIDE})`,
  );
  expect(isStorageError(storageErrorThrownBy(() => LayerMap.fromNames(['x'])))).toBe(true);
});
