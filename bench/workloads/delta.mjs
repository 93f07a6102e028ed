/** Delta layers from sorted input, durable at the end. */
import { statSync } from 'node:fs';
import { openLayer } from '../../dist/layers.js';
import { writeRaw } from '../floors/raw-write.mjs';
import { check } from '../harness/row-context.mjs';
import { scaledShapes, titleOf } from '../inputs/shapes.mjs';
import { ValuePool } from '../inputs/values.mjs';
import { countSqlite, writeSqlite } from '../peers/better-sqlite3.mjs';
import { countLevel, writeLevel } from '../peers/classic-level.mjs';
import { countLmdb, writeLmdb } from '../peers/lmdb.mjs';
import { writeDelta, writeDeltaByValue, writeDeltaDirectly } from '../writers/delta.mjs';

export function groupsOf({ scaled }) {
  return scaledShapes(scaled).map((shape) => ({
    title: `delta: a layer of ${titleOf(shape)}, sorted, durable at the end`,
    fixtures: [`delta-${shape.name}`],
    rows: [
      floorRow(shape),
      layerRow('layerfile putBatch', writeDelta, shape),
      layerRow('layerfile putBatch, direct', writeDeltaDirectly, shape),
      layerRow('layerfile putSerialized', writeDeltaByValue, shape),
      peerRow('lmdb, append mode', 'lmdb', writeLmdb, countLmdb, shape),
      peerRow('classic-level, batches', 'classic-level', writeLevel, countLevel, shape),
      peerRow('better-sqlite3, 1 transaction', 'better-sqlite3', writeSqlite, countSqlite, shape),
    ],
  }));
}

function floorRow({ name, count, length }) {
  return {
    role: 'floor',
    name: 'floor: writes as many bytes',
    shortName: 'floor',
    async measure(context) {
      const { size } = statSync(context.fixture(`delta-${name}`));
      const path = `${context.directory}/raw`;
      await context.time(() => writeRaw(path, size, { durability: 'sync' }));
      check(statSync(path).size, size, 'bytes');
      return { operations: count, bytes: count * length };
    },
  };
}

function layerRow(name, write, { count, length }) {
  return {
    role: 'layerfile',
    name,
    async measure(context) {
      const pool = new ValuePool(length);
      const { path } = await context.time(() => write(context.directory, pool, count));
      check(await countLayer(path), count, 'entries');
      return { operations: count, bytes: count * length };
    },
  };
}

async function countLayer(path) {
  const reader = await openLayer(path);
  let count = 0;
  for await (const batch of reader.batches()) count += batch.count;
  await reader.close();
  return count;
}

function peerRow(name, shortName, write, countEntries, { count, length }) {
  return {
    role: 'peer',
    name,
    shortName,
    async measure(context) {
      const pool = new ValuePool(length);
      const path = `${context.directory}/database`;
      await context.time(() => write(path, pool, count));
      check(await countEntries(path), count, 'entries');
      return { operations: count, bytes: count * length };
    },
  };
}
