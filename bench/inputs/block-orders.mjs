/** Which block each entry belongs to. */
import { randomNumbers } from './random.mjs';

const FEW_KEYS = 1024;

/** By name: a function of the entry's number, to be called in order. */
export const BLOCK_ORDERS = {
  sequential: () => (index) => index,
  random: () => randomNumbers(3),
  '1,024 keys': () => {
    const next = randomNumbers(3);
    return () => next() % FEW_KEYS;
  },
};
