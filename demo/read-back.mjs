/**
 * Reads a whole state of the cluster out of layers, newest layer first, and compares it with the
 * data directory: the same forks, the same sizes, the same bytes on every page.
 */
import { readFile } from 'node:fs/promises';
import { decodeValue, formatKey } from 'layerfile/layers';
import {
  checkPageChecksum,
  decodeRelationSize,
  describeKey,
  explainKey,
  relationBlockKey,
  relationMapKey,
  relationSizeKey,
} from 'layerfile/postgres';
import { identityOf, pagesOf } from './changes.mjs';

const PAGES_AT_ONCE = 128;
const SHOWN_DIFFERENCES = 5;

/** Layers that answer for one LSN; the first that has a key decides. */
export class State {
  #layers;

  constructor(layers) {
    this.#layers = layers;
  }

  /** The bytes of each key, or undefined where no layer has it. */
  async getMany(keys) {
    const found = new Map();
    let missing = keys;
    for (const layer of this.#layers) {
      const entries = await layer.getMany(missing);
      const left = [];
      for (const [index, key] of missing.entries()) {
        const entry = entries[index];
        if (entry === undefined) left.push(key);
        else found.set(key, bytesOf(layer, entry));
      }
      missing = left;
    }
    return keys.map((key) => found.get(key));
  }

  /** Every fork that has a size and no tombstone, with its page count. */
  async forkSizes() {
    const keys = new Map();
    for (const layer of this.#layers) {
      for await (const { key } of layer.keys()) {
        if (describeKey(key).kind === 'rel_size') keys.set(formatKey(key), key);
      }
    }
    const sizeKeys = [...keys.values()];
    const contents = await this.getMany(sizeKeys);
    const sizes = new Map();
    for (const [index, key] of sizeKeys.entries()) {
      if (contents[index].length > 0) {
        sizes.set(identityOf(describeKey(key)), decodeRelationSize(contents[index]));
      }
    }
    return sizes;
  }
}

function bytesOf(layer, entry) {
  if (layer.summary.kind === 'image') return entry.bytes;
  const value = decodeValue(entry.bytes);
  if (value.type !== 'image') throw new Error(`${formatKey(entry.key)} holds a ${value.type}`);
  return value.bytes;
}

/** Compares the state with the files; returns counts and the first differences in words. */
export async function compareWithFiles(state, files) {
  const result = { pages: 0, checksummed: 0, unused: 0, differenceCount: 0, differences: [] };
  const differ = (text) => {
    result.differenceCount += 1;
    if (result.differences.length < SHOWN_DIFFERENCES) result.differences.push(text);
  };
  await compareForkSizes(state, files.forks, differ);
  for (const fork of files.forks) await compareFork(state, fork, result, differ);
  for (const map of files.maps) {
    const key = relationMapKey(map);
    const [bytes] = await state.getMany([key]);
    if (!(await readFile(map.path)).equals(bytes ?? '')) differ(explainKey(key));
  }
  return result;
}

async function compareForkSizes(state, forks, differ) {
  const sizes = await state.forkSizes();
  for (const fork of forks) {
    const size = sizes.get(identityOf(fork));
    if (size !== fork.pageCount) {
      differ(`${explainKey(relationSizeKey(fork))}: ${size}, not ${fork.pageCount}`);
    }
    sizes.delete(identityOf(fork));
  }
  for (const identity of sizes.keys()) differ(`${identity} is in the layers only`);
}

async function compareFork(state, fork, result, differ) {
  let batch = [];
  const compareBatch = async () => {
    const keys = batch.map(({ blkno }) => relationBlockKey({ ...fork, blkno }));
    const stored = await state.getMany(keys);
    for (const [index, { blkno, page }] of batch.entries()) {
      const bytes = stored[index];
      result.pages += 1;
      if (bytes === undefined || !page.equals(bytes)) {
        differ(explainKey(keys[index]));
        continue;
      }
      const checksum = checkPageChecksum(bytes, blkno);
      if (checksum === 'good') result.checksummed += 1;
      else if (checksum === 'new') result.unused += 1;
      else differ(`${explainKey(keys[index])}: checksum ${checksum}`);
    }
    batch = [];
  };
  for await (const item of pagesOf(fork)) {
    batch.push(item);
    if (batch.length === PAGES_AT_ONCE) await compareBatch();
  }
  await compareBatch();
}
