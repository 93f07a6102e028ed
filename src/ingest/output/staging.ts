/**
 * The directory where layers are made before they are stored. Only complete, synced files leave it, so leftovers of a
 * crash are never part of a timeline.
 *
 *   OUT/layers.{token}.___temp/   beside `tenants/`, so that storing a layer is a second name for the file
 *
 * For a bucket it is in the system's directory for temporary files, or in one that the caller chose. There,
 * too, it is a separate subdirectory, so that other outputs and existing layers are left alone.
 */
import { mkdir, readdir, rmdir, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isStorageError } from '../../errors.ts';
import { pathIn } from '../../virtual-file/absolute-path.ts';
import { makeDirectories } from '../../virtual-file/durable-directories.ts';
import { newToken, ownerOf, temporaryName } from '../../virtual-file/leftover-names.ts';
import { nodeFileSystem } from '../../virtual-file/node-file-system.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import { fromNodeError } from '../../virtual-file/system-error.ts';

const STEM = 'layers';

/** Where layers are made. */
export interface Staging {
  /** Absolute path. */
  readonly directory: string;
  /** Deletes what is in it, and the directory if it was made here. Throws `io`. */
  remove(): Promise<void>;
}

/**
 * Makes a staging directory in `parent`, and removes those of threads that have ended. The parent is
 * made if it is missing. Without a parent it is in the system's directory.
 *
 * @throws `io`.
 */
export async function makeStaging(
  parent: string | undefined,
  openFiles: OpenFiles,
): Promise<Staging> {
  const { owners, fileSystem } = openFiles;
  const place = parent ?? tmpdir();
  // Layers will be stored below: its name must be as durable as theirs.
  await makeDirectories(place, openFiles);
  for (const { name, kind } of await fileSystem.readDirectory(place)) {
    const owner = name.startsWith(`${STEM}.`) ? ownerOf(name) : undefined;
    if (kind !== 'directory' || owner === undefined || owners.stateOf(owner) !== 'ended') continue;
    await removeDirectory(pathIn(place, name));
  }
  const directory = pathIn(place, temporaryName(STEM, newToken(owners.own())));
  await makeOwnDirectory(directory);
  return { directory, remove: () => removeDirectory(directory) };
}

/**
 * Makes a staging directory in a directory that exists. A file system of the caller's own cannot make directories:
 * there the directory itself is used.
 *
 * @throws `not-found`, `io`.
 */
export async function makeStagingWithin(place: string, openFiles: OpenFiles): Promise<Staging> {
  if (openFiles.fileSystem !== nodeFileSystem) return { directory: place, remove: async () => {} };
  await openFiles.fileSystem.readDirectory(place);
  return makeStaging(place, openFiles);
}

/** Not durable: nothing in it is needed after a crash. */
async function makeOwnDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw fromNodeError('create directory', path, error);
  }
}

/** Removes the files in it and then the directory, but no subdirectories, which are not ours. */
async function removeDirectory(path: string): Promise<void> {
  try {
    for (const name of await readdir(path)) await unlink(pathIn(path, name));
    await rmdir(path);
  } catch (error) {
    const failure = fromNodeError('remove directory', path, error);
    if (!isStorageError(failure, 'not-found')) throw failure;
  }
}
