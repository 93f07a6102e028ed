/** Decompression in the memory of the WebAssembly build of libzstd, without a copy on the way out. */
import { assert } from '../assert.ts';
import { type Region, type ZstdContext, ZstdModule } from './module.ts';

/** Most bytes that go into or come out of a stream at once; a piece that is handed out. */
export const MAXIMUM_STREAM_PIECE = 256 * 1024;

/** Beside a piece: the header of a frame, or the empty last block and the checksum. */
const STREAM_INPUT_CAPACITY = MAXIMUM_STREAM_PIECE + 64;

/** Streams that wait for their next use; each keeps its buffers and its last window. */
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
   * Decompresses a whole frame.
   *
   * Returns: a view that is valid until the next call of anything here; undefined if the frame does
   * not decode, or not into `capacity` bytes.
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

  /** A stream for one frame, which its taker must give back. */
  takeStream(): ZstdStream {
    return this.#spareStreams.pop() ?? new ZstdStream(this.#module);
  }

  giveBack(stream: ZstdStream): void {
    if (this.#spareStreams.length < MAXIMUM_SPARE_STREAMS) this.#spareStreams.push(stream);
    else stream.free();
  }
}

/** One frame at a time, in parts that its user cuts. */
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

  /** Bytes that `add` collected since the last `run`. */
  get inputLength(): number {
    return this.#inputLength;
  }

  /** Forgets what was before, errors included. */
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
   * Decompresses what was added.
   *
   * Requires: it ends with a block or the frame, and cannot produce more than a piece.
   * Returns: what it produced, a view that is valid until the next call of anything here; nothing
   * where the decoder met an error.
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
