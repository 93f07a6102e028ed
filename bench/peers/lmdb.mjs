import { EntryKeys } from '../inputs/entry-keys.mjs';
import { loadPeer } from './load-peer.mjs';

/** Puts of one transaction; the library commits and syncs each. */
const TRANSACTION_SIZE = 65_536;

export async function openLmdb(path) {
  const { open } = await loadPeer('lmdb');
  return open({ path, keyEncoding: 'binary', encoding: 'binary', noSubdir: true });
}

/** Ascending keys in append mode, within transactions of this thread. */
export async function writeLmdb(path, pool, count) {
  const database = await openLmdb(path);
  const keys = new EntryKeys();
  for (let first = 0; first < count; first += TRANSACTION_SIZE) {
    const end = Math.min(count, first + TRANSACTION_SIZE);
    database.transactionSync(() => {
      for (let index = first; index < end; index += 1) {
        database.putSync(keys.at(index), pool.at(index), { append: true });
      }
    });
  }
  await database.flushed;
  await database.close();
}

export async function countLmdb(path) {
  const database = await openLmdb(path);
  const { entryCount } = database.getStats();
  await database.close();
  return entryCount;
}

/** As rows of a scan want it: `time` times the action. */
export async function scanLmdb(path, time) {
  const database = await openLmdb(path);
  let entries = 0;
  let bytes = 0;
  await time(() => {
    for (const { value } of database.getRange({})) {
      bytes += value.length;
      entries += 1;
    }
  });
  await database.close();
  return { entries, bytes };
}
