/**
 * What a server needs to open a database: a relation map, and PG_VERSION.
 *
 * Both are in the default tablespace of the database; its directories in other tablespaces have
 * neither.
 */
import { isStorageError, StorageError, withPath } from '../errors.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import type { ControlFile } from './control-file.ts';
import { checkVersionFile } from './data-directory.ts';
import { GLOBAL_TABLESPACE_OID } from './key-mapping.ts';
import type { LeftOutFile } from './left-out.ts';
import type { Objections } from './objections.ts';
import type { DatabaseDirectory, RelationFiles, RelationMapFile } from './relation-files.ts';
import { decodeRelationMap } from './relation-map.ts';
import { readMapFile } from './relation-reading.ts';

/** A relation map with the content that was checked. */
export interface LoadedMap extends RelationMapFile {
  readonly bytes: Uint8Array;
}

export interface CheckedDatabases {
  readonly maps: readonly LoadedMap[];
  /** Maps that are empty or too large, if damage is allowed. */
  readonly leftOut: readonly LeftOutFile[];
}

interface CheckOptions {
  readonly control: ControlFile;
  readonly openFiles: OpenFiles;
  readonly objections: Objections;
}

/**
 * Reads all relation maps. Objects to maps that a server would refuse, to databases without a map,
 * and to databases of another version.
 */
export async function checkDatabases(
  { maps, databases }: RelationFiles,
  options: CheckOptions,
): Promise<CheckedDatabases> {
  const loaded: LoadedMap[] = [];
  const leftOut: LeftOutFile[] = [];
  for (const map of maps) {
    const bytes = await loadMap(map, options);
    if (bytes === undefined) leftOut.push({ path: map.path, reason: 'damaged relation map' });
    else loaded.push({ ...map, bytes });
  }
  const withMap = new Set(maps.map(({ dbnode }) => dbnode));
  const mapDirectories = new Set(maps.map(({ spcnode, dbnode }) => `${spcnode}/${dbnode}`));
  for (const database of databases) {
    if (!database.isEmpty && !withMap.has(database.dbnode)) {
      options.objections.raise('damaged', withoutMap(database));
    }
    const isHome = mapDirectories.has(`${database.spcnode}/${database.dbnode}`);
    if (database.spcnode !== GLOBAL_TABLESPACE_OID) await checkVersion(database, isHome, options);
  }
  return { maps: loaded, leftOut };
}

/** Undefined for a map that is empty or too large, if damage is allowed. */
async function loadMap(
  map: RelationMapFile,
  { control, openFiles, objections }: CheckOptions,
): Promise<Uint8Array | undefined> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readMapFile(map, openFiles);
    decodeRelationMap(bytes, control.majorVersion);
  } catch (error) {
    const located = withPath(error, map.path);
    if (!isStorageError(located, 'corrupt', 'truncated', 'too-large')) throw located;
    objections.raise('damaged', located);
  }
  return bytes?.length === 0 ? undefined : bytes;
}

async function checkVersion(
  { path }: DatabaseDirectory,
  isHome: boolean,
  { control, openFiles, objections }: CheckOptions,
): Promise<void> {
  try {
    await checkVersionFile(path, control.majorVersion, openFiles);
  } catch (error) {
    if (!isStorageError(error, 'not-found', 'invalid-input', 'too-large')) throw error;
    if (error.code !== 'not-found' || isHome) objections.raise('damaged', error);
  }
}

function withoutMap({ path }: DatabaseDirectory): StorageError {
  return new StorageError('not-found', {
    what: 'relation map of the database is missing',
    path: pathIn(path, 'pg_filenode.map'),
  });
}
