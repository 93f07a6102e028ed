/** Block 0 of either kind of layer, told apart by its magic, and what it says about the name. */
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { StorageError, withPath } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import {
  DELTA_MAGIC,
  DELTA_SUMMARY_SIZE,
  type DeltaSummary,
  decodeDeltaSummary,
  STORAGE_FORMAT_VERSION,
} from '../delta-layer/summary-format.ts';
import {
  decodeImageSummary,
  IMAGE_MAGIC,
  IMAGE_SUMMARY_SIZE,
  type ImageSummary,
} from '../image-layer/summary-format.ts';
import type { LayerName } from '../layer-name.ts';

export type LayerSummary = DeltaSummary | ImageSummary;
export type LayerKind = LayerSummary['kind'];

/** Bytes of block 0 that the summary takes; the rest should be zero. */
export function summarySize(kind: LayerKind): number {
  return kind === 'delta' ? DELTA_SUMMARY_SIZE : IMAGE_SUMMARY_SIZE;
}

/**
 * Reads and checks block 0.
 * Throws: `truncated`, `corrupt`, `unsupported-version`, `io`, with path and offset.
 */
export async function readSummaryBlock(source: ByteSource): Promise<Uint8Array> {
  if (source.size < BLOCK_SIZE) {
    throw new StorageError('truncated', {
      what: 'file is too short for a layer',
      path: source.path,
      offset: source.size,
      expected: `at least ${BLOCK_SIZE} bytes`,
      actual: `${source.size}`,
    });
  }
  const block = new Uint8Array(BLOCK_SIZE);
  await readExactly(source, block, 0);
  return block;
}

/** Throws: `corrupt`, `unsupported-version`; the path is added where there is one. */
export function decodeSummary(block: Uint8Array, path?: string): LayerSummary {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const magic = view.getUint16(0);
  const version = view.getUint16(2);
  if (magic !== DELTA_MAGIC && magic !== IMAGE_MAGIC) {
    throw new StorageError('corrupt', {
      what: 'magic of the summary',
      path,
      offset: 0,
      expected: `0x${DELTA_MAGIC.toString(16)} (delta) or 0x${IMAGE_MAGIC.toString(16)} (image)`,
      actual: `0x${magic.toString(16).padStart(4, '0')}`,
    });
  }
  if (version !== STORAGE_FORMAT_VERSION) {
    throw new StorageError('unsupported-version', {
      what: 'format version of the layer',
      path,
      offset: 2,
      expected: `${STORAGE_FORMAT_VERSION}`,
      actual: `${version}`,
    });
  }
  try {
    return magic === DELTA_MAGIC ? decodeDeltaSummary(block) : decodeImageSummary(block);
  } catch (error) {
    throw withPath(error, path);
  }
}

/** The name that a layer with this summary has, without a generation. */
export function nameOfSummary(summary: LayerSummary): LayerName {
  return summary.kind === 'delta'
    ? { kind: 'delta', keyRange: summary.keyRange, lsnRange: summary.lsnRange }
    : { kind: 'image', keyRange: summary.keyRange, lsn: summary.lsn };
}
