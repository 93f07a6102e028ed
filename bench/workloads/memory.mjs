/** Peak memory of writing a layer that is much larger than the memory limit, and of scanning it. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { openLayer } from '../../dist/layers.js';
import { check } from '../harness/row-context.mjs';
import { titleOf } from '../inputs/shapes.mjs';
import { ValuePool } from '../inputs/values.mjs';
import { writeDelta } from '../writers/delta.mjs';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const LENGTH = 8192;
const LIMIT_MIB = { write: 128, scan: 96 };

/** Both rows in separate processes: the second one scans the layer that the first one has written. */
export function groupsOf({ quick }) {
  const count = ((quick ? 1 : 10) * GIB) / LENGTH;
  return [
    {
      title: `memory: a delta layer of ${titleOf({ count, length: LENGTH })}, durable at the end`,
      runs: 1,
      rows: [
        row('layerfile putBatch', LIMIT_MIB.write, write),
        row('layerfile batches, each content looked at', LIMIT_MIB.scan, scan),
      ],
    },
  ];

  function row(name, limitMiB, run) {
    return {
      role: 'layerfile',
      name,
      async measure(context) {
        check(await run(context, count), count, 'entries');
        const { peakMemory } = context.measured();
        const isBelow = peakMemory < limitMiB * MIB;
        check(isBelow, true, `peak memory of ${peakMemory} bytes is below ${limitMiB} MiB`);
        return { operations: count, bytes: count * LENGTH, note: `peak below ${limitMiB} MiB` };
      },
    };
  }
}

/** Returns: how many entries the index has. */
async function write(context, count) {
  const pool = new ValuePool(LENGTH);
  const { path } = await context.time(() => writeDelta(context.shared, pool, count));
  const reader = await openLayer(path);
  const { entryCount } = await reader.statistics();
  await reader.close();
  return entryCount;
}

/** Returns: how many entries came, each with a content of the right length. */
async function scan(context) {
  const [name] = readdirSync(context.shared);
  const reader = await openLayer(join(context.shared, name));
  let entries = 0;
  let bytes = 0;
  let sum = 0;
  await context.time(async () => {
    for await (const { count, buffer, starts, lengths, compressed } of reader.batches()) {
      for (let at = 0; at < count; at += 1) {
        check(compressed[at], 0, 'compressed');
        sum += buffer[starts[at]] + buffer[starts[at] + lengths[at] - 1];
        bytes += lengths[at];
      }
      entries += count;
    }
  });
  await reader.close();
  check(sum > 0, true, 'sum');
  check(bytes, entries * LENGTH, 'bytes');
  return entries;
}
