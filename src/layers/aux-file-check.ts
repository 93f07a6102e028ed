/**
 * Checks an auxiliary file that arrives in pieces, by the rules of `outlineOfValue`; its layout is in
 * `value-format.ts`. Neither path nor content is kept.
 */

import { BincodeDecoder } from '../bincode.ts';
import { StorageError } from '../errors.ts';
import { isErrorNamed } from '../realms.ts';
import { PATH_OFFSET } from './value-format.ts';
import type { ValueOutline } from './value-outline.ts';

/** After the path: whether there is a content, and its length. */
const TAIL_SIZE = 1 + 8;

export class AuxFileCheck {
  readonly #length: number;
  readonly #pathEnd: number;
  readonly #text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #isUtf8 = true;
  readonly #tail = new Uint8Array(TAIL_SIZE);
  #tailLength = 0;
  /** Bytes seen so far. */
  #done = 0;

  /**
   * Requires: `begin` is the start of an auxiliary file, up to the length of its path at least.
   * Throws: `corrupt`, `truncated`.
   */
  constructor(begin: Uint8Array, length: number) {
    const decoder = new BincodeDecoder(begin, { length });
    decoder.u32('value tag');
    decoder.u32('record tag');
    decoder.skipList('path', 1);
    this.#length = length;
    this.#pathEnd = decoder.offset;
  }

  /** Takes the next piece of the value, from its first byte on. */
  add(piece: Uint8Array): void {
    const start = this.#done;
    const part = (from: number, to: number): Uint8Array =>
      piece.subarray(Math.max(0, from - start), Math.max(0, to - start));
    this.#addPath(part(PATH_OFFSET, this.#pathEnd), 'more follows');
    const tail = part(this.#pathEnd, this.#pathEnd + TAIL_SIZE);
    this.#tail.set(tail, this.#tailLength);
    this.#tailLength += tail.length;
    this.#done += piece.length;
  }

  /** Requires: all of the value was added. Throws: `corrupt`, `truncated`. */
  finish(): ValueOutline {
    this.#addPath(new Uint8Array(0), 'the end');
    if (!this.#isUtf8) {
      throw new StorageError('corrupt', { what: 'path', offset: PATH_OFFSET, expected: 'UTF-8' });
    }
    const tail = this.#tail.subarray(0, this.#tailLength);
    const decoder = new BincodeDecoder(tail, { length: this.#length, start: this.#pathEnd });
    if (decoder.bool('content')) decoder.skipList('content', 1);
    decoder.expectEnd();
    return { type: 'aux_file', willInit: false };
  }

  #addPath(bytes: Uint8Array, what: 'more follows' | 'the end'): void {
    if (!this.#isUtf8) return;
    try {
      this.#text.decode(bytes, { stream: what === 'more follows' });
    } catch (error) {
      if (!isErrorNamed(error, 'TypeError')) throw error;
      this.#isUtf8 = false;
    }
  }
}
