/** Preads of the places of values: no search, no checks. */
import { openLayer } from '../../dist/layers.js';
import { RawReader } from '../floors/raw-read.mjs';

export async function openRawStore(path, { entries, pool }) {
  const offsets = await valueOffsets(path);
  const file = new RawReader(path);
  const { length } = pool;
  const get = (at) => file.read(offsets[entries[at]], length);
  return {
    get,
    getSync: (at) => file.readSync(offsets[entries[at]], length),
    getMany(first, end) {
      const reads = [];
      for (let at = first; at < end; at += 1) reads.push(get(at));
      return Promise.all(reads);
    },
    close: () => file.close(),
  };
}

/** For each entry the file offset of its value, after the header. */
async function valueOffsets(path) {
  const reader = await openLayer(path);
  const offsets = [];
  for await (const { offsets: starts, storedLengths, lengths, count } of reader.batches()) {
    for (let at = 0; at < count; at += 1) {
      offsets.push(starts[at] + storedLengths[at] - lengths[at]);
    }
  }
  await reader.close();
  return offsets;
}
