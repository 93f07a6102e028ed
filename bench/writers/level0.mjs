/** L0s of one timeline: records of 100 bytes, of random keys that all layers share. */
import { DeltaLayerWriter, maximumKey, minimumKey } from '../../dist/layers.js';
import { randomNumbers } from '../inputs/random.mjs';

export const LEVEL0_COUNT = 16;
const LENGTH = 100;
const BATCH = 4096;
const LSNS = 0x1000_0000n;
export const LEVEL0_IDS = {
  tenantId: '11223344556677889900aabbccddeeff',
  timelineId: 'ffeeddccbbaa00998877665544332211',
};

/** Returns: the directory. Each layer has `count` entries. */
export async function writeLevel0(directory, count) {
  const keyRange = { start: minimumKey(), end: maximumKey() };
  for (let layer = 1n; layer <= BigInt(LEVEL0_COUNT); layer += 1n) {
    const lsnRange = { start: layer * LSNS, end: (layer + 1n) * LSNS };
    const options = { directory, ...LEVEL0_IDS, keyRange, lsnRange };
    const writer = await DeltaLayerWriter.create(options);
    for (const batch of batches(count, lsnRange.start)) await writer.putBatch(batch);
    await writer.finish();
  }
  return directory;
}

function* batches(count, firstLsn) {
  const next = randomNumbers(Number(firstLsn / LSNS));
  const batch = {
    count: 0,
    keys: new Uint8Array(BATCH * 18),
    lsns: new BigUint64Array(BATCH),
    willInit: new Uint8Array(BATCH),
    values: new Uint8Array(BATCH * LENGTH),
    starts: Uint32Array.from({ length: BATCH }, (_, row) => row * LENGTH),
    lengths: new Uint32Array(BATCH).fill(LENGTH),
  };
  const keys = new DataView(batch.keys.buffer);
  const values = new DataView(batch.values.buffer);
  for (let row = 0; row < BATCH; row += 1) {
    for (let at = 17; at < LENGTH; at += 1) values.setUint8(row * LENGTH + at, next() & 0xff);
    // A record of Postgres that does not initialize the page.
    values.setUint32(row * LENGTH, 1);
    values.setUint32(row * LENGTH + 13, LENGTH - 17);
  }
  let block = 0;
  for (let done = 0; done < count; done += batch.count) {
    batch.count = Math.min(BATCH, count - done);
    for (let row = 0; row < batch.count; row += 1) {
      block += 1 + (next() % 5);
      keys.setUint32(row * 18 + 1, 1663);
      keys.setUint32(row * 18 + 5, 5);
      keys.setUint32(row * 18 + 9, 16384);
      keys.setUint32(row * 18 + 14, block);
      batch.lsns[row] = firstLsn + BigInt(done + row);
    }
    yield batch;
  }
}
