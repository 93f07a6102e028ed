/**
 * pglz: the compression of Postgres, as a WAL record holds it, without a header.
 *
 *   control byte, then 8 items from bit 0 on:
 *   bit 0   one literal byte
 *   bit 1   b0 b1 [b2]: copy `(b0 & 15) + 3` bytes from `(b0 & 0xF0) * 16 + b1` bytes back; if that length
 *           is 18, b2 is added to it. Source and target may overlap, byte by byte.
 *
 * Input and output end together, possibly in the middle of a control byte.
 * Source: Postgres src/common/pg_lzcompress.c.
 */
import { corrupt, truncated } from '../errors.ts';

const MINIMUM_COPY = 3;
const LONG_COPY = 18;

/**
 * Decompresses exactly `length` bytes.
 *
 * @returns A new array.
 * @throws `corrupt`, `truncated`; offsets count from the start of the input.
 */
export function decompressPglz(input: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length);
  let at = 0;
  let end = 0;
  while (end < length) {
    let control = byteAt(input, at, 'control byte');
    at += 1;
    for (let item = 0; item < 8 && end < length; item += 1, control >>= 1) {
      if ((control & 1) === 0) {
        output[end] = byteAt(input, at, 'literal');
        at += 1;
        end += 1;
        continue;
      }
      const first = byteAt(input, at, 'copy');
      const distance = ((first & 0xf0) << 4) | byteAt(input, at + 1, 'copy');
      let count = (first & 0x0f) + MINIMUM_COPY;
      const start = at;
      at += 2;
      if (count === LONG_COPY) {
        count += byteAt(input, at, 'length of a copy');
        at += 1;
      }
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
  }
  if (at === input.length) return output;
  throw corrupt('bytes after the pglz stream', at, 'none', `${input.length - at}`);
}

function byteAt(input: Uint8Array, at: number, what: string): number {
  const byte = input[at];
  if (byte !== undefined) return byte;
  throw truncated(`pglz stream is truncated in a ${what}`, at, 1);
}
