/** Lists in descriptions: `[1, 2]`, over data whose counts come from the record. */
import { corrupt, tooLarge } from '../../errors.ts';
import { u16In, u32In } from '../main-data/layout.ts';

/** Maximum number of items of one list in a description: the text of more might not fit into a JavaScript string. */
export const MAXIMUM_LISTED = 32 * 1024 * 1024;

/** Throws `too-large` for a list with too many items. */
export function checkListed(what: string, count: number): void {
  if (count <= MAXIMUM_LISTED) return;
  throw tooLarge(what, { maximum: MAXIMUM_LISTED, unit: 'items', actual: `${count}` });
}

/** Reads forward in main data or block data. Throws `corrupt` where the data ends too early. */
export class ListReader {
  readonly data: Uint8Array;
  at: number;

  constructor(data: Uint8Array, at = 0) {
    this.data = data;
    this.at = at;
  }

  u8(what: string): number {
    return this.data[this.take(what, 1)] as number;
  }

  u16(what: string): number {
    return u16In(this.data, this.take(what, 2));
  }

  u32(what: string): number {
    return u32In(this.data, this.take(what, 4));
  }

  /** Skips N bytes. Returns: the offset of the first. */
  take(what: string, size: number): number {
    const start = this.at;
    if (size > this.data.length - start) {
      const left = Math.max(0, this.data.length - start);
      throw corrupt(what, start, `${size} bytes`, `${left}`);
    }
    this.at = start + size;
    return start;
  }

  /** A list of `count` u16, as `[1, 2]`. */
  u16List(what: string, count: number): string {
    return this.list(what, count, 2, u16In);
  }

  /** A list of `count` u32, as `[1, 2]`. */
  u32List(what: string, count: number): string {
    return this.list(what, count, 4, u32In);
  }

  /** A list of `count` items of `size` bytes, in brackets, separated by commas. */
  list(
    what: string,
    count: number,
    size: number,
    textOf: (data: Uint8Array, at: number) => string | number,
  ): string {
    return `[${this.joined(what, count, size, ', ', textOf)}]`;
  }

  /** The texts of `count` items, joined by a separator. */
  joined(
    what: string,
    count: number,
    size: number,
    between: string,
    textOf: (data: Uint8Array, at: number) => string | number,
  ): string {
    const start = this.take(what, count * size);
    checkListed(what, count);
    let text = '';
    for (let index = 0; index < count; index += 1) {
      if (index > 0) text += between;
      text += textOf(this.data, start + index * size);
    }
    return text;
  }
}
