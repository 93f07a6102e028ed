/**
 * Checks of where a command may write: never over one of its inputs, not through a link to it, and
 * not into an input directory. Files are compared by identity, not by name, before anything is
 * opened for writing.
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isStorageError, StorageError } from '../errors.ts';
import { canCopyAttributes } from '../virtual-file/copy-attributes.ts';
import type { FileStat } from '../virtual-file/file-system.ts';
import { isLeftoverName, ownerOf } from '../virtual-file/leftover-names.ts';
import { nodeFileSystem } from '../virtual-file/node-file-system.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import type { OverwriteOptions } from '../write-once/overwrite.ts';

/** Paths of standard input and output, on systems that have them. */
export const STANDARD_INPUT = '/dev/stdin';
export const STANDARD_OUTPUT = '/dev/stdout';

/**
 * Throws `usage` if the output is the input, under any name, or if the input looks like a leftover
 * of a crash, which an overwrite of the output would remove.
 */
export async function refuseInputAsOutput(input: string, output: string): Promise<void> {
  const from = await lookUpIfPossible(input);
  if (from?.stat.kind !== 'file') return;
  const isSame = (await lookUpIfPossible(output))?.stat.identity === from.stat.identity;
  if (!isSame && !(await isLeftoverOf(output, from.path))) return;
  throw new StorageError('usage', {
    what: 'the output is the input and would destroy it: write elsewhere',
    path: output,
  });
}

/** Whether two paths lead to one file, under any names. */
export async function isSameFile(left: string, right: string): Promise<boolean> {
  const known = (await lookUpIfPossible(left))?.stat.identity;
  return known !== undefined && (await lookUpIfPossible(right))?.stat.identity === known;
}

async function isLeftoverOf(output: string, path: string): Promise<boolean> {
  const name = basename(path);
  const isOfOutput = isLeftoverName(name) && name.startsWith(`${basename(output)}.`);
  // An overwrite removes every temporary file with an owner in its name, whatever its target is.
  if (!isOfOutput && ownerOf(name) === undefined) return false;
  return (await lookUpIfPossible(dirname(output)))?.path === dirname(path);
}

/** Throws `usage` if the output directory is an input directory, or is inside one. */
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
        what: 'the output directory is an input directory, or is inside one: write elsewhere',
        path: output,
        expected: `a directory outside ${input}`,
      });
    }
    const parent = dirname(directory);
    directory = parent === directory ? undefined : parent;
  }
}

/** Throws `not-found` or `io` (ENOTDIR) unless the output is a directory. */
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

/** Lists the paths in a directory such as `pg_tblspc`; none if it cannot be read. */
export async function entriesOf(directory: string): Promise<string[]> {
  try {
    const entries = await nodeFileSystem.readDirectory(directory);
    return entries.map(({ name }) => join(directory, name));
  } catch (error) {
    if (isStorageError(error)) return [];
    throw error;
  }
}

/** What to keep of a file that a command replaces: all attributes, if the system has a program for it. */
export async function preservedAttributes(): Promise<OverwriteOptions['preserve']> {
  return (await canCopyAttributes()) ? 'all' : undefined;
}

interface Found {
  /** With all links resolved. */
  readonly path: string;
  readonly stat: FileStat;
}

/** Like `lookUp`, but ignores errors: opening the file will report them. */
async function lookUpIfPossible(name: string): Promise<Found | undefined> {
  try {
    return await lookUp(name);
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
}

/** Follows the links of a name; undefined if it does not exist. Throws `io`. */
async function lookUp(name: string): Promise<Found | undefined> {
  try {
    const path = await realPathOf(name);
    return { path, stat: await nodeFileSystem.stat(path) };
  } catch (error) {
    if (isStorageError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** Resolves all links of a path. Throws `not-found`, `io`. */
export async function realPathOf(name: string): Promise<string> {
  try {
    return await realpath(name);
  } catch (error) {
    throw fromNodeError('resolve path', name, error);
  }
}
