/**
 * Compression in the memory of the WebAssembly build of libzstd, with one context and its buffers for all
 * frames of the thread; results are views of that memory.
 */
import { StorageError } from '../errors.ts';
import { closeStreamedFrame, MAXIMUM_ZSTD_BLOCK_LENGTH } from './frame.ts';
import { type Region, type ZstdContext, ZstdModule } from './module.ts';

const CHUNK_LENGTH = MAXIMUM_ZSTD_BLOCK_LENGTH;

/** Room beyond the bound of a chunk, for the header of the frame and its end. */
const FRAME_ROOM = 64;

export class ZstdEncoder {
  readonly #module: ZstdModule;
  readonly #context: ZstdContext;
  #input: Region;
  #output: Region;

  static #loaded: ZstdEncoder | undefined;

  /** Compiles the module once per thread. Throws: as `ZstdModule.load`. */
  static async load(): Promise<ZstdEncoder> {
    const module = await ZstdModule.load();
    ZstdEncoder.#loaded ??= new ZstdEncoder(module);
    return ZstdEncoder.#loaded;
  }

  private constructor(module: ZstdModule) {
    this.#module = module;
    this.#context = new module.library();
    this.#input = module.allocate(CHUNK_LENGTH);
    this.#output = module.allocate(module.library.compressBound(CHUNK_LENGTH) + FRAME_ROOM);
  }

  /**
   * Makes a streamed frame, without content size.
   *
   * Returns: a view that is valid until the next call of any function of the module.
   * Throws: `io` if there is not enough memory.
   */
  encode(bytes: Uint8Array, level: number): Uint8Array {
    this.#context.reset();
    this.#context.setCompressionLevel(level === 0 ? this.#module.library.defaultCLevel() : level);
    if (bytes.length === 0) return this.#encodeNothing();
    if (bytes.length > CHUNK_LENGTH) return this.#encodeChunks(bytes);
    const { ptr, size } = this.#output;
    const length = this.#flush(bytes);
    return closeStreamedFrame(this.#module.view(ptr, size), length, bytes.length);
  }

  /** Makes a single-segment frame with its content size. Returns, throws: as `encode`. */
  encodeSingleSegment(bytes: Uint8Array, level: number): Uint8Array {
    const { library } = this.#module;
    this.#input = this.#module.grown(this.#input, bytes.length);
    this.#output = this.#module.grown(this.#output, library.compressBound(bytes.length));
    this.#module.view(this.#input.ptr, bytes.length).set(bytes);
    const { ptr, size } = this.#output;
    return this.#view(library.compress(ptr, size, this.#input.ptr, bytes.length, level));
  }

  #encodeNothing(): Uint8Array {
    return this.#view(this.#context.compressEnd(this.#output.ptr, this.#output.size));
  }

  #encodeChunks(bytes: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let start = 0; start < bytes.length; start += CHUNK_LENGTH) {
      const partLength = this.#flush(bytes.subarray(start, start + CHUNK_LENGTH));
      parts.push(this.#module.view(this.#output.ptr, partLength).slice());
      length += partLength;
    }
    const frame = Buffer.allocUnsafe(length + FRAME_ROOM);
    let at = 0;
    for (const part of parts) {
      frame.set(part, at);
      at += part.length;
    }
    return closeStreamedFrame(frame, length, bytes.length);
  }

  /** Compresses a chunk completely. Returns: the length of the output. */
  #flush(chunk: Uint8Array): number {
    const { ptr, size } = this.#output;
    this.#module.view(this.#input.ptr, chunk.length).set(chunk);
    const length = this.#context.compressChunk(ptr, size, this.#input.ptr, chunk.length);
    return this.#checked(length);
  }

  #view(length: number): Uint8Array {
    return this.#module.view(this.#output.ptr, this.#checked(length));
  }

  #checked(length: number): number {
    if (!this.#module.library.isError(length)) return length;
    throw new StorageError('io', { what: 'libzstd cannot compress', actual: `code ${length}` });
  }
}
