/** WAL by the command line, against pg_waldump on the same segments. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { NotAvailable } from '../harness/not-available.mjs';
import { CLI, timeNode } from '../harness/processes.mjs';
import { bytesOf, postgresPrograms } from '../writers/wal.mjs';

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

function segmentsOf(wal) {
  return readdirSync(wal)
    .filter((name) => /^[0-9A-F]{24}$/.test(name))
    .sort();
}

/** From the first segment to the last; what it says of the end of the WAL, and its status there, do not count. */
function runWaldump(context, wal, words) {
  const bin = postgresPrograms(['pg_waldump']);
  if (bin === undefined) throw new NotAvailable('no pg_waldump');
  const segments = segmentsOf(wal);
  const range = [join(wal, segments[0]), segments.at(-1)];
  const program = [join(bin, 'pg_waldump'), ...words, ...range];
  const start = process.hrtime.bigint();
  // The shell knows the processor time of its children.
  const { stdout } = spawnSync('bash', ['-c', '"$@" >/dev/null 2>&1; times', 'bash', ...program]);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const [user, system] = String(stdout).trim().split('\n').at(-1).split(' ').map(secondsOf);
  context.note({ seconds, cpuSeconds: user + system });
  return { operations: segmentsOf(wal).length, bytes: bytesOf(wal) };
}

/** Of `1m2.345s`. */
function secondsOf(text) {
  const [, minutes, seconds] = /^(\d+)m([\d.]+)s$/.exec(text) ?? [];
  return 60 * Number(minutes) + Number(seconds);
}
