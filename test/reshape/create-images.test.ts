/** Image layers of a timeline: what they have, what they leave out, and that every read finds the same. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../src/layers/image-layer/writer.ts';
import { formatKey, type Key, type KeyRange, keyFromFields } from '../../src/layers/key.ts';
import type { LsnRange } from '../../src/layers/lsn.ts';
import type { Value } from '../../src/layers/value-format.ts';
import {
  type CompactTimelineOptions,
  compactTimeline,
  planCompaction,
} from '../../src/reshape/compact-timeline.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import type { Timeline } from '../../src/timeline/timeline.ts';
import {
  blockKey,
  DIRECTORY,
  hex,
  IDS,
  type MemoryDisk,
  memoryDisk,
  noise,
} from '../support/layers.ts';
import { MemoryOutput, memoryTimeline } from '../support/memory-output.ts';
import { EVERYTHING } from '../support/random-layers.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const RUNS = Number(process.env['LAYERFILE_RESHAPE_RUNS'] ?? rounds(8));
const LAST = 80n;

/** Keys 0 to 11 are pages; the others are sparse. */
const PAGES = 12;
const KEYS = 16;

function keyAt(number: number): Key {
  if (number < PAGES) return blockKey(number);
  const [field1, field6] = [0x62, number - PAGES];
  return keyFromFields({ field1, field2: 0, field3: 0, field4: 0, field5: 0, field6 });
}

/** From a key to just before another. */
function keysFrom(from: number, to: number): KeyRange {
  const end = to >= KEYS ? keyFromFields({ ...ZERO, field1: 0x7f }) : keyAt(to);
  return { start: keyAt(from), end };
}

const ZERO = { field2: 0, field3: 0, field4: 0, field5: 0, field6: 0 };

interface Entry {
  readonly key: number;
  readonly lsn: bigint;
  readonly kind: 'image' | 'record' | 'removed';
}

function valueAt({ key, lsn, kind }: Entry): Value {
  const bytes = noise(40 + key, key * 1000 + Number(lsn));
  if (kind === 'record' && key < PAGES) return { type: 'wal', willInit: false, bytes };
  const isRemoved = kind === 'removed' && key >= PAGES;
  return { type: 'image', bytes: isRemoved ? new Uint8Array(0) : bytes };
}

/** Bytes of an empty image in a delta layer. */
const EMPTY_IMAGE = 12;

interface Layer {
  readonly range: KeyRange;
  readonly lsns: LsnRange | bigint;
  readonly entries: readonly Entry[];
}

async function write(disk: MemoryDisk, { range: keyRange, lsns, entries }: Layer): Promise<string> {
  const options = { directory: DIRECTORY, ...IDS, openFiles: disk.openFiles, keyRange };
  if (typeof lsns === 'bigint') {
    await using writer = await ImageLayerWriter.create({ ...options, lsn: lsns });
    for (const entry of entries) {
      const { bytes } = valueAt({ ...entry, kind: 'image' }) as { bytes: Uint8Array };
      await writer.put(keyAt(entry.key), bytes);
    }
    return nameOf((await writer.finish()).path);
  }
  await using writer = await DeltaLayerWriter.create({ ...options, lsnRange: lsns });
  for (const entry of entries) await writer.put(keyAt(entry.key), entry.lsn, valueAt(entry));
  return nameOf((await writer.finish()).path);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

async function written(disk: MemoryDisk, layers: readonly Layer[]): Promise<string[]> {
  const names: string[] = [];
  for (const layer of layers) names.push(await write(disk, layer));
  return names;
}

/** What reads of all keys find at each LSN; a sparse key that was removed is missing. */
async function reads(timeline: Timeline, lsns: readonly bigint[]): Promise<string[]> {
  const keys = Array.from({ length: KEYS }, (_, number) => keyAt(number));
  const lines: string[] = [];
  for (const lsn of lsns) {
    for (const found of await timeline.reconstructMany(keys, lsn)) {
      const bytes = [found.base, ...found.records].map((entry) => contentOf(entry));
      const isRemoved =
        found.base?.bytes.length === EMPTY_IMAGE && found.base.layerKind === 'delta';
      const isMissing = isRemoved && (found.key[0] as number) >= 0x60;
      const outcome = isMissing ? 'missing ' : `${found.outcome} ${bytes.join(' ')}`;
      lines.push(`${formatKey(found.key)} at ${lsn}: ${outcome}`);
    }
  }
  return lines;
}

/** Without the header that a value has in a delta layer: an image is the same in both. */
function contentOf(entry: { layerKind: string; type: string; bytes: Uint8Array } | undefined) {
  if (entry === undefined) return '';
  if (entry.layerKind === 'image') return hex(entry.bytes);
  const { bytes } = entry;
  return entry.type === 'image' ? hex(bytes.subarray(EMPTY_IMAGE)) : hex(bytes);
}

const LSNS = Array.from({ length: 8 }, (_, step) => 13n + BigInt(step) * 9n).concat(LAST);

interface Compacted {
  readonly after: Timeline;
  readonly result: Awaited<ReturnType<typeof compactTimeline>>;
}

async function compacted(
  disk: MemoryDisk,
  timeline: Timeline,
  options: Partial<CompactTimelineOptions>,
  facts: Partial<Parameters<typeof memoryTimeline>[2]> = {},
): Promise<Compacted> {
  const output = new MemoryOutput(disk);
  const isStored = async (): Promise<boolean> => true;
  const { openFiles } = disk;
  const result = await compactTimeline(timeline, { output, isStored, openFiles, ...options });
  const index = output.index ?? timeline.stored?.index;
  if (!(index instanceof IndexPart)) throw new Error('no index');
  return { after: memoryTimeline(disk, index, { lastLsn: LAST, ...facts }), result };
}

const kinds = fc.constantFrom<Entry['kind']>('image', 'image', 'image', 'record', 'removed');

/** Entries of LSNs from `from` to `to`, by key and LSN. */
function entriesIn(from: number, to: number, keys: { min: number; max: number }) {
  const entry = fc.record({
    key: fc.integer(keys),
    lsn: fc.bigInt({ min: BigInt(from), max: BigInt(to - 1) }),
    kind: kinds,
  });
  const selector = ({ key, lsn }: Entry): string => `${key} ${lsn}`;
  return fc
    .uniqueArray(entry, { selector, minLength: 1, maxLength: 14 })
    .map((entries) =>
      entries.sort((one, other) => one.key - other.key || Number(one.lsn - other.lsn)),
    );
}

/** Between two LSNs: nothing, an L0, or adjacent L1s; and maybe images at their end. */
function slab(from: number, to: number): fc.Arbitrary<Layer[]> {
  const lsns = { start: BigInt(from), end: BigInt(to) };
  const all = { min: 0, max: KEYS - 1 };
  const level0 = entriesIn(from, to, all).map((entries) => [{ range: EVERYTHING, lsns, entries }]);
  const level1 = fc.integer({ min: 1, max: KEYS - 1 }).chain((cut) =>
    fc
      .tuple(
        entriesIn(from, to, { min: 0, max: cut - 1 }),
        entriesIn(from, to, { min: cut, max: KEYS - 1 }),
      )
      .map(([low, high]) => [
        { range: keysFrom(0, cut), lsns, entries: low },
        { range: keysFrom(cut, KEYS), lsns, entries: high },
      ]),
  );
  const images = fc
    .record({
      cut: fc.integer({ min: 0, max: PAGES - 4 }),
      length: fc.integer({ min: 1, max: 4 }),
    })
    .map(({ cut, length }) => [
      {
        range: keysFrom(cut, cut + length),
        lsns: BigInt(to),
        // All keys that may have a value, as an image layer must.
        entries: Array.from({ length }, (_, at): Entry => {
          return { key: cut + at, lsn: BigInt(to), kind: 'image' };
        }),
      },
    ]);
  return fc
    .tuple(fc.oneof(level0, level1), fc.option(images, { nil: [] }))
    .map(([deltas, more]): Layer[] => [...deltas, ...more]);
}

const timelines = fc
  .tuple(slab(10, 20), slab(20, 30), slab(30, 44), slab(44, 60), slab(60, 78))
  .map((slabs) => slabs.flat());

describe('images of a random timeline', () => {
  test('images of a random timeline leave every read of every key at every LSN as it was', async () => {
    let made = 0;
    await fc.assert(
      fc.asyncProperty(
        timelines,
        fc.bigInt({ min: 12n, max: LAST }),
        fc.constantFrom(1, 2, 3),
        fc.constantFrom(1, 3),
        fc.constantFrom(1, 3),
        async (layers, lsn, threshold, minimumRun, level0Threshold) => {
          const disk = memoryDisk();
          const names = await written(disk, layers);
          await using timeline = memoryTimeline(disk, names, { lastLsn: LAST });
          const before = await reads(timeline, LSNS);
          // Small targets: several parts, several batches, and layers that are cut.
          const images = {
            lsn,
            threshold,
            sparseThreshold: threshold,
            minimumRun,
            targetSize: 9000,
          };
          const { after, result } = await compacted(disk, timeline, {
            ...{ images, threshold: level0Threshold, concurrency: 3 },
          });
          await using _after = after;
          expect(await reads(after, LSNS)).toEqual(before);
          made += result.images?.images ?? 0;
        },
      ),
      // The random timelines may be ones that need no images; this one needs them.
      { numRuns: RUNS, examples: [[stacked(() => 'image'), LAST, 3, 1, 3]] },
    );
    expect(made).toBeGreaterThanOrEqual(PAGES);
  });
});

const PAGE_RANGE = { start: keyAt(0), end: blockKey(PAGES) };

/** Four deltas over the pages: each has some of the keys. */
function stacked(kindOf: (key: number) => Entry['kind'], keys = PAGES): Layer[] {
  return [10, 20, 30, 40].map((from) => ({
    range: { start: keyAt(0), end: blockKey(keys) },
    lsns: { start: BigInt(from), end: BigInt(from + 10) },
    entries: Array.from({ length: keys }, (_, key): Entry => {
      return { key, lsn: BigInt(from + 5), kind: from === 40 ? kindOf(key) : 'image' };
    }),
  }));
}

function imagesOf({ result }: Compacted): string[] {
  return result.layers
    .filter(({ path }) => /__[0-9A-F]{16}$/.test(path))
    .map(
      ({ path, entryCount }) =>
        `${nameOf(path)
          .slice(0, 73)
          .replace(/0{6}(?=\d)/g, '')} ${entryCount}`,
    );
}

describe('images', () => {
  test('images are made from three deltas on, at the last LSN, up to the ends of the range', async () => {
    const disk = memoryDisk();
    const names = await written(
      disk,
      stacked(() => 'image'),
    );
    await using timeline = memoryTimeline(disk, names, { lastLsn: LAST });
    const done = await compacted(disk, timeline, { images: {} });
    await using after = done.after;
    expect(done.result.images).toEqual({ lsn: LAST, images: PAGES, needsRedo: 0, leftOut: 0 });
    expect(done.result.layers.map(({ path }) => nameOf(path))).toEqual([
      `${formatKey(keyAt(0))}-${formatKey(blockKey(PAGES))}__0000000000000050`,
    ]);
    const [found] = await after.reconstructMany([keyAt(3)], LAST);
    expect(found?.visits.map(({ layer }) => layer)).toHaveLength(1);
    // A second run finds nothing to do.
    const again = await compacted(disk, after, { images: {}, output: new MemoryOutput(disk) });
    expect(again.result.indexPath).toBeUndefined();
  });

  test('images are not made of two deltas, nor where images are newer', async () => {
    const disk = memoryDisk();
    const layers = stacked(() => 'image');
    const two = await written(disk, layers.slice(0, 2));
    await using few = memoryTimeline(disk, two, { lastLsn: LAST });
    expect((await compacted(disk, few, { images: {} })).result.layers).toEqual([]);
    const entries = Array.from(
      { length: PAGES },
      (_, key): Entry => ({ key, lsn: 40n, kind: 'image' }),
    );
    const rest = await written(disk, [
      ...layers.slice(2),
      { range: PAGE_RANGE, lsns: 39n, entries },
    ]);
    await using covered = memoryTimeline(disk, [...two, ...rest], { lastLsn: LAST });
    expect((await compacted(disk, covered, { images: {} })).result.layers).toEqual([]);
  });

  test('images leave out a key that needs redo, in the range of no layer', async () => {
    const disk = memoryDisk();
    const names = await written(
      disk,
      stacked((key) => (key === 5 ? 'record' : 'image')),
    );
    await using timeline = memoryTimeline(disk, names, { lastLsn: LAST });
    const done = await compacted(disk, timeline, { images: { minimumRun: 2 } });
    await using after = done.after;
    expect(done.result.images).toMatchObject({ images: 11, needsRedo: 1, leftOut: 0 });
    expect(done.result.layers.map(({ path }) => nameOf(path).slice(0, 73))).toEqual([
      `${formatKey(keyAt(0))}-${formatKey(keyAt(5))}`,
      `${formatKey(keyAt(6))}-${formatKey(blockKey(PAGES))}`,
    ]);
    expect(await reads(after, LSNS)).toEqual(await reads(timeline, LSNS));
  });

  test('images leave out a key with a record that cannot be read, which is reported, and the others are made', async () => {
    const disk = memoryDisk();
    const names = await written(
      disk,
      stacked((key) => (key === 5 ? 'record' : 'image')),
    );
    // With a version of Postgres, noise is no record.
    const facts = { lastLsn: LAST, pgVersion: 16 };
    await using timeline = memoryTimeline(disk, names, facts);
    const unreadable: string[] = [];
    const done = await compacted(
      disk,
      timeline,
      {
        images: { minimumRun: 2 },
        onUnreadable: ({ code, key }) => unreadable.push(`${code} ${key}`),
      },
      facts,
    );
    await using after = done.after;
    expect(unreadable).toEqual([expect.stringMatching(`^[a-z-]+ ${formatKey(keyAt(5))}$`)]);
    expect(done.result.images).toMatchObject({ images: 11, needsRedo: 1, leftOut: 0 });
    expect(imagesOf(done)).toHaveLength(2);
    expect(await reads(after, LSNS)).toEqual(await reads(timeline, LSNS));
  });

  test('images are made as planned, without a second plan', async () => {
    const disk = memoryDisk();
    const names = await written(
      disk,
      stacked(() => 'image'),
    );
    await using timeline = memoryTimeline(disk, names, { lastLsn: LAST });
    const plan = planCompaction(timeline, { images: {} });
    expect(plan.imageRanges).toHaveLength(1);
    const nothing = { ...plan, imageRanges: [] };
    expect((await compacted(disk, timeline, { images: {}, plan: nothing })).result.layers).toEqual(
      [],
    );
    const done = await compacted(disk, timeline, { images: {}, plan });
    await using after = done.after;
    expect(done.result.images).toMatchObject({ images: 12 });
    expect(await reads(after, LSNS)).toEqual(await reads(timeline, LSNS));
  });

  test('images between two keys that need redo are left out if there are few', async () => {
    const disk = memoryDisk();
    const isRecord = (key: number): boolean => key === 3 || key === 6;
    const names = await written(
      disk,
      stacked((key) => (isRecord(key) ? 'record' : 'image')),
    );
    await using timeline = memoryTimeline(disk, names, { lastLsn: LAST });
    const done = await compacted(disk, timeline, { images: { minimumRun: 3 } });
    await using after = done.after;
    expect(done.result.images).toMatchObject({ images: 8, needsRedo: 2, leftOut: 2 });
    expect(imagesOf(done)).toHaveLength(2);
    expect(await reads(after, LSNS)).toEqual(await reads(timeline, LSNS));
  });

  test('images of a branch have what only its ancestor has', async () => {
    const disk = memoryDisk();
    const entries = Array.from(
      { length: PAGES },
      (_, key): Entry => ({ key, lsn: 9n, kind: 'image' }),
    );
    const below = await written(disk, [{ range: PAGE_RANGE, lsns: 9n, entries }]);
    const some = stacked(() => 'image').map((layer) => ({
      ...layer,
      entries: layer.entries.filter(({ key }) => key % 3 === 0),
    }));
    const names = await written(disk, some);
    const parent = memoryTimeline(disk, below, { lastLsn: 9n });
    const ancestor = { timelineId: 'ab'.repeat(16), lsn: 9n };
    await using timeline = memoryTimeline(disk, names, { lastLsn: LAST, parent, ancestor });
    const before = await reads(timeline, LSNS);
    const done = await compacted(disk, timeline, { images: {} }, { parent, ancestor });
    expect(done.result.images).toMatchObject({ images: PAGES });
    expect(await reads(done.after, LSNS)).toEqual(before);
    const early = compacted(disk, timeline, { images: { lsn: 8n } });
    expect(await storageErrorOf(early)).toMatchObject({ code: 'out-of-range' });
  });

  test('images of a batch that has more than expected are read in parts', async () => {
    const disk = memoryDisk();
    const names = await written(
      disk,
      stacked(() => 'image'),
    );
    const bytes = 3000;
    await using timeline = memoryTimeline(disk, names, { lastLsn: LAST, maximumBytes: bytes });
    const done = await compacted(disk, timeline, { images: {} }, { maximumBytes: bytes });
    expect(done.result.images?.images).toBe(PAGES);
  });

  test.each([
    ['LSN above the last', { lsn: LAST + 1n }, 'out-of-range'],
    ['LSN of 0', { lsn: 0n }, 'out-of-range'],
    ['threshold of 0', { threshold: 0 }, 'invalid-input'],
    ['wrong name', { treshold: 1 } as object, 'invalid-input'],
  ])('images with a %s are refused', async (_, images, code) => {
    const disk = memoryDisk();
    const names = await written(
      disk,
      stacked(() => 'image'),
    );
    await using timeline = memoryTimeline(disk, names, { lastLsn: LAST });
    expect(await storageErrorOf(compacted(disk, timeline, { images }))).toMatchObject({ code });
  });

  test('images below the GC cutoff are refused', async () => {
    const disk = memoryDisk();
    const names = await written(
      disk,
      stacked(() => 'image'),
    );
    await using timeline = memoryTimeline(disk, names, { lastLsn: LAST, latestGcCutoffLsn: 40n });
    const early = compacted(disk, timeline, { images: { lsn: 39n } });
    expect(await storageErrorOf(early)).toMatchObject({ code: 'out-of-range' });
  });
});
