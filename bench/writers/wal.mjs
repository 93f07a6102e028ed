/** WAL of pgbench, by the programs of Debian's Postgres; without them, `LAYERFILE_BENCH_WAL` names a directory. */
import { spawnSync } from 'node:child_process';
import { chownSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { NotAvailable } from '../harness/not-available.mjs';

const INSTALLED = '/usr/lib/postgresql';
const NOBODY = 65534;
const SEGMENT_NAME = /^[0-9A-F]{24}$/;

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

/** Returns: a directory with segments of at least `bytes` bytes; below the given one, if they were made. */
export function writeWal(directory, bytes) {
  const given = process.env.LAYERFILE_BENCH_WAL;
  if (given !== undefined) return given;
  return withServer((server) => {
    server.start();
    server.pgbench('-i', '-q', '-s', '10');
    while (bytesOf(server.wal) < bytes) server.pgbench('-n', '-c', '4', '-t', '5000');
    server.stop();
    const target = join(directory, 'wal');
    cpSync(server.wal, target, { recursive: true });
    return target;
  });
}

/**
 * The data directory of a stopped server, and at least `bytes` bytes of WAL that follow it.
 * Returns: `{ data, wal }`, both below `directory`.
 */
export function writeClusterAndWal(directory, bytes) {
  const cluster = { data: join(directory, 'data'), wal: join(directory, 'wal') };
  return withServer((server) => {
    server.start();
    server.pgbench('-i', '-q', '-s', '10');
    server.stop();
    const isWal = (path) => SEGMENT_NAME.test(basename(path));
    cpSync(server.data, cluster.data, { recursive: true, filter: (path) => !isWal(path) });
    const first = segmentsOf(server.wal).at(-1);
    const before = bytesOf(server.wal);
    server.start();
    while (bytesOf(server.wal) - before < bytes) server.pgbench('-n', '-c', '4', '-t', '5000');
    server.stop();
    cpSync(server.wal, cluster.wal, {
      recursive: true,
      filter: (path) => !isWal(path) || basename(path) >= first,
    });
    return cluster;
  });
}

/** Returns: the data directory of a stopped server with the tables of pgbench at this scale, 15 MiB each. */
export function writeDataDirectory(directory, scale) {
  const data = join(directory, 'data');
  return withServer((server) => {
    server.start();
    server.pgbench('-i', '-q', '-s', String(scale));
    server.stop();
    const isWal = (path) => SEGMENT_NAME.test(basename(path));
    cpSync(server.data, data, { recursive: true, filter: (path) => !isWal(path) });
    return data;
  });
}

/** Names of the segments in a directory, in order. */
export function segmentsOf(directory) {
  return readdirSync(directory)
    .filter((name) => SEGMENT_NAME.test(name))
    .sort();
}

/** Bytes of all segments in a directory. */
export function bytesOf(directory) {
  return segmentsOf(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

/** Calls `use` with a cluster that is not started, and removes it afterwards. Returns: as `use`. */
function withServer(use) {
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
  const settings = {
    listen_addresses: '',
    unix_socket_directories: root,
    fsync: 'off',
    synchronous_commit: 'off',
    wal_keep_size: '16GB',
    max_wal_size: '1GB',
  };
  const words = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  let isStarted = false;
  const server = {
    data,
    wal: join(data, 'pg_wal'),
    start: () => {
      run('pg_ctl', '-D', data, '-w', '-l', join(root, 'log'), '-o', words.join(' '), 'start');
      isStarted = true;
    },
    pgbench: (...options) => run('pgbench', '-h', root, '-U', 'postgres', ...options, 'postgres'),
    stop: () => {
      isStarted = false;
      run('pg_ctl', '-D', data, '-w', '-m', 'fast', 'stop');
    },
  };
  try {
    run('initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync');
    try {
      return use(server);
    } finally {
      if (isStarted) server.stop();
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
