/**
 * Data directory: the files of a Postgres cluster, and whether it was shut down cleanly. Otherwise
 * the files are not one consistent state: part of it is in the WAL, or still changing.
 *
 *   postmaster.pid    a server is running in the directory, or was killed
 *   backup_label      copied from a running server: the next start replays WAL from there
 *   standby.signal    the next start continues to replay WAL from a primary
 *   recovery.signal   the next start replays WAL up to a target
 *   pg_control        the state of the cluster: all but "shut down" need WAL
 *
 * "shut down in recovery" is not a clean shutdown: it may skip its restartpoint, and then the latest
 * changes are only in the WAL, to be replayed on the next start.
 */
import { checkObject, checkOneOf, checkOpenFiles } from '../check-options.ts';
import { isStorageError, StorageError, withPath } from '../errors.ts';
import { formatPgLsn } from '../layers/lsn.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import { readSmallFile } from '../virtual-file/small-file.ts';
import {
  CLUSTER_STATES,
  CONTROL_FILE_PATH,
  CONTROL_FILE_SIZE,
  type ControlFile,
  decodeControlFile,
} from './control-file.ts';
import type { Objections } from './objections.ts';
import { PAGE_SIZE } from './page.ts';

/**
 * Reads pg_control and checks it against PG_VERSION.
 *
 * @throws The codes of `decodeControlFile`; `not-found` (no such directory, or not a data
 *   directory); `invalid-input` (the page size is not 8,192 bytes, or PG_VERSION is another
 *   version); `io`.
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

/**
 * Asserts that the cluster was shut down cleanly and no server is running in the directory.
 *
 * @param control The content of pg_control, from `readControlFile`.
 * @throws `invalid-input` for the first sign to the contrary, with its remedy; `io`.
 */
export async function assertCleanShutdown(
  dataDirectory: string,
  control: ControlFile,
  openFiles: OpenFiles,
): Promise<void> {
  checkObject('openFiles', openFiles);
  const [first] = await findUnrest(dataDirectory, control, openFiles);
  if (first !== undefined) throw first;
}

/** Returns every sign that the cluster was not shut down cleanly, as `invalid-input` errors. */
export async function findUnrest(
  dataDirectory: string,
  control: ControlFile,
  openFiles: OpenFiles,
): Promise<StorageError[]> {
  checkObject('control file', control);
  checkOneOf('state of the control file', control.state, CLUSTER_STATES);
  checkOpenFiles(openFiles);
  const signs: StorageError[] = [];
  for (const [name, remedy] of SIGN_FILES) {
    const path = pathIn(dataDirectory, name);
    if (!(await exists(path, openFiles))) continue;
    signs.push(new StorageError('invalid-input', { what: `${name} exists: ${remedy}`, path }));
  }
  if (control.state !== 'shut down') {
    const error = new StorageError('invalid-input', {
      what: 'state of the cluster, which was not shut down cleanly',
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
  ['backup_label', 'start a server in the directory to replay the WAL, and stop it'],
  ['standby.signal', 'promote the standby and stop it'],
  ['recovery.signal', 'let the recovery end and stop the server'],
];

/**
 * Objects if a server has changed pg_control since it was read.
 * Throws `invalid-input` if it now belongs to another cluster, regardless of what is allowed.
 */
export async function checkUnchanged(
  dataDirectory: string,
  { control: before, openFiles, objections }: UnchangedCheck,
): Promise<void> {
  const after = await readControlFile(dataDirectory, openFiles);
  const path = pathIn(dataDirectory, CONTROL_FILE_PATH);
  const what = 'pg_control changed while the directory was read';
  if (before.systemIdentifier !== after.systemIdentifier) {
    throw new StorageError('invalid-input', {
      what: `${what}: system identifier`,
      path,
      expected: String(before.systemIdentifier),
      actual: String(after.systemIdentifier),
    });
  }
  if (before.state === after.state && before.checkpointLsn === after.checkpointLsn) return;
  const stateOf = ({ state, checkpointLsn }: ControlFile): string =>
    `"${state}", latest checkpoint at ${formatPgLsn(checkpointLsn)}`;
  objections.raise(
    'unclean',
    new StorageError('invalid-input', {
      what: `${what}: state of the cluster`,
      path,
      expected: `${stateOf(before)} as before`,
      actual: stateOf(after),
    }),
  );
}

interface UnchangedCheck {
  /** The content of pg_control when the import began. */
  readonly control: ControlFile;
  readonly openFiles: OpenFiles;
  readonly objections: Objections;
}

/** Reads pg_control without decoding it. Throws `not-found`, `too-large`, `io`. */
export async function readControlBytes(
  dataDirectory: string,
  openFiles: OpenFiles,
): Promise<Uint8Array> {
  checkObject('openFiles', openFiles);
  checkOpenFiles(openFiles);
  const path = pathIn(dataDirectory, CONTROL_FILE_PATH);
  try {
    const limits = { maximumLength: CONTROL_FILE_SIZE, openFiles };
    return await readSmallFile(path, limits, (bytes) => bytes);
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

/** A file in place of a directory. */
function isNoDirectory(error: unknown): error is StorageError {
  return isStorageError(error, 'io') && error.errno === 'ENOTDIR';
}

/** The file has one line with the major version. */
const MAXIMUM_VERSION_LENGTH = 64;

/**
 * Checks the PG_VERSION of the data directory or a database. Throws `not-found`, and
 * `invalid-input` if it is another version.
 */
export async function checkVersionFile(
  directory: string,
  majorVersion: number,
  openFiles: OpenFiles,
): Promise<void> {
  const path = pathIn(directory, 'PG_VERSION');
  const limits = { maximumLength: MAXIMUM_VERSION_LENGTH, openFiles };
  const text = await readSmallFile(path, limits, (bytes) => latin1(bytes).trim());
  if (text === String(majorVersion)) return;
  throw new StorageError('invalid-input', {
    what: 'PG_VERSION',
    path,
    expected: `${majorVersion}, the version of pg_control`,
    actual: JSON.stringify(text),
  });
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
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
