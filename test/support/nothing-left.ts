/**
 * The temporary directory of a whole run of the tests: gone afterwards, whatever was killed in between.
 * A test that leaves something in it fails the run.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Of what the tests make. What else there is comes from their runner. */
const OURS = /^layerfile-/;

/**
 * Called for each project of the tests; the first makes the directory, and the processes of the tests
 * inherit it. Returns: what is to be done at the end.
 */
export default function useOwnDirectory(): (() => void) | undefined {
  if (process.env['LAYERFILE_TESTS'] !== undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'layerfile-tests-'));
  process.env['LAYERFILE_TESTS'] = directory;
  process.env['TMPDIR'] = directory;
  return () => {
    const left = readdirSync(directory).filter((name) => OURS.test(name));
    rmSync(directory, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`left in the temporary directory: ${left.join(', ')}`);
  };
}
