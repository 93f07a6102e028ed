/** Delta layers of ascending keys, by either API of the writer. */
import { DeltaLayerWriter, maximumKey, minimumKey } from '../../dist/layers.js';
import { END_LSN, IDS, newKeys, START_LSN, setBlock, someLsns } from '../inputs/keys.mjs';

const BATCH_ROWS = 1024;

/** Returns: the finished layer. */
export async function writeDelta(directory, pool, count, options = {}) {
  const writer = await createWriter(directory, options);
  const batch = {
    keys: newKeys(BATCH_ROWS),
    lsns: new BigUint64Array(BATCH_ROWS),
    willInit: new Uint8Array(BATCH_ROWS).fill(pool.willInit ? 1 : 0),
    values: pool.bytes,
    starts: new Uint32Array(BATCH_ROWS),
    lengths: new Uint32Array(BATCH_ROWS).fill(pool.length),
  };
  const lsns = someLsns();
  let from = 0;
  for (let first = 0; first < count; first += BATCH_ROWS) {
    const rowCount = Math.min(BATCH_ROWS, count - first);
    for (let at = 0; at < rowCount; at += 1) {
      const index = first + at;
      setBlock(batch.keys, at, index);
      batch.lsns[at] = lsns[index % lsns.length];
      batch.starts[at] = from * pool.length;
      from = from + 1 === pool.count ? 0 : from + 1;
    }
    const buffered = writer.putBatch({ count: rowCount, ...batch });
    if (buffered !== undefined) await buffered;
  }
  return await writer.finish();
}

export async function writeDeltaByValue(directory, pool, count) {
  const writer = await createWriter(directory);
  const key = newKeys();
  const lsns = someLsns();
  for (let index = 0; index < count; index += 1) {
    setBlock(key, 0, index);
    const lsn = lsns[index % lsns.length];
    const buffered = writer.putSerialized(key, lsn, pool.at(index), pool.willInit);
    if (buffered !== undefined) await buffered;
  }
  return await writer.finish();
}

export function writeDeltaDirectly(directory, pool, count) {
  return writeDelta(directory, pool, count, { ioMode: 'direct' });
}

function createWriter(directory, options = {}) {
  return DeltaLayerWriter.create({
    ...IDS,
    ...options,
    directory,
    keyRange: { start: minimumKey(), end: maximumKey() },
    lsnRange: { start: START_LSN, end: END_LSN },
  });
}
