/** How descriptions name files, and quote texts of the record. */
import { catalogVersionOf } from '../../postgres/control-file.ts';
import { FORK_NAMES } from '../../postgres/fork.ts';
import { DEFAULT_TABLESPACE_OID, GLOBAL_TABLESPACE_OID } from '../../postgres/key-mapping.ts';
import type { RelationFile } from '../main-data/transaction.ts';

/** Path of a relation's file, relative to the data directory, such as `base/5/16384_fsm`. */
export function relationPath(
  { spcnode, dbnode, relnode }: RelationFile,
  majorVersion: number,
  forkNumber = 0,
): string {
  const fork = forkNumber === 0 ? '' : `_${FORK_NAMES[forkNumber] ?? forkNumber}`;
  const file = `${relnode}${fork}`;
  if (spcnode === GLOBAL_TABLESPACE_OID) return `global/${file}`;
  if (spcnode === DEFAULT_TABLESPACE_OID) return `base/${dbnode}/${file}`;
  const version = `PG_${majorVersion}_${catalogVersionOf(majorVersion)}`;
  return `pg_tblspc/${spcnode}/${version}/${dbnode}/${file}`;
}

const decoder = new TextDecoder();

/** Text up to the first zero byte, as C prints it; bytes that are not UTF-8 become U+FFFD. */
export function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
