/**
 * Summary of a delta layer: the first block of the file; what is behind it in the block is zero.
 *
 *   0   2   magic 0x5A61
 *   2   2   format version, 3
 *   4   16  tenant id
 *   20  16  timeline id
 *   36  18  first key
 *   54  18  end key, exclusive
 *   72  8   start LSN
 *   80  8   end LSN, exclusive
 *   88  4   block where the index starts
 *   92  4   root block of the index, relative to its start
 *
 * All integers are big-endian. Source: Neon pageserver/src/tenant/storage_layer/delta_layer.rs.
 */
import { StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { formatIdentifier, parseIdentifier } from '../identifier.ts';
import { compareKeys, KEY_SIZE, type KeyRange } from '../key.ts';
import { formatLsn, type LsnRange } from '../lsn.ts';

export const DELTA_MAGIC = 0x5a61;
export const DELTA_SUMMARY_SIZE = 96;
export const STORAGE_FORMAT_VERSION = 3;

export interface DeltaSummary {
  readonly kind: 'delta';
  readonly formatVersion: number;
  /** 32 lower-case hex digits. */
  readonly tenantId: string;
  readonly timelineId: string;
  readonly keyRange: KeyRange;
  readonly lsnRange: LsnRange;
  readonly indexStartBlock: number;
  readonly indexRootBlock: number;
}

/** Returns: the whole block 0; a fresh array. */
export function encodeDeltaSummary(summary: DeltaSummary): Uint8Array {
  const block = new Uint8Array(BLOCK_SIZE);
  const view = new DataView(block.buffer);
  view.setUint16(0, DELTA_MAGIC);
  view.setUint16(2, summary.formatVersion);
  block.set(parseIdentifier(summary.tenantId, 'tenant id'), 4);
  block.set(parseIdentifier(summary.timelineId, 'timeline id'), 20);
  block.set(summary.keyRange.start, 36);
  block.set(summary.keyRange.end, 54);
  view.setBigUint64(72, summary.lsnRange.start);
  view.setBigUint64(80, summary.lsnRange.end);
  view.setUint32(88, summary.indexStartBlock);
  view.setUint32(92, summary.indexRootBlock);
  return block;
}

/**
 * Requires: the whole block 0, with magic and version checked.
 * Throws: `corrupt` for ranges that are none.
 */
export function decodeDeltaSummary(block: Uint8Array): DeltaSummary {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const summary: DeltaSummary = {
    kind: 'delta',
    formatVersion: view.getUint16(2),
    tenantId: formatIdentifier(block, 4),
    timelineId: formatIdentifier(block, 20),
    keyRange: { start: block.slice(36, 36 + KEY_SIZE), end: block.slice(54, 54 + KEY_SIZE) },
    lsnRange: { start: view.getBigUint64(72), end: view.getBigUint64(80) },
    indexStartBlock: view.getUint32(88),
    indexRootBlock: view.getUint32(92),
  };
  const { keyRange, lsnRange } = summary;
  if (lsnRange.start >= lsnRange.end) {
    throw new StorageError('corrupt', {
      what: 'LSN range of the summary',
      offset: 72,
      expected: 'start below end',
      actual: `${formatLsn(lsnRange.start)}-${formatLsn(lsnRange.end)}`,
    });
  }
  if (compareKeys(keyRange.start, keyRange.end) >= 0) {
    throw new StorageError('corrupt', {
      what: 'key range of the summary',
      offset: 36,
      expected: 'start below end',
    });
  }
  return summary;
}
