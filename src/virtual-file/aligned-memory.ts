/**
 * Memory for direct transfers, which the system refuses unless it begins on a page.
 *
 * No ordinary Uint8Array tells where it lies. The memory of a WebAssembly module begins on a page
 * by construction; so what was made here is remembered, and everything else is not aligned.
 */
import { assert } from '../assert.ts';
import { isErrorNamed } from '../realms.ts';
import { BLOCK_SIZE } from './block.ts';

/** Of memory, offset and length of a direct transfer, in bytes: as strict as devices are. */
export const DIRECT_ALIGNMENT = 4096;

/** The type declarations of Node have its types only. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
};

const WASM_PAGE_SIZE = 65_536;

assert(BLOCK_SIZE % DIRECT_ALIGNMENT === 0, 'a block begins where a direct transfer may');

const aligned = new WeakSet<ArrayBufferLike>();

/** Zeros. Not aligned, but of use all the same, where the process has no address space left. */
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

/** Whether the memory begins where a direct transfer may. */
export function isAligned(bytes: Uint8Array): boolean {
  return aligned.has(bytes.buffer) && bytes.byteOffset % DIRECT_ALIGNMENT === 0;
}
