/** Peak memory of writing a layer that is much larger than it may get. */
import { openLayer } from '../../dist/layers.js';
import { check } from '../harness/row-context.mjs';
import { titleOf } from '../inputs/shapes.mjs';
import { ValuePool } from '../inputs/values.mjs';
import { writeDelta } from '../writers/delta.mjs';

const GIB = 1024 ** 3;
const LENGTH = 8192;
const LIMIT = 128 * 1024 * 1024;

export function groupsOf({ quick }) {
  const count = ((quick ? 1 : 8) * GIB) / LENGTH;
  return [
    {
      title: `memory: a delta layer of ${titleOf({ count, length: LENGTH })}, durable at the end`,
      runs: 1,
      rows: [{ role: 'layerfile', name: 'layerfile putBatch', measure: (c) => measure(c, count) }],
    },
  ];
}

async function measure(context, count) {
  const pool = new ValuePool(LENGTH);
  const { path } = await context.time(() => writeDelta(context.directory, pool, count));
  const { peakMemory } = context.measured();
  check(peakMemory < LIMIT, true, `peak memory of ${peakMemory} bytes is below ${LIMIT}`);
  const reader = await openLayer(path);
  const { entryCount } = await reader.statistics();
  await reader.close();
  check(entryCount, count, 'entries');
  return { operations: count, bytes: count * LENGTH, note: 'peak below 128 MiB' };
}
