/**
 * Reads every block of a part of a file, forwards or backwards, to find what no pointer leads to.
 *
 * A hostile file may consist mostly of holes, which cost nothing to make and much to read. A sweep
 * therefore ends once it has read more zeros than the file stores; see `zero-allowance.ts`.
 */
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { isZero, ZeroAllowance } from './zero-allowance.ts';

/** Blocks per read. */
const RUN_LENGTH = 64;

/** Bytes per read. */
export const SWEPT_SIZE = RUN_LENGTH * BLOCK_SIZE;

export interface SweepOptions {
  /** Block numbers in the file: `from` is included, `to` is not. */
  readonly from: number;
  readonly to: number;
  /** Default: forwards. */
  readonly direction?: 'forwards' | 'backwards' | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What happens to blocks that are all zeros. Default: left out. */
  readonly zeros?: 'left-out' | 'given' | undefined;
}

export interface SweptBlock {
  /** Number of the block in the file. */
  readonly block: number;
  /** A complete block, valid until the next one is requested; zero-filled if the file ends within it. */
  readonly bytes: Uint8Array;
  /** Number of its bytes that are in the file. */
  readonly presentSize: number;
}

/** Number of blocks in a file; the last one may be incomplete. */
export function blockCountOf(source: ByteSource): number {
  return Math.ceil(source.size / BLOCK_SIZE);
}

/** Reads one block, as a sweep yields it, into a new array. Throws: `truncated`, `io`. */
export async function readBlockOf(source: ByteSource, block: number): Promise<SweptBlock> {
  const bytes = new Uint8Array(BLOCK_SIZE);
  const presentSize = Math.min(BLOCK_SIZE, source.size - block * BLOCK_SIZE);
  await readExactly(source, bytes.subarray(0, presentSize), block * BLOCK_SIZE);
  return { block, bytes, presentSize };
}

/**
 * Yields the blocks of a part of a file.
 * Throws: `too-large` once there were too many zeros; `truncated`, `io`, `aborted`.
 */
export async function* sweepBlocks(
  source: ByteSource,
  options: SweepOptions,
): AsyncGenerator<SweptBlock> {
  const { from, to, direction, signal, zeros } = options;
  const buffer = new Uint8Array(SWEPT_SIZE);
  const allowance = new ZeroAllowance(source.allocatedSize);
  for (let done = 0; from + done < to; done += RUN_LENGTH) {
    throwIfAborted(signal, source.path);
    const count = Math.min(RUN_LENGTH, to - from - done);
    const first = direction !== 'backwards' ? from + done : to - done - count;
    const start = first * BLOCK_SIZE;
    const size = Math.min(count * BLOCK_SIZE, source.size - start);
    await readExactly(source, buffer.subarray(0, size), start);
    buffer.fill(0, size, count * BLOCK_SIZE);
    for (let step = 0; step < count; step += 1) {
      const index = direction !== 'backwards' ? step : count - 1 - step;
      const bytes = buffer.subarray(index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE);
      if (!allowance.admits(bytes)) throw mostlyZeros(source, (first + index) * BLOCK_SIZE);
      if (zeros !== 'given' && isZero(bytes)) continue;
      const presentSize = Math.min(BLOCK_SIZE, size - index * BLOCK_SIZE);
      yield { block: first + index, bytes, presentSize };
    }
  }
}

function mostlyZeros(source: ByteSource, offset: number): StorageError {
  return new StorageError('too-large', {
    what: 'file has more zeros than it stores: the rest is not searched',
    path: source.path,
    offset,
  });
}
