/** A data directory of pgbench, 1.5 GiB, as the layers of a whole timeline. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readRaw } from '../floors/raw-read.mjs';
import { writeRaw } from '../floors/raw-write.mjs';
import { CLI, timeNode } from '../harness/processes.mjs';
import { check } from '../harness/row-context.mjs';

/** Tables of 1.5 GiB. */
const SCALE = 100;

const PLACE = {
  '--tenant': '11223344556677889900aabbccddeeff',
  '--timeline': 'ffeeddccbbaa00998877665544332211',
};

export function groupsOf({ scaled }) {
  const scale = scaled(SCALE);
  const fixture = `pgdata-${scale}`;
  const row = (role, name, measure) => ({
    role,
    name,
    shortName: role,
    async measure(context) {
      const data = context.fixture(fixture);
      const note = await measure(context, data);
      return { operations: filesBelow(data).length, bytes: sizeOf(data), note };
    },
  });
  return [
    {
      title: `import-pgdata: pgbench at scale ${scale}, zstd 1`,
      fixtures: [fixture],
      rows: [
        row('floor', 'floor: reads all files, writes a tenth of the bytes, synced', readAndWrite),
        row('layerfile', 'layerfile import pgdata --layout remote', importTimeline),
      ],
    },
  ];
}

/** Rows of pgbench compress to a tenth. */
async function readAndWrite(context, data) {
  await context.time(() => {
    for (const path of filesBelow(data)) readRaw(path, 0, statSync(path).size);
    writeRaw(join(context.directory, 'layers'), Math.ceil(sizeOf(data) / 10), {
      durability: 'sync',
    });
  });
}

async function importTimeline(context, data) {
  let output = '';
  const onOutput = (text) => {
    output += text;
  };
  const words = ['import', 'pgdata', data, '--layout', 'remote', '--out', context.directory];
  context.note(await timeNode([CLI, ...words, ...Object.entries(PLACE).flat()], { onOutput }));
  const { layers, index_part: index } = JSON.parse(output);
  check(layers.length > 0 && index !== undefined, true, 'layers and an index');
  const stored = layers.reduce((sum, { size }) => sum + size, 0);
  return `${layers.length} layers, ${Math.round(stored / 2 ** 20)} MiB`;
}

function filesBelow(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function sizeOf(directory) {
  return filesBelow(directory).reduce((sum, path) => sum + statSync(path).size, 0);
}
