/**
 * Where a command may write: never over, through a link to, or into one of its inputs. Files are
 * compared by what they are, not by their names, before anything is opened for writing.
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isStorageError, StorageError } from '../errors.ts';
import type { FileStat } from '../virtual-file/file-system.ts';
import { isLeftoverName, ownerOf } from '../virtual-file/leftover-names.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';

/** Standard input and output as paths, where the system has them. */
export const STANDARD_INPUT = '/dev/stdin';
export const STANDARD_OUTPUT = '/dev/stdout';

/**
 * Throws `usage` if the output is the input, under whatever name, or if the input has a name that a
 * crash leaves and that is removed when the output is overwritten.
 */
export async function refuseInputAsOutput(input: string, output: string): Promise<void> {
  const from = await lookUpIfPossible(input);
  if (from?.stat.kind !== 'file') return;
  const isSame = (await lookUpIfPossible(output))?.stat.identity === from.stat.identity;
  if (!isSame && !(await isLeftoverOf(output, from.path))) return;
  throw new StorageError('usage', {
    what: 'the output is the input, which it would destroy: write elsewhere',
    path: output,
  });
}

async function isLeftoverOf(output: string, path: string): Promise<boolean> {
  const name = basename(path);
  const isOfOutput = isLeftoverName(name) && name.startsWith(`${basename(output)}.`);
  // An overwrite removes what tells its owner, whatever it was to become.
  if (!isOfOutput && ownerOf(name) === undefined) return false;
  return (await lookUpIfPossible(dirname(output)))?.path === dirname(path);
}

/** Throws `usage` if the output directory is an input directory, or lies in one. */
export async function refuseOutputWithin(
  inputDirectories: readonly string[],
  output: string,
): Promise<void> {
  const inputs = new Map<string, string>();
  for (const input of inputDirectories) {
    const found = await lookUpIfPossible(input);
    if (found !== undefined) inputs.set(found.stat.identity, input);
  }
  let directory = (await lookUpIfPossible(output))?.path;
  while (directory !== undefined) {
    const input = inputs.get((await lookUpIfPossible(directory))?.stat.identity ?? '');
    if (input !== undefined) {
      throw new StorageError('usage', {
        what: 'the output directory is an input, or lies in one: write elsewhere',
        path: output,
        expected: `a directory outside of ${input}`,
      });
    }
    const parent = dirname(directory);
    directory = parent === directory ? undefined : parent;
  }
}

/** Throws `not-found` or `io` (ENOTDIR), with the directory that was named. */
export async function checkOutputDirectory(output: string): Promise<void> {
  const found = await lookUp(output);
  if (found?.stat.kind === 'directory') return;
  const what = 'output directory';
  if (found === undefined) {
    throw new StorageError('not-found', { what: `no such ${what}`, path: output, errno: 'ENOENT' });
  }
  throw new StorageError('io', {
    what,
    path: output,
    expected: 'a directory',
    actual: `a ${found.stat.kind === 'file' ? 'file' : 'special file'}`,
    errno: 'ENOTDIR',
  });
}

/** The directories below `pg_tblspc` and the like, wherever their links lead. */
export async function entriesOf(directory: string): Promise<string[]> {
  try {
    const entries = await nodeFileSystem.readDirectory(directory);
    return entries.map(({ name }) => join(directory, name));
  } catch (error) {
    if (isStorageError(error)) return [];
    throw error;
  }
}

interface Found {
  /** Without links. */
  readonly path: string;
  readonly stat: FileStat;
}

/** As `lookUp`; what cannot be looked at cannot be opened either, which is reported then. */
async function lookUpIfPossible(name: string): Promise<Found | undefined> {
  try {
    return await lookUp(name);
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
}

/** What is behind a name and its links; undefined where there is nothing. Throws `io`. */
async function lookUp(name: string): Promise<Found | undefined> {
  try {
    const path = await resolve(name);
    return { path, stat: await nodeFileSystem.stat(path) };
  } catch (error) {
    if (isStorageError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function resolve(name: string): Promise<string> {
  try {
    return await realpath(name);
  } catch (error) {
    throw fromNodeError('resolve path', name, error);
  }
}
