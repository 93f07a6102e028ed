/** Decompression in the memory of the WebAssembly build of libzstd; results are views of it. */
import { assert } from '../assert.ts';
import { type Region, type ZstdContext, ZstdModule } from './module.ts';

/** Maximum number of bytes that go into or come out of a stream in one step. */
export const MAXIMUM_STREAM_PIECE = 256 * 1024;

/** A piece, and the header of a frame, or the empty last block and the checksum. */
const STREAM_INPUT_CAPACITY = MAXIMUM_STREAM_PIECE + 64;

/** Maximum number of idle streams; each keeps its buffers and its last window. */
const MAXIMUM_SPARE_STREAMS = 1;

export class ZstdEngine {
  readonly #module: ZstdModule;
  readonly #spareStreams: ZstdStream[] = [];
  #source: Region | undefined;
  #target: Region | undefined;

  /** Compiles the decoder. Throws: as `ZstdModule.load`. */
  static async load(): Promise<ZstdEngine> {
    return new ZstdEngine(await ZstdModule.load());
  }

  private constructor(module: ZstdModule) {
    this.#module = module;
  }

  /**
   * Decompresses a complete frame.
   *
   * Returns: a view that is valid until the next call of any function here; undefined if the frame does
   * not decode, or does not fit into `capacity` bytes.
   */
  decompress(frame: Uint8Array, capacity: number): Uint8Array | undefined {
    const { library } = this.#module;
    const source = this.#module.grown(this.#source, frame.length);
    this.#source = source;
    const target = this.#module.grown(this.#target, Math.max(1, capacity));
    this.#target = target;
    this.#module.view(source.ptr, frame.length).set(frame);
    const length = library.decompress(target.ptr, capacity, source.ptr, frame.length);
    if (library.isError(length)) return undefined;
    return this.#module.view(target.ptr, length);
  }

  /** Returns: a stream for one frame; the caller must release it. */
  acquireStream(): ZstdStream {
    return this.#spareStreams.pop() ?? new ZstdStream(this.#module);
  }

  release(stream: ZstdStream): void {
    if (this.#spareStreams.length < MAXIMUM_SPARE_STREAMS) this.#spareStreams.push(stream);
    else stream.free();
  }
}

/** Decompresses one frame at a time, in parts that the caller chooses. */
export class ZstdStream {
  readonly #module: ZstdModule;
  readonly #context: ZstdContext;
  readonly #input: Region;
  readonly #output: Region;
  #inputLength = 0;

  constructor(module: ZstdModule) {
    this.#module = module;
    this.#input = module.allocate(STREAM_INPUT_CAPACITY);
    this.#output = module.allocate(MAXIMUM_STREAM_PIECE);
    this.#context = new module.library();
  }

  /** Bytes added since the last `run`. */
  get inputLength(): number {
    return this.#inputLength;
  }

  /** Starts a new frame; discards the state, errors included. */
  begin(): void {
    this.#context.reset();
    this.#inputLength = 0;
  }

  add(bytes: Uint8Array): void {
    const { ptr, size } = this.#input;
    assert(this.#inputLength + bytes.length <= size, 'a part fits into the input of the stream');
    this.#module.view(ptr + this.#inputLength, bytes.length).set(bytes);
    this.#inputLength += bytes.length;
  }

  /**
   * Decompresses the added bytes.
   *
   * Requires: they end with a block or the frame, and cannot produce more than a piece.
   * Returns: the output, a view that is valid until the next call of any function here; empty after an
   * error of the decoder.
   */
  run(): Uint8Array {
    const { ptr, size } = this.#output;
    const length = this.#context.decompressChunk(ptr, size, this.#input.ptr, this.#inputLength);
    this.#inputLength = 0;
    return this.#module.view(ptr, length);
  }

  free(): void {
    this.#context.delete();
    this.#module.free(this.#input);
    this.#module.free(this.#output);
  }
}
