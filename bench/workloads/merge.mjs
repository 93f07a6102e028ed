/** Layers in another shape: 16 L0s merged into durable L1s, and an image layer copied blob by blob. */
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { openLayer } from '../../dist/layers.js';
import { compactLevel0, copyLayer } from '../../dist/reshape.js';
import { LayerMap } from '../../dist/timeline.js';
import { readRaw } from '../floors/raw-read.mjs';
import { writeRaw } from '../floors/raw-write.mjs';
import { check } from '../harness/row-context.mjs';
import { IMAGE_COUNT } from '../inputs/shapes.mjs';
import { LEVEL0_COUNT, LEVEL0_IDS } from '../writers/level0.mjs';

/** Entries of a layer of 256 MiB, and of one that is merged in a few seconds. */
const SIZES = [
  { name: '16 L0s of 32 MiB', entries: 300_000 },
  { name: '16 L0s of 256 MiB', entries: 2_350_000, runs: 1 },
];

export function groupsOf({ scaled, quick }) {
  const sizes = quick ? SIZES.slice(0, 1) : SIZES;
  return [
    ...sizes.map((size) => mergeGroup({ ...size, entries: scaled(size.entries) })),
    copyGroup(scaled),
  ];
}

function mergeGroup({ name, entries, runs }) {
  const fixture = `level0-${entries}`;
  const operations = LEVEL0_COUNT * entries;
  const row = (role, rowName, action) => ({
    role,
    name: rowName,
    shortName: role,
    async measure(context) {
      const note = await action(context, context.fixture(fixture));
      return { operations, bytes: operations * 100, note };
    },
  });
  return {
    title: `merge: ${name} of 100 bytes`,
    fixtures: [fixture],
    runs,
    rows: [
      row('floor', 'floor: reads, and writes as many bytes, synced', copyRaw),
      row('layerfile', 'layerfile compactLevel0', (context, path) =>
        merge(context, path, operations, 0),
      ),
      row('threads', 'layerfile compactLevel0, two more threads', (context, path) =>
        merge(context, path, operations, 2),
      ),
    ],
  };
}

async function copyRaw(context, path) {
  const files = readdirSync(path).map((name) => `${path}/${name}`);
  await context.time(() => {
    for (const file of files) readRaw(file, 0, statSync(file).size);
    for (const [number, file] of files.entries()) {
      writeRaw(`${context.directory}/${number}`, statSync(file).size, { durability: 'sync' });
    }
  });
}

async function merge(context, path, operations, threadCount) {
  const names = readdirSync(path);
  const readers = await Promise.all(names.map((name) => openLayer(`${path}/${name}`)));
  readers.sort((one, other) => Number(one.summary.lsnRange.start - other.summary.lsnRange.start));
  const before = process.cpuUsage();
  const { entries, layers } = await context.time(() =>
    compactLevel0({
      readers,
      map: LayerMap.fromNames(names),
      directory: context.directory,
      threadCount,
      ...LEVEL0_IDS,
    }),
  );
  const { user, system } = process.cpuUsage(before);
  check(entries, operations, 'entries');
  for (const reader of readers) await reader.close();
  const each = ((user + system) / entries).toFixed(2);
  return `${layers.length} L1s, ${each} us of a processor an entry`;
}

function copyGroup(scaled) {
  const fixture = 'image-postgres-zstd';
  const operations = scaled(IMAGE_COUNT);
  const row = (role, name, action) => ({
    role,
    name,
    shortName: role,
    async measure(context) {
      const path = context.fixture(fixture);
      await action(context, path);
      return { operations, bytes: statSync(path).size };
    },
  });
  return {
    title: 'copy: an image layer of pages, zstd 1',
    fixtures: [fixture],
    rows: [
      row('floor', 'floor: reads and writes the file, synced', async (context, path) => {
        const { size } = statSync(path);
        await context.time(() => {
          readRaw(path, 0, size);
          writeRaw(`${context.directory}/copy`, size, { durability: 'sync' });
        });
      }),
      row('layerfile', 'layerfile copyLayer', (context, path) => copy(context, path, operations)),
      // By then, the code is compiled, as in a program that copies many layers.
      row('again', 'layerfile copyLayer, the fourth in its process', async (context, path) => {
        for (const directory of ['first', 'second', 'third']) {
          await copyInto(`${context.directory}/${directory}`, path);
        }
        await copy(context, path, operations);
      }),
    ],
  };
}

async function copy(context, path, operations) {
  const time = (action) => context.time(action);
  const { layer } = await copyInto(`${context.directory}/copy`, path, time);
  check(layer.entryCount, operations, `images of ${basename(path)}`);
}

async function copyInto(directory, path, time = (action) => action()) {
  mkdirSync(directory);
  const reader = await openLayer(path);
  try {
    return await time(() => copyLayer(reader, { directory }));
  } finally {
    await reader.close();
  }
}
