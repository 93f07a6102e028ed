/**
 * Summary of an image layer: the first block of the file; what is behind it in the block is zero.
 *
 *   0   2   magic 0x5A60
 *   2   2   format version, 3
 *   4   16  tenant id
 *   20  16  timeline id
 *   36  18  first key
 *   54  18  end key, exclusive
 *   72  8   LSN
 *   80  4   block where the index starts
 *   84  4   root block of the index, relative to its start
 *
 * All integers are big-endian. Source: Neon pageserver/src/tenant/storage_layer/image_layer.rs.
 */
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { formatIdentifier, parseIdentifier } from '../identifier.ts';
import { KEY_SIZE, type KeyRange } from '../key.ts';
import type { Lsn } from '../lsn.ts';

export const IMAGE_MAGIC = 0x5a60;
export const IMAGE_SUMMARY_SIZE = 88;

export interface ImageSummary {
  readonly kind: 'image';
  readonly formatVersion: number;
  /** 32 lower-case hex digits. */
  readonly tenantId: string;
  readonly timelineId: string;
  readonly keyRange: KeyRange;
  readonly lsn: Lsn;
  readonly indexStartBlock: number;
  readonly indexRootBlock: number;
}

/** Returns: the whole block 0; a fresh array. */
export function encodeImageSummary(summary: ImageSummary): Uint8Array {
  const block = new Uint8Array(BLOCK_SIZE);
  const view = new DataView(block.buffer);
  view.setUint16(0, IMAGE_MAGIC);
  view.setUint16(2, summary.formatVersion);
  block.set(parseIdentifier(summary.tenantId, 'tenant id'), 4);
  block.set(parseIdentifier(summary.timelineId, 'timeline id'), 20);
  block.set(summary.keyRange.start, 36);
  block.set(summary.keyRange.end, 54);
  view.setBigUint64(72, summary.lsn);
  view.setUint32(80, summary.indexStartBlock);
  view.setUint32(84, summary.indexRootBlock);
  return block;
}

/** Requires: the whole block 0, with magic and version checked. */
export function decodeImageSummary(block: Uint8Array): ImageSummary {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  return {
    kind: 'image',
    formatVersion: view.getUint16(2),
    tenantId: formatIdentifier(block, 4),
    timelineId: formatIdentifier(block, 20),
    keyRange: { start: block.slice(36, 36 + KEY_SIZE), end: block.slice(54, 54 + KEY_SIZE) },
    lsn: view.getBigUint64(72),
    indexStartBlock: view.getUint32(80),
    indexRootBlock: view.getUint32(84),
  };
}
