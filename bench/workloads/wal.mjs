/** WAL by the command line, against pg_waldump on the same segments. */
import { CLI, timeNode } from '../harness/processes.mjs';
import { runWaldump } from '../peers/pg-waldump.mjs';
import { bytesOf, segmentsOf } from '../writers/wal.mjs';

const WAL_BYTES = 2 ** 30;

export function groupsOf({ scaled }) {
  const bytes = scaled(WAL_BYTES);
  const fixture = `wal-${bytes}`;
  const group = (title, words) => ({
    title: `wal: ${title} of ${Math.round(bytes / 2 ** 20)} MiB of pgbench`,
    fixtures: [fixture],
    rows: [
      {
        role: 'peer',
        name: ['pg_waldump', ...words].join(' '),
        shortName: 'pg_waldump',
        measure: (context) => runWaldump(context, context.fixture(fixture), words),
      },
      {
        role: 'layerfile',
        name: ['layerfile wal', ...words].join(' '),
        measure: async (context) => {
          const wal = context.fixture(fixture);
          context.note(await timeNode([CLI, 'wal', ...words, wal]));
          return { operations: segmentsOf(wal).length, bytes: bytesOf(wal) };
        },
      },
    ],
  });
  return [group('statistics', ['--stats']), group('lines', [])];
}
