/** Reads block 0 of a layer; the name that a summary implies. */
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { IndexLocation } from '../disk-btree/index-blocks.ts';
import type { LayerName } from '../layer-name.ts';
import type { LayerSummary } from './summary-format.ts';

/** Place of the index according to the summary. */
export function claimedIndex({ indexStartBlock, indexRootBlock }: LayerSummary): IndexLocation {
  return { startBlock: indexStartBlock, rootBlock: indexRootBlock };
}

/**
 * Reads block 0 without checking its content.
 * Throws: `truncated`, `io`, with path and offset.
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

/** The name of a layer with this summary, without a generation. */
export function nameOfSummary(summary: LayerSummary): LayerName {
  return summary.kind === 'delta'
    ? { kind: 'delta', keyRange: summary.keyRange, lsnRange: summary.lsnRange }
    : { kind: 'image', keyRange: summary.keyRange, lsn: summary.lsn };
}
