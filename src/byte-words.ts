/**
 * Copies and compares short runs of bytes a word at a time, at half the cost of `set` with a new view.
 * Long runs use `set`, whose cost hardly grows with the length.
 */

/** An array and a view of the same bytes, created once, since creating one costs as much as a copy. */
export class ViewedBytes {
  /** The array. */
  readonly bytes: Uint8Array;
  /** The view. */
  readonly view: DataView;

  constructor(bytes: Uint8Array) {
    const { buffer, byteOffset, byteLength } = bytes;
    // A subarray of a Buffer is a Buffer, at twice the cost.
    this.bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.view = new DataView(buffer, byteOffset, byteLength);
  }
}

/** Length in bytes from which `set` is faster. */
const LONG = 224;

/**
 * Copies `length` bytes of the source from `from` on to `at` in the target.
 *
 * Requires: both ranges lie inside their arrays, and the target's does not begin inside the source's.
 */
export function copyBytes(
  source: ViewedBytes,
  from: number,
  target: ViewedBytes,
  at: number,
  length: number,
): void {
  if (length >= LONG) target.bytes.set(source.bytes.subarray(from, from + length), at);
  else copyWords(source.view, from, target.view, at, length);
}

/** As `copyBytes`, for runs known to be short. */
export function copyWords(
  source: DataView,
  from: number,
  target: DataView,
  at: number,
  length: number,
): void {
  let done = 0;
  for (; done + 16 <= length; done += 16) {
    const to = at + done;
    const of = from + done;
    target.setInt32(to, source.getInt32(of, true), true);
    target.setInt32(to + 4, source.getInt32(of + 4, true), true);
    target.setInt32(to + 8, source.getInt32(of + 8, true), true);
    target.setInt32(to + 12, source.getInt32(of + 12, true), true);
  }
  for (; done + 4 <= length; done += 4) {
    target.setInt32(at + done, source.getInt32(from + done, true), true);
  }
  for (; done < length; done += 1) target.setUint8(at + done, source.getUint8(from + done));
}

/**
 * Number of equal leading bytes, at most `length`, of `left` from `leftAt` on and of
 * `right` from `rightAt` on.
 */
export function sharedBytes(
  left: DataView,
  leftAt: number,
  right: DataView,
  rightAt: number,
  length: number,
): number {
  let byte = 0;
  for (; byte + 4 <= length; byte += 4) {
    const difference = left.getInt32(leftAt + byte) ^ right.getInt32(rightAt + byte);
    if (difference !== 0) return byte + (Math.clz32(difference) >>> 3);
  }
  while (byte < length && left.getUint8(leftAt + byte) === right.getUint8(rightAt + byte)) {
    byte += 1;
  }
  return byte;
}

/** Compares the bytes from `at` on with all of `right`: negative, zero or positive. */
export function compareBytes(left: DataView, at: number, right: DataView): number {
  const length = right.byteLength;
  let byte = 0;
  for (; byte + 4 <= length; byte += 4) {
    const difference = left.getUint32(at + byte) - right.getUint32(byte);
    if (difference !== 0) return difference;
  }
  for (; byte < length; byte += 1) {
    const difference = left.getUint8(at + byte) - right.getUint8(byte);
    if (difference !== 0) return difference;
  }
  return 0;
}
