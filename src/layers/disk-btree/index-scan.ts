/**
 * Reads index blocks for one scan, which visits the leaves in order, and sometimes inner nodes.
 *
 * Neighbours are read together as a run, with longer runs as the scan proceeds, and the next run while one is used. Two
 * arrays are used alternately, so that a long scan leaves no garbage.
 */
import { readExactly } from '../../blob-writer/byte-source.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { IndexBlocks } from './index-blocks.ts';

/** Maximum number of blocks in one run. */
const MAXIMUM_RUN_LENGTH = 64;

/** Blocks that were read together; the array may be longer. */
interface Run {
  readonly first: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

interface RunAhead {
  readonly first: number;
  readonly length: number;
  readonly reading: Promise<Run>;
}

const NO_BYTES: Uint8Array = new Uint8Array(0);
const NO_RUN: Run = { first: -1, length: 0, bytes: NO_BYTES };

export class IndexScan {
  readonly #blocks: IndexBlocks;
  #run = NO_RUN;
  #ahead: RunAhead | undefined;
  #spare = NO_BYTES;
  #nextLength = 1;

  constructor(blocks: IndexBlocks) {
    this.#blocks = blocks;
  }

  /** The block, if it is in memory; a view that is valid until `load` is called. */
  find(block: number): Uint8Array | undefined {
    return contains(this.#run, block) ? this.#viewOf(block) : undefined;
  }

  /** Reads a block that `find` does not have; a view as above. Throws: `truncated`, `io`. */
  async load(block: number): Promise<Uint8Array> {
    const { first, length, bytes: free } = this.#run;
    const isNext = block === first + length;
    // Nothing is in memory if the read fails.
    this.#run = NO_RUN;
    if (this.#ahead !== undefined && contains(this.#ahead, block)) {
      const { reading } = this.#ahead;
      this.#ahead = undefined;
      this.#run = await reading;
      this.#spare = free;
      this.#readAhead();
    } else {
      await this.close();
      if (!isNext) this.#nextLength = 1;
      this.#run = await this.#readRun(block, this.#lengthAt(block), free);
      if (isNext) this.#readAhead();
    }
    return this.#viewOf(block);
  }

  /** A block that is not a leaf; a new array. Throws: `truncated`, `io`. */
  async read(block: number): Promise<Uint8Array> {
    const found = this.find(block);
    if (found !== undefined) return found.slice();
    const bytes = new Uint8Array(BLOCK_SIZE);
    await readExactly(this.#blocks.source, bytes, this.#blocks.fileOffset(block));
    return bytes;
  }

  /** A child of a node of this level: a leaf is valid until the next call, an inner node for good. */
  async child(level: number, block: number): Promise<Uint8Array> {
    if (level > 1) return this.read(block);
    return this.find(block) ?? this.load(block);
  }

  /** Waits for the read in flight, so that its file may be closed. */
  async close(): Promise<void> {
    const ahead = await this.#ahead?.reading.catch(() => undefined);
    this.#ahead = undefined;
    if (ahead !== undefined) this.#spare = ahead.bytes;
  }

  #viewOf(block: number): Uint8Array {
    const start = (block - this.#run.first) * BLOCK_SIZE;
    return this.#run.bytes.subarray(start, start + BLOCK_SIZE);
  }

  #readAhead(): void {
    const first = this.#run.first + this.#run.length;
    const length = this.#lengthAt(first);
    if (length === 0) return;
    const reading = this.#readRun(first, length, this.#spare);
    reading.catch(() => {});
    this.#ahead = { first, length, reading };
    this.#spare = NO_BYTES;
  }

  /** Number of blocks to read from there on: twice as many each time, but none after the root. */
  #lengthAt(first: number): number {
    const length = Math.min(this.#nextLength, this.#blocks.location.rootBlock + 1 - first);
    this.#nextLength = Math.min(this.#nextLength * 2, MAXIMUM_RUN_LENGTH);
    return length;
  }

  /** Into the array, if it is large enough. */
  async #readRun(first: number, length: number, array: Uint8Array): Promise<Run> {
    const size = length * BLOCK_SIZE;
    const bytes = array.length < size ? new Uint8Array(size) : array;
    await readExactly(this.#blocks.source, bytes.subarray(0, size), this.#blocks.fileOffset(first));
    return { first, length, bytes };
  }
}

function contains({ first, length }: { first: number; length: number }, block: number): boolean {
  return block >= first && block < first + length;
}
