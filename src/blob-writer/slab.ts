/**
 * Arrays for contents that are returned to callers. Allocating an array of more than 64 bytes takes Node
 * ten times as long as a view of one, so small contents share an array.
 *
 * A content keeps its shared array alive: 16 KiB for contents up to 1 KiB, 64 KiB for those up to 16 KiB.
 * Its bytes are never reused, and the array cannot be transferred to another thread, which would detach
 * the other contents.
 */
import { markAsUntransferable } from 'node:worker_threads';
import { copyBytes, ViewedBytes } from '../byte-words.ts';

class Slab {
  readonly size: number;
  readonly largestContent: number;
  memory = new ViewedBytes(new Uint8Array(0));
  #used = 0;

  constructor(size: number, largestContent: number) {
    this.size = size;
    this.largestContent = largestContent;
  }

  /** Reserves unused bytes of `memory`. Returns: the index of the first one. */
  claim(length: number): number {
    if (this.#used + length > this.memory.bytes.length) {
      const buffer = new ArrayBuffer(this.size);
      markAsUntransferable(buffer);
      this.memory = new ViewedBytes(new Uint8Array(buffer));
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += length;
    return start;
  }
}

const SMALL = new Slab(16 * 1024, 1024);
const LARGE = new Slab(64 * 1024, 16 * 1024);

/** Node allocates arrays up to this length as fast as views. */
const LARGEST_ARRAY_IN_PLACE = 64;

/** Returns: zeros that belong to the caller, in a separate array or a view of a shared one. */
export function newArray(length: number): Uint8Array {
  const slab = slabFor(length);
  if (slab === undefined) return new Uint8Array(length);
  const start = slab.claim(length);
  return new Uint8Array(slab.memory.bytes.buffer, start, length);
}

/** As `newArray`, with a copy of `length` bytes of the source from index `at`. */
export function copyOfBytes(source: ViewedBytes, at: number, length: number): Uint8Array {
  const slab = slabFor(length);
  if (slab !== undefined) {
    const start = slab.claim(length);
    copyBytes(source, at, slab.memory, start, length);
    return new Uint8Array(slab.memory.bytes.buffer, start, length);
  }
  const copy = new Uint8Array(length);
  if (length > LARGEST_ARRAY_IN_PLACE) copy.set(source.bytes.subarray(at, at + length));
  else for (let byte = 0; byte < length; byte += 1) copy[byte] = source.bytes[at + byte] as number;
  return copy;
}

function slabFor(length: number): Slab | undefined {
  if (length <= LARGEST_ARRAY_IN_PLACE || length > LARGE.largestContent) return undefined;
  return length <= SMALL.largestContent ? SMALL : LARGE;
}
