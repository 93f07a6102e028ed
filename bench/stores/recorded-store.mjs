/** The reads that cold lookups in a layer make: recorded, then repeated directly. */

import { statSync } from 'node:fs';
import { BlockCache, DeltaLayerReader } from '../../dist/layers.js';
import { RawReader } from '../floors/raw-read.mjs';

export async function openRecordedStore(path, { keys, pool }) {
  const file = new RawReader(path);
  const places = await record(file, statSync(path).size, keys);
  return {
    async getCold(at) {
      const { reads, valueOffset } = places[at];
      const value = new Uint8Array(pool.length);
      for (const { offset, length } of reads) {
        const bytes = await file.read(offset, length);
        // A value may lie in two of the blocks that were read.
        const from = Math.max(0, valueOffset - offset);
        const part = bytes.subarray(from, Math.max(0, valueOffset + pool.length - offset));
        if (part.length > 0) value.set(part, Math.max(0, offset - valueOffset));
      }
      return value;
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
    const { offset, storedLength, bytes } = await reader.get(key);
    places.push({ reads: current, valueOffset: offset + storedLength - bytes.length });
  }
  return places;
}
