import { describe, expect, test } from 'vitest';
import { formatKey, parseKey } from '../../src/layers/key.ts';
import { parseQuery, readPath } from '../../src/map/page/read-path.ts';
import { shardOfKey } from '../../src/timeline/shard-owner.ts';
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

  test('a read goes down to the image', () => {
    expect(follow(relationKey(16384, 7), 40n)).toEqual({
      visits: [
        [L0, 33n, 41n],
        [DELTA, 17n, 33n],
        [IMAGE, 16n, 17n],
      ],
      end: 'image',
    });
  });

  test('a read ends at the bottom where no image is', () => {
    expect(follow(relationKey(16385, 7), 40n)).toEqual({ visits: [[L0, 33n, 41n]], end: 'bottom' });
  });

  test('a read below all layers visits none', () => {
    expect(follow(relationKey(16384, 7), 15n)).toEqual({ visits: [], end: 'bottom' });
  });

  test('a read of another snapshot takes its layers', () => {
    const two = modelOf(snapshotOf(IMAGE), snapshotOf(IMAGE, DELTA));
    expect(readPath(two, parseKey(A), 40n).visits).toHaveLength(2);
    two.show(0);
    expect(readPath(two, parseKey(A), 40n).visits).toHaveLength(1);
  });

  test('a read ends after a thousand layers', () => {
    const many = Array.from({ length: 1001 }, (_, at) => {
      const lsn = BigInt(at + 1);
      return layerName(A, B, { lsn, end: lsn + 1n });
    });
    const path = readPath(modelOf(snapshotOf(...many)), parseKey(A), 5000n);
    expect([path.visits.length, path.end]).toEqual([1000, 'long']);
  });
});

describe('a read of a timeline of two shards', () => {
  const stripeSize = 8;
  const ownerOf = (key: string) => shardOfKey(parseKey(key), { count: 2, stripeSize });
  const keys = Array.from({ length: 12 }, (_, at) => relationKey(16384, at * stripeSize));
  const layers = [
    { name: IMAGE, shard: '0002' },
    { name: DELTA, shard: '0002', size: 8192 },
    { name: DELTA, shard: '0102', size: 9000 },
    { name: L0, shard: '0102' },
  ];

  test.each([0, 1])(
    'a read of a timeline of two shards visits the layers of shard %i if that owns the key',
    (owner) => {
      const model = modelOf({ label: 'all', layers, stripeSize });
      const key = keys.find((candidate) => ownerOf(candidate) === owner) as string;
      const { visits } = readPath(model, parseKey(key), 40n);
      expect(visits.map(({ row }) => [model.name(row), model.shard(row)?.number])).toEqual(
        owner === 0
          ? [
              [DELTA, 0],
              [IMAGE, 0],
            ]
          : [
              [L0, 1],
              [DELTA, 1],
            ],
      );
    },
  );

  test('a read of a timeline of two shards sees a layer as its shard does: covered by an image of that shard alone', () => {
    const above = layerName(A, B, { lsn: 64n });
    const covered = [...layers, { name: above, shard: '0002' }];
    const model = modelOf({ label: 'all', layers: covered, stripeSize });
    const rows = Array.from({ length: model.count }, (_, row) => row);
    const deltas = rows.filter((row) => model.name(row) === DELTA);
    expect(deltas.map((row) => [model.shard(row)?.number, model.isVisible(row)]).sort()).toEqual([
      [0, false],
      [1, true],
    ]);
  });
});

describe('a query', () => {
  test.each([
    [`${A}@0/16B3748`, A, 0x16b3748n],
    [`${A.toLowerCase()} @ 00000000016B3748 `, A, 0x16b3748n],
    ['rel=1663/5/16384 blkno=7@0/1', relationKey(16384, 7), 1n],
    ['rel=1663/5/16384 fork=main blkno=7', relationKey(16384, 7), undefined],
    [`${A}@FFFFFFFF/FFFFFFFF`, A, 2n ** 64n - 2n],
  ])('the query %s has a key and an LSN', (text, key, lsn) => {
    const query = parseQuery(text);
    expect('key' in query ? [formatKey(query.key), query.lsn] : query).toEqual([key, lsn]);
  });

  test.each(['', '@', 'rel=1', `${A}@0/1/2`, `${A}0@0/1`])(
    'the query %j is refused, and the message says what was expected',
    (text) => {
      const query = parseQuery(text);
      expect('problem' in query && query.problem).toMatch(/expected/);
    },
  );
});
