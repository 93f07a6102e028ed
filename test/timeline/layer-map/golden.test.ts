/**
 * 200 layer maps and what Neon's own layer map answers to questions about them. Two of three are
 * random rectangles, most of which no pageserver would make; every third is shaped like a timeline.
 */
import { readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { formatKey, type KeyRange, parseKey } from '../../../src/layers/key.ts';
import { formatLsn, parseLsn } from '../../../src/layers/lsn.ts';
import { keyNumber } from '../../../src/timeline/layer-map/key-number.ts';
import { LayerMap } from '../../../src/timeline/layer-map/layer-map.ts';

type Range = readonly [string, string];

interface GoldenMap {
  readonly id: number;
  readonly layers: readonly string[];
  readonly search: readonly {
    readonly key: string;
    readonly end_lsn: string;
    readonly layer: string | null;
    readonly lsn_floor: string | null;
  }[];
  readonly range_search: readonly {
    readonly range: Range;
    readonly end_lsn: string;
    readonly found: readonly {
      readonly layer: string;
      readonly lsn_floor: string;
      readonly ranges: readonly Range[];
    }[];
  }[];
  readonly coverage: readonly {
    readonly range: Range;
    readonly lsn: string;
    readonly segments: readonly (readonly [string, string, string | null])[];
  }[];
  readonly count_deltas: readonly {
    readonly range: Range;
    readonly lsns: Range;
    readonly limit: number | null;
    readonly count: number;
  }[];
  readonly exists: readonly {
    readonly range: Range;
    readonly lsns: Range;
    readonly exists: boolean;
  }[];
  readonly visibility: {
    readonly read_points: readonly string[];
    readonly visible: readonly string[];
    readonly covered: readonly string[];
  };
  readonly valid: true | string;
}

const file = new URL('../../golden/layer-map/maps.ndjson.br', import.meta.url);
const maps: { readonly golden: GoldenMap; readonly map: LayerMap }[] = brotliDecompressSync(
  readFileSync(file),
)
  .toString()
  .trimEnd()
  .split('\n')
  .map((line) => {
    const golden: GoldenMap = JSON.parse(line);
    return { golden, map: LayerMap.fromNames(golden.layers) };
  });

describe("Neon's own layer map", () => {
  test("Neon's own layer map is compared over 200 maps", () => {
    expect(maps.length).toBe(200);
  });

  test("Neon's own layer map answers each search the same", () => {
    for (const { golden, map } of maps) {
      const answers = golden.search.map(({ key, end_lsn }) => {
        const found = map.search(parseKey(key), parseLsn(end_lsn));
        return {
          key,
          end_lsn,
          layer: found?.name ?? null,
          lsn_floor: found ? formatLsn(found.lsnFloor) : null,
        };
      });
      expect(answers, `map ${golden.id}`).toEqual(golden.search);
    }
  });

  test("Neon's own layer map answers each range search the same", () => {
    for (const { golden, map } of maps) {
      for (const { range, end_lsn, found } of golden.range_search) {
        const answer = map.rangeSearch(keyRange(range), parseLsn(end_lsn)).map((result) => ({
          layer: result.name,
          lsn_floor: formatLsn(result.lsnFloor),
          ranges: result.keyRanges.map(numbers),
        }));
        const wanted = found.map((one) => ({
          ...one,
          ranges: one.ranges.map(keyRange).map(numbers),
        }));
        expect(answer.sort(byLayer), `map ${golden.id}`).toEqual(wanted);
      }
    }
  });

  test("Neon's own layer map cuts the coverage by images the same", () => {
    for (const { golden, map } of maps) {
      for (const { range, lsn, segments } of golden.coverage) {
        const answer = map.imageCoverage(keyRange(range), parseLsn(lsn));
        expect(
          answer.map((segment) => [...numbers(segment.keyRange), segment.image ?? null]),
          `map ${golden.id}`,
        ).toEqual(
          segments.map(([start, end, image]) => [...numbers(keyRange([start, end])), image]),
        );
      }
    }
  });

  test("Neon's own layer map counts the same number of deltas", () => {
    for (const { golden, map } of maps) {
      for (const { range, lsns, limit, count } of golden.count_deltas) {
        const answer = map.countDeltas(keyRange(range), lsnRange(lsns), limit ?? undefined);
        expect(answer, `map ${golden.id}: ${range} ${lsns} ${limit}`).toBe(count);
      }
    }
  });

  test("Neon's own layer map finds images for the same ranges", () => {
    for (const { golden, map } of maps) {
      for (const { range, lsns, exists } of golden.exists) {
        const answer = map.imageLayerExists(keyRange(range), lsnRange(lsns));
        expect(answer, `map ${golden.id}: ${range} ${lsns}`).toBe(exists);
      }
    }
  });

  test("Neon's own layer map sees the same layers", () => {
    for (const { golden, map } of maps) {
      const { read_points, visible, covered } = golden.visibility;
      const answer = map.visibility(read_points.map(parseLsn));
      expect(answer, `map ${golden.id}`).toEqual({ visible, covered });
    }
  });

  test("Neon's own layer map names the same offence", () => {
    for (const { golden, map } of maps) {
      expect(map.violation() ?? true, `map ${golden.id}`).toBe(golden.valid);
    }
  });
});

function keyRange([start, end]: Range): KeyRange {
  return { start: parseKey(start), end: parseKey(end) };
}

function lsnRange([start, end]: Range): { readonly start: bigint; readonly end: bigint } {
  return { start: parseLsn(start), end: parseLsn(end) };
}

/** FF…FF and 7F0000FF…FF are the same key. */
function numbers({ start, end }: KeyRange): [string, string] {
  const number = (key: Uint8Array): string =>
    `${formatKey(key)} ${keyNumber(key, 'key')}`.slice(37);
  return [number(start), number(end)];
}

function byLayer(
  left: { readonly layer: string; readonly lsn_floor: string },
  right: { readonly layer: string; readonly lsn_floor: string },
): number {
  if (left.layer !== right.layer) return left.layer < right.layer ? -1 : 1;
  return left.lsn_floor < right.lsn_floor ? -1 : 1;
}
