/**
 * A data directory that is about to be imported: its content, the objections to it, and whether it is unchanged at the
 * end.
 */

import { absolutePath } from '../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import type { ControlFile } from './control-file.ts';
import {
  assertCleanShutdown,
  checkUnchanged,
  findUnrest,
  readControlFile,
} from './data-directory.ts';
import { checkDatabases, type LoadedMap } from './database-checks.ts';
import { findLeftOut, type LeftOutFile } from './left-out.ts';
import { type ObjectionKind, Objections } from './objections.ts';
import { type RelationFiles, searchRelationFiles } from './relation-files.ts';
import { checkUnchangedFiles } from './relation-reading.ts';
import { checkTablespaceMap } from './tablespace-map.ts';

/** Options of `openCluster`. */
export interface ClusterOptions {
  /** The Postgres data directory. It is only read. */
  readonly dataDirectory: string;
  readonly allowUnclean?: boolean | undefined;
  readonly allowDamaged?: boolean | undefined;
  readonly openFiles: OpenFiles;
}

/** The content of a directory that may be imported. */
export interface Cluster {
  /** Absolute path. */
  readonly dataDirectory: string;
  readonly control: ControlFile;
  readonly files: RelationFiles;
  readonly maps: readonly LoadedMap[];
  readonly leftOut: readonly LeftOutFile[];
  readonly objections: Objections;
}

/** Lists and checks a data directory. Throws as `importPgdata`. */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const { openFiles } = options;
  const { fileSystem } = openFiles;
  const dataDirectory = absolutePath(options.dataDirectory);
  const objections = new Objections(allowedBy(options));
  const control = await readControlFile(dataDirectory, openFiles);
  for (const sign of await findUnrest(dataDirectory, control, openFiles)) {
    objections.raise('unclean', sign);
  }
  const files = await searchRelationFiles({ dataDirectory, ...control }, fileSystem, objections);
  await checkTablespaceMap(dataDirectory, files.tablespaces, { openFiles, objections });
  const { maps, ...unusable } = await checkDatabases(files, { control, openFiles, objections });
  const around = await findLeftOut(dataDirectory, fileSystem);
  const leftOut = [...files.leftOut, ...unusable.leftOut, ...around];
  return { dataDirectory, control, files, maps, leftOut, objections };
}

function allowedBy({ allowUnclean, allowDamaged }: ClusterOptions): ObjectionKind[] {
  const allowed: ObjectionKind[] = [];
  if (allowUnclean === true) allowed.push('unclean');
  if (allowDamaged === true) allowed.push('damaged');
  return allowed;
}

/** Throws `invalid-input` if a server started, or a file changed, since the directory was read. */
export async function checkStill(cluster: Cluster, openFiles: OpenFiles): Promise<void> {
  const { dataDirectory, control, files, objections } = cluster;
  await checkUnchanged(dataDirectory, { control, openFiles, objections });
  if (!objections.isAllowed('unclean')) {
    await assertCleanShutdown(dataDirectory, control, openFiles);
  }
  const layout = { dataDirectory, ...control };
  const allowed = new Objections(['damaged']);
  const after = await searchRelationFiles(layout, openFiles.fileSystem, allowed);
  checkUnchangedFiles(files, after, objections);
}
