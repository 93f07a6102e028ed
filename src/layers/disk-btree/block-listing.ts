/**
 * Every block of an index in order, reachable or not.
 *
 * Where an index has more zeros than its file stores, the listing goes on with the last blocks: those
 * that follow the last run of so many zeros.
 */
import { readExactly } from '../../blob-writer/byte-source.ts';
import { StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { IndexBlocks } from './index-blocks.ts';
import type { IndexNode } from './index-node.ts';
import { IndexScan } from './index-scan.ts';
import { isZero, ZeroAllowance } from './zero-allowance.ts';

export interface DamagedBlock {
  readonly block: number;
  readonly error: StorageError;
}

/** Blocks that were not looked at. */
export interface SkippedBlocks extends DamagedBlock {
  readonly blockCount: number;
}

export type ListedBlock = IndexNode | DamagedBlock | SkippedBlocks;

/** Blocks that are read together on the way back from the root. */
const RUN_LENGTH = 64;

/** A node is valid until the next one is asked for. Throws: if the index is not in the file; `io`. */
export async function* listBlocks(
  blocks: IndexBlocks,
  decode: (bytes: Uint8Array, block: number) => IndexNode | DamagedBlock,
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
        yield decode(bytes, block);
        continue;
      }
      const next = await firstOfLast(blocks, block);
      if (next > block) yield skipped(blocks, block, next);
      // The blocks from there on were admitted on the way back.
      allowance = new ZeroAllowance(undefined);
      block = next - 1;
    }
  } finally {
    await scan.close();
  }
}

/** The first block with data of those at the end that are admitted together; at least the root. */
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
    what: `the index has more zeros than the file stores; its blocks ${block} to ${next - 1} are not looked at`,
    path: blocks.path,
    offset: blocks.fileOffset(block),
  });
  return { block, blockCount: next - block, error };
}
