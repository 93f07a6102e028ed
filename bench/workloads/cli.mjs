/** The command line, with the start of its process. */
import { createHash } from 'node:crypto';
import { openSync, statSync, writeSync } from 'node:fs';
import { openLayer } from '../../dist/layers.js';
import { formatLines, loadColumns } from '../floors/format-lines.mjs';
import { CLI, timeNode } from '../harness/processes.mjs';
import { check } from '../harness/row-context.mjs';
import { SHAPES, titleOf } from '../inputs/shapes.mjs';

const STARTS = 20;
const FIXTURE = 'delta-100';

export function groupsOf({ scaled }) {
  const [shape] = SHAPES;
  const count = scaled(shape.count);
  const layer = `a delta layer of ${titleOf({ ...shape, count })}`;
  return [
    {
      title: `cli: dump --ndjson of ${layer}`,
      fixtures: [FIXTURE],
      rows: [
        row('floor', 'floor: formats the lines from memory', (context) =>
          formatFromMemory(context, count),
        ),
        row('layerfile', 'layerfile dump --ndjson', (context) =>
          runOnLayer(context, count, (path) => [CLI, 'dump', '--ndjson', path]),
        ),
      ],
    },
    {
      title: `cli: verify of ${layer}`,
      fixtures: [FIXTURE],
      rows: [
        row('floor', 'floor: node, preads of 1 MiB', (context) =>
          runOnLayer(context, count, (path) => ['-e', READ_WHOLE, path]),
        ),
        {
          ...row('peer', 'node, scan by batches', (context) =>
            runOnLayer(context, count, (path) => ['--input-type=module', '-e', SCAN, path]),
          ),
          shortName: 'scan',
        },
        row('layerfile', 'layerfile verify', (context) =>
          runOnLayer(context, count, (path) => [CLI, 'verify', path]),
        ),
      ],
    },
    {
      title: `cli: ${STARTS} starts, one after the other`,
      rows: [
        row('floor', 'floor: node -e 0', (context) => runOften(context, ['-e', '0'])),
        row('layerfile', 'layerfile --version', (context) => runOften(context, [CLI, '--version'])),
        row('layerfile', 'layerfile --help', (context) => runOften(context, [CLI, '--help'])),
      ],
    },
  ];
}

const READ_WHOLE = `
  const fs = require('node:fs');
  const file = fs.openSync(process.argv[1], 'r');
  const piece = Buffer.allocUnsafeSlow(1024 * 1024);
  while (fs.readSync(file, piece) > 0);`;

const LAYERS = new URL('../../dist/layers.js', import.meta.url);

const SCAN = `
  import { openLayer } from '${LAYERS}';
  const reader = await openLayer(process.argv[1]);
  let bytes = 0;
  for await (const batch of reader.batches()) {
    for (let at = 0; at < batch.count; at += 1) bytes += batch.bytes(at).length;
  }
  await reader.close();`;

function row(role, name, measure) {
  return { role, name, shortName: 'floor', measure };
}

async function formatFromMemory(context, count) {
  const path = context.fixture(FIXTURE);
  const reader = await openLayer(path);
  const columns = await loadColumns(reader);
  await reader.close();
  const nowhere = openSync('/dev/null', 'w');
  const lines = await context.time(() => formatLines(columns, (text) => writeSync(nowhere, text)));
  check(lines, count, 'lines');
  if (context.number === 0) await checkSameLines(path, columns);
  return { operations: count, bytes: statSync(path).size };
}

/** The floor prints what the command prints. */
async function checkSameLines(path, columns) {
  const printed = createHash('sha256');
  await timeNode([CLI, 'dump', '--ndjson', path], { onOutput: (data) => printed.update(data) });
  const formatted = createHash('sha256');
  formatLines(columns, (text) => formatted.update(text));
  check(printed.digest('hex'), formatted.digest('hex'), 'digest of the lines');
}

async function runOnLayer(context, count, argsFor) {
  const path = context.fixture(FIXTURE);
  context.note(await timeNode(argsFor(path)));
  return { operations: count, bytes: statSync(path).size };
}

async function runOften(context, args) {
  let seconds = 0;
  for (let start = 0; start < STARTS; start += 1) {
    seconds += (await timeNode(args, { reportsUsage: false })).seconds;
  }
  context.note({ seconds });
  return { operations: STARTS };
}
