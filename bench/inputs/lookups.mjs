/** Which entries are looked up, in which order: the same ones in every row. */
import { keyOfBlock } from './keys.mjs';
import { randomNumbers } from './random.mjs';

/** Numbers of entries, at random. */
export function randomEntries(lookupCount, entryCount) {
  const next = randomNumbers(13);
  return Uint32Array.from({ length: lookupCount }, () => next() % entryCount);
}

/** Their keys, made before anything is timed. */
export function keysOf(entries) {
  return Array.from(entries, keyOfBlock);
}
