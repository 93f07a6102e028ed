/** Counts different trees: every name with the bytes under it, in the directories written to. */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import type { Files } from './checks.ts';

/** A Set ends at 2^24 entries. */
const SHARDS = 256;

export class DistinctTrees {
  readonly #shards = Array.from({ length: SHARDS }, () => new Set<number>());
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Returns: how many of the trees were new. */
  add(fingerprints: Iterable<number>): number {
    const before = this.#count;
    for (const fingerprint of fingerprints) {
      const shard = this.#shards[fingerprint % SHARDS];
      if (shard === undefined || shard.has(fingerprint)) continue;
      shard.add(fingerprint);
      this.#count += 1;
    }
    return this.#count - before;
  }
}

/**
 * The sum of 48 bits of a SHA-1 for each name with its bytes. Two of the trees in a million runs may
 * be taken for one: the count is then too low by one.
 */
export function fingerprintOf(files: Files, directories: readonly string[]): number {
  let sum = 0;
  for (const [path, content] of files) {
    if (directories.includes(dirname(path))) sum = (sum + hashOf(path, content)) % 2 ** 48;
  }
  return sum;
}

/** States of one run share the arrays of files in which they do not differ. */
const HASHES = new WeakMap<Uint8Array, Map<string, number>>();

function hashOf(path: string, content: Uint8Array): number {
  const hashes = HASHES.get(content) ?? new Map<string, number>();
  const known = hashes.get(path);
  if (known !== undefined) return known;
  const digest = createHash('sha1').update(`${path}\0`).update(content).digest();
  const hash = digest.readUIntBE(0, 6);
  HASHES.set(content, hashes.set(path, hash));
  return hash;
}
