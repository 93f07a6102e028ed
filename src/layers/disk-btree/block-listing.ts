/**
 * Lists every block of an index in order, reachable or not.
 *
 * If the index has more zeros than its file stores, the listing skips to the end: it continues with the
 * blocks that can be read backwards from the root within the same allowance of zeros.
 */
import { readExactly } from '../../blob-writer/byte-source.ts';
import { isStorageError, StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { IndexBlocks } from './index-blocks.ts';
import type { IndexNode } from './index-node.ts';
import { IndexScan } from './index-scan.ts';
import { isZero, ZeroAllowance } from './zero-allowance.ts';

export interface DamagedBlock {
  readonly block: number;
  readonly error: StorageError;
}

/** Blocks that were not read. */
export interface SkippedBlocks extends DamagedBlock {
  readonly blockCount: number;
}

export type ListedBlock = IndexNode | DamagedBlock | SkippedBlocks;

/** Blocks per read when reading backwards from the root. */
const RUN_LENGTH = 64;

/**
 * Yields blocks; a node is valid until the next one is requested.
 * Throws: `truncated` or `out-of-range` if the index is not within the file; `io`.
 */
export async function* listBlocks(
  blocks: IndexBlocks,
  decode: (bytes: Uint8Array, block: number) => IndexNode | StorageError,
): AsyncGenerator<ListedBlock> {
  blocks.checkLocation();
  const { rootBlock } = blocks.location;
  const { allocatedSize } = blocks.source;
  let allowance = new ZeroAllowance(allocatedSize);
  const scan = new IndexScan(blocks);
  try {
    for (let block = 0; block <= rootBlock; block += 1) {
      const bytes = scan.find(block) ?? (await scan.load(block));
      if (allowance.admits(bytes)) {
        const node = decode(bytes, block);
        yield isStorageError(node) ? { block, error: node } : node;
        continue;
      }
      const next = await firstOfLast(blocks, block);
      if (next > block) yield skipped(blocks, block, next);
      // The remaining blocks were already counted when they were read backwards.
      allowance = new ZeroAllowance(undefined);
      block = next - 1;
    }
  } finally {
    await scan.close();
  }
}

/**
 * Returns: the first block with data among the last blocks that fit into one allowance of zeros; the root if
 * there is none.
 */
async function firstOfLast(blocks: IndexBlocks, from: number): Promise<number> {
  const { source, location } = blocks;
  const allowance = new ZeroAllowance(source.allocatedSize);
  const run = new Uint8Array(RUN_LENGTH * BLOCK_SIZE);
  let first = location.rootBlock;
  for (let end = location.rootBlock + 1; end > from; end -= RUN_LENGTH) {
    const start = Math.max(from, end - RUN_LENGTH);
    await readExactly(
      source,
      run.subarray(0, (end - start) * BLOCK_SIZE),
      blocks.fileOffset(start),
    );
    for (let block = end - 1; block >= start; block -= 1) {
      const at = (block - start) * BLOCK_SIZE;
      const bytes = run.subarray(at, at + BLOCK_SIZE);
      if (!allowance.admits(bytes)) return first;
      if (!isZero(bytes)) first = block;
    }
  }
  return first;
}

function skipped(blocks: IndexBlocks, block: number, next: number): SkippedBlocks {
  const error = new StorageError('corrupt', {
    what: `index has more zeros than the file stores: blocks ${block} to ${next - 1} are skipped`,
    path: blocks.path,
    offset: blocks.fileOffset(block),
  });
  return { block, blockCount: next - block, error };
}
