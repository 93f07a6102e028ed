/**
 * Changes as they come from a log: batches of 16 into an ephemeral layer, frozen, and written out
 * as a delta layer.
 */
import { statSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { openLayer } from '../../dist/layers.js';
import { readRaw } from '../floors/raw-read.mjs';
import { writeRaw } from '../floors/raw-write.mjs';
import { check } from '../harness/row-context.mjs';
import { keyOfBlock } from '../inputs/keys.mjs';
import { randomNumbers } from '../inputs/random.mjs';
import { SHAPES, titleOf } from '../inputs/shapes.mjs';
import { ValuePool } from '../inputs/values.mjs';
import { createEphemeral, fillEphemeral } from '../writers/ephemeral.mjs';

const [SMALL, LARGE] = SHAPES;
const CASES = [
  { shape: SMALL, order: 'sequential', ends: ['frozen', 'written', 'read'] },
  { shape: SMALL, order: 'random', ends: ['frozen', 'written'] },
  { shape: SMALL, order: '1,024 keys', ends: ['frozen', 'written'] },
  { shape: LARGE, order: 'sequential', ends: ['frozen', 'written'] },
];

const TITLES = {
  frozen: 'frozen, not written out',
  written: 'written out, durable at the end',
  read: 'written out, and a reader beside',
};

export function groupsOf({ scaled }) {
  return CASES.flatMap(({ shape, order, ends }) => {
    const ingest = { ...shape, count: scaled(shape.count), order };
    return ends.map((end) => (end === 'frozen' ? frozenGroup(ingest) : writtenGroup(ingest, end)));
  });
}

function frozenGroup(ingest) {
  const floor = row(ingest, 'floor', 'floor: writes as many bytes, unsynced', floorFrozen);
  return {
    title: titleOfGroup(ingest, 'frozen'),
    rows: [floor, row(ingest, 'layerfile', 'layerfile EphemeralLayer', ingestFrozen)],
  };
}

function writtenGroup(ingest, end) {
  const floor = row(ingest, 'floor', 'floor: writes, reads, writes, syncs', floorWritten);
  const measure = end === 'read' ? ingestBesideReader : ingestWritten;
  return {
    title: titleOfGroup(ingest, end),
    fixtures: [`delta-${ingest.name}`],
    rows: [floor, row(ingest, 'layerfile', 'layerfile EphemeralLayer', measure)],
  };
}

function titleOfGroup(ingest, end) {
  return `ingest: ${titleOf(ingest)}, ${ingest.order}, ${TITLES[end]}`;
}

function row(ingest, role, name, action) {
  const { count, length } = ingest;
  return {
    role,
    name,
    shortName: role,
    async measure(context) {
      const note = await action(context, ingest);
      return { operations: count, bytes: count * length, note };
    },
  };
}

async function floorFrozen(context, { count, length }) {
  const path = `${context.directory}/scratch`;
  await context.time(() => writeRaw(path, count * length, { durability: 'scratch' }));
}

async function floorWritten(context, { name, count, length }) {
  const { size } = statSync(context.fixture(`delta-${name}`));
  const scratch = `${context.directory}/scratch`;
  await context.time(() => {
    writeRaw(scratch, count * length, { durability: 'scratch' });
    readRaw(scratch, 0, count * length);
    writeRaw(`${context.directory}/layer`, size, { durability: 'sync' });
  });
}

async function ingestFrozen(context, { count, length, order }) {
  const pool = new ValuePool(length);
  const layer = await createEphemeral(context.directory);
  await context.time(() => fillEphemeral(layer, { pool, count, order }));
  check(layer.entryCount, count, 'entries');
  await layer.close();
}

async function ingestWritten(context, { count, length, order }) {
  const pool = new ValuePool(length);
  const layer = await createEphemeral(context.directory);
  const { path } = await context.time(async () => {
    await fillEphemeral(layer, { pool, count, order });
    return await layer.writeDelta();
  });
  await layer.close();
  await checkEntries(path, count);
}

/** A reader that gets the newest values of existing keys, one after the other, all the time. */
async function ingestBesideReader(context, { count, length, order }) {
  const pool = new ValuePool(length);
  const layer = await createEphemeral(context.directory);
  const next = randomNumbers(5);
  let writing = true;
  let reads = 0;
  const readAlong = async () => {
    while (writing) {
      await setImmediate();
      if (layer.entryCount === 0) continue;
      const entry = await layer.get(keyOfBlock(next() % layer.entryCount));
      check(entry?.bytes.length, length, 'bytes of a value that is read while others are written');
      reads += 1;
    }
  };
  const { path } = await context.time(async () => {
    const reader = readAlong();
    await fillEphemeral(layer, { pool, count, order, pause: setImmediate });
    const finished = await layer.writeDelta();
    writing = false;
    await reader;
    return finished;
  });
  await layer.close();
  await checkEntries(path, count);
  return `${reads.toLocaleString('en-US')} reads beside it`;
}

async function checkEntries(path, count) {
  const reader = await openLayer(path);
  let entries = 0;
  for await (const batch of reader.batches()) entries += batch.count;
  await reader.close();
  check(entries, count, 'entries');
}
