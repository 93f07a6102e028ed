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
import { DEFAULT_TABLESPACE_OID, GLOBAL_TABLESPACE_OID, type SlruName } from './key-mapping.ts';
import { parseOid, parseRelationFileName } from './relation-file-name.ts';

/** Blocks of a file of a relation: 1 GiB. */
export const BLOCKS_PER_SEGMENT = 131_072;

/** Fields that a path stands for, as text; `segment` is the number of the file in its fork. */
export type PathFields = readonly (readonly [
  name: 'spcnode' | 'dbnode' | 'relnode' | 'fork' | 'segment' | 'slru' | 'segno' | 'kind',
  text: string,
])[];

const SLRU_DIRECTORIES: ReadonlyMap<string, SlruName> = new Map([
  ['pg_xact', 'clog'],
  ['pg_multixact/offsets', 'multixact_offsets'],
  ['pg_multixact/members', 'multixact_members'],
]);

/** Throws `invalid-input` for a path of a file that no key holds. */
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

function notAPath(path: string): StorageError {
  return new StorageError('invalid-input', {
    what: 'field path',
    expected: 'a file such as base/5/16384.1, global/1262_fsm or pg_xact/0000',
    actual: JSON.stringify(path),
  });
}
