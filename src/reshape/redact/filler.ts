/** Replacement bytes for removed data: the same for the same seed, key and LSN. */
import type { Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';

const FNV_OFFSET = 0x811c_9dc5;
const FNV_PRIME = 0x0100_0193;

export class Filler {
  /** Never 0, which would stay 0. */
  #state: number;

  constructor(seed: number, key: Key, lsn: Lsn) {
    let hash = mixed(FNV_OFFSET, seed >>> 0);
    for (const byte of key) hash = mixed(hash, byte);
    hash = mixed(mixed(hash, Number(lsn >> 32n)), Number(lsn & 0xffff_ffffn));
    this.#state = hash === 0 ? FNV_PRIME : hash;
  }

  /** Overwrites the bytes with noise, which does not compress. */
  noise(target: Uint8Array): void {
    let at = 0;
    for (const end = target.length - 3; at < end; at += 4) {
      const word = this.#next();
      target[at] = word;
      target[at + 1] = word >>> 8;
      target[at + 2] = word >>> 16;
      target[at + 3] = word >>> 24;
    }
    for (let word = this.#next(); at < target.length; at += 1, word >>>= 8) target[at] = word;
  }

  /** Overwrites the bytes with lower-case letters. */
  letters(target: Uint8Array): void {
    this.noise(target);
    for (let at = 0; at < target.length; at += 1) target[at] = 0x61 + ((target[at] as number) % 26);
  }

  /** Xorshift. */
  #next(): number {
    let word = this.#state;
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    this.#state = word >>> 0;
    return this.#state;
  }
}

function mixed(hash: number, word: number): number {
  let result = Math.imul(hash ^ word, FNV_PRIME);
  result ^= result >>> 15;
  return result >>> 0;
}
