import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { collectLayers } from '../../src/map/collect-layers.ts';
import { drawMap } from '../../src/map/draw-map.ts';
import { Model } from '../../src/map/page/model.ts';
import { printable } from '../../src/printable.ts';
import {
  descriptionOf,
  FIRST_KEY,
  LAST_KEY,
  layerName,
  modelOf,
  modelOfPage,
  NO_ASSETS,
  relationKey,
  snapshotOf,
} from './support.ts';

const A = relationKey(16384, 0);
const B = relationKey(16384, 100);
const C = relationKey(16385, 0);
const IMAGE = layerName(A, B, { lsn: 16n });
const DELTA = layerName(A, C, { lsn: 17n, end: 33n });
const L0 = layerName(FIRST_KEY, LAST_KEY, { lsn: 33n, end: 49n });

describe('the columns of a page', () => {
  test('the columns of a page give back what an index says of each layer', () => {
    const model = modelOf({
      label: 'index',
      layers: [
        { name: L0, size: 2n ** 60n + 1n, generation: 0xffff_ffff, shard: '0104' },
        { name: DELTA, size: 0 },
        { name: `${IMAGE}-v1-0000002a` },
      ],
    });
    const rows = [0, 1, 2].map((row) => ({
      name: model.name(row),
      level: model.level(row),
      size: model.size(row),
      generation: model.generation(row),
      shard: model.shard(row),
    }));
    expect(rows).toEqual([
      { name: IMAGE, level: 'image', size: undefined, generation: 42, shard: undefined },
      { name: DELTA, level: 'L1', size: 0n, generation: undefined, shard: undefined },
      {
        name: L0,
        level: 'L0',
        size: 2n ** 60n + 1n,
        generation: 0xffff_ffff,
        shard: { number: 1, count: 4 },
      },
    ]);
  });

  test('count what two shards read once, if the same shard wrote it, in each kind of change', () => {
    const layer = { name: DELTA, size: 10, generation: 1 };
    const own = { name: IMAGE, size: 7, generation: 1 };
    const read = ['0002', '0102'].map((shard) => ({ ...layer, shard, writer: '0000' }));
    const written = ['0002', '0102'].map((shard) => ({ ...own, shard, writer: shard }));
    const steps = [
      { label: 'split', stripeSize: 4, layers: [...read, ...written] },
      { label: 'later', stripeSize: 4, layers: [...read.slice(1), ...written] },
    ];
    const { description, columns, objectCount } = collectLayers('shards', steps);
    expect(objectCount).toBe(3);
    const model = new Model(description, columns);
    model.show(0);
    expect(model.amountOf('kept')).toEqual({ layers: 3, ofUnknownSize: 0, bytes: 24n });
    model.show(1);
    expect(model.amountOf('kept')).toEqual({ layers: 3, ofUnknownSize: 0, bytes: 24n });
    expect(model.amountOf('removed').layers).toBe(1);
  });

  test('the columns of a page keep the name of a layer that is not canonical', () => {
    const given = `${IMAGE.toLowerCase()}-v2-anything`;
    const model = modelOf(snapshotOf(given));
    expect([model.name(0), model.canonicalName(0)]).toEqual([given, IMAGE]);
  });

  test('the columns of a page say which layers no read reaches', () => {
    const newer = layerName(A, C, { lsn: 40n });
    const model = modelOf({ ...snapshotOf(IMAGE, DELTA, newer), diskConsistentLsn: 48n });
    const byName = [0, 1, 2].map((row) => [model.name(row), model.isVisible(row)]);
    expect(byName).toEqual([
      [IMAGE, false],
      [DELTA, false],
      [newer, true],
    ]);
  });

  test('the columns of a page keep a covered layer visible for a branch below its successor', () => {
    const newer = layerName(A, C, { lsn: 40n });
    const model = modelOf({
      ...snapshotOf(IMAGE, DELTA, newer),
      diskConsistentLsn: 48n,
      branchLsns: [32n],
    });
    expect([0, 1, 2].map((row) => model.isVisible(row))).toEqual([true, true, true]);
  });

  test('the columns of a page have a hole where neither an image nor an L1 is', () => {
    const far = layerName(relationKey(20000, 0), relationKey(20000, 5), { lsn: 16n });
    const model = modelOf(snapshotOf(IMAGE, far, L0));
    const [start = 0, end = 0] = model.snapshotColumns?.holes ?? [];
    const keyAt = (border: number): string =>
      Buffer.from(model.columns.keys.subarray(border * 18, border * 18 + 18))
        .toString('hex')
        .toUpperCase();
    expect([keyAt(start), keyAt(end)]).toEqual([B, relationKey(20000, 0)]);
  });
});

describe('several snapshots', () => {
  test('several snapshots show what was added and what was removed', () => {
    const model = modelOf(snapshotOf(IMAGE, L0), snapshotOf(IMAGE, DELTA));
    const changes = [0, 1, 2].map((row) => [model.name(row), model.changeOf(row)]);
    expect(changes).toEqual([
      [IMAGE, 'kept'],
      [DELTA, 'added'],
      [L0, 'removed'],
    ]);
    model.show(0);
    expect([0, 1, 2].map((row) => model.changeOf(row))).toEqual(['kept', undefined, 'kept']);
  });

  test('several snapshots have a layer twice if its generation changed', () => {
    const model = modelOf(
      { label: 'old', layers: [{ name: IMAGE, generation: 1, size: 5 }] },
      { label: 'new', layers: [{ name: IMAGE, generation: 2, size: 5 }] },
    );
    const rows = [0, 1].map((row) => [model.generation(row), model.changeOf(row)]);
    expect(rows).toEqual([
      [1, 'removed'],
      [2, 'added'],
    ]);
    expect(model.amountOf('added')).toEqual({ layers: 1, ofUnknownSize: 0, bytes: 5n });
  });
});

test('a list of names beside an index has the same layers', () => {
  const model = modelOf(
    snapshotOf(`${IMAGE}-00000001`, DELTA, L0),
    {
      label: 'index',
      layers: [
        { name: IMAGE, generation: 1, size: 5 },
        { name: DELTA, generation: 1, size: 6 },
      ],
    },
    snapshotOf(IMAGE, `${DELTA}-00000002`),
  );
  model.show(1);
  expect(model.amountOf('kept')).toEqual({ layers: 2, ofUnknownSize: 0, bytes: 11n });
  expect(model.amountOf('removed')).toEqual({ layers: 1, ofUnknownSize: 1, bytes: 0n });
  model.show(2);
  expect(model.amountOf('added')).toEqual({ layers: 1, ofUnknownSize: 1, bytes: 0n });
});

describe('names that make no layer', () => {
  test('names that make no layer are left out, each with its reason', () => {
    const twice = `${IMAGE}-00000002`;
    const unfit = layerName(`00${'12345678'}${'0'.repeat(26)}`, LAST_KEY, { lsn: 1n });
    const highest = layerName(A, B, { lsn: 2n ** 64n - 1n });
    const html = drawMap({
      title: 'map',
      snapshots: [snapshotOf(IMAGE, twice, 'metadata', unfit, highest)],
      assets: NO_ASSETS,
    }).html;
    expect(descriptionOf(html).leftOut).toEqual({
      count: 4,
      examples: [
        `${twice}: named twice`,
        'metadata: not the name of a layer',
        `${unfit}: keys or LSNs that a pageserver cannot hold`,
        `${highest}: keys or LSNs that a pageserver cannot hold`,
      ],
    });
    expect(modelOfPage(html).count).toBe(1);
  });

  test('names that make no layer do not hide what stands at either end of keys and LSNs', () => {
    const lowest = layerName(FIRST_KEY, LAST_KEY, { lsn: 0n, end: 2n ** 64n - 1n });
    const image = layerName(FIRST_KEY, LAST_KEY, { lsn: 0n });
    const model = modelOf(snapshotOf(lowest, image));
    expect([0, 1].map((row) => [model.startLsn(row), model.endLsn(row), model.level(row)])).toEqual(
      [
        [0n, 1n, 'image'],
        [0n, 2n ** 64n - 1n, 'L0'],
      ],
    );
  });

  test.each([0, 1])('%i layers make a page', (count) => {
    const model = modelOf(snapshotOf(...[IMAGE].slice(0, count)));
    expect(model.count).toBe(count);
  });
});

/** Text that would end an element, an attribute or a string, or hide in a line. */
const HOSTILE = [
  '</script><script>alert(1)</script>',
  '<!--<script>',
  '"><img src=x onerror=alert(1)>',
  "'; alert(1); '",
  '\u2028alert(1)\u2029',
  '\u0000\u001b[31m\u202e\ud800',
  ']]>&lt;&#60;',
];

describe('text of the sources', () => {
  test.each(HOSTILE)('text of the sources stays text: %j', (text) => {
    const given = `${IMAGE}-v${text.replaceAll(/[/\\\0]/g, '|')}`;
    const snapshots = [{ label: text, layers: [{ name: given }, { name: text }] }];
    const { html } = drawMap({ title: text, snapshots, assets: NO_ASSETS });
    const harmless = drawMap({ title: '', snapshots: [], assets: NO_ASSETS }).html;
    const tagsOf = (page: string): string[] => page.match(/<[a-z/!][^\s>]*/gi) ?? [];
    expect(tagsOf(html)).toEqual(tagsOf(harmless));
    expect(html.split('\n').filter((line) => printable(line) !== line)).toEqual([]);
    expect(descriptionOf(html).snapshots[0]?.label).toBe(text);
    expect(modelOfPage(html).name(0)).toBe(given);
  });
});

test('the policy allows the script and the style sheet of the page, and nothing else', () => {
  const assets = { script: 'const a = 1 < 2;', style: 'body{color:red}' };
  const { html } = drawMap({ title: 'map', snapshots: [], assets });
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1];
  const hash = (text: string): string =>
    `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  expect(policy).toBe(
    `default-src 'none'; script-src ${hash(assets.script)}; style-src ${hash(assets.style)}; ` +
      "img-src data:; base-uri 'none'; form-action 'none'",
  );
  expect(html).toContain(`<script>${assets.script}</script>`);
  expect(html).toContain(`<style>${assets.style}</style>`);
});
