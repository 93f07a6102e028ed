/** The blocks of an index in the source of a layer. */
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';

/** Place of an index. */
export interface IndexLocation {
  /** First block of the index, counted from the start of the file. */
  readonly startBlock: number;
  /** Relative to `startBlock`. */
  readonly rootBlock: number;
}

/** Block 0 holds the summary, and a layer has at least one value. */
const FIRST_POSSIBLE_INDEX_BLOCK = 2;

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

  /** Throws `out-of-range` or `truncated` unless the complete index lies in the file. */
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
        what: 'file ends before its index',
        path: this.source.path,
        offset: this.source.size,
        expected: `root block ${rootBlock} to end at ${end}`,
        actual: `${this.source.size} bytes`,
      });
    }
  }
}
