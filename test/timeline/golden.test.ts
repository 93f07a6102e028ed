/** Reads of the timelines that a pageserver wrote, compared with what its own reads found. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatKey, parseKey } from '../../src/layers/key.ts';
import { formatLsn, type Lsn, parseLsn } from '../../src/layers/lsn.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { imageBytes } from '../../src/timeline/read-page.ts';
import { isInherited, isSparseKey, type Reconstruction } from '../../src/timeline/reconstruct.ts';
import type { Timeline } from '../../src/timeline/timeline.ts';
import { readLines, unpackTimelines } from '../support/golden-timelines.ts';
import { HAS_ALL_ROUNDS, rounds } from '../support/rounds.ts';

const directory = mkdtempSync(join(tmpdir(), 'layerfile-test-'));

afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface BranchRead {
  readonly timeline: string;
  readonly key: string;
  readonly ranges?: readonly [string, string][];
  readonly lsn: string;
  readonly image?: { readonly lsn: string; readonly len: number; readonly sha256: string } | null;
  readonly records?: number;
  readonly list?: readonly [string, number, string][];
  readonly found?: readonly Pick<BranchRead, 'key' | 'image' | 'records' | 'list'>[];
  readonly missing?: true;
  readonly visited: number;
}

interface TimelineRead {
  readonly key: string;
  readonly lsn: string;
  readonly image?: { readonly lsn: string; readonly len: number; readonly sha256: string } | null;
  readonly records?: number;
  readonly digest?: string;
  readonly missing?: true;
}

describe('three timelines, each the ancestor of the next', () => {
  const reads = readLines<BranchRead>('branches-reads.ndjson.br');
  const timelines = new Map<string, Timeline>();

  beforeAll(async () => {
    await unpackTimelines('branches', join(directory, 'branches'));
    for (const digit of ['1', '2', '3']) {
      const timeline = digit.repeat(32);
      timelines.set(timeline, await openTimeline(join(directory, 'branches'), { timeline }));
    }
    return async () => {
      for (const timeline of timelines.values()) await timeline.close();
    };
  });

  const sampled = reads
    .filter(({ ranges }) => ranges === undefined)
    .filter((_, at) => HAS_ALL_ROUNDS || at % 4 === 0);

  test(`each of ${sampled.length} single reads visits the same layers and finds the same values`, async () => {
    expect(sampled).toHaveLength(rounds(2000));
    for (const read of sampled) {
      const { timeline, key, lsn, visited } = read;
      const found = await (timelines.get(timeline) as Timeline).reconstruct(
        parseKey(key),
        parseLsn(lsn),
      );
      const what = `${timeline} ${key} ${lsn}`;
      expect({ ...describeFound(found), visited: found.visits.length }, what).toEqual({
        ...expectedOf(read),
        visited,
      });
    }
  });

  test('the same reads in one call for each LSN find the same', async () => {
    const groups = new Map<string, BranchRead[]>();
    for (const read of reads.filter(({ ranges }) => ranges === undefined)) {
      const name = `${read.timeline} ${read.lsn}`;
      groups.set(name, [...(groups.get(name) ?? []), read]);
    }
    for (const group of groups.values()) {
      const { timeline, lsn } = group[0] as BranchRead;
      const keys = group.map(({ key }) => parseKey(key));
      const found = await (timelines.get(timeline) as Timeline).reconstructMany(
        keys,
        parseLsn(lsn),
      );
      expect(found.map(describeFound)).toEqual(group.map(expectedOf));
      // Adjacent keys are read together, but each has its own visits.
      expect(found.map(({ visits }) => visits.length)).toEqual(group.map(({ visited }) => visited));
    }
  });

  test('each of 79 reads of ranges reads layers as often and finds the same keys', async () => {
    const ofRanges = reads.filter(({ ranges }) => ranges !== undefined);
    expect(ofRanges).toHaveLength(79);
    for (const read of ofRanges) {
      const ranges = (read.ranges ?? []).map(([start, end]) => ({
        start: parseKey(start),
        end: parseKey(end),
      }));
      const timeline = timelines.get(read.timeline) as Timeline;
      const { found, missing, visitCount } = await timeline.reconstructRanges(
        ranges,
        parseLsn(read.lsn),
      );
      const what = JSON.stringify(read.ranges);
      expect(missing.length > 0, what).toBe(read.missing === true);
      if (read.missing) continue;
      expect(visitCount, what).toBe(read.visited);
      expect(
        found.map((one) => ({ key: formatKey(one.key), ...describeFound(one) })),
        what,
      ).toEqual((read.found ?? []).map((one) => ({ key: one.key, ...expectedOf(one) })));
    }
  });

  test('the history of a key has its newest version first, and continues in the ancestors', async () => {
    const timeline = timelines.get('3'.repeat(32)) as Timeline;
    const key = parseKey('000000067F00000005000040000000000000');
    const lsns: Lsn[] = [];
    const owners = new Set<string | undefined>();
    for await (const { lsn, timelineId } of timeline.history(key)) {
      lsns.push(lsn);
      owners.add(timelineId);
    }
    expect(lsns.length).toBeGreaterThan(10);
    expect(lsns).toEqual(
      lsns.toSorted((left, right) => (left < right ? 1 : left > right ? -1 : 0)),
    );
    expect([...owners]).toEqual(['3', '2', '1'].map((digit) => digit.repeat(32)));
  });
});

describe('the timeline of a pageserver with PostgreSQL 15', () => {
  test('all 297 reads find the same base and the same records', async () => {
    await unpackTimelines('sk15', join(directory, 'sk15'));
    const timeline = '11223344556677881122334455667788';
    await using opened = await openTimeline(join(directory, 'sk15'), { timeline });
    const reads = readLines<TimelineRead>('sk15-reconstruct.ndjson.br');
    expect(reads).toHaveLength(297);
    for (const read of reads) {
      const found = await opened.reconstruct(parseKey(read.key), parseLsn(read.lsn));
      expect(digestOf(found), `${read.key} ${read.lsn}`).toEqual(expectedDigest(read));
    }
  });
});

function describeFound(found: Reconstruction) {
  const { key, base, records, outcome } = found;
  // A read does not fail for keys that may be absent.
  const mayBeAbsent = isSparseKey(key) || !isInherited(key);
  const isMissing = outcome === 'no-base' || (outcome === 'missing' && !mayBeAbsent);
  if (isMissing) return { missing: true };
  const bytes = imageBytes(found);
  return {
    image:
      bytes === undefined || base === undefined
        ? null
        : { lsn: formatLsn(base.lsn), len: bytes.length, sha256: short(bytes) },
    list: records.map(({ lsn, bytes }) => [formatLsn(lsn), bytes.length, short(bytes)]),
  };
}

function expectedOf({ image, list, missing }: Pick<BranchRead, 'image' | 'list' | 'missing'>) {
  return missing ? { missing: true } : { image: image ?? null, list: list ?? [] };
}

function digestOf(found: Reconstruction) {
  const { base, records, outcome } = found;
  if (outcome !== 'complete') return { missing: true };
  const bytes = imageBytes(found);
  const lines = records.map(({ lsn, bytes }) => `${formatLsn(lsn)}:${sha256(bytes)}\n`);
  return {
    image:
      bytes === undefined || base === undefined
        ? null
        : { lsn: formatLsn(base.lsn), len: bytes.length, sha256: sha256(bytes) },
    records: records.length,
    ...(records.length > 0 && { digest: sha256(Buffer.from(lines.join(''))) }),
  };
}

function expectedDigest({ image, records, digest, missing }: TimelineRead) {
  if (missing) return { missing: true };
  return { image: image ?? null, records, ...(digest !== undefined && { digest }) };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function short(bytes: Uint8Array): string {
  return sha256(bytes).slice(0, 16);
}
