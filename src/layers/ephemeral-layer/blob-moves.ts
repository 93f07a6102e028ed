/**
 * Copies values to where their blobs are, each after its header, in WebAssembly if available. The windows that are read
 * and the blobs lie in the same memory:
 *
 *   two areas, each the moves of a window, 12 bytes each, and the bytes of the window:
 *     u32 address of the value, u32 address of the blob, u32 length of the value
 *   the blobs
 */
import {
  LONG_HEADER_FLAG,
  MAXIMUM_BLOB_HEADER_SIZE,
  SHORT_BLOB_LIMIT,
  writePlainHeader,
} from '../../blob-writer/blob-format.ts';
import { copyBytes } from '../../byte-words.ts';
import { ChecksummedBytes } from '../../checksum.ts';
import { CRC32C_DATA_OFFSET } from '../../crc32c-module.ts';
import {
  advance,
  COPY,
  type Code,
  copied,
  copyVector,
  difference,
  either,
  get,
  i32,
  ifElse,
  isBelow,
  plus,
  shifted,
  sum,
  VECTOR_SIZE,
  type WasmFunction,
  whileLoop,
  wordAt,
  words,
} from '../../wasm-code.ts';

/** Maximum number of moves of a window, and its size in bytes; a longer value is not moved. */
const MAXIMUM_MOVES = 32 * 1024;
export const WINDOW_SIZE = 1024 * 1024;

const MOVE_WORDS = 3;
const MOVE_SIZE = 4 * MOVE_WORDS;
const AREA_SIZE = MAXIMUM_MOVES * MOVE_SIZE + WINDOW_SIZE;
const BLOBS_AT = 2 * AREA_SIZE;

/** From this size on, the instruction for it copies faster than a loop. */
const LARGE = 512;

/** `copyBlobs(moves, end)`: addresses. Writes exactly the bytes of each blob. */
function copyBlobs(): WasmFunction {
  const [move, end, from, to, length, last] = [0, 1, 2, 3, 4, 5] as const;
  const storeByte = (at: number, value: Code): Code => [...get(to), ...value, ...i32.store8(at)];
  const byteOfLength = (shift: number): Code => shifted(get(length), shift);
  const header = ifElse(
    isBelow(get(length), i32.const(SHORT_BLOB_LIMIT)),
    [...storeByte(0, get(length)), ...advance(to, 1)],
    [
      ...storeByte(0, either(byteOfLength(24), i32.const(LONG_HEADER_FLAG))),
      ...storeByte(1, byteOfLength(16)),
      ...storeByte(2, byteOfLength(8)),
      ...storeByte(3, get(length)),
      ...advance(to, MAXIMUM_BLOB_HEADER_SIZE),
    ],
  );
  const vector = copyVector(get(to), get(from));
  const step = (size: number): Code => [...advance(to, size), ...advance(from, size)];
  /** The last vector overlaps the one before it. */
  const byVectors: Code = [
    ...copied(last, difference(sum(get(to), get(length)), i32.const(VECTOR_SIZE))),
    ...copied(length, difference(get(from), get(to))),
    ...whileLoop(isBelow(get(to), get(last)), [...vector, ...step(VECTOR_SIZE)]),
    ...copied(to, get(last)),
    ...copied(from, sum(get(last), get(length))),
    ...vector,
  ];
  const byBytes: Code = [
    ...copied(last, sum(get(to), get(length))),
    ...whileLoop(isBelow(get(to), get(last)), [
      ...[...get(to), ...get(from), ...i32.load8(0), ...i32.store8(0)],
      ...step(1),
    ]),
  ];
  const large: Code = [...get(to), ...get(from), ...get(length), ...COPY];
  const isShorter = (size: number): Code => isBelow(get(length), i32.const(size));
  return {
    name: 'copyBlobs',
    parameters: words(2),
    locals: words(4),
    body: [
      ...whileLoop(isBelow(get(move), get(end)), [
        ...copied(from, wordAt(move, 0)),
        ...copied(to, wordAt(move, 4)),
        ...copied(length, wordAt(move, 8)),
        ...header,
        ...ifElse(isShorter(VECTOR_SIZE), byBytes, ifElse(isShorter(LARGE), byVectors, large)),
        ...copied(move, plus(get(move), MOVE_SIZE)),
      ]),
      ...i32.const(0),
    ],
  };
}

/** One array, as the module is compiled once for it. */
const FUNCTIONS: readonly WasmFunction[] = [copyBlobs()];

/** A window, and the values of it that are moved. */
export class Moves {
  /** Bytes of the window. */
  readonly window: Uint8Array;
  readonly #memory: ChecksummedBytes;
  readonly #offset: number;
  readonly #words: Uint32Array;
  #count = 0;

  constructor(memory: ChecksummedBytes, offset: number) {
    const { buffer, byteOffset } = memory.bytes;
    this.#memory = memory;
    this.#offset = offset;
    this.#words = new Uint32Array(buffer, byteOffset + offset, MOVE_WORDS * MAXIMUM_MOVES);
    const windowAt = offset + MAXIMUM_MOVES * MOVE_SIZE;
    this.window = memory.bytes.subarray(windowAt, windowAt + WINDOW_SIZE);
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Whether there is no room for one more. */
  get isFull(): boolean {
    return this.#count === MAXIMUM_MOVES;
  }

  clear(): void {
    this.#count = 0;
  }

  /**
   * Adds a value of the window that starts at `start`, and the offset of its blob. Requires: both are within their
   * parts of the memory, and it is not full.
   */
  add(start: number, length: number, blob: number): void {
    const words = this.#words;
    const at = MOVE_WORDS * this.#count;
    words[at] = CRC32C_DATA_OFFSET + this.#offset + MAXIMUM_MOVES * MOVE_SIZE + start;
    words[at + 1] = CRC32C_DATA_OFFSET + BLOBS_AT + blob;
    words[at + 2] = length;
    this.#count += 1;
  }

  /** Copies the values that were added. Requires: the window has been read. */
  copy(): void {
    const { copyBlobs: copyAll } = this.#memory.exports;
    const address = CRC32C_DATA_OFFSET + this.#offset;
    if (copyAll !== undefined) copyAll(address, address + MOVE_SIZE * this.#count);
    else this.#copyInJavaScript();
  }

  #copyInJavaScript(): void {
    const memory = this.#memory;
    for (let move = 0; move < this.#count; move += 1) {
      const [from, to, length] = this.#words.subarray(MOVE_WORDS * move) as unknown as MoveWords;
      const at = to - CRC32C_DATA_OFFSET;
      const header = writePlainHeader(memory.bytes, at, length);
      copyBytes(memory, from - CRC32C_DATA_OFFSET, memory, at + header, length);
    }
  }
}

type MoveWords = readonly [from: number, to: number, length: number];

/** Memory for the blobs of a group, and for two windows that are read alternately. */
export class BlobMemory {
  readonly moves: readonly [Moves, Moves];
  readonly blobs: Uint8Array;

  /** `size`: maximum number of bytes of blobs. */
  constructor(size: number) {
    const memory = ChecksummedBytes.allocate(BLOBS_AT + size, FUNCTIONS);
    this.moves = [new Moves(memory, 0), new Moves(memory, AREA_SIZE)];
    this.blobs = memory.bytes.subarray(BLOBS_AT, BLOBS_AT + size);
  }
}
