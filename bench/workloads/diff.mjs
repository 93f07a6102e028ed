/** A layer beside its copy, from the page cache: the aim is the time of two scans. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { openLayer } from '../../dist/layers.js';
import { diffLayers, sameBytes } from '../../dist/reshape.js';
import { check } from '../harness/row-context.mjs';
import { IMAGE_COUNT, scaledShapes, titleOf } from '../inputs/shapes.mjs';

export function groupsOf({ scaled }) {
  const [small, large] = scaledShapes(scaled);
  const images = scaled(IMAGE_COUNT);
  const pages = `${images.toLocaleString('en-US')} Postgres-like pages, zstd 1`;
  return [
    group(titleOf(small), 'delta-100', small.count),
    group(titleOf(large), 'delta-8k', large.count),
    group(pages, 'image-postgres-zstd', images),
  ];
}

function group(title, fixture, count) {
  return {
    title: `diff: two layers of ${title}`,
    fixtures: [fixture],
    rows: [
      row('floor', 'floor: layerfile batches, keys and LSNs as well, of both', scanBoth),
      row('layerfile', 'layerfile diff of a copy', diffCopy),
      row('layerfile', 'layerfile diff, every entry by itself', diffSingly),
      row('layerfile', 'layerfile sameBytes', compareBytes),
    ].map(({ measure, ...each }) => ({
      ...each,
      measure: async (context) => {
        const path = context.fixture(fixture);
        const copy = join(context.directory, 'copy');
        copyFileSync(path, copy);
        await measure({ path, copy, count }, (action) => context.time(action));
        return { operations: 2 * count };
      },
    })),
  };
}

function row(role, name, measure) {
  return { role, name, shortName: 'scans', measure };
}

async function scanBoth({ path, copy, count }, time) {
  const readers = [await openLayer(path), await openLayer(copy, { nameCheck: 'ignore' })];
  let entries = 0;
  let sum = 0;
  await time(async () => {
    for (const reader of readers) {
      for await (const batch of reader.batches()) {
        sum += batch.keys[17] + batch.willInit[0] + Number(batch.lsns[0] & 1n);
        for (let at = 0; at < batch.count; at += 1) {
          sum += batch.compressed[at] === 1 ? batch.bytes(at)[0] : batch.buffer[batch.starts[at]];
        }
        entries += batch.count;
      }
    }
  });
  check(sum >= 0, true, 'sum');
  check(entries, 2 * count, 'entries');
  await closeAll(readers);
}

async function diffCopy({ path, copy, count }, time) {
  const readers = [await openLayer(path), await openLayer(copy, { nameCheck: 'ignore' })];
  const [a, b] = readers.map((reader) => ({ layers: [reader] }));
  const { same } = await time(() => diffLayers(a, b));
  check(same, count, 'entries that are the same');
  await closeAll(readers);
}

/** Two layers on one side: where they overlap, no run is compared as a whole. */
async function diffSingly({ path, copy, count }, time) {
  const readers = [
    await openLayer(path),
    await openLayer(path),
    await openLayer(copy, { nameCheck: 'ignore' }),
  ];
  const [one, again, other] = readers;
  const { same } = await time(() => diffLayers({ layers: [one, again] }, { layers: [other] }));
  check(same, count, 'entries that are the same');
  await closeAll(readers);
}

async function compareBytes({ path, copy }, time) {
  check(await time(() => sameBytes(path, copy)), true, 'same bytes');
}

async function closeAll(readers) {
  for (const reader of readers) await reader.close();
}
