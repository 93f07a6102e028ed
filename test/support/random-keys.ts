/** Ascending keys as layers have them: long runs that share most of their bytes, then a jump. */
import { seededChoices } from '../../src/testing/choices.ts';

export interface RandomKeys {
  readonly seed: number;
  readonly keySize: number;
  readonly count: number;
  /** How many of the last bytes change often; the others change in one of 50 steps. */
  readonly busyBytes: number;
}

/** Never the highest key, so that an exclusive end has a place above all. */
export function randomKeys({ seed, keySize, count, busyBytes }: RandomKeys): Uint8Array[] {
  const choose = seededChoices(seed);
  const keys: Uint8Array[] = [];
  let key: Uint8Array = Uint8Array.from({ length: keySize }, (_, index) =>
    index === 0 ? 0 : choose(256),
  );
  while (keys.length < count) {
    keys.push(key);
    const busyFrom = Math.max(0, keySize - busyBytes);
    const at = choose(50) === 0 ? choose(keySize) : busyFrom + choose(keySize - busyFrom);
    const next = increased(key, at, choose);
    if (next === undefined) break;
    key = next;
  }
  return keys;
}

/** The byte at `at` grows, with a carry; what is after it is zero or anything. */
function increased(
  key: Uint8Array,
  at: number,
  choose: (n: number) => number,
): Uint8Array | undefined {
  const next = key.slice();
  let index = at;
  while (index > 0 && (next[index] ?? 0) === 0xff) index -= 1;
  if (index === 0 && (next[0] ?? 0) >= 0xfe) return undefined;
  next[index] = (next[index] ?? 0) + 1;
  const isZero = choose(2) === 0;
  for (let behind = index + 1; behind < key.length; behind += 1) {
    next[behind] = isZero ? 0 : choose(256);
  }
  return next;
}
