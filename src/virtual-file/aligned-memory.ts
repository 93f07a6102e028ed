/**
 * Memory for direct transfers, which must begin on a page boundary.
 *
 * The address of an ordinary Uint8Array cannot be read. The memory of a WebAssembly module always
 * begins on a page boundary, so arrays from here are remembered as aligned, and all others are not.
 */
import { assert } from '../assert.ts';
import { isErrorNamed } from '../realms.ts';
import { BLOCK_SIZE } from './block.ts';

/** Alignment in bytes of memory, offset and length of a direct transfer; enough for every device. */
export const DIRECT_ALIGNMENT = 4096;

/** The type declarations of Node lack the constructor. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
};

const WASM_PAGE_SIZE = 65_536;

assert(BLOCK_SIZE % DIRECT_ALIGNMENT === 0, 'a block begins where a direct transfer may');

const aligned = new WeakSet<ArrayBufferLike>();

/** Zeroed memory. If the process has no address space left, it is not aligned, but still usable. */
export function alignedBytes(length: number): Uint8Array {
  try {
    const initial = Math.max(1, Math.ceil(length / WASM_PAGE_SIZE));
    const { buffer } = new WebAssembly.Memory({ initial, maximum: initial });
    aligned.add(buffer);
    return new Uint8Array(buffer, 0, length);
  } catch (error) {
    if (isErrorNamed(error, 'RangeError')) return new Uint8Array(length);
    throw error;
  }
}

/** Whether a direct transfer may use the memory. */
export function isAligned(bytes: Uint8Array): boolean {
  return aligned.has(bytes.buffer) && bytes.byteOffset % DIRECT_ALIGNMENT === 0;
}
