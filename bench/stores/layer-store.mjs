/** Lookups in a layer file. A store of lookups has some of `get`, `getSync`, `getMany`, `close`. */
import { BlockCache, openLayer } from '../../dist/layers.js';
import { NotAvailable } from '../harness/not-available.mjs';

export function openLayerStore(path, lookups) {
  return openStore(path, lookups, 'async');
}

/** Reads are system calls on this thread, for `get` as well. */
export async function openSyncLayerStore(path, lookups) {
  const store = await openStore(path, lookups, 'sync');
  if (store.getSync === undefined) throw new NotAvailable('the reader has no getSync');
  return store;
}

async function openStore(path, { keys }, readMode) {
  const blockCache = new BlockCache();
  const reader = await openLayer(path, { blockCache, readMode });
  return {
    get: async (at) => (await reader.get(keys[at])).bytes,
    /** With an empty cache, so that every block on the way is read. */
    getCold: async (at) => {
      blockCache.clear();
      return (await reader.get(keys[at])).bytes;
    },
    getSync: 'getSync' in reader ? (at) => reader.getSync(keys[at]).bytes : undefined,
    getMany: async (first, end) =>
      (await reader.getMany(keys.slice(first, end))).map((entry) => entry.bytes),
    close: () => reader.close(),
  };
}
