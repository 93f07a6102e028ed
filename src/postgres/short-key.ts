/** Keys in a few characters, for tables of 80 columns: `1663/5/16384 main 7`. */
import { formatKey, type Key } from '../layers/key.ts';
import {
  type DatabaseId,
  describeKey,
  type KeyMeaning,
  type RelationForkId,
  type SlruSegmentId,
} from './key-mapping.ts';

/**
 * Names a key in a few characters, which are not parsed again; the hex digits for a key without a meaning,
 * without the zeros at their end.
 *
 * @throws `invalid-input` unless the key has 18 bytes.
 */
export function shortKey(key: Key): string {
  const meaning = describeKey(key);
  switch (meaning.kind) {
    case 'rel_block':
      return `${relationText(meaning)} ${meaning.fork} ${meaning.blkno}`;
    case 'rel_size':
      return `${relationText(meaning)} ${meaning.fork} size`;
    case 'relmap':
      return `${databaseText(meaning)} relmap`;
    case 'rel_dir':
      return `${databaseText(meaning)} dir`;
    case 'slru_block':
      return `${segmentText(meaning)} ${meaning.blkno}`;
    case 'slru_size':
      return `${segmentText(meaning)} size`;
    case 'slru_dir':
      return `${meaning.slru} dir`;
    case 'twophase':
      return `twophase ${meaning.xid}`;
    case 'metadata':
    case 'unknown':
      return `${formatKey(key).replace(/0{4,}$/, '')}…`.replace(/^…$/, '0');
    default:
      return PLAIN[meaning.kind];
  }
}

const PLAIN: Readonly<
  Record<
    Extract<
      KeyMeaning['kind'],
      'db_dir' | 'twophase_dir' | 'control_file' | 'checkpoint' | 'aux_files'
    >,
    string
  >
> = {
  db_dir: 'database dir',
  twophase_dir: 'twophase dir',
  control_file: 'control file',
  checkpoint: 'checkpoint',
  aux_files: 'aux files',
};

/** The relation without its fork and block: what `--by relation` groups by. */
export function relationText({ spcnode, dbnode, relnode }: Omit<RelationForkId, 'fork'>): string {
  return `${spcnode}/${dbnode}/${relnode}`;
}

function databaseText({ spcnode, dbnode }: DatabaseId): string {
  return `${spcnode}/${dbnode}`;
}

/** As the segment's file is named: four hex digits. */
function segmentText({ slru, segno }: SlruSegmentId): string {
  return `${slru} ${segno.toString(16).toUpperCase().padStart(4, '0')}`;
}
