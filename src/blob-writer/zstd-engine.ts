/**
 * Decompression in the memory of the WebAssembly build of libzstd, without a copy on the way out.
 *
 * The package's own calls make a new array of every piece by way of a list of numbers, and know one
 * stream at a time. So this file reaches below them, to the class and the memory that the package
 * keeps for itself; its version is pinned, and `load` refuses one that is made differently.
 */
import { assert } from '../assert.ts';
import { StorageError } from '../errors.ts';
import { loadWasmZstd } from './wasm-zstd.ts';

/** A stretch of the module's memory, which may move to another ArrayBuffer when it grows. */
interface Region {
  readonly ptr: number;
  readonly size: number;
}

interface Memory {
  malloc(size: number): Region;
  free(region: Region): void;
  heapView(region: Region): Uint8Array;
}

interface StreamContext {
  reset(): void;
  decompressChunk(target: number, capacity: number, source: number, length: number): number;
  delete(): void;
}

interface Library {
  new (): StreamContext;
  decompress(target: number, capacity: number, source: number, length: number): number;
  isError(code: number): number | boolean;
}

/** Most bytes that go into or come out of a stream at once; a piece that is handed out. */
export const MAXIMUM_STREAM_PIECE = 256 * 1024;

/** Beside a piece: the header of a frame, or the empty last block and the checksum. */
const STREAM_INPUT_CAPACITY = MAXIMUM_STREAM_PIECE + 64;

/** Streams that wait for their next use; each keeps its buffers and its last window. */
const MAXIMUM_SPARE_STREAMS = 1;

export class ZstdEngine {
  readonly #memory: Memory;
  readonly #library: Library;
  readonly #spareStreams: ZstdStream[] = [];
  #source: Region | undefined;
  #target: Region | undefined;

  static #loading: Promise<ZstdEngine> | undefined;

  /** Compiles the module, once for the process. */
  static load(): Promise<ZstdEngine> {
    ZstdEngine.#loading ??= ZstdEngine.#load();
    return ZstdEngine.#loading;
  }

  static async #load(): Promise<ZstdEngine> {
    const zstd = await loadWasmZstd();
    const memory: Memory = zstd['_mainModule'];
    const library: Library = zstd['_zstdClass'];
    assert(typeof memory?.heapView === 'function', 'the zstd package has its memory in its place');
    assert(
      typeof library?.decompress === 'function',
      'the zstd package has its class in its place',
    );
    return new ZstdEngine(memory, library);
  }

  private constructor(memory: Memory, library: Library) {
    this.#memory = memory;
    this.#library = library;
  }

  /**
   * Decompresses a whole frame.
   *
   * Returns: a view that is valid until the next call of anything here; undefined if the frame does
   * not decode, or not into `capacity` bytes.
   */
  decompress(frame: Uint8Array, capacity: number): Uint8Array | undefined {
    const source = this.#grown(this.#source, frame.length);
    this.#source = source;
    const target = this.#grown(this.#target, Math.max(1, capacity));
    this.#target = target;
    this.#memory.heapView(source).set(frame);
    const { ptr } = target;
    const length = this.#library.decompress(ptr, capacity, source.ptr, frame.length);
    if (this.#library.isError(length)) return undefined;
    return this.#memory.heapView({ ptr, size: length });
  }

  /** A stream for one frame, which its taker must give back. */
  takeStream(): ZstdStream {
    const spare = this.#spareStreams.pop();
    if (spare !== undefined) return spare;
    const memory = this.#memory;
    const input = allocate(memory, STREAM_INPUT_CAPACITY);
    const output = allocate(memory, MAXIMUM_STREAM_PIECE);
    return new ZstdStream(memory, new this.#library(), { input, output });
  }

  giveBack(stream: ZstdStream): void {
    if (this.#spareStreams.length < MAXIMUM_SPARE_STREAMS) this.#spareStreams.push(stream);
    else stream.free();
  }

  #grown(region: Region | undefined, size: number): Region {
    if (region !== undefined && region.size >= size) return region;
    if (region !== undefined) this.#memory.free(region);
    return allocate(this.#memory, size);
  }
}

/** One frame at a time, in parts that its user cuts. */
export class ZstdStream {
  readonly #memory: Memory;
  readonly #context: StreamContext;
  readonly #input: Region;
  readonly #output: Region;
  #inputLength = 0;

  constructor(
    memory: Memory,
    context: StreamContext,
    { input, output }: { input: Region; output: Region },
  ) {
    this.#memory = memory;
    this.#context = context;
    this.#input = input;
    this.#output = output;
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
    this.#memory.heapView({ ptr: ptr + this.#inputLength, size: bytes.length }).set(bytes);
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
    return this.#memory.heapView({ ptr, size: length });
  }

  free(): void {
    this.#context.delete();
    this.#memory.free(this.#input);
    this.#memory.free(this.#output);
  }
}

/** Throws `io` where the module's memory cannot grow. */
function allocate(memory: Memory, size: number): Region {
  const region = memory.malloc(size);
  if (region.ptr !== 0) return region;
  throw new StorageError('io', { what: `no memory to decompress, ${size} bytes` });
}
