/** The command, as it was built. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const COMMAND = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

/** Runs the command; returns its standard output. Throws if it fails. */
export async function layerfile(...words) {
  const { stdout } = await promisify(execFile)(process.execPath, [COMMAND, ...words]);
  return stdout;
}
