/** WAL of pgbench, by the programs of Debian's Postgres; without them, `LAYERFILE_BENCH_WAL` names a directory. */
import { spawnSync } from 'node:child_process';
import { chownSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { NotAvailable } from '../harness/not-available.mjs';

const INSTALLED = '/usr/lib/postgresql';
const NOBODY = 65534;

/** Newest first: the directories of programs that have everything. */
export function postgresPrograms(needed) {
  if (!existsSync(INSTALLED)) return undefined;
  const versions = readdirSync(INSTALLED).filter((name) => /^1[4-7]$/.test(name));
  return versions
    .sort()
    .reverse()
    .map((version) => join(INSTALLED, version, 'bin'))
    .find((bin) => needed.every((name) => existsSync(join(bin, name))));
}

/** Returns: a directory with segments of at least so many bytes; below the given one, if they were made. */
export function writeWal(directory, bytes) {
  const given = process.env.LAYERFILE_BENCH_WAL;
  if (given !== undefined) return given;
  const bin = postgresPrograms(['initdb', 'pg_ctl', 'pgbench']);
  if (bin === undefined) throw new NotAvailable('no pgbench, and no LAYERFILE_BENCH_WAL');
  // The user of the server cannot enter the directory of the benchmark.
  const root = mkdtempSync('/tmp/layerfile-bench-wal-');
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(root, NOBODY, NOBODY);
  const run = (program, ...words) => {
    const { status, stderr } = spawnSync(join(bin, program), words, {
      cwd: root,
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    });
    if (status !== 0) throw new Error(`${program} ended with status ${status}: ${stderr}`);
  };
  const data = join(root, 'data');
  const wal = join(data, 'pg_wal');
  const settings = {
    listen_addresses: '',
    unix_socket_directories: root,
    fsync: 'off',
    synchronous_commit: 'off',
    wal_keep_size: '16GB',
    max_wal_size: '1GB',
  };
  const words = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  try {
    run('initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync');
    run('pg_ctl', '-D', data, '-w', '-l', join(root, 'log'), '-o', words.join(' '), 'start');
    try {
      const client = ['-h', root, '-U', 'postgres'];
      run('pgbench', ...client, '-i', '-q', '-s', '10', 'postgres');
      while (bytesOf(wal) < bytes)
        run('pgbench', ...client, '-n', '-c', '4', '-t', '5000', 'postgres');
    } finally {
      run('pg_ctl', '-D', data, '-w', '-m', 'fast', 'stop');
    }
    const target = join(directory, 'wal');
    cpSync(wal, target, { recursive: true });
    return target;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Bytes of all segments in a directory. */
export function bytesOf(directory) {
  const names = readdirSync(directory).filter((name) => /^[0-9A-F]{24}$/.test(name));
  return names.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}
