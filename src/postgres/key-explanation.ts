/** Keys in words. */
import type { Key } from '../layers/key.ts';
import type { Fork } from './fork.ts';
import {
  type DatabaseId,
  describeKey,
  GLOBAL_TABLESPACE_OID,
  type RelationForkId,
  type SlruSegmentId,
} from './key-mapping.ts';

/**
 * Describes a key for people: `block 7 of relation 1663/5/16384, main fork`.
 *
 * @throws `invalid-input` unless the key has 18 bytes.
 */
export function explainKey(key: Key): string {
  const meaning = describeKey(key);
  switch (meaning.kind) {
    case 'rel_block':
      return `block ${meaning.blkno} of ${relationText(meaning)}`;
    case 'rel_size':
      return `size of ${relationText(meaning)}`;
    case 'relmap':
      return `relation map of ${databaseText(meaning)}`;
    case 'rel_dir':
      return `relation directory of ${databaseText(meaning)}`;
    case 'db_dir':
      return 'database directory';
    case 'slru_block':
      return `block ${meaning.blkno} of ${segmentText(meaning)}`;
    case 'slru_size':
      return `size of ${segmentText(meaning)}`;
    case 'slru_dir':
      return `directory of ${meaning.slru} segments`;
    case 'twophase':
      return `two-phase state of transaction ${meaning.xid}`;
    case 'twophase_dir':
      return 'directory of two-phase files';
    case 'control_file':
      return 'control file (pg_control)';
    case 'checkpoint':
      return 'checkpoint record';
    case 'aux_files':
      return 'directory of auxiliary files';
    case 'metadata':
      return metadataText(key);
    case 'unknown':
      return 'a key without a known meaning';
  }
}

function relationText(relation: RelationForkId): string {
  const { spcnode, dbnode, relnode, fork } = relation;
  return `relation ${spcnode}/${dbnode}/${relnode}, ${forkText(fork)}`;
}

function forkText(fork: Fork): string {
  return typeof fork === 'string' ? `${fork} fork` : `fork ${fork} (not one of Postgres)`;
}

function databaseText({ spcnode, dbnode }: DatabaseId): string {
  if (spcnode === GLOBAL_TABLESPACE_OID && dbnode === 0) return 'the shared catalogs (1664/0)';
  return `database ${dbnode} in tablespace ${spcnode}`;
}

/** Includes the name of the segment's file: four hex digits. */
function segmentText({ slru, segno }: SlruSegmentId): string {
  const fileName = segno.toString(16).toUpperCase().padStart(4, '0');
  return `${slru} segment ${segno} (file ${fileName})`;
}

const METADATA_NAMES: ReadonlyMap<number, string> = new Map([
  [0x61, 'relation sizes'],
  [0x62, 'auxiliary files'],
  [0x63, 'replication origins'],
  [0x64, 'database directory'],
  [0x65, 'relation directory'],
]);

function metadataText(key: Key): string {
  const prefix = key[0] ?? 0;
  const name = METADATA_NAMES.get(prefix) ?? 'reserved';
  return `metadata key ${prefix.toString(16).toUpperCase()} (${name})`;
}
