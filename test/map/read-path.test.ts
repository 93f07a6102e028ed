import { describe, expect, test } from 'vitest';
import { formatKey, parseKey } from '../../src/layers/key.ts';
import { parseQuery, readPath } from '../../src/map/page/read-path.ts';
import { FIRST_KEY, LAST_KEY, layerName, modelOf, relationKey, snapshotOf } from './support.ts';

const A = relationKey(16384, 0);
const B = relationKey(16384, 100);
const IMAGE = layerName(A, B, { lsn: 16n });
const DELTA = layerName(A, B, { lsn: 17n, end: 33n });
const L0 = layerName(FIRST_KEY, LAST_KEY, { lsn: 33n, end: 49n });

describe('a read', () => {
  const model = modelOf(snapshotOf(IMAGE, DELTA, L0));
  const follow = (key: string, lsn: bigint) => {
    const { visits, end } = readPath(model, parseKey(key), lsn);
    return { visits: visits.map(({ row, floor, end: top }) => [model.name(row), floor, top]), end };
  };

  test('goes down to the image', () => {
    expect(follow(relationKey(16384, 7), 40n)).toEqual({
      visits: [
        [L0, 33n, 41n],
        [DELTA, 17n, 33n],
        [IMAGE, 16n, 17n],
      ],
      end: 'image',
    });
  });

  test('ends at the bottom where no image is', () => {
    expect(follow(relationKey(16385, 7), 40n)).toEqual({ visits: [[L0, 33n, 41n]], end: 'bottom' });
  });

  test('below all layers visits none', () => {
    expect(follow(relationKey(16384, 7), 15n)).toEqual({ visits: [], end: 'bottom' });
  });

  test('of another snapshot takes its layers', () => {
    const two = modelOf(snapshotOf(IMAGE), snapshotOf(IMAGE, DELTA));
    expect(readPath(two, parseKey(A), 40n).visits).toHaveLength(2);
    two.show(0);
    expect(readPath(two, parseKey(A), 40n).visits).toHaveLength(1);
  });

  test('ends after a thousand layers', () => {
    const many = Array.from({ length: 1001 }, (_, at) => {
      const lsn = BigInt(at + 1);
      return layerName(A, B, { lsn, end: lsn + 1n });
    });
    const path = readPath(modelOf(snapshotOf(...many)), parseKey(A), 5000n);
    expect([path.visits.length, path.end]).toEqual([1000, 'long']);
  });
});

describe('a query', () => {
  test.each([
    [`${A}@0/16B3748`, A, 0x16b3748n],
    [`${A.toLowerCase()} @ 00000000016B3748 `, A, 0x16b3748n],
    ['rel=1663/5/16384 blkno=7@0/1', relationKey(16384, 7), 1n],
    ['rel=1663/5/16384 fork=main blkno=7', relationKey(16384, 7), undefined],
    [`${A}@FFFFFFFF/FFFFFFFF`, A, 2n ** 64n - 2n],
  ])('%s has a key and an LSN', (text, key, lsn) => {
    const query = parseQuery(text);
    expect('key' in query ? [formatKey(query.key), query.lsn] : query).toEqual([key, lsn]);
  });

  test.each(['', '@', 'rel=1', `${A}@0/1/2`, `${A}0@0/1`])('%j is none, and says why', (text) => {
    const query = parseQuery(text);
    expect('problem' in query && query.problem).toMatch(/expected/);
  });
});
