/** Lookups in a layer file. A store of lookups has `get`, `getSync`, `getMany` and `close`. */
import { BlockCache, openLayer } from '../../dist/layers.js';
import { NotAvailable } from '../harness/not-available.mjs';

export async function openLayerStore(path, { keys }) {
  const blockCache = new BlockCache();
  const reader = await openLayer(path, { blockCache });
  return {
    get: async (at) => (await reader.get(keys[at])).bytes,
    /** With an empty cache, so that every block on the way is read. */
    getCold: async (at) => {
      blockCache.clear();
      return (await reader.get(keys[at])).bytes;
    },
    getSync: (at) => reader.getSync(keys[at]).bytes,
    getMany: async (first, end) =>
      (await reader.getMany(keys.slice(first, end))).map((entry) => entry.bytes),
    close: () => reader.close(),
  };
}

export async function openSyncLayerStore(path, lookups) {
  const reader = await openLayer(path);
  await reader.close();
  if (typeof reader.getSync !== 'function') throw new NotAvailable('the reader has no getSync');
  return await openLayerStore(path, lookups);
}
