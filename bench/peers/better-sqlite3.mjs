import { EntryKeys } from '../inputs/entry-keys.mjs';
import { loadPeer, peerMissing } from './load-peer.mjs';

/** One transaction, synced when it commits. */
export async function writeSqlite(path, pool, count) {
  const database = await openSqlite(path);
  database.exec('CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID');
  const insert = database.prepare('INSERT INTO entries VALUES (?, ?)');
  const keys = new EntryKeys();
  database.transaction(() => {
    for (let index = 0; index < count; index += 1) insert.run(keys.at(index), pool.at(index));
  })();
  database.close();
}

export async function countSqlite(path) {
  const database = await openSqlite(path);
  const { count } = database.prepare('SELECT count(*) AS count FROM entries').get();
  database.close();
  return count;
}

async function openSqlite(path) {
  const { default: Database } = await loadPeer('better-sqlite3');
  try {
    const database = new Database(path);
    database.pragma('page_size = 8192');
    database.pragma('synchronous = FULL');
    return database;
  } catch (error) {
    // The native part is loaded here; it may never have been built or fetched.
    throw peerMissing('better-sqlite3', error);
  }
}
