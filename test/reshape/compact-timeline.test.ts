/** Compactions of a timeline that are cut, repeated, and made twice, in directories and buckets. */
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  TimelineOutput,
  type TimelineOutputOptions,
} from '../../src/ingest/output/timeline-output.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { type CompactedTimeline, compactTimeline } from '../../src/reshape/compact-timeline.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { resultOf } from '../../src/timeline/read-page.ts';
import { UNSHARDED } from '../../src/timeline/tenant-shard.ts';
import { blockKey, hex, IDS, noise } from '../support/layers.ts';
import { EVERYTHING } from '../support/random-layers.ts';
import { type S3Server, startS3 } from '../support/s3-server.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const BLOCKS = Array.from({ length: 30 }, (_, block) => block);
const KEYS = BLOCKS.map(blockKey);
const PLACE = { ...IDS, shard: UNSHARDED };
const INDEX = `tenants/${IDS.tenantId}/timelines/${IDS.timelineId}/index_part.json-00000002`;
/** Several L1s of the L0s, and image layers over them. */
const SMALL = { threshold: 3, checkpointDistance: 30_000, images: { threshold: 1 } };

type Target = TimelineOutputOptions['target'];

/** Three L0s in generation 1. */
async function prepared(target: Target): Promise<void> {
  await using output = await TimelineOutput.open({ ...PLACE, target, generation: 1 });
  for (const start of [0x10n, 0x20n, 0x30n]) {
    await using writer = await DeltaLayerWriter.create({
      ...{ directory: output.stagingDirectory, ...IDS, keyRange: EVERYTHING },
      lsnRange: { start, end: start + 0x10n },
    });
    for (const block of BLOCKS) {
      const bytes = noise(700, block + Number(start));
      await writer.put(blockKey(block), start + 8n, { type: 'image', bytes });
    }
    await output.putLayer(await writer.finish());
  }
  const metadata = {
    ...{ diskConsistentLsn: 0x3fn, prevRecordLsn: null, ancestorTimeline: null, pgVersion: 17 },
    ...{ ancestorLsn: 0n, latestGcCutoffLsn: 0x10n, initdbLsn: 0x10n },
  };
  await output.putIndex(IndexPart.create({ layers: output.layers, metadata }));
}

interface Run {
  readonly signal?: AbortSignal;
  readonly onLayer?: () => void;
}

/** Compacts generation 1 into generation 2. */
async function compact(target: Target, { signal, onLayer }: Run = {}): Promise<CompactedTimeline> {
  await using timeline = await openTimeline(target, { generation: 1 });
  await using output = await TimelineOutput.open({ ...PLACE, target, generation: 2 });
  return await compactTimeline(timeline, {
    ...{ ...SMALL, output, signal, onLayer },
    isStored: (name, layer) => output.hasLayer(name, layer),
  });
}

async function pagesOf(target: Target): Promise<unknown[]> {
  await using timeline = await openTimeline(target);
  const found: unknown[] = [];
  for (const lsn of [0x18n, 0x2fn, 0x3fn]) {
    // One read of all: each alone would take its own requests.
    for (const reconstruction of await timeline.reconstructMany(KEYS, lsn)) {
      const page = await resultOf(reconstruction, { pgVersion: timeline.facts.pgVersion });
      found.push(page.kind === 'page' ? hex(page.bytes) : page.kind);
    }
  }
  return found;
}

function statesOf({ layers }: CompactedTimeline): string[] {
  return layers.map(({ state }) => state);
}

describe('a compaction of a directory', () => {
  test('a compaction of a directory that was cut in the middle of the merge stores only what is missing', async () => {
    const root = temporaryDirectory();
    await prepared(root);
    const before = await pagesOf(root);
    const abort = new AbortController();
    let stored = 0;
    const onLayer = (): void => {
      stored += 1;
      if (stored === 2) abort.abort();
    };
    const cut = compact(root, { signal: abort.signal, onLayer });
    expect((await storageErrorOf(cut)).code).toBe('aborted');
    expect(readdirSync(root)).toEqual(['tenants']);
    expect(await pagesOf(root)).toEqual(before);
    const again = await compact(root);
    expect(again.layers.length).toBeGreaterThan(stored);
    expect(statesOf(again).filter((state) => state === 'present')).toHaveLength(stored);
    expect(await pagesOf(root)).toEqual(before);
  });
});

describe('a compaction of a bucket', () => {
  async function bucket(): Promise<{ server: S3Server; target: Target }> {
    const { server, store } = await startS3({ attempts: 1 });
    const target = { store };
    await prepared(target);
    return { server, target };
  }

  test('a compaction of a bucket that was cut at a request leaves no index, and can be repeated', async () => {
    const { server, target } = await bucket();
    const objects = new Map(server.objects);
    const before = await pagesOf(target);
    server.reset();
    const whole = await compact(target);
    const puts = whole.layers.length + 1;
    expect(await pagesOf(target)).toEqual(before);
    for (const failing of [1, 2, puts - 1, puts]) {
      server.objects.clear();
      for (const [name, object] of objects) server.objects.set(name, object);
      let count = 0;
      server.fault = ({ method }) => {
        if (method === 'PUT') count += 1;
        return method === 'PUT' && count === failing ? { kind: 'cut' } : undefined;
      };
      expect((await storageErrorOf(compact(target))).code).toBe('network');
      server.fault = () => undefined;
      expect(server.objects.has(INDEX)).toBe(false);
      expect(await pagesOf(target)).toEqual(before);
      const again = await compact(target);
      expect(statesOf(again).filter((state) => state === 'present')).toHaveLength(failing - 1);
      expect(await pagesOf(target)).toEqual(before);
    }
  });

  test('a compaction of a bucket by two writers of one generation is won by one writer, and the other gets an error', async () => {
    const { server, target } = await bucket();
    const before = await pagesOf(target);
    // Both have looked for an index before either stores one.
    let waiting = 0;
    let release = (): void => {};
    const both = new Promise<void>((resolve) => {
      release = resolve;
    });
    const run = async (threshold: number): Promise<CompactedTimeline> => {
      await using timeline = await openTimeline(target, { generation: 1 });
      await using output = await TimelineOutput.open({ ...PLACE, target, generation: 2 });
      waiting += 1;
      if (waiting === 2) release();
      await both;
      const isStored = async (): Promise<boolean> => true;
      return await compactTimeline(timeline, { ...SMALL, images: { threshold }, output, isStored });
    };
    const results = await Promise.allSettled([run(1), run(9)]);
    const [won] = results.filter((result) => result.status === 'fulfilled');
    const [lost] = results.filter((result) => result.status === 'rejected');
    expect(lost?.reason).toMatchObject({ code: 'exists', path: expect.stringContaining('index') });
    const { bytes = new Uint8Array(0) } = server.objects.get(INDEX) ?? {};
    const names = [...IndexPart.parse(bytes).fields.layers.keys()].sort();
    const made = won?.value.layers.map(({ path }) => path.replace(/^.*\/|-[0-9a-f]{8}$/g, ''));
    expect(names).toEqual(made?.sort());
    expect(await pagesOf(target)).toEqual(before);
  });
});
