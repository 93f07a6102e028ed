/** Lookups in databases that hold the same entries. */
import { EntryKeys } from '../inputs/entry-keys.mjs';
import { openLevel } from '../peers/classic-level.mjs';
import { openLmdb } from '../peers/lmdb.mjs';

/** Only `getMany` is asynchronous: the database is mapped into memory. */
export async function openLmdbStore(path, { entries }) {
  const database = await openLmdb(path);
  const keys = entryKeys(entries);
  const getSync = (at) => database.getBinary(keys[at]);
  return {
    get: getSync,
    getSync,
    getMany: (first, end) => database.getMany(keys.slice(first, end)),
    close: () => database.close(),
  };
}

export async function openLevelStore(path, { entries }) {
  const database = await openLevel(path);
  const keys = entryKeys(entries);
  return {
    get: (at) => database.get(keys[at]),
    getSync: (at) => database.getSync(keys[at]),
    getMany: (first, end) => database.getMany(keys.slice(first, end)),
    close: () => database.close(),
  };
}

function entryKeys(entries) {
  const keys = new EntryKeys();
  return Array.from(entries, (entry) => keys.at(entry));
}
