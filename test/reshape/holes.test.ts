import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { type Key, type KeyRange, keyFromFields, nextKey } from '../../src/layers/key.ts';
import { formatLayerName } from '../../src/layers/layer-name.ts';
import { MAXIMUM_LSN } from '../../src/layers/lsn.ts';
import { findHoles } from '../../src/reshape/holes.ts';
import { MergeRanges } from '../../src/reshape/merge-ranges.ts';
import { LayerMap } from '../../src/timeline/layer-map/layer-map.ts';
import { countingSource } from '../support/blobs.ts';
import { hex, writeDelta } from '../support/layers.ts';
import { EVERYTHING } from '../support/random-layers.ts';
import { rounds } from '../support/rounds.ts';

const MINIMUM_KEYS = 64;
/** Of a relation. */
const PLACES = 1000;

function keyOf(place: number): Key {
  return blockOf(1000 + Math.floor(place / PLACES), place % PLACES);
}

function blockOf(field4: number, field6: number): Key {
  return keyFromFields({ field1: 0, field2: 1663, field3: 5, field4, field5: 0, field6 });
}

/** A layer whose keys are at these places. */
async function layerOf(
  places: readonly number[],
  number: number,
  key = keyOf,
): Promise<Uint8Array> {
  const lsnRange = { start: BigInt(number + 1) * 16n, end: BigInt(number + 2) * 16n };
  const entries = [...new Set(places)]
    .sort((one, other) => one - other)
    .map((place) => ({
      key: key(place),
      lsn: lsnRange.start,
      value: { type: 'wal', willInit: false, bytes: new Uint8Array(4) } as const,
    }));
  return (await writeDelta(entries, { keyRange: EVERYTHING, lsnRange })).bytes;
}

/** Images of every tenth key, so that a gap of some length is covered by many. */
function mapOfImages(): LayerMap {
  const names = Array.from({ length: (6 * PLACES) / 10 }, (_, index) => {
    const start = keyOf(index * 10);
    const keyRange = { start, end: nextKey(start) };
    return formatLayerName({ kind: 'image', keyRange, lsn: 8n, generation: undefined });
  });
  return LayerMap.fromNames(names);
}

/** What the rules say, of all keys together. */
function expectedHoles(layers: readonly (readonly number[])[], map: LayerMap): KeyRange[] {
  const places = [...new Set(layers.flat())].sort((one, other) => one - other);
  return places
    .slice(1)
    .map((place, index) => ({ from: places[index] as number, to: place }))
    .filter(({ from, to }) => {
      const areNeighbours = Math.floor(from / PLACES) === Math.floor(to / PLACES);
      return !areNeighbours || to - from > MINIMUM_KEYS;
    })
    .map(({ from, to }) => ({ start: nextKey(keyOf(from)), end: keyOf(to) }))
    .map((gap) => ({ gap, parts: map.imageCoverage(gap, MAXIMUM_LSN).length }))
    .filter(({ parts }) => parts >= 3)
    .sort((one, other) => other.parts - one.parts)
    .slice(0, layers.length)
    .map(({ gap }) => gap)
    .sort((one, other) => Buffer.compare(one.start, other.start));
}

const hexOf = (holes: readonly KeyRange[]) => holes.map(({ start, end }) => [hex(start), hex(end)]);

test('the holes are those with the most parts among the gaps between the keys of all layers', async () => {
  const map = mapOfImages();
  // Runs of neighbouring keys, which fill leaves, and keys that stand alone.
  const run = fc.tuple(fc.nat(5900), fc.nat(900), fc.integer({ min: 1, max: 3 }));
  const places = fc.array(run, { minLength: 1, maxLength: 8 }).map((runs) =>
    runs.flatMap(([first, count, step]) => {
      return Array.from({ length: count + 1 }, (_, index) => Math.min(first + index * step, 5999));
    }),
  );
  let found = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(places, { minLength: 1, maxLength: 4 }), async (layers) => {
      const contents = await Promise.all(layers.map((own, number) => layerOf(own, number)));
      const readers = await Promise.all(
        contents.map((bytes) => DeltaLayerReader.open(bytesSource(bytes))),
      );
      const ranges = new MergeRanges(readers, 1 << 20);
      const search = { readers, map, minimumKeys: MINIMUM_KEYS, lsn: MAXIMUM_LSN, ranges };
      const holes = await findHoles(search);
      expect(hexOf(holes)).toEqual(hexOf(expectedHoles(layers, map)));
      found += holes.length;
    }),
    {
      numRuns: rounds(12),
      examples: [
        [
          [
            [0, 1, 500, 501],
            [0, 400],
          ],
        ],
      ],
    },
  );
  expect(found).toBeGreaterThan(0);
});

test('a leaf between whose first key and that of the next leaf no hole fits is not read', async () => {
  const blocks = Array.from({ length: 10_000 }, (_, block) => block);
  const bytes = await layerOf(blocks, 0, (block) => blockOf(1000, block));
  const source = countingSource(bytes);
  const reader = await DeltaLayerReader.open(source, { blockCache: null });
  const { indexRootBlock } = reader.summary;
  expect(indexRootBlock).toBeGreaterThan(15);
  const before = source.reads.length;
  const ranges = new MergeRanges([reader], 1 << 30);
  const minimumKeys = 32_768;
  const map = LayerMap.fromNames([]);
  await findHoles({ readers: [reader], map, minimumKeys, lsn: MAXIMUM_LSN, ranges });
  // The root, and the last leaf, which alone has the last key.
  expect(source.reads.length - before).toBe(2);
});
