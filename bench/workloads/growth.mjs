/**
 * The cost of an entry as layers grow: time and memory of writing, opening, lookups and scans.
 * The smallest layer is what the others are compared with.
 */
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { BlockCache, DeltaLayerReader, openLayer } from '../../dist/layers.js';
import { RawReader } from '../floors/raw-read.mjs';
import { check } from '../harness/row-context.mjs';
import { keysOf, randomEntries } from '../inputs/lookups.mjs';
import { GROWTH_LENGTH } from '../inputs/shapes.mjs';
import { ValuePool } from '../inputs/values.mjs';
import { writeDelta } from '../writers/delta.mjs';

const SIZES = [10_000, 100_000, 1_000_000, 10_000_000];
const HUGE_SIZE = 100_000_000;
const OPENINGS = 1000;
const LOOKUPS = 20_000;
const BLOCK_SIZE = 8192;

/** Small layers would otherwise be measured before the code is compiled. */
const WARM_UP_ENTRIES = 200_000;
const WARM_UP_LOOKUPS = 5000;

/** As many entries as a leaf has at least: with a lookup in each, all index blocks were read. */
const ENTRIES_PER_LEAF = 400;

export function groupsOf({ quick }) {
  const sizes = quick ? SIZES.slice(0, 3) : SIZES;
  if (process.env.LAYERFILE_BENCH_HUGE === '1') sizes.push(HUGE_SIZE);
  const values = `delta layers of values of ${GROWTH_LENGTH} bytes`;
  const read = sizes.map((size) => `growth-${size}`);
  return [
    { title: `growth: writing ${values}, durable at the end`, rows: rows(sizes, write) },
    { title: `growth: opening ${values}`, fixtures: read, rows: rows(sizes, openOften) },
    {
      title: `growth: lookups in ${values}, each with a pread of its value`,
      fixtures: read,
      rows: rows(sizes, lookUp),
    },
    { title: `growth: scanning ${values}, batches`, fixtures: read, rows: rows(sizes, scan) },
  ];
}

function rows(sizes, measure) {
  return sizes.map((size, place) => ({
    role: place === 0 ? 'smallest' : 'layerfile',
    name: `${size.toLocaleString('en-US')} entries`,
    shortName: 'smallest',
    measure: (context) => measure(context, size),
  }));
}

async function write(context, count) {
  const pool = new ValuePool(GROWTH_LENGTH);
  await warmUp(context.directory, pool);
  const { path } = await context.time(() => writeDelta(context.directory, pool, count));
  const reader = await openLayer(path);
  const { entryCount } = await reader.statistics();
  await reader.close();
  check(entryCount, count, 'entries');
  return { operations: count, bytes: statSync(path).size };
}

async function warmUp(directory, pool) {
  const other = `${directory}/warm-up`;
  mkdirSync(other);
  await writeDelta(other, pool, WARM_UP_ENTRIES);
  rmSync(other, { recursive: true });
}

async function openOften(context, count) {
  const path = context.fixture(`growth-${count}`);
  const note = await describeReads(path);
  await context.time(async () => {
    for (let opening = 0; opening < OPENINGS; opening += 1) {
      const reader = await openLayer(path, { blockCache: new BlockCache() });
      await reader.close();
    }
  });
  return { operations: OPENINGS, note };
}

/** Blocks that opening and the first lookup read. */
async function describeReads(path) {
  const file = new RawReader(path);
  const { size } = statSync(path);
  let blocks = 0;
  const source = {
    size,
    async read(target, offset) {
      blocks += Math.ceil(target.length / BLOCK_SIZE);
      target.set(await file.read(offset, target.length));
      return target.length;
    },
  };
  const reader = await DeltaLayerReader.open(source, { blockCache: new BlockCache() });
  const ofOpening = blocks;
  const [key] = keysOf([5000]);
  await reader.get(key);
  file.close();
  return `opening reads ${ofOpening} block, the first lookup ${blocks - ofOpening} more, value included`;
}

/**
 * With the index in the cache, and none of the values: else the small layers would be read from
 * memory, and the large ones, which do not fit, from the file.
 */
async function lookUp(context, count) {
  const blockCache = new BlockCache(undefined, { valueCapacity: 0 });
  const reader = await openLayer(context.fixture(`growth-${count}`), {
    blockCache,
    readMode: 'sync',
  });
  const keys = keysOf(randomEntries(LOOKUPS, count));
  for (let entry = 0; entry < count; entry += ENTRIES_PER_LEAF) reader.getSync(keysOf([entry])[0]);
  for (let at = 0; at < WARM_UP_LOOKUPS; at += 1) reader.getSync(keys[at]);
  let found = 0;
  await context.time(() => {
    for (const key of keys) if (reader.getSync(key)?.bytes.length === GROWTH_LENGTH) found += 1;
  });
  await reader.close();
  check(found, LOOKUPS, 'values found');
  return { operations: LOOKUPS };
}

async function scan(context, count) {
  const path = context.fixture(`growth-${count}`);
  const reader = await openLayer(path);
  for (let seen = 0; seen < WARM_UP_ENTRIES; ) seen += await countEntries(reader, WARM_UP_ENTRIES);
  const entries = await context.time(() => countEntries(reader, count));
  await reader.close();
  check(entries, count, 'entries');
  return { operations: count, bytes: statSync(path).size };
}

async function countEntries(reader, limit) {
  let entries = 0;
  for await (const batch of reader.batches()) {
    entries += batch.count;
    if (entries >= limit) break;
  }
  return entries;
}
