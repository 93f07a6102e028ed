/**
 * WAL of pgbench into durable L0s by the command line, in the place of its base; compared with pg_waldump, which only
 * reads the same WAL.
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { CLI, timeNode } from '../harness/processes.mjs';
import { check } from '../harness/row-context.mjs';
import { runWaldump } from '../peers/pg-waldump.mjs';
import { bytesOf, segmentsOf } from '../writers/wal.mjs';

const WAL_BYTES = 2 ** 30;

export function groupsOf({ scaled }) {
  const bytes = scaled(WAL_BYTES);
  const fixture = `cluster-${bytes}`;
  return [
    {
      title: `ingest-wal: ${Math.round(bytes / 2 ** 20)} MiB of pgbench, L0s of 256 MiB`,
      fixtures: [fixture],
      rows: [
        {
          role: 'peer',
          name: 'pg_waldump --stats',
          shortName: 'pg_waldump',
          measure: (context) =>
            runWaldump(context, join(context.fixture(fixture), 'wal'), ['--stats']),
        },
        {
          role: 'layerfile',
          name: 'layerfile import wal',
          measure: (context) => ingest(context, context.fixture(fixture)),
        },
      ],
    },
  ];
}

async function ingest(context, cluster) {
  const wal = join(cluster, 'wal');
  const timeline = join(context.directory, 'timeline');
  cpSync(join(cluster, 'timeline'), timeline, { recursive: true });
  let output = '';
  const onOutput = (data) => {
    output += data;
  };
  const words = ['import', 'wal', '--base', timeline, '--wal', wal, '--out', timeline];
  context.note(await timeNode([CLI, ...words], { onOutput }));
  const { layers, records } = JSON.parse(output);
  check(layers.length > 0 && records > 0, true, 'layers of records');
  const note = `${records.toLocaleString('en-US')} records, ${layers.length} L0s`;
  return { operations: segmentsOf(wal).length, bytes: bytesOf(wal), note };
}
