/** Seeded random numbers: every run of every row sees the same input. */

/** Returns a function that returns integers from 0 to 2^32 - 1. */
export function randomNumbers(seed) {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

export function randomBytes(length, seed) {
  const next = randomNumbers(seed);
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let at = 0; at < words.length; at += 1) words[at] = next();
  return Buffer.from(words.buffer, 0, length);
}
