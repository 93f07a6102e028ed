/**
 * tablespace_map: the tablespaces of a base backup, one per line: `16384 /mnt/ssd`. A server that
 * starts from the backup creates the links in pg_tblspc from it; a directory restored from tar
 * files has no other links.
 *
 * Source: Postgres src/backend/access/transam/xlogrecovery.c (read_tablespace_map).
 */
import { isStorageError, StorageError } from '../errors.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import { readSmallFile } from '../virtual-file/small-file.ts';
import type { Objections } from './objections.ts';
import { parseOid } from './relation-file-name.ts';

/** A line has at most one path, and a cluster some dozens of tablespaces. */
const MAXIMUM_LENGTH = 1024 * 1024;

/** Objects to each tablespace of the map that was not found. */
export async function checkTablespaceMap(
  dataDirectory: string,
  tablespaces: readonly number[],
  { openFiles, objections }: { openFiles: OpenFiles; objections: Objections },
): Promise<void> {
  const path = pathIn(dataDirectory, 'tablespace_map');
  const found = new Set(tablespaces);
  for (const oid of await readOids(path, openFiles)) {
    if (found.has(oid)) continue;
    const error = new StorageError('not-found', {
      what: `tablespace ${oid} of tablespace_map is missing: expected pg_tblspc/${oid}`,
      path,
    });
    objections.raise('damaged', error);
  }
}

async function readOids(path: string, openFiles: OpenFiles): Promise<number[]> {
  try {
    return await readSmallFile(path, { maximumLength: MAXIMUM_LENGTH, openFiles }, (bytes) =>
      Buffer.from(bytes).toString('latin1').split('\n').flatMap(oidOfLine),
    );
  } catch (error) {
    if (isStorageError(error, 'not-found')) return [];
    throw error;
  }
}

/** The rest of a path after an escaped line break does not start with an OID. */
function oidOfLine(line: string): number[] {
  const oid = parseOid(/^(\d+) /.exec(line)?.[1] ?? '');
  return oid === undefined ? [] : [oid];
}
