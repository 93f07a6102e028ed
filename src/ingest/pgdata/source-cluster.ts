/**
 * The data directory for an import of a timeline: relations, transaction state and pg_control, and the parts that are
 * left out.
 */
import { StorageError } from '../../errors.ts';
import { formatPgLsn } from '../../layers/lsn.ts';
import { type Cluster, checkStill, openCluster } from '../../postgres/cluster.ts';
import { CONTROL_FILE_PATH, CONTROL_FILE_SIZE } from '../../postgres/control-file.ts';
import { readControlBytes } from '../../postgres/data-directory.ts';
import { DEFAULT_TABLESPACE_OID, GLOBAL_TABLESPACE_OID } from '../../postgres/key-mapping.ts';
import type { LeftOutFile } from '../../postgres/left-out.ts';
import { checkUnchangedListing, type ListedFile } from '../../postgres/relation-reading.ts';
import { findStateFiles, type StateFiles } from '../../postgres/state-files.ts';
import { pathIn } from '../../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';

/** Which of a pageserver's two imports to follow. */
export type ImportWay = 'fast' | 'classic';

/** The content of the data directory. */
export interface SourceCluster {
  readonly cluster: Cluster;
  readonly state: StateFiles;
  /** pg_control, all 8,192 bytes. */
  readonly controlBytes: Uint8Array;
}

/** Options of `openSource`. */
export interface SourceOptions {
  readonly dataDirectory: string;
  readonly way: ImportWay;
  readonly allowUnclean?: boolean | undefined;
  readonly allowDamaged?: boolean | undefined;
  readonly openFiles: OpenFiles;
}

/** Lists and checks the data directory. Throws as `importTimeline`. */
export async function openSource(options: SourceOptions): Promise<SourceCluster> {
  const { dataDirectory, allowUnclean, allowDamaged, openFiles } = options;
  const cluster = await openCluster({ dataDirectory, allowUnclean, allowDamaged, openFiles });
  const { objections } = cluster;
  const controlBytes = await wholeControlFile(cluster, openFiles);
  const state = await findStateFiles(cluster.dataDirectory, openFiles.fileSystem, objections);
  const { redoLsn, checkpointLsn } = cluster.control;
  // As in a pageserver, the fast import does not check this.
  if (options.way === 'classic' && redoLsn !== checkpointLsn) {
    objections.raise(
      'unclean',
      new StorageError('invalid-input', {
        what: 'redo LSN of the latest checkpoint, which is not that of a shutdown',
        path: cluster.dataDirectory,
        expected: formatPgLsn(checkpointLsn),
        actual: formatPgLsn(redoLsn),
      }),
    );
  }
  warnOfLosses(cluster, state, options.way);
  return { cluster, state, controlBytes };
}

/** pg_control as a pageserver stores it. If damage is allowed, zeros replace a lost end, as there are no others. */
async function wholeControlFile(
  { dataDirectory, objections }: Cluster,
  openFiles: OpenFiles,
): Promise<Uint8Array> {
  const bytes = await readControlBytes(dataDirectory, openFiles);
  if (bytes.length === CONTROL_FILE_SIZE) return bytes;
  const error = new StorageError('truncated', {
    what: 'pg_control',
    path: pathIn(dataDirectory, CONTROL_FILE_PATH),
    expected: `${CONTROL_FILE_SIZE} bytes`,
    actual: `${bytes.length}`,
  });
  objections.raise('damaged', error);
  const whole = new Uint8Array(CONTROL_FILE_SIZE);
  whole.set(bytes);
  return whole;
}

/** What the cluster has and the timeline will lack, or cannot serve. */
function warnOfLosses(
  { files, dataDirectory, objections }: Cluster,
  { twophase }: StateFiles,
  way: ImportWay,
): void {
  if (way === 'fast' && twophase.length > 0) {
    const what = `the fast import leaves out prepared transactions (${twophase.length}): the classic one keeps them`;
    objections.warn(new StorageError('invalid-input', { what, path: twophase[0]?.segment.path }));
  }
  const tablespaces = new Set(files.forks.map(({ spcnode }) => spcnode));
  for (const spcnode of tablespaces) {
    if (spcnode === DEFAULT_TABLESPACE_OID || spcnode === GLOBAL_TABLESPACE_OID) continue;
    const what = `tablespace ${spcnode}: a pageserver stores it, but makes no base backup with it`;
    objections.warn(new StorageError('invalid-input', { what, path: dataDirectory }));
  }
}

/** Objects if the directory has changed since it was listed. Throws `invalid-input`, `io`. */
export async function checkSourceStill(
  { cluster, state }: SourceCluster,
  openFiles: OpenFiles,
): Promise<void> {
  await checkStill(cluster, openFiles);
  const { dataDirectory, objections } = cluster;
  const after = await findStateFiles(dataDirectory, openFiles.fileSystem, objections);
  checkUnchangedListing(listedFiles(state), listedFiles(after), objections);
}

function listedFiles({ slrus, twophase }: StateFiles): ListedFile[] {
  return [...slrus, ...twophase].map(({ segment }) => segment);
}

/** Files, and parts of files, that the import does not use. */
export function leftOutOf({ cluster, state }: SourceCluster, way: ImportWay): LeftOutFile[] {
  const used = way === 'classic' ? [...state.slrus, ...state.twophase] : state.slrus;
  const imported = new Set(used.map(({ segment }) => segment.path));
  const inState = new Set(state.leftOut.map(({ path }) => path));
  const around = cluster.leftOut.filter(
    ({ path, reason }) => !imported.has(path) && !inState.has(path) && reason !== 'control file',
  );
  return [...around, ...state.leftOut];
}
