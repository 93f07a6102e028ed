/** The order of directory listings: by the bytes of the names in UTF-8. */

export function byBytesOf<T>(nameOf: (one: T) => string): (left: T, right: T) => number {
  return (left, right) => compareNames(nameOf(left), nameOf(right));
}

function compareNames(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const difference = rankOf(left.charCodeAt(at)) - rankOf(right.charCodeAt(at));
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** The rank of a UTF-16 code unit in the order of UTF-8, where surrogates come last. */
function rankOf(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
