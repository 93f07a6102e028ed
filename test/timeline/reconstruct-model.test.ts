/**
 * Reads of random timelines against a slow and obvious one. Each has L0s, L1s, both of the same LSNs as after a
 * crash, image layers, ranges of keys and LSNs without a layer, and up to two ancestors. Failures shrink to few
 * values.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatKey, type KeyRange, parseKey } from '../../src/layers/key.ts';
import type { Lsn } from '../../src/layers/lsn.ts';
import { decodeValue, type Value } from '../../src/layers/value-format.ts';
import { LayerFiles } from '../../src/timeline/layer-files.ts';
import { LayerMap } from '../../src/timeline/layer-map/layer-map.ts';
import { imageBytes } from '../../src/timeline/read-page.ts';
import type { Reconstruction } from '../../src/timeline/reconstruct.ts';
import { Timeline } from '../../src/timeline/timeline.ts';
import { IDS, type WrittenLayer, writeDelta, writeImages } from '../support/layers.ts';
import { rounds } from '../support/rounds.ts';
import {
  type ObviousImages,
  ObviousTimeline,
  type ObviousVersion,
  textOf,
} from './obvious-timeline.ts';

const TIMELINES = rounds(100);
const SEED = Number(process.env['LAYERFILE_SEED'] ?? Date.now() % 1_000_000);

/** A key of the model is an index into this list. The last one is the end of all ranges. */
const KEYS = [
  '000000067F0000000500004000000000000A',
  '000000067F0000000500004000000000000B',
  '000000067F0000000500004000000000000C',
  '000000067F00000005000040000100000000',
  // A file of Neon's own: never read from an ancestor.
  '620000000000000000000000000000000000',
  // May be absent, and is read from an ancestor.
  '640000000000000000000000000000000000',
  'FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF',
].map(parseKey);
const KEY_COUNT = KEYS.length - 1;
const NOT_INHERITED = 4;
const LAST_LSN = 12;
const ALL_KEYS: KeyRange = { start: new Uint8Array(18), end: key(KEY_COUNT) };

/** How the values of some LSNs lie in layers: L1s end at the keys `cuts`, L0s at the LSN `middle`. */
interface Segment {
  readonly end: number;
  readonly style: 'l0' | 'l1' | 'both';
  readonly cuts: readonly number[];
  readonly middle: number;
}

interface Branch {
  /** LSN at which it leaves its ancestor, if it has one. */
  readonly lsn: number;
  readonly versions: readonly ObviousVersion[];
  readonly images: readonly ObviousImages[];
  readonly segments: readonly Segment[];
}

const lsn = fc.integer({ min: 1, max: LAST_LSN });
const version: fc.Arbitrary<ObviousVersion> = fc.record({
  key: fc.nat(KEY_COUNT - 1),
  lsn,
  kind: fc.constantFrom('record', 'record', 'first-record', 'image'),
});
const images: fc.Arbitrary<ObviousImages> = fc
  .tuple(lsn, fc.nat(KEY_COUNT - 1), fc.integer({ min: 1, max: KEY_COUNT }))
  .map(([lsn, keyStart, count]) => {
    return { lsn, keyStart, keyEnd: Math.min(KEY_COUNT, keyStart + count) };
  });
const segment: fc.Arbitrary<Segment> = fc.record({
  end: fc.integer({ min: 2, max: LAST_LSN }),
  style: fc.constantFrom('l0', 'l1', 'both'),
  cuts: fc.subarray([1, 2, 3, 4, 5]),
  middle: lsn,
});
const branch: fc.Arbitrary<Branch> = fc.record({
  lsn: fc.nat(LAST_LSN),
  versions: fc.uniqueArray(version, { selector: nameOf, maxLength: 24 }),
  images: fc.uniqueArray(images, { selector: (one) => JSON.stringify(one), maxLength: 3 }),
  segments: fc.uniqueArray(segment, { selector: ({ end }) => end, minLength: 1, maxLength: 4 }),
});

describe(`${TIMELINES} random timelines, seed ${SEED}`, () => {
  test('each key at each LSN has the page, the base and the records of a slow timeline', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(branch, { minLength: 1, maxLength: 3 }), async (branches) => {
        const { model, timeline } = await timelinesOf(branches);
        await using opened = timeline;
        const keys = KEYS.slice(0, KEY_COUNT);
        for (let at = 1; at <= LAST_LSN; at += 1) {
          const expected = keys.map((_, number) => expectedOf(model, number, at));
          const found = await opened.reconstructMany(keys, BigInt(at));
          expect(found.map(describeFound)).toEqual(expected);
          const some = await opened.reconstructRanges([ALL_KEYS], BigInt(at));
          expect(some.found.map(describeFound)).toEqual(expected.filter(hasPage));
          const [one] = found;
          expect(await opened.reconstruct(key(0), BigInt(at))).toEqual(one);
        }
      }),
      { seed: SEED, numRuns: TIMELINES },
    );
  });
});

function expectedOf(model: ObviousTimeline, number: number, at: number) {
  const page = model.pageOf(number, at);
  return { key: formatKey(key(number)), page, parts: model.partsOf(number, at) };
}

function describeFound({ key, base, records, outcome, ...found }: Reconstruction) {
  const name = formatKey(key);
  if (outcome === 'missing') return { key: name, page: undefined, parts: undefined };
  expect(outcome).toBe('complete');
  const image = base && imageBytes({ key, base, records, outcome, ...found });
  const texts = [image, ...records.map(({ bytes }) => contentOf(decodeValue(bytes)))];
  const page = texts.map((bytes) => (bytes === undefined ? '' : Buffer.from(bytes))).join('');
  const parts = {
    base: base && Number(base.lsn),
    records: records.map((record) => Number(record.lsn)),
  };
  return { key: name, page, parts };
}

function hasPage({ page }: { readonly page: string | undefined }): boolean {
  return page !== undefined;
}

interface Pair {
  readonly model: ObviousTimeline;
  readonly timeline: Timeline;
}

/** The last of the branches; each is the ancestor of the next. */
async function timelinesOf(branches: readonly Branch[]): Promise<Pair> {
  let last: Pair | undefined;
  let branchLsn = 0;
  for (const given of branches) {
    const ancestor = last;
    if (ancestor !== undefined) branchLsn = Math.max(branchLsn, given.lsn);
    last = await timelineOf(given, { ancestor, branchLsn });
  }
  return last as Pair;
}

async function timelineOf(
  { versions: given, images: givenImages, segments }: Branch,
  { ancestor, branchLsn }: { readonly ancestor: Pair | undefined; readonly branchLsn: number },
): Promise<Pair> {
  const above = ancestor && { timeline: ancestor.model, lsn: branchLsn };
  const isInherited = (number: number): boolean => number !== NOT_INHERITED;
  const versions: ObviousVersion[] = [];
  const ownImages = givenImages.filter((one) => one.lsn > branchLsn);
  const model = new ObviousTimeline({
    versions,
    images: ownImages,
    ancestor: above,
    isInherited,
  });
  const ascending = given
    .filter((one) => one.lsn > branchLsn)
    .sort((left, right) => left.key - right.key || left.lsn - right.lsn);
  for (const one of ascending) {
    // Postgres never logs a change of a page that is not there.
    const isFirst = model.pageOf(one.key, one.lsn) === undefined;
    versions.push(isFirst && one.kind === 'record' ? { ...one, kind: 'first-record' } : one);
  }
  const written = [
    ...(await deltasOf(versions, segments, branchLsn)),
    ...(await imageLayersOf(model, ownImages)),
  ];
  return { model, timeline: timelineFrom(written, { ancestor, branchLsn }) };
}

async function deltasOf(
  versions: readonly ObviousVersion[],
  segments: readonly Segment[],
  branchLsn: number,
): Promise<WrittenLayer[]> {
  const written: WrittenLayer[] = [];
  const write = async (keys: KeyRange, start: number, end: number): Promise<void> => {
    const inside = versions.filter(({ lsn, key: number }) => {
      const name = formatKey(key(number));
      const isInside = formatKey(keys.start) <= name && name < formatKey(keys.end);
      return isInside && start <= lsn && lsn < end;
    });
    if (inside.length === 0) return;
    const entries = inside.map((one) => {
      return { key: key(one.key), lsn: BigInt(one.lsn), value: valueMadeOf(one) };
    });
    const lsnRange = { start: BigInt(start), end: BigInt(end) };
    written.push(await writeDelta(entries, { keyRange: keys, lsnRange }));
  };
  const ordered = segments.toSorted((left, right) => left.end - right.end);
  const last = { ...(ordered.at(-1) as Segment), end: LAST_LSN + 1 };
  let start = branchLsn + 1;
  for (const { end, style, cuts, middle } of [...ordered, last]) {
    if (end <= start) continue;
    if (style !== 'l1') {
      const cut = Math.min(Math.max(middle, start), end);
      await write(ALL_KEYS, start, cut);
      await write(ALL_KEYS, cut, end);
    }
    if (style !== 'l0') {
      const ends = [...cuts, KEY_COUNT];
      for (const [index, keyEnd] of ends.entries()) {
        await write({ start: key(ends[index - 1] ?? 0), end: key(keyEnd) }, start, end);
      }
    }
    start = end;
  }
  return written;
}

async function imageLayersOf(
  model: ObviousTimeline,
  images: readonly ObviousImages[],
): Promise<WrittenLayer[]> {
  const written: WrittenLayer[] = [];
  for (const { lsn, keyStart, keyEnd } of images) {
    const entries = [];
    for (let number = keyStart; number < keyEnd; number += 1) {
      const page = model.pageOf(number, lsn);
      if (page !== undefined) entries.push({ key: key(number), image: Buffer.from(page) });
    }
    if (entries.length === 0) continue;
    const keyRange = { start: key(keyStart), end: key(keyEnd) };
    written.push(await writeImages(entries, { keyRange, lsn: BigInt(lsn) }));
  }
  return written;
}

function timelineFrom(
  written: readonly WrittenLayer[],
  { ancestor, branchLsn }: { readonly ancestor: Pair | undefined; readonly branchLsn: number },
): Timeline {
  const places = new Map(
    written.map(({ finished: { name }, bytes }) => [
      name,
      { path: name, size: bytes.length, input: async () => bytes },
    ]),
  );
  const { timelineId, tenantId } = IDS;
  return new Timeline({
    facts: {
      timelineId,
      tenantId,
      shard: undefined,
      ancestor: ancestor && { timelineId, lsn: BigInt(branchLsn) },
      diskConsistentLsn: BigInt(LAST_LSN) as Lsn,
      latestGcCutoffLsn: undefined,
      pgVersion: undefined,
      relationsMovedAt: undefined,
    },
    map: LayerMap.fromNames(places.keys()),
    files: new LayerFiles(places, { readOptions: {}, tenantId, maximumIdle: 64 }),
    openAncestor: async () => (ancestor as Pair).timeline,
    maximumBytes: 1024 * 1024,
  });
}

function valueMadeOf(version: ObviousVersion): Value {
  const bytes = Buffer.from(textOf(version));
  if (version.kind === 'image') return { type: 'image', bytes };
  return { type: 'wal', willInit: version.kind === 'first-record', bytes };
}

function contentOf(value: Value): Uint8Array {
  if (value.type !== 'wal') throw new Error(`a record of Postgres, not ${value.type}`);
  return value.bytes;
}

function key(number: number): Uint8Array {
  return KEYS[number] as Uint8Array;
}

function nameOf(version: ObviousVersion): string {
  return `${version.key} ${version.lsn}`;
}
