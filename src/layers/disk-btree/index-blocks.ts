/** Reads index blocks out of a layer's source, one or a few neighbours at a time. */
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { levelOf } from './index-node.ts';

/** Where the index lies: `startBlock` in the file, `rootBlock` relative to it. */
export interface IndexLocation {
  readonly startBlock: number;
  readonly rootBlock: number;
}

/** Block 0 holds the summary, and a layer has at least one value. */
const FIRST_POSSIBLE_INDEX_BLOCK = 2;

/** Scans read up to this many blocks at once. */
const MAXIMUM_READ_AHEAD = 16;

export class IndexBlocks {
  readonly source: ByteSource;
  readonly location: IndexLocation;

  constructor(source: ByteSource, location: IndexLocation) {
    this.source = source;
    this.location = location;
  }

  get path(): string | undefined {
    return this.source.path;
  }

  fileOffset(block: number): number {
    return (this.location.startBlock + block) * BLOCK_SIZE;
  }

  /** Throws `out-of-range` or `truncated` unless the whole index lies in the file. */
  checkLocation(): void {
    const { startBlock, rootBlock } = this.location;
    if (startBlock < FIRST_POSSIBLE_INDEX_BLOCK) {
      throw new StorageError('out-of-range', {
        what: 'start block of the index',
        path: this.source.path,
        offset: 0,
        expected: `at least ${FIRST_POSSIBLE_INDEX_BLOCK}`,
        actual: `${startBlock}`,
      });
    }
    const end = this.fileOffset(rootBlock + 1);
    if (end > this.source.size) {
      throw new StorageError('truncated', {
        what: 'file ends before its index does',
        path: this.source.path,
        offset: this.source.size,
        expected: `root block ${rootBlock} to end at ${end}`,
        actual: `${this.source.size} bytes`,
      });
    }
  }

  /**
   * Reads for one scan: neighbours are read together, more of them the longer it goes on. Two arrays
   * take turns, so that a long scan leaves nothing to collect: a leaf is valid until the next call, a
   * node above it, which a walk comes back to, for ever.
   */
  forScan(): (block: number) => Promise<Uint8Array> {
    let first = 0;
    let runLength = 0;
    let nextLength = 1;
    let run: Uint8Array = new Uint8Array(0);
    let spare = run;
    return async (block) => {
      if (block < first || block >= first + runLength) {
        runLength = 0;
        const length = Math.min(nextLength, this.location.rootBlock + 1 - block);
        [run, spare] = [spare, run];
        run = await this.#readRun(block, length, run);
        first = block;
        runLength = length;
        nextLength = Math.min(nextLength * 2, MAXIMUM_READ_AHEAD);
      }
      const start = (block - first) * BLOCK_SIZE;
      const bytes = run.subarray(start, start + BLOCK_SIZE);
      return levelOf(bytes) === 0 ? bytes : bytes.slice();
    };
  }

  /** Into the array, if it is large enough. */
  async #readRun(block: number, count: number, array: Uint8Array): Promise<Uint8Array> {
    const size = count * BLOCK_SIZE;
    const run = array.length < size ? new Uint8Array(size) : array;
    await readExactly(this.source, run.subarray(0, size), this.fileOffset(block));
    return run;
  }
}
