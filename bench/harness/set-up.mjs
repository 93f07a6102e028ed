/** Installs what is missing and builds the library. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BENCH = fileURLToPath(new URL('../', import.meta.url));

export function setUp({ build }) {
  for (const directory of [ROOT, BENCH]) {
    if (!existsSync(`${directory}node_modules/.package-lock.json`)) npm(directory, ['ci']);
  }
  if (build) npm(ROOT, ['run', '--silent', 'build', '--', '--silent']);
}

function npm(directory, args) {
  console.error(`npm ${args.join(' ')} in ${directory}`);
  const { status, error } = spawnSync('npm', args, { cwd: directory, stdio: ['ignore', 2, 2] });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`npm ${args.join(' ')} ended with status ${status}`);
}
