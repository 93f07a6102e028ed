import { EntryKeys } from '../inputs/entry-keys.mjs';
import { loadPeer } from './load-peer.mjs';

const BATCH_SIZE = 1024;

export async function openLevel(path) {
  const { ClassicLevel } = await loadPeer('classic-level');
  const database = new ClassicLevel(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
    writeBufferSize: 64 * 1024 * 1024,
  });
  await database.open();
  return database;
}

/** Batches; the last is synced, and with it the log of those before. */
export async function writeLevel(path, pool, count) {
  const database = await openLevel(path);
  const keys = new EntryKeys();
  for (let first = 0; first < count; first += BATCH_SIZE) {
    const batch = database.batch();
    const end = Math.min(count, first + BATCH_SIZE);
    for (let index = first; index < end; index += 1) batch.put(keys.at(index), pool.at(index));
    await batch.write({ sync: end === count });
  }
  await database.close();
}

export async function countLevel(path) {
  const database = await openLevel(path);
  const keys = database.keys({ highWaterMarkBytes: 1024 * 1024 });
  let count = 0;
  for (;;) {
    const some = await keys.nextv(10_000);
    if (some.length === 0) break;
    count += some.length;
  }
  await keys.close();
  await database.close();
  return count;
}

/** As rows of a scan want it: `time` times the action. */
export async function scanLevel(path, time) {
  const database = await openLevel(path);
  let entries = 0;
  let bytes = 0;
  await time(async () => {
    const iterator = database.iterator({ highWaterMarkBytes: 1024 * 1024, fillCache: false });
    for (;;) {
      const some = await iterator.nextv(10_000);
      if (some.length === 0) break;
      for (const [, value] of some) bytes += value.length;
      entries += some.length;
    }
    await iterator.close();
  });
  await database.close();
  return { entries, bytes };
}
