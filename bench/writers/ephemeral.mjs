/** Ephemeral layers, filled in small batches as changes come from a log. */
import { EphemeralLayer } from '../../dist/layers.js';
import { BLOCK_ORDERS } from '../inputs/block-orders.mjs';
import { IDS, LsnCounter, newKeys, START_LSN, setBlock } from '../inputs/keys.mjs';

const BATCH_ROWS = 16;

export function createEphemeral(directory) {
  return EphemeralLayer.create({ ...IDS, directory, startLsn: START_LSN });
}

/** Puts all values, each with a different LSN, and freezes; `pause` is awaited from time to time. */
export async function fillEphemeral(layer, { pool, count, order, pause }) {
  const blockOf = BLOCK_ORDERS[order]();
  const { length } = pool;
  const batch = {
    count: BATCH_ROWS,
    keys: newKeys(BATCH_ROWS),
    lsns: new BigUint64Array(BATCH_ROWS),
    willInit: new Uint8Array(BATCH_ROWS).fill(pool.willInit ? 1 : 0),
    values: pool.bytes,
    starts: new Uint32Array(BATCH_ROWS),
    lengths: new Uint32Array(BATCH_ROWS).fill(length),
  };
  const lastFirst = pool.count - BATCH_ROWS;
  const lsns = new LsnCounter(batch.lsns);
  let from = 0;
  for (let index = 0; index < count; index += BATCH_ROWS) {
    batch.count = Math.min(BATCH_ROWS, count - index);
    for (let at = 0; at < batch.count; at += 1) {
      setBlock(batch.keys, at, blockOf(index + at));
      lsns.set(at);
      batch.starts[at] = (from + at) * length;
    }
    from = from + 2 * BATCH_ROWS > lastFirst ? 0 : from + BATCH_ROWS;
    const buffered = layer.putBatch(batch);
    if (buffered !== undefined) await buffered;
    if (pause !== undefined && index % PAUSE_ROWS === 0) await pause();
  }
  await layer.freeze(lsns.end);
}

/** A process that only writes yields to its readers as often as this, besides when it waits. */
const PAUSE_ROWS = 4096;
