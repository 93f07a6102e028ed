/**
 * LZ4 block, without a frame. A block is a list of sequences:
 *
 *   token     literal length in the high 4 bits, copy length - 4 in the low 4 bits
 *   255..     if a length is 15: bytes that are added to it, up to and including the first below 255
 *   literals
 *   u16       little-endian distance back, not 0, then more bytes of the copy length
 *
 * The last sequence ends after its literals. Source and target of a copy may overlap, byte by byte.
 * Source: lz4 doc/lz4_Block_format.md.
 */
import { corrupt, type StorageError, truncated } from '../errors.ts';

const MINIMUM_COPY = 4;
const LONG = 15;

/**
 * Decompresses exactly `length` bytes.
 *
 * @returns A new array.
 * @throws `corrupt`, `truncated`; offsets count from the start of the input.
 */
export function decompressLz4(input: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length);
  const reader = new SequenceReader(input);
  let end = 0;
  for (;;) {
    const start = reader.at;
    const token = reader.byte('token');
    const literals = reader.length(token >> 4, length - end);
    output.set(reader.bytes(literals), end);
    end += literals;
    if (reader.at === input.length) break;
    const distance = reader.byte('distance') | (reader.byte('distance') << 8);
    const count = reader.length(token & 0x0f, length) + MINIMUM_COPY;
    if (distance === 0 || distance > end) {
      throw corrupt('distance of a copy', start, `1 to ${end}`, `${distance}`);
    }
    if (count > length - end) {
      throw corrupt('length of a copy', start, `at most ${length - end}`, `${count}`);
    }
    for (let byte = 0; byte < count; byte += 1, end += 1) {
      output[end] = output[end - distance] as number;
    }
  }
  if (end === length) return output;
  throw corrupt('length of an LZ4 block', input.length, `${length} bytes`, `${end}`);
}

class SequenceReader {
  at = 0;
  readonly #input: Uint8Array;

  constructor(input: Uint8Array) {
    this.#input = input;
  }

  byte(what: string): number {
    const byte = this.#input[this.at];
    if (byte === undefined) throw this.#truncated(what, 1);
    this.at += 1;
    return byte;
  }

  /** A length of 4 bits and the bytes that continue it. Throws above the limit. */
  length(begin: number, limit: number): number {
    const start = this.at;
    let length = begin;
    if (begin === LONG) {
      let more = 255;
      while (more === 255 && length <= limit) {
        more = this.byte('length');
        length += more;
      }
    }
    if (length <= limit) return length;
    throw corrupt('length in a sequence', start, `at most ${limit}`, `${length}`);
  }

  bytes(count: number): Uint8Array {
    const start = this.at;
    const missing = start + count - this.#input.length;
    if (missing > 0) throw this.#truncated('literals', missing);
    this.at = start + count;
    return this.#input.subarray(start, this.at);
  }

  #truncated(what: string, missing: number): StorageError {
    return truncated(`LZ4 block is truncated in its ${what}`, this.at, missing);
  }
}
