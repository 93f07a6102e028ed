/**
 * Arrays for contents that are handed out. Node takes ten times as long for an array of more than 64
 * bytes as for a view of one, so small contents share an array.
 *
 * Whoever keeps a content keeps the array that it lies in: at most 16 KiB for contents up to 1 KiB,
 * 64 KiB for those up to 16 KiB. Nobody else writes there, and the array cannot be transferred to
 * another thread, which would take the other contents away.
 */
import { markAsUntransferable } from 'node:worker_threads';

interface Slab {
  readonly size: number;
  readonly largestContent: number;
  buffer: ArrayBuffer;
  used: number;
}

const SLABS: readonly Slab[] = [
  { size: 16 * 1024, largestContent: 1024, buffer: new ArrayBuffer(0), used: 0 },
  { size: 64 * 1024, largestContent: 16 * 1024, buffer: new ArrayBuffer(0), used: 0 },
];

/** Node makes arrays of so few bytes as fast as views. */
const LARGEST_ARRAY_IN_PLACE = 64;

/** Zeros that belong to the caller: an array of its own, or a view of a shared one. */
export function newArray(length: number): Uint8Array {
  if (length <= LARGEST_ARRAY_IN_PLACE) return new Uint8Array(length);
  for (const slab of SLABS) {
    if (length <= slab.largestContent) return takeFrom(slab, length);
  }
  return new Uint8Array(length);
}

function takeFrom(slab: Slab, length: number): Uint8Array {
  if (slab.used + length > slab.buffer.byteLength) {
    slab.buffer = new ArrayBuffer(slab.size);
    markAsUntransferable(slab.buffer);
    slab.used = 0;
  }
  const start = slab.used;
  slab.used += length;
  return new Uint8Array(slab.buffer, start, length);
}
