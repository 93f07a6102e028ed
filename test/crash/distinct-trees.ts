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

  /** Returns: what stands for the tree. */
  add(files: Files, directories: readonly string[]): number {
    const fingerprint = fingerprintOf(files, directories);
    const shard = this.#shards[fingerprint % SHARDS];
    if (shard === undefined || shard.has(fingerprint)) return fingerprint;
    shard.add(fingerprint);
    this.#count += 1;
    return fingerprint;
  }
}

/**
 * 48 bits of a SHA-1. Two of the trees in a million runs may be taken for one: the count is then too
 * low by one.
 */
function fingerprintOf(files: Files, directories: readonly string[]): number {
  const hash = createHash('sha1');
  for (const [path, content] of files) {
    if (!directories.includes(dirname(path))) continue;
    hash.update(`${path}\0${content.length}\0`);
    hash.update(content);
  }
  return hash.digest().readUIntBE(0, 6);
}
