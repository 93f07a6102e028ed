/**
 * Paths of files in a data directory, as fields of a key.
 *
 *   base/5/16384.1                      segment 1 of a relation fork: blocks from 131072 on
 *   global/1262_fsm                     the same of the shared catalogs
 *   pg_tblspc/16400/PG_17_.../5/16384   the same in another tablespace
 *   base/5/pg_filenode.map              relation map
 *   pg_xact/0003, pg_multixact/offsets/0001, pg_multixact/members/0001
 *   global/pg_control                   control file
 */
import { StorageError } from '../errors.ts';
import { catalogVersionOf } from './control-file.ts';
import type { ForkName } from './fork.ts';
import {
  type DatabaseId,
  DEFAULT_TABLESPACE_OID,
  GLOBAL_TABLESPACE_OID,
  type SlruName,
  type SlruSegmentId,
} from './key-mapping.ts';
import { parseOid, parseRelationFileName } from './relation-file-name.ts';

/** Blocks of a file of a relation: 1 GiB. */
export const BLOCKS_PER_SEGMENT = 131_072;

/** Fields of the key that a path describes, as text; `segment` is the number of the file in its fork. */
export type PathFields = readonly (readonly [
  name: 'spcnode' | 'dbnode' | 'relnode' | 'fork' | 'segment' | 'slru' | 'segno' | 'kind',
  text: string,
])[];

const SLRU_DIRECTORIES: ReadonlyMap<string, SlruName> = new Map([
  ['pg_xact', 'clog'],
  ['pg_multixact/offsets', 'multixact_offsets'],
  ['pg_multixact/members', 'multixact_members'],
]);

/** Throws `invalid-input` for the path of a file that has no key. */
export function fieldsOfPath(path: string): PathFields {
  const text = path.replace(/^\.?\//, '');
  const slash = text.lastIndexOf('/');
  const directory = text.slice(0, Math.max(0, slash));
  const name = text.slice(slash + 1);
  if (directory === 'global' && name === 'pg_control') return [['kind', 'control_file']];
  const slru = SLRU_DIRECTORIES.get(directory);
  if (slru !== undefined && /^[0-9A-Fa-f]{4,8}$/.test(name)) {
    return [
      ['slru', slru],
      ['segno', `0x${name}`],
    ];
  }
  const database = databaseOf(directory);
  const file = parseRelationFileName(name);
  if (database === undefined || file.kind === 'left-out') throw notAPath(path);
  if (file.kind === 'map') return [...database, ['kind', 'relmap']];
  return [
    ...database,
    ['relnode', `${file.relnode}`],
    ['fork', file.fork],
    ['segment', `${file.segmentNumber}`],
  ];
}

function databaseOf(directory: string): PathFields | undefined {
  if (directory === 'global') {
    return [
      ['spcnode', `${GLOBAL_TABLESPACE_OID}`],
      ['dbnode', '0'],
    ];
  }
  const [root = '', ...parts] = directory.split('/');
  const isTablespace = root === 'pg_tblspc' && parts.length === 3 && /^PG_/.test(parts[1] ?? '');
  if (!isTablespace && (root !== 'base' || parts.length !== 1)) return undefined;
  const spcnode = isTablespace ? parseOid(parts[0] ?? '') : DEFAULT_TABLESPACE_OID;
  const dbnode = parseOid(parts.at(-1) ?? '');
  if (spcnode === undefined || dbnode === undefined) return undefined;
  return [
    ['spcnode', `${spcnode}`],
    ['dbnode', `${dbnode}`],
  ];
}

/**
 * The directory of a database, relative to the data directory.
 *
 * @throws `corrupt` for a database that cannot have a directory: 0 outside the tablespace of the shared catalogs, or
 *   any other in it.
 */
export function databaseDirectory({ spcnode, dbnode }: DatabaseId, majorVersion: number): string {
  if ((spcnode === GLOBAL_TABLESPACE_OID) !== (dbnode === 0)) {
    throw new StorageError('corrupt', {
      what: `database in tablespace ${spcnode}`,
      expected: spcnode === GLOBAL_TABLESPACE_OID ? '0, the shared catalogs' : 'at least 1',
      actual: `${dbnode}`,
    });
  }
  if (spcnode === GLOBAL_TABLESPACE_OID) return 'global';
  if (spcnode === DEFAULT_TABLESPACE_OID) return `base/${dbnode}`;
  return `pg_tblspc/${spcnode}/PG_${majorVersion}_${catalogVersionOf(majorVersion)}/${dbnode}`;
}

/** The name of a file of a relation fork: `16384_fsm.1`. */
export function relationFileName(relnode: number, fork: ForkName, segment: number): string {
  const suffix = fork === 'main' ? '' : `_${fork}`;
  return `${relnode}${suffix}${segment === 0 ? '' : `.${segment}`}`;
}

/** The path of a segment of an SLRU, relative to the data directory. */
export function slruFilePath({ slru, segno }: SlruSegmentId): string {
  const [directory] = [...SLRU_DIRECTORIES].find(([, name]) => name === slru) ?? [slru];
  return `${directory}/${segno.toString(16).toUpperCase().padStart(4, '0')}`;
}

function notAPath(path: string): StorageError {
  return new StorageError('invalid-input', {
    what: 'field path',
    expected: 'a file such as base/5/16384.1, global/1262_fsm or pg_xact/0000',
    actual: JSON.stringify(path),
  });
}
