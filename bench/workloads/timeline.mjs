/** Reads of many keys of a timeline: all in one call, or one after the other. */
import { openTimeline } from '../../dist/timeline.js';
import { check } from '../harness/row-context.mjs';
import { keyOfBlock } from '../inputs/keys.mjs';
import { KEYS_OF_TIMELINE, LAST_LSN_OF_TIMELINE, RECORDS_OF_KEY } from '../writers/layers.mjs';

const LAYERS = 200;
const READS = 10_000;

export function groupsOf({ scaled }) {
  const count = scaled(READS);
  const rows = [
    {
      role: 'floor',
      name: 'reconstruct, one key at a time',
      shortName: 'one by one',
      read: readOneByOne,
    },
    { role: 'layerfile', name: 'reconstructMany', read: readTogether },
  ];
  const fixture = `layers-${LAYERS}`;
  return [
    {
      title: `timeline: ${count.toLocaleString('en-US')} keys over ${LAYERS} layers`,
      fixtures: [fixture],
      rows: rows.map(({ read, ...row }) => ({
        ...row,
        measure: (context) => measure(context, { path: context.fixture(fixture), count, read }),
      })),
    },
  ];
}

async function measure(context, { path, count, read }) {
  const step = KEYS_OF_TIMELINE / count;
  // All over the key space, in an order that is not that of the keys.
  const keys = Array.from({ length: count }, (_, at) =>
    keyOfBlock(Math.floor(((at * 7919) % count) * step)),
  );
  const timeline = await openTimeline(path);
  const found = await context.time(() => read(timeline, keys));
  await timeline.close();
  let bytes = 0;
  for (const { base, records } of found) {
    check(base !== undefined && records.length === RECORDS_OF_KEY, true, 'base and records');
    for (const entry of [base, ...records]) bytes += entry.bytes.length;
  }
  return { operations: count, bytes };
}

function readTogether(timeline, keys) {
  return timeline.reconstructMany(keys, LAST_LSN_OF_TIMELINE);
}

async function readOneByOne(timeline, keys) {
  const found = [];
  for (const key of keys) found.push(await timeline.reconstruct(key, LAST_LSN_OF_TIMELINE));
  return found;
}
