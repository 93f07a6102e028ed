/** `pg_waldump` of Debian's Postgres, as a separate process. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { NotAvailable } from '../harness/not-available.mjs';
import { bytesOf, postgresPrograms, segmentsOf } from '../writers/wal.mjs';

/** From the first segment to the last; its message about the end of the WAL, and its exit status there, are ignored. */
export function runWaldump(context, wal, words) {
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
