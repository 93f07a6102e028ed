/**
 * The data directory for an import of a timeline: relations, transaction state and pg_control, and the parts that are
 * left out.
 */
import { StorageError } from '../../errors.ts';
import { formatPgLsn } from '../../layers/lsn.ts';
import { type Cluster, checkStill, openCluster } from '../../postgres/cluster.ts';
import { readControlBytes } from '../../postgres/data-directory.ts';
import { DEFAULT_TABLESPACE_OID, GLOBAL_TABLESPACE_OID } from '../../postgres/key-mapping.ts';
import type { LeftOutFile } from '../../postgres/left-out.ts';
import { checkUnchangedListing, type ListedFile } from '../../postgres/relation-reading.ts';
import { findStateFiles, type StateFiles } from '../../postgres/state-files.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';

/** Which of a pageserver's two imports to follow. */
export type ImportWay = 'fast' | 'classic';

/** The content of the data directory. */
export interface SourceCluster {
  readonly cluster: Cluster;
  readonly state: StateFiles;
  /** pg_control, unchanged. */
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
  const controlBytes = await readControlBytes(cluster.dataDirectory, openFiles);
  const { objections } = cluster;
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
