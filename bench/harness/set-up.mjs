/** Installs what is missing and builds the library. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BENCH = fileURLToPath(new URL('../', import.meta.url));

export function setUp({ build }) {
  if (!isInstalled(ROOT)) orThrow(npm(ROOT, ['ci']));
  // Without the peers, the other rows are still measured; the tables list what is missing.
  if (!isInstalled(BENCH)) npm(BENCH, ['ci']);
  if (build) orThrow(npm(ROOT, ['run', 'build', '--', '--silent']));
}

function isInstalled(directory) {
  return existsSync(`${directory}node_modules/.package-lock.json`);
}

/** Returns: what went wrong, if anything did. */
function npm(directory, args) {
  const command = `npm ${args.join(' ')}`;
  console.error(`${command} in ${directory}`);
  const { status, error } = spawnSync('npm', ['--loglevel=error', ...args], {
    cwd: directory,
    stdio: ['ignore', 2, 2],
  });
  if (error !== undefined) return error;
  return status === 0 ? undefined : new Error(`${command} ended with status ${status}`);
}

function orThrow(error) {
  if (error !== undefined) throw error;
}
