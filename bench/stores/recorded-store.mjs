/** The reads that cold lookups in a layer make, recorded first, and then made again by hand. */

import { statSync } from 'node:fs';
import { BlockCache, DeltaLayerReader } from '../../dist/layers.js';
import { RawReader } from '../floors/raw-read.mjs';

export async function openRecordedStore(path, { keys, pool }) {
  const file = new RawReader(path);
  const places = await record(file, statSync(path).size, keys);
  return {
    async getCold(at) {
      let bytes;
      for (const { offset, length } of places[at]) bytes = await file.read(offset, length);
      // The value comes last, behind its header.
      return bytes.subarray(1, 1 + pool.length);
    },
    close: () => file.close(),
  };
}

async function record(file, size, keys) {
  const blockCache = new BlockCache();
  let current = [];
  const source = {
    size,
    async read(target, offset) {
      current.push({ offset, length: target.length });
      target.set(await file.read(offset, target.length));
      return target.length;
    },
  };
  const reader = await DeltaLayerReader.open(source, { blockCache });
  const places = [];
  for (const key of keys) {
    blockCache.clear();
    current = [];
    await reader.get(key);
    places.push(current);
  }
  return places;
}
