/**
 * Random layer maps against a slow and obvious one. Failures shrink to few layers.
 *
 * LAYERFILE_MAPS sets how many.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareKeys, type KeyRange, parseKey } from '../../../src/layers/key.ts';
import { formatLayerName } from '../../../src/layers/layer-name.ts';
import { keyNumber, keysBetween } from '../../../src/timeline/layer-map/key-number.ts';
import { LayerMap, type SearchResult } from '../../../src/timeline/layer-map/layer-map.ts';
import { rounds } from '../../support/rounds.ts';
import { type ObviousLayer, ObviousMap } from './obvious-map.ts';

const MAPS = Number(process.env['LAYERFILE_MAPS'] ?? rounds(2500));
const SEED = Number(process.env['LAYERFILE_SEED'] ?? Date.now() % 1_000_000);

/** A key of the model is an index into this list. */
const KEYS = [
  '000000000000000000000000000000000000',
  '000000067F0000000500004000000000000A',
  '000000067F0000000500004000000000000B',
  '000000067F0000000500004000000000000C',
  '000000067F00000005000040000100000000',
  '03000011111111111111111111110000000A',
  '03222222220000000000000000000000000A',
  '620000000000000000000000000000000000',
  'FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF',
].map(parseKey);
const LAST = KEYS.length - 1;
const LSNS = 10;

const range = (last: number): fc.Arbitrary<readonly [number, number]> =>
  fc
    .tuple(fc.integer({ min: 0, max: last - 1 }), fc.integer({ min: 1, max: last }))
    .map(([start, length]) => [start, Math.min(last, start + length)]);

const layer: fc.Arbitrary<ObviousLayer> = fc
  .record({
    kind: fc.constantFrom('delta' as const, 'image' as const),
    keys: fc.oneof(range(LAST), fc.constant([0, LAST] as const)),
    lsns: range(LSNS),
  })
  .map(({ kind, keys: [keyStart, keyEnd], lsns: [start, deltaEnd] }) => {
    const end = kind === 'image' ? start + 1 : deltaEnd;
    const isL0 = kind === 'delta' && keyStart === 0 && keyEnd === LAST;
    const keyRange = { start: key(keyStart), end: key(keyEnd) };
    const lsns = { lsn: BigInt(start), lsnRange: { start: BigInt(start), end: BigInt(end) } };
    const name = formatLayerName({ kind, keyRange, ...lsns });
    return { name, kind, isL0, keyStart, keyEnd, start, end };
  });

const layers = fc.uniqueArray(layer, { selector: ({ name }) => name, maxLength: 14 });
const question: fc.Arbitrary<Question> = fc.record({
  keys: range(LAST),
  lsns: range(LSNS + 1),
  limit: fc.constantFrom(Number.POSITIVE_INFINITY, 0, 1, 2, 3),
  readPoints: fc.array(fc.nat(LSNS), { maxLength: 3 }),
});

type Range = readonly [number, number];

interface Question {
  readonly keys: Range;
  readonly lsns: Range;
  readonly limit: number;
  readonly readPoints: readonly number[];
}

describe(`${MAPS} random layer maps, seed ${SEED}`, () => {
  test('random layer maps answer as a slow map does', () => {
    fc.assert(
      fc.property(layers, question, (given, asked) => {
        const map = LayerMap.fromNames(given.map(({ name }) => name));
        // One comparison: each costs more than all of the answers.
        expect(answersOf(map, asked)).toEqual(answersOfModel(given, asked));
      }),
      { seed: SEED, numRuns: MAPS },
    );
  });
});

function answersOf(map: LayerMap, { keys, lsns, limit, readPoints }: Question): unknown {
  const lsnRange = { start: BigInt(lsns[0]), end: BigInt(lsns[1]) };
  const { visible, covered } = map.visibility(readPoints.map(BigInt));
  const coverage = (lsn: bigint): unknown =>
    map
      .imageCoverage(keyRange(keys), lsn)
      .map((segment) => [...numbers(segment.keyRange), segment.image ?? null]);
  return {
    searches: KEYS.map((wanted) => map.search(wanted, lsnRange.end)),
    rangeSearch: map.rangeSearch(keyRange(keys), lsnRange.end).map(({ keyRanges, ...result }) => ({
      ...result,
      keyRanges: keyRanges.map(numbers),
    })),
    // The second LSN is lower: the nodes are rebuilt.
    coverage: [coverage(lsnRange.end), coverage(lsnRange.start)],
    count: map.countDeltas(keyRange(keys), lsnRange, limit),
    exists: map.imageLayerExists(keyRange(keys), lsnRange),
    visible,
    layerCount: visible.length + covered.length,
    violation: map.violation(),
    holes: map.holes(1).map((hole) => numbers(hole.keyRange)),
  };
}

function answersOfModel(
  given: readonly ObviousLayer[],
  { keys, lsns, limit, readPoints }: Question,
): unknown {
  const model = new ObviousMap(given);
  const search = (number: number): SearchResult | undefined => {
    const found = model.search(number, lsns[1]);
    return found && { name: found.name, lsnFloor: BigInt(found.lsnFloor) };
  };
  const violation = model.violation(isOneKey);
  return {
    searches: KEYS.map((_, number) => search(number)),
    rangeSearch: byAnswer(keys, search),
    coverage: [model.imageCoverage(...keys, lsns[1]), model.imageCoverage(...keys, lsns[0])],
    count: model.countDeltas(keys, lsns, {
      limit,
      isWholeKeySpace: keys[0] === 0 && keys[1] === LAST,
    }),
    exists: model.imageLayerExists(keys, lsns),
    visible: model.visible(readPoints),
    layerCount: given.length,
    violation: violation && offence(violation),
    holes: model.holes(),
  };
}

/** The keys of a range by their answers, as ranges that do not touch. */
function byAnswer(
  [first, end]: Range,
  search: (key: number) => SearchResult | undefined,
): unknown[] {
  const results: (SearchResult & { readonly keyRanges: [number, number][] })[] = [];
  for (let number = first; number < end; number += 1) {
    const answer = search(number);
    if (answer === undefined) continue;
    const same = results.find(
      ({ name, lsnFloor }) => name === answer.name && lsnFloor === answer.lsnFloor,
    );
    const last = same?.keyRanges.at(-1);
    if (last?.[1] === number) last[1] = number + 1;
    else if (same !== undefined) same.keyRanges.push([number, number + 1]);
    else results.push({ ...answer, keyRanges: [[number, number + 1]] });
  }
  return results;
}

function key(number: number): Uint8Array {
  return KEYS[number] ?? new Uint8Array();
}

function keyRange([start, end]: Range): KeyRange {
  return { start: key(start), end: key(end) };
}

function numbers({ start, end }: KeyRange): [number, number] {
  return [numberOf(start), numberOf(end)];
}

function numberOf(wanted: Uint8Array): number {
  return KEYS.findIndex((candidate) => compareKeys(candidate, wanted) === 0);
}

function isOneKey({ keyStart, keyEnd }: ObviousLayer): boolean {
  const words = Uint32Array.of(
    ...keyNumber(key(keyStart), 'key'),
    ...keyNumber(key(keyEnd), 'key'),
  );
  return keysBetween(words, 0, 1) === 1n;
}

function offence([layer, other]: readonly [string, string]): string {
  return `layer violates the layer map LSN split assumption: layer ${layer} intersects with layer ${other}`;
}
