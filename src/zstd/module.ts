/**
 * The WebAssembly build of libzstd: on every platform, loaded when it is first needed. A process may
 * still lack WebAssembly (`node --jitless`), or the addresses for its memory: V8 reserves 10 GB, more
 * than `ulimit -v` may allow.
 *
 * The package's own calls copy by way of lists of numbers, and ask for new memory each time. So this
 * file reaches below them, to the class and the memory that the package keeps for itself; its
 * version is pinned, and `load` refuses one that is made differently.
 */
import { assert } from '../assert.ts';
import { StorageError } from '../errors.ts';

/** A stretch of the module's memory, which may move to another ArrayBuffer when it grows. */
export interface Region {
  readonly ptr: number;
  readonly size: number;
}

interface Memory {
  malloc(size: number): Region;
  free(region: Region): void;
  heapView(region: Region): Uint8Array;
}

/** A stream in either direction. Lengths that `isError` accepts are errors. */
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
   * Compiles the module, once for the thread. After a failure the next call tries again.
   *
   * Throws: `io` where there is no WebAssembly.
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
    // The package would print an error before it throws it.
    reserveMemory();
    const zstd = await Zstd.load().catch(async (error: unknown) => {
      // It keeps the failure, which this makes it forget.
      await Promise.allSettled([Zstd.unload()]);
      return throwUnavailable(error);
    });
    const memory: Memory = zstd['_mainModule'];
    const library: ZstdLibrary = zstd['_zstdClass'];
    assert(typeof memory?.heapView === 'function', 'the zstd package has its memory in its place');
    assert(
      typeof library?.decompress === 'function',
      'the zstd package has its class in its place',
    );
    return new ZstdModule(memory, library);
  }

  private constructor(memory: Memory, library: ZstdLibrary) {
    this.#memory = memory;
    this.library = library;
  }

  /** Throws `io` where the module's memory cannot grow. */
  allocate(size: number): Region {
    const region = this.#memory.malloc(size);
    if (region.ptr !== 0) return region;
    throw new StorageError('io', { what: `no memory for zstd, ${size} bytes` });
  }

  /**
   * A region of at least that size, in place of the one there was.
   * Throws: as `allocate`, and the old one is still its owner's.
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

  /** Bytes of a region; valid until the next call of anything of the module. */
  view(ptr: number, size: number): Uint8Array {
    return this.#memory.heapView({ ptr, size });
  }
}

/** Memory of one page needs as many addresses as that of the module. */
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
