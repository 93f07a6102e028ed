/**
 * The WebAssembly build of libzstd, available on every platform and loaded on first use. A process may
 * lack WebAssembly (`node --jitless`), or the address space for its memory: V8 reserves 10 GB, more
 * than `ulimit -v` may allow.
 *
 * The public functions of the package copy through lists of numbers and allocate memory for each call. So
 * this file uses the package's private class and memory instead. Its version is pinned, and `load` refuses a
 * package without them.
 */
import { assert } from '../assert.ts';
import { StorageError } from '../errors.ts';

/** A region of the module's memory, whose ArrayBuffer is replaced when the memory grows. */
export interface Region {
  readonly ptr: number;
  readonly size: number;
}

interface Memory {
  malloc(size: number): Region;
  free(region: Region): void;
  heapView(region: Region): Uint8Array;
}

/** A stream that compresses or decompresses. Returned lengths may be error codes, as `isError` tells. */
export interface ZstdContext {
  reset(): void;
  setCompressionLevel(level: number): void;
  compressChunk(target: number, capacity: number, source: number, length: number): number;
  compressEnd(target: number, capacity: number): number;
  decompressChunk(target: number, capacity: number, source: number, length: number): number;
  delete(): void;
}

export interface ZstdLibrary {
  new (): ZstdContext;
  compress(target: number, capacity: number, source: number, length: number, level: number): number;
  decompress(target: number, capacity: number, source: number, length: number): number;
  compressBound(length: number): number;
  defaultCLevel(): number;
  isError(code: number): number | boolean;
}

/** Not among the type declarations of Node. */
declare const WebAssembly: { readonly Memory: new (size: { readonly initial: number }) => unknown };

let loading: Promise<ZstdModule> | undefined;

export class ZstdModule {
  readonly library: ZstdLibrary;
  readonly #memory: Memory;

  /**
   * Compiles the module once per thread. After a failure the next call tries again.
   *
   * Throws: `io` without WebAssembly.
   */
  static load(): Promise<ZstdModule> {
    loading ??= ZstdModule.#load().catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
    return loading;
  }

  static async #load(): Promise<ZstdModule> {
    const { Zstd } = await import('@hpcc-js/wasm-zstd').catch(throwUnavailable);
    // Fails first, because the package would also print the error.
    reserveMemory();
    const zstd = await Zstd.load().catch(async (error: unknown) => {
      // The package caches the failure until it is unloaded.
      await Promise.allSettled([Zstd.unload()]);
      return throwUnavailable(error);
    });
    const memory: Memory = zstd['_mainModule'];
    const library: ZstdLibrary = zstd['_zstdClass'];
    assert(typeof memory?.heapView === 'function', 'the zstd package exposes its memory');
    assert(typeof library?.decompress === 'function', 'the zstd package exposes its class');
    return new ZstdModule(memory, library);
  }

  private constructor(memory: Memory, library: ZstdLibrary) {
    this.#memory = memory;
    this.library = library;
  }

  /** Throws: `io` if the module's memory cannot grow. */
  allocate(size: number): Region {
    const region = this.#memory.malloc(size);
    if (region.ptr !== 0) return region;
    throw new StorageError('io', { what: `cannot allocate ${size} bytes for zstd` });
  }

  /**
   * Returns: a region of at least that size, which replaces the given one.
   * Throws: as `allocate`; the given region then stays valid.
   */
  grown(region: Region | undefined, size: number): Region {
    if (region !== undefined && region.size >= size) return region;
    const larger = this.allocate(size);
    if (region !== undefined) this.#memory.free(region);
    return larger;
  }

  free(region: Region): void {
    this.#memory.free(region);
  }

  /** Returns: a view of a region, valid until the next call of any function of the module. */
  view(ptr: number, size: number): Uint8Array {
    return this.#memory.heapView({ ptr, size });
  }
}

/** V8 reserves as much address space for one page as for the memory of the module. */
function reserveMemory(): void {
  try {
    new WebAssembly.Memory({ initial: 1 });
  } catch (error) {
    throwUnavailable(error);
  }
}

function throwUnavailable(error: unknown): never {
  throw new StorageError('io', {
    what: 'cannot compress or decompress zstd in this process',
    expected: 'WebAssembly',
    actual: String(error),
    cause: error,
  });
}
