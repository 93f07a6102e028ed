/** Keys of the blocks of one relation, and LSNs for them. */
import { KEY_SIZE, keyFromFields } from '../../dist/layers.js';
import { randomNumbers } from './random.mjs';

const FIRST_KEY = keyFromFields({
  field1: 0,
  field2: 1663,
  field3: 5,
  field4: 16_384,
  field5: 0,
  field6: 0,
});

export const START_LSN = 0x1_0000_0000n;
export const END_LSN = 0x2_0000_0000n;

export const IDS = {
  tenantId: '3f2504e04f8911d39a0c0305e82c3301',
  timelineId: '7d444840dc1411d18c2d00a0c91ebe3a',
};

/** `count` keys in one array, all of block 0. */
export function newKeys(count = 1) {
  const keys = new Uint8Array(count * KEY_SIZE);
  for (let at = 0; at < count; at += 1) keys.set(FIRST_KEY, at * KEY_SIZE);
  return keys;
}

/** Makes the key at `index` that of another block. */
export function setBlock(keys, index, block) {
  const at = (index + 1) * KEY_SIZE - 4;
  keys[at] = block >>> 24;
  keys[at + 1] = block >>> 16;
  keys[at + 2] = block >>> 8;
  keys[at + 3] = block;
}

export function keyOfBlock(block) {
  const key = newKeys();
  setBlock(key, 0, block);
  return key;
}

/** LSNs of entries whose order is that of their keys. */
const LSN_COUNT = 4096;

/** In a plain array: reading a typed array would make an object each time. */
export function someLsns() {
  const next = randomNumbers(7);
  return Array.from({ length: LSN_COUNT }, () => START_LSN + BigInt(next()));
}

/** For `LsnCounter`: which 32 bits of a 64-bit number come first. */
const LOW_HALF = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 0 : 1;

/** Fills LSNs of a batch with one number after the other, without an object for each. */
export class LsnCounter {
  #halves;
  #next = 0;

  constructor(lsns) {
    lsns.fill(START_LSN);
    this.#halves = new Uint32Array(lsns.buffer);
  }

  set(at) {
    this.#halves[2 * at + LOW_HALF] = this.#next;
    this.#next += 1;
  }

  /** Above all that were set. */
  get end() {
    return START_LSN + BigInt(this.#next);
  }
}
