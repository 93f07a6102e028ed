/** A timeline of Debian's Postgres, and the WAL of pgbench that follows it. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { CLI } from '../harness/processes.mjs';
import { writeClusterAndWal } from './wal.mjs';

const TENANT = '11223344556677889900aabbccddeeff';
const TIMELINE = 'ffeeddccbbaa00998877665544332211';

/** Returns: the directory, which has `timeline/tenants/` and `wal/` with at least `bytes` bytes. */
export function writeCluster(directory, bytes) {
  const { data } = writeClusterAndWal(directory, bytes);
  const place = ['--out', join(directory, 'timeline'), '--tenant', TENANT, '--timeline', TIMELINE];
  const words = ['import', 'pgdata', data, ...place, '--layout', 'remote', '--classic'];
  const { status, stderr } = spawnSync(process.execPath, [CLI, ...words]);
  if (status !== 0) throw new Error(`import pgdata ended with status ${status}: ${stderr}`);
  return directory;
}
