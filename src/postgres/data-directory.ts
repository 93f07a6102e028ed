/**
 * Data directory: a Postgres cluster's files, and whether they are at rest. Only then do the
 * files hold one consistent state; otherwise a part of it is in the WAL, or still changing.
 *
 *   postmaster.pid    a server runs in the directory, or was killed
 *   backup_label      copied from a running server: the next start replays WAL from where it says
 *   standby.signal    the next start goes on replaying WAL from elsewhere
 *   recovery.signal   the same, up to a point
 *   pg_control        the state in it; all but "shut down" need WAL
 *
 * "shut down in recovery" is not at rest: such a shutdown may skip its restartpoint, and then the
 * latest changes are in the WAL alone, to be replayed on the next start.
 */
import { isStorageError, StorageError, withPath } from '../errors.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';
import {
  CONTROL_FILE_PATH,
  CONTROL_FILE_SIZE,
  type ControlFile,
  decodeControlFile,
} from './control-file.ts';
import { PAGE_SIZE } from './page.ts';

/**
 * Reads pg_control and checks it against the rest of the directory.
 *
 * Throws: what `decodeControlFile` does; `not-found` (no such directory, or none of Postgres);
 * `invalid-input` (pages of another size, or PG_VERSION names another version); `io`.
 */
export async function readControlFile(
  dataDirectory: string,
  openFiles: OpenFiles,
): Promise<ControlFile> {
  const path = pathIn(dataDirectory, CONTROL_FILE_PATH);
  const control = decodeAt(path, await readControlBytes(dataDirectory, openFiles));
  if (control.pageSize !== PAGE_SIZE) {
    throw new StorageError('invalid-input', {
      what: 'page size of the cluster',
      path,
      expected: `${PAGE_SIZE} bytes`,
      actual: `${control.pageSize}`,
    });
  }
  await checkVersionFile(dataDirectory, control.majorVersion, openFiles);
  return control;
}

/** Throws `invalid-input` for the first sign that the directory is not at rest. */
export async function assertCleanShutdown(
  dataDirectory: string,
  control: ControlFile,
  openFiles: OpenFiles,
): Promise<void> {
  const [first] = await findUnrest(dataDirectory, control, openFiles);
  if (first !== undefined) throw first;
}

/** Every sign that the directory is not at rest, each as an `invalid-input` error. */
export async function findUnrest(
  dataDirectory: string,
  control: ControlFile,
  openFiles: OpenFiles,
): Promise<StorageError[]> {
  const signs: StorageError[] = [];
  for (const [name, remedy] of SIGN_FILES) {
    const path = pathIn(dataDirectory, name);
    if (!(await exists(path, openFiles))) continue;
    signs.push(new StorageError('invalid-input', { what: `${name} exists: ${remedy}`, path }));
  }
  if (control.state !== 'shut down') {
    const error = new StorageError('invalid-input', {
      what: 'Postgres was not shut down cleanly: state of the cluster',
      path: pathIn(dataDirectory, CONTROL_FILE_PATH),
      expected: '"shut down"',
      actual: `"${control.state}"`,
    });
    signs.push(error);
  }
  return signs;
}

const SIGN_FILES: readonly (readonly [name: string, remedy: string])[] = [
  ['postmaster.pid', 'stop the server, or remove the file if it is stale'],
  ['backup_label', 'start a server in the directory, which replays the WAL, and stop it'],
  ['standby.signal', 'promote the standby and stop it'],
  ['recovery.signal', 'let the recovery end and stop the server'],
];

/** Throws `invalid-input` if a server has touched pg_control since it was read. */
export async function checkUnchanged(
  dataDirectory: string,
  before: ControlFile,
  openFiles: OpenFiles,
): Promise<void> {
  const after = await readControlFile(dataDirectory, openFiles);
  const changed = before.state !== after.state || before.checkpointLsn !== after.checkpointLsn;
  if (changed || before.systemIdentifier !== after.systemIdentifier) {
    throw new StorageError('invalid-input', {
      what: 'Postgres worked in this directory while it was read',
      path: pathIn(dataDirectory, CONTROL_FILE_PATH),
      expected: `"${before.state}" as before`,
      actual: `"${after.state}"`,
    });
  }
}

async function readControlBytes(dataDirectory: string, openFiles: OpenFiles): Promise<Uint8Array> {
  const path = pathIn(dataDirectory, CONTROL_FILE_PATH);
  try {
    return await readWholeFile(path, CONTROL_FILE_SIZE, openFiles);
  } catch (error) {
    if (!isStorageError(error, 'not-found') && !isNoDirectory(error)) throw error;
    const isThere = await exists(dataDirectory, openFiles);
    throw error.with({
      what: isThere ? 'not a Postgres data directory' : 'no such directory',
      path: dataDirectory,
      expected: isThere ? CONTROL_FILE_PATH : undefined,
      actual: isThere ? 'no such file' : undefined,
    });
  }
}

/** A file where a directory should be. */
function isNoDirectory(error: unknown): error is StorageError {
  return isStorageError(error, 'io') && error.errno === 'ENOTDIR';
}

/** All bytes of a file; one above `maximumLength` is `too-large`. */
export async function readWholeFile(
  path: string,
  maximumLength: number,
  openFiles: OpenFiles,
): Promise<Uint8Array> {
  const file = await VirtualFile.open(path, { read: true, openFiles });
  try {
    return await file.readToEnd({ maximumLength });
  } finally {
    await file.close();
  }
}

/** One line with the major version; more would be another kind of file. */
const MAXIMUM_VERSION_LENGTH = 64;

/**
 * The data directory and each database have a PG_VERSION. Throws `not-found`, and `invalid-input`
 * where it names another version.
 */
export async function checkVersionFile(
  directory: string,
  majorVersion: number,
  openFiles: OpenFiles,
): Promise<void> {
  const path = pathIn(directory, 'PG_VERSION');
  const bytes = await readWholeFile(path, MAXIMUM_VERSION_LENGTH, openFiles);
  const text = Buffer.from(bytes).toString('latin1').trim();
  if (text === String(majorVersion)) return;
  throw new StorageError('invalid-input', {
    what: 'PG_VERSION',
    path,
    expected: `${majorVersion}, as pg_control says`,
    actual: JSON.stringify(text),
  });
}

function decodeAt(path: string, bytes: Uint8Array): ControlFile {
  try {
    return decodeControlFile(bytes);
  } catch (error) {
    throw withPath(error, path);
  }
}

async function exists(path: string, openFiles: OpenFiles): Promise<boolean> {
  try {
    await openFiles.fileSystem.stat(path);
    return true;
  } catch (error) {
    if (isStorageError(error, 'not-found')) return false;
    throw error;
  }
}
