/**
 * Lets `toEqual` and its relatives compare arrays of bytes as bytes. By themselves they walk over the elements as over
 * properties, which takes seconds for a megabyte.
 */
import { expect } from 'vitest';

expect.addEqualityTesters([
  (one: unknown, other: unknown): boolean | undefined => {
    if (!(one instanceof Uint8Array && other instanceof Uint8Array)) return undefined;
    // Where the class counts, the others decide.
    if (one.constructor !== other.constructor) return undefined;
    return Buffer.compare(one, other) === 0;
  },
]);
