import { describe, expect, test } from 'vitest';
import { isLayerOk, type LayerFileRecord, reconcileLayers } from '../../src/timeline/reconcile.ts';

const KEYS = '000000067F00000005000040000000000000-000000067F00000005000040000000000010';
const DELTA = `${KEYS}__0000000000001000-0000000000002001`;
const IMAGE = `${KEYS}__0000000000002000`;
const L0 = `${'0'.repeat(36)}-${'F'.repeat(36)}__0000000000001000-0000000000002001`;
/** The delta ends at it, the image is at it. */
const DCL = 0x2000n;

function record(name: string, more: Partial<LayerFileRecord> = {}): LayerFileRecord {
  return { name, size: 8192, generation: 1, path: `/files/${name}`, ...more };
}

function reconcile(sides: {
  index?: readonly LayerFileRecord[];
  local?: readonly LayerFileRecord[];
  remote?: readonly LayerFileRecord[];
  dcl?: bigint;
}) {
  const { index, local, remote, dcl = DCL } = sides;
  return reconcileLayers({
    index: index && { layers: index, diskConsistentLsn: dcl },
    local,
    remote,
  });
}

const HERE = record(DELTA);
const SHORT = record(DELTA, { size: 8191 });

describe('a pageserver that starts', () => {
  test.each([
    ['a file that is not in the index', { index: [], local: [HERE] }, 'delete', 'extra'],
    ['a file of another size', { index: [HERE], local: [SHORT] }, 'evict', 'size-differs'],
    ['a file as the index says', { index: [HERE], local: [HERE] }, 'keep', 'ok'],
    [
      'a file of another generation, which nobody compares',
      { index: [HERE], local: [record(DELTA, { generation: 7 })] },
      'keep',
      'ok',
    ],
    ['no file, and the bucket unseen', { index: [HERE], local: [] }, 'download', 'unknown'],
    ['no file, but an object', { index: [HERE], local: [], remote: [HERE] }, 'download', 'ok'],
    [
      'neither a file nor an object',
      { index: [HERE], local: [], remote: [] },
      'download',
      'missing',
    ],
    ['a file beyond the LSN', { index: [HERE], local: [HERE], dcl: DCL - 1n }, 'drop', 'future'],
    ['nothing beyond the LSN', { index: [HERE], local: [], dcl: DCL - 1n }, 'drop', 'future'],
  ] as const)(
    'a pageserver that starts with %s decides as a pageserver does',
    (_, sides, decision, state) => {
      expect(reconcile(sides)).toMatchObject([{ name: DELTA, decision, state }]);
    },
  );

  test('a pageserver that starts keeps an image at the disk-consistent LSN, and drops one above it', () => {
    const image = record(IMAGE);
    expect(reconcile({ index: [image], local: [image] })).toMatchObject([{ state: 'ok' }]);
    const above = reconcile({ index: [image], local: [image], dcl: DCL - 1n });
    expect(above).toMatchObject([{ state: 'future', findings: [{ severity: 'warning' }] }]);
  });

  test('a pageserver that starts uses the last of two files of a layer, and the other is reported', () => {
    const first = record(DELTA, { path: '/files/first', size: 1 });
    const [layer] = reconcile({ index: [HERE], local: [first, HERE] });
    expect(layer).toMatchObject({ state: 'ok', local: HERE });
    expect(layer?.findings.map(({ message }) => message).join()).toContain('/files/first');
  });
});

describe('a bucket', () => {
  test.each([
    ['an object as the index says', [HERE], 'ok', true],
    ['no object', [], 'missing', false],
    ['an object of another size', [SHORT], 'size-differs', false],
    [
      'an object of another generation only',
      [record(DELTA, { generation: 2 })],
      'generation-differs',
      false,
    ],
    [
      'an object of another shard only',
      [record(DELTA, { shard: '0102' })],
      'generation-differs',
      false,
    ],
    ['objects of two generations', [HERE, record(DELTA, { generation: 2 })], 'ok', true],
  ] as const)('a bucket with %s has the state that follows', (_, remote, state, ok) => {
    const [layer] = reconcile({ index: [HERE], remote });
    expect(layer).toMatchObject({ state, decision: undefined });
    expect(layer && isLayerOk(layer)).toBe(ok);
  });

  test('an object in a bucket that is not in the index is extra', () => {
    const [layer] = reconcile({ index: [], remote: [HERE] });
    expect(layer).toMatchObject({ state: 'extra', findings: [{ severity: 'warning' }] });
    expect(layer && isLayerOk(layer)).toBe(false);
  });

  test('a bucket without an L0 has a warning only, since it may have been compacted meanwhile', () => {
    expect(reconcile({ index: [record(L0)], remote: [] })).toMatchObject([
      { state: 'missing', findings: [{ severity: 'warning', code: 'not-found' }] },
    ]);
    expect(reconcile({ index: [HERE], remote: [] })).toMatchObject([
      { state: 'missing', findings: [{ severity: 'error', code: 'not-found' }] },
    ]);
  });

  test('a bucket is compared with sizes beyond 2^53 exactly', () => {
    const large = 2n ** 60n;
    const index = [record(DELTA, { size: large })];
    expect(reconcile({ index, remote: index })).toMatchObject([{ state: 'ok' }]);
    const one = [record(DELTA, { size: large + 1n })];
    expect(reconcile({ index, remote: one })).toMatchObject([{ state: 'size-differs' }]);
  });
});

describe('what has not been examined', () => {
  test('without an index, the state of layers is unknown', () => {
    expect(reconcile({ local: [HERE] })).toMatchObject([{ state: 'unknown', decision: undefined }]);
  });

  test('without a listing, the state of layers is unknown', () => {
    expect(reconcile({ index: [HERE] })).toMatchObject([{ state: 'unknown' }]);
  });
});

test('layers are in byte order of their names', () => {
  const names = [IMAGE, L0, DELTA];
  const layers = reconcile({ index: names.map((name) => record(name)), remote: [] });
  expect(layers.map(({ name }) => name)).toEqual([L0, DELTA, IMAGE]);
});
