/**
 * Lookups of single values at random, from the page cache. Warm: all of them were made once before, so
 * that the caches of every store hold what they can hold.
 */
import { check } from '../harness/row-context.mjs';
import { keysOf, randomEntries } from '../inputs/lookups.mjs';
import { SHAPES, titleOf } from '../inputs/shapes.mjs';
import { ValuePool } from '../inputs/values.mjs';
import { openLevelStore, openLmdbStore } from '../stores/database-stores.mjs';
import { openLayerStore, openSyncLayerStore } from '../stores/layer-store.mjs';
import { openRawStore } from '../stores/raw-store.mjs';
import { openRecordedStore } from '../stores/recorded-store.mjs';

const LOOKUPS = 200_000;
const COLD_LOOKUPS = 20_000;
const GROUP_SIZE = 32;
const [SMALL, LARGE] = SHAPES;

const FLOOR = { role: 'floor', name: 'floor: preads of the values', shortName: 'floor' };
const LMDB = { role: 'peer', name: 'lmdb', shortName: 'lmdb', database: 'lmdb' };
const LEVEL = {
  role: 'peer',
  name: 'classic-level',
  shortName: 'classic-level',
  database: 'level',
};

export function groupsOf({ scaled }) {
  const warm = { lookupCount: scaled(LOOKUPS), isWarm: true };
  const cold = { lookupCount: scaled(COLD_LOOKUPS), isWarm: false };
  const small = { ...SMALL, count: scaled(SMALL.count) };
  const large = { ...LARGE, count: scaled(LARGE.count) };
  return [
    group('one at a time', small, warm, lookUpOneByOne, [
      { ...FLOOR, open: openRawStore },
      { role: 'layerfile', name: 'layerfile get', open: openLayerStore },
      { role: 'layerfile', name: "layerfile get, readMode: 'sync'", open: openSyncLayerStore },
      { ...LMDB, name: 'lmdb, synchronous', open: openLmdbStore },
      { ...LEVEL, open: openLevelStore },
    ]),
    ...[small, large].map((shape) =>
      group('synchronously', shape, warm, lookUpSynchronously, [
        { ...FLOOR, open: openRawStore },
        { role: 'layerfile', name: 'layerfile getSync', open: openSyncLayerStore },
        { ...LMDB, open: openLmdbStore },
        { ...LEVEL, open: openLevelStore },
      ]),
    ),
    ...[small, large].map((shape) =>
      group(`${GROUP_SIZE} concurrent`, shape, warm, lookUpConcurrently, [
        { ...FLOOR, open: openRawStore },
        { role: 'layerfile', name: 'layerfile get', open: openLayerStore },
        { ...LEVEL, open: openLevelStore },
      ]),
    ),
    group(`${GROUP_SIZE} a call`, small, warm, lookUpMany, [
      { ...FLOOR, name: 'floor: preads of the values, concurrent', open: openRawStore },
      { role: 'layerfile', name: 'layerfile getMany', open: openLayerStore },
      { role: 'layerfile', name: "layerfile getMany, readMode: 'sync'", open: openSyncLayerStore },
      { ...LMDB, name: 'lmdb getMany', open: openLmdbStore },
      { ...LEVEL, name: 'classic-level getMany', open: openLevelStore },
    ]),
    group('each with an empty block cache', small, cold, lookUpCold, [
      { ...FLOOR, name: 'floor: preads of blocks and values', open: openRecordedStore },
      { role: 'layerfile', name: 'layerfile get', open: openLayerStore },
    ]),
  ];
}

function group(how, shape, size, lookUp, rows) {
  const fixtureOf = ({ database = 'delta' }) => `${database}-${shape.name}`;
  return {
    title: `points: ${size.lookupCount.toLocaleString('en-US')} of ${titleOf(shape)}, ${how}`,
    fixtures: [...new Set(rows.map(fixtureOf))],
    rows: rows.map(({ open, ...row }) => ({
      ...row,
      measure: (context) =>
        measure(context, { open, fixture: fixtureOf(row), shape, size, lookUp }),
    })),
  };
}

async function measure(context, { open, fixture, shape, size, lookUp }) {
  const { length, count } = shape;
  const pool = new ValuePool(length);
  const entries = randomEntries(size.lookupCount, count);
  const store = await open(context.fixture(fixture), { entries, keys: keysOf(entries), pool });
  if (size.isWarm) await lookUp(store, entries.length, new Findings({ entries, pool }));
  const found = new Findings({ entries, pool });
  await context.time(() => lookUp(store, entries.length, found));
  check(found.count, entries.length, 'values found');
  await store.close();
  return { operations: entries.length, bytes: entries.length * length };
}

/** Checks the length of every value, and the content of some. */
class Findings {
  count = 0;
  #entries;
  #pool;

  constructor({ entries, pool }) {
    this.#entries = entries;
    this.#pool = pool;
  }

  add(bytes, at) {
    if (bytes.length !== this.#pool.length) return;
    this.count += 1;
    if (at % 1024 !== 0) return;
    check(Buffer.compare(bytes, this.#pool.at(this.#entries[at])), 0, `content of lookup ${at}`);
  }
}

async function lookUpOneByOne(store, count, found) {
  for (let at = 0; at < count; at += 1) found.add(await store.get(at), at);
}

function lookUpSynchronously(store, count, found) {
  for (let at = 0; at < count; at += 1) found.add(store.getSync(at), at);
}

async function lookUpCold(store, count, found) {
  for (let at = 0; at < count; at += 1) found.add(await store.getCold(at), at);
}

async function lookUpConcurrently(store, count, found) {
  for (let first = 0; first < count; first += GROUP_SIZE) {
    const lookups = [];
    const end = Math.min(count, first + GROUP_SIZE);
    for (let at = first; at < end; at += 1) lookups.push(store.get(at));
    addAll(await Promise.all(lookups), first, found);
  }
}

async function lookUpMany(store, count, found) {
  for (let first = 0; first < count; first += GROUP_SIZE) {
    const end = Math.min(count, first + GROUP_SIZE);
    addAll(await store.getMany(first, end), first, found);
  }
}

function addAll(values, first, found) {
  for (const [at, bytes] of values.entries()) found.add(bytes, first + at);
}
