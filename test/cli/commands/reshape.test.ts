/** The commands `compact`, `split-shards` and `rewrite`. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TimelineOutput } from '../../../src/ingest/output/timeline-output.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import { formatKey } from '../../../src/layers/key.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { IndexPart } from '../../../src/timeline/index-part/index-part.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { shardKeeps } from '../../../src/timeline/shard-owner.ts';
import { UNSHARDED } from '../../../src/timeline/tenant-shard.ts';
import { blockKey, hex, IDS, noise } from '../../support/layers.ts';
import { EVERYTHING } from '../../support/random-layers.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const TIMELINE = `tenants/${IDS.tenantId}/timelines/${IDS.timelineId}`;
const BLOCKS = Array.from({ length: 40 }, (_, block) => block);

/** Three L0s over an image layer, in generation 1. */
async function makeTimeline(
  ancestorTimeline: string | null = null,
  type: 'wal' | 'image' = 'wal',
): Promise<string> {
  const root = temporaryDirectory();
  await using output = await TimelineOutput.open({
    ...{ target: root, ...IDS, shard: UNSHARDED, generation: 1 },
  });
  const directory = output.stagingDirectory;
  const keyRange = { start: blockKey(0), end: blockKey(1000) };
  await using images = await ImageLayerWriter.create({ directory, ...IDS, keyRange, lsn: 0x10n });
  for (const block of BLOCKS) await images.put(blockKey(block), noise(900, block));
  await output.putLayer(await images.finish());
  for (const start of [0x11n, 0x20n, 0x30n]) {
    const lsnRange = { start, end: (start & ~0xfn) + 0x10n };
    const options = { directory, ...IDS, keyRange: EVERYTHING, lsnRange };
    await using writer = await DeltaLayerWriter.create(options);
    for (const block of BLOCKS) {
      const bytes = noise(300, block + Number(start));
      const value = type === 'image' ? { type, bytes } : { type, willInit: false, bytes };
      await writer.put(blockKey(block), start + 2n, value);
    }
    await output.putLayer(await writer.finish());
  }
  const metadata = {
    ...{ diskConsistentLsn: 0x3fn, prevRecordLsn: null, ancestorTimeline },
    ...{ ancestorLsn: ancestorTimeline === null ? 0n : 0x10n, latestGcCutoffLsn: 0x10n },
    ...{ initdbLsn: 0x10n, pgVersion: 17 },
  };
  await output.putIndex(IndexPart.create({ layers: output.layers, metadata }));
  return root;
}

/** What reads of all blocks find, at LSNs between the layers. */
async function readAll(root: string): Promise<unknown> {
  await using timeline = await openTimeline(root);
  const found: unknown[] = [];
  for (const lsn of [0x10n, 0x14n, 0x22n, 0x3fn]) {
    for (const { outcome, base, records } of await timeline.reconstructMany(
      BLOCKS.map(blockKey),
      lsn,
    )) {
      found.push([outcome, ...[base, ...records].map((entry) => hex(entry?.bytes))]);
    }
  }
  return found;
}

function namesBelow(root: string): string[] {
  return readdirSync(join(root, TIMELINE)).sort();
}

describe('compact', () => {
  test('compact of a branch into a place without its ancestor says so', async () => {
    const ancestor = 'ab'.repeat(16);
    const root = await makeTimeline(ancestor);
    const out = temporaryDirectory();
    const copied = await runCli(['compact', root, '--out', out, '--threshold', '3']);
    expect(copied.status).toBe(0);
    expect(copied.stderr).toContain(`a branch: its ancestor ${ancestor} is not in ${out}`);
    const other = join(root, `tenants/${IDS.tenantId}/timelines/${ancestor}`);
    mkdirSync(other);
    writeFileSync(join(other, 'index_part.json-00000001'), '{}');
    const line = ['compact', root, '--timeline', IDS.timelineId, '--out', root, '--threshold', '3'];
    const inPlace = await runCli(line);
    expect(inPlace.status).toBe(0);
    expect(inPlace.stderr).not.toContain('a branch');
  });

  test('compact makes L1s and an index of the next generation, and leaves what was there', async () => {
    const root = await makeTimeline();
    const before = await readAll(root);
    const old = namesBelow(root);
    const result = await runCli(['compact', root, '--out', root, '--threshold', '3', '--json']);
    expect(result.stderr).toBe('');
    expect(result.status).toBe(0);
    const [line] = parseLines(result.stdout);
    expect(line).toMatchObject({
      compacted: [{}, {}, {}].map(() => expect.stringMatching(/^0{36}-F{36}__/)),
      entries: 120,
      dropped_entries: 0,
      index_parts: [join(root, TIMELINE, 'index_part.json-00000002')],
      layers: [{ entries: 120, name: expect.stringMatching(/__0{14}11-0{14}40-00000002$/) }],
    });
    const made = JSON.parse(result.stdout).layers.map(({ name }: { name: string }) => name);
    expect(namesBelow(root)).toEqual([...old, ...made, 'index_part.json-00000002'].sort());
    expect(await readAll(root)).toEqual(before);
    const check = await runCli(['check', root, '--deep', '--generation', '00000002', '--json']);
    expect(JSON.parse(check.stdout)).toMatchObject({ summary: { errors: 0 } });
    const again = await runCli(['compact', root, '--out', root, '--threshold', '3', '--json']);
    expect(parseLines(again.stdout)[0]).toMatchObject({
      layers: [],
      compacted: [],
      index_parts: [],
    });
  });

  test('elsewhere copies the layers that stay', async () => {
    const root = await makeTimeline();
    const out = join(temporaryDirectory(), 'other');
    const before = await readAll(root);
    const old = namesBelow(root);
    const result = await runCli(['compact', root, '--out', out, '--threshold', '3', '--json']);
    expect(result.status).toBe(0);
    expect(parseLines(result.stdout)[0]).toMatchObject({
      layers: [{ entries: 120 }, { entries: 40 }],
    });
    expect(namesBelow(root)).toEqual(old);
    expect(await readAll(out)).toEqual(before);
  });

  test('compact with --dry-run says what it would take, and writes nothing', async () => {
    const root = await makeTimeline();
    const old = namesBelow(root);
    const line = ['compact', root, '--out', root, '--threshold', '3', '--dry-run', '--json'];
    const result = await runCli(line);
    expect(parseLines(result.stdout)[0]).toMatchObject({ layers: [], index_parts: [] });
    expect(JSON.parse(result.stdout).compacted).toHaveLength(3);
    expect(namesBelow(root)).toEqual(old);
  });

  test('compact with --images makes image layers, and pages are the same', async () => {
    const root = await makeTimeline(null, 'image');
    const pages = async (): Promise<unknown[]> => {
      await using timeline = await openTimeline(root);
      const found: unknown[] = [];
      for (const lsn of [0x30n, 0x31n, 0x3fn]) {
        for (const block of BLOCKS) {
          const page = await timeline.readPage(blockKey(block), lsn);
          found.push(page.kind === 'page' ? hex(page.bytes) : page);
        }
      }
      return found;
    };
    const before = await pages();
    const line = ['compact', root, '--out', root, '--threshold', '3', '--images', '--json'];
    const plan = await runCli([...line, '--image-threshold', '1', '--dry-run']);
    expect(JSON.parse(plan.stdout)).toMatchObject({ image_ranges: [], layers: [] });
    const result = await runCli([...line, '--image-threshold', '1', '--lsn', '0/30', '-j', '2']);
    expect(result.status).toBe(0);
    const [made] = parseLines(result.stdout);
    expect(made).toMatchObject({
      images: { images: 40, needs_redo: 0, left_out: 0 },
      layers: [{}, { entries: 40, name: expect.stringMatching(/__0{14}30-00000002$/) }],
    });
    expect(await pages()).toEqual(before);
    const check = await runCli(['check', root, '--deep', '--generation', '00000002', '--json']);
    expect(JSON.parse(check.stdout)).toMatchObject({ summary: { errors: 0 } });
    const planned = await runCli([...line, '--image-threshold', '1', '--dry-run']);
    const [first, last] = [blockKey(0), blockKey(40)].map((key) => formatKey(key));
    expect(JSON.parse(planned.stdout)['image_ranges']).toEqual([
      { key_start: first, key_end: last },
    ]);
  });

  test.each([['--lsn', '0/30'], ['--image-threshold', '1'], ['--zstd', '3'], ['--no-compress']])(
    'compact with %s but without --images is wrong usage',
    async (...option) => {
      const line = ['compact', 'DIR', '--out', 'OUT', '--json'];
      const result = await runCli([...line, ...option]);
      expect(result.status).toBe(2);
      expect(parseError(result)['message']).toContain(`${option[0]} needs --images`);
    },
  );

  test('compact of shards into another place can be read there', async () => {
    const [shards, out] = [temporaryDirectory(), temporaryDirectory()];
    const split = ['split-shards', await makeTimeline(), '--count', '2', '--stripe-size', '1'];
    expect((await runCli([...split, '--out', shards, '-j', '3'])).status).toBe(0);
    const line = ['compact', shards, '--out', out, '--threshold', '3', '-j', '2'];
    expect((await runCli(line)).status).toBe(0);
    await using timeline = await openTimeline(out);
    expect(timeline.sharding).toEqual({ count: 2, stripeSize: 1 });
    expect(timeline.shards.map(({ map }) => map.layerCount)).toEqual([2, 2]);
  });

  test('compact leaves fewer L0s than the threshold alone', async () => {
    const root = await makeTimeline();
    const result = await runCli(['compact', root, '--out', root]);
    expect(result.status).toBe(0);
    expect(result.stderr).toContain('nothing to compact');
  });

  test('compact drops a layer beyond the end of the timeline, even one that is in its place', async () => {
    const root = await makeTimeline();
    const path = join(root, TIMELINE, 'index_part.json-00000001');
    const index = IndexPart.parse(readFileSync(path));
    const [start, end] = [blockKey(2000), blockKey(2001)].map((key) => formatKey(key));
    const beyond = `${start}-${end}__0000000000000080`;
    const layers = new Map(index.fields.layers);
    layers.set(beyond, { fileSize: 8192n, generation: 1, shard: UNSHARDED });
    writeFileSync(path, index.with({ layers }).format());
    writeFileSync(join(root, TIMELINE, `${beyond}-00000001`), new Uint8Array(8192));
    const result = await runCli(['compact', root, '--out', root, '--threshold', '3', '--json']);
    const [made = ''] = JSON.parse(result.stdout).index_parts;
    expect([...IndexPart.parse(readFileSync(made)).fields.layers.keys()]).toHaveLength(2);
  });

  test.each([['compact'], ['split-shards']])(
    '%s in stripes of 0 pages is wrong usage',
    async (name) => {
      const line = [name, 'DIR', '--out', 'OUT', '--stripe-size', '0', '--json'];
      const result = await runCli(name === 'compact' ? line : [...line, '--count', '2']);
      expect(result.status).toBe(2);
      expect(parseError(result)['message']).toContain('Expected 1 to 4294967295 pages');
    },
  );

  test('compact without a directory in --out is wrong usage', async () => {
    const result = await runCli(['compact', await makeTimeline(), '--out', '']);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(result.stderr).toContain("option '--out <dir>' argument '' is invalid");
  });

  test('compact of a generation that exists is refused, and the index stays', async () => {
    const root = await makeTimeline();
    const old = readFileSync(join(root, TIMELINE, 'index_part.json-00000001'));
    const line = ['compact', root, '--out', root, '--threshold', '3', '--json'];
    const result = await runCli([...line, '--new-generation', '00000001']);
    expect(result.status).toBe(1);
    expect(parseError(result)['code']).toBe('exists');
    expect(readFileSync(join(root, TIMELINE, 'index_part.json-00000001'))).toEqual(old);
  });
});

describe('split-shards', () => {
  test('split-shards gives each shard its keys, and reads of all shards find the same', async () => {
    const root = await makeTimeline();
    const out = temporaryDirectory();
    const line = [
      'split-shards',
      root,
      '--count',
      '2',
      '--stripe-size',
      '1',
      '--out',
      out,
      '--json',
    ];
    const result = await runCli(line);
    expect(result.stderr).toBe('');
    expect(result.status).toBe(0);
    const sharding = { count: 2, stripeSize: 1 };
    const { layers, index_parts: indices } = JSON.parse(result.stdout);
    expect(indices).toHaveLength(2);
    for (const number of [0, 1]) {
      const own = layers.filter(({ path }: { path: string }) => path.includes(`-0${number}02/`));
      const kept = BLOCKS.filter((block) => shardKeeps(blockKey(block), sharding, number)).length;
      expect(own.map(({ entries }: { entries: number }) => entries)).toEqual([
        kept,
        kept,
        kept,
        kept,
      ]);
    }
    // The manifest of each shard has the stripe size.
    await using timeline = await openTimeline(out);
    expect(timeline.sharding).toEqual(sharding);
    await using whole = await openTimeline(root);
    const keys = BLOCKS.map(blockKey);
    const [found, wanted] = [
      await timeline.reconstructMany(keys, 0x3fn),
      await whole.reconstructMany(keys, 0x3fn),
    ];
    const valuesOf = (all: typeof found) =>
      all.map(({ base, records }) => [hex(base?.bytes), records.length]);
    expect(valuesOf(found)).toEqual(valuesOf(wanted));
  });

  test('split-shards that was cut between two indices is completed by the same command', async () => {
    const root = await makeTimeline();
    const out = temporaryDirectory();
    const line = ['split-shards', root, '--count', '2', '--out', out, '--stripe-size'];
    const indices: string[] = JSON.parse((await runCli([...line, '1'])).stdout).index_parts;
    const contents = indices.map((path) => readFileSync(path, 'utf8'));
    rmSync(indices[1] ?? '');
    const again = await runCli([...line, '1']);
    expect(again.stderr).not.toContain('exists');
    expect(again.status).toBe(0);
    expect(indices.map((path) => readFileSync(path, 'utf8'))).toEqual(contents);
    // Another cut of the same generation is refused.
    const other = await runCli([...line, '3', '--json']);
    expect(other.status).toBe(1);
    expect(parseError(other)['code']).toBe('exists');
  });

  test('split-shards of a branch says that its ancestor must be split, too', async () => {
    const ancestor = 'ab'.repeat(16);
    const root = await makeTimeline(ancestor);
    const line = ['split-shards', root, '--count', '2', '--out', temporaryDirectory()];
    const result = await runCli(line);
    expect(result.status).toBe(0);
    expect(result.stderr).toContain(`a branch: split its ancestor ${ancestor}, too`);
  });

  test('split-shards into one shard is wrong usage', async () => {
    const result = await runCli(['split-shards', 'DIR', '--count', '1', '--out', 'OUT', '--json']);
    expect(result.status).toBe(2);
  });
});

describe('rewrite', () => {
  test('changes the ids, and nothing else', async () => {
    const root = await makeTimeline();
    const out = temporaryDirectory();
    const [file = ''] = namesBelow(root).map((name) => join(root, TIMELINE, name));
    const ids = ['--tenant', 'ab'.repeat(16), '--timeline', 'cd'.repeat(16)];
    const result = await runCli(['rewrite', file, ...ids, '--out', out, '--json']);
    expect(result.status).toBe(0);
    const [{ path, size }] = JSON.parse(result.stdout).layers;
    expect(size).toBe(statSync(file).size);
    await using reader = await openLayer(path);
    expect(reader.summary).toMatchObject({
      tenantId: 'ab'.repeat(16),
      timelineId: 'cd'.repeat(16),
    });
    expect(readFileSync(path).subarray(8192).equals(readFileSync(file).subarray(8192))).toBe(true);
  });

  test('rewrite of nothing that is left makes no file', async () => {
    const root = await makeTimeline();
    const out = temporaryDirectory();
    const [file = ''] = namesBelow(root).map((name) => join(root, TIMELINE, name));
    const result = await runCli(['rewrite', file, '--until', '0/1', '--out', out, '--json']);
    expect(result.status).toBe(1);
    expect(parseError(result)['code']).toBe('empty');
    expect(readdirSync(out)).toEqual([]);
  });

  test('rewrite over its own input is wrong usage', async () => {
    const root = await makeTimeline();
    const [file = ''] = namesBelow(root).map((name) => join(root, TIMELINE, name));
    const generation = basename(file).slice(-8);
    const out = temporaryDirectory();
    const copied = await runCli([
      'rewrite',
      file,
      '--generation',
      generation,
      '--out',
      out,
      '--json',
    ]);
    const [{ path }] = JSON.parse(copied.stdout).layers;
    const again = await runCli([
      'rewrite',
      path,
      '--generation',
      generation,
      '--out',
      out,
      '--json',
    ]);
    expect(again.status).toBe(2);
    expect(readdirSync(out)).toHaveLength(1);
  });
});

describe('diff', () => {
  const counted = (stdout: string) => parseLines(stdout).at(-1);
  const SAME = { summary: { same: 160, only_a: 0, only_b: 0, differ: 0 } };

  test('diff of a timeline and the same one compacted finds the same entries, generation by generation', async () => {
    const root = await makeTimeline();
    const compacted = await runCli(['compact', root, '--out', root, '--threshold', '3']);
    expect(compacted.status).toBe(0);
    const [old = '', next = ''] = namesBelow(root)
      .filter((name) => name.startsWith('index_part'))
      .map((name) => join(root, TIMELINE, name));
    const result = await runCli(['diff', old, next, '--ndjson']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(counted(result.stdout)).toEqual(SAME);
  });

  test('diff of a timeline and the same one in shards finds the same entries', async () => {
    const root = await makeTimeline();
    const out = temporaryDirectory();
    const line = ['split-shards', root, '--count', '2', '--stripe-size', '1', '--out', out];
    expect((await runCli(line)).status).toBe(0);
    const result = await runCli(['diff', root, out, '--ndjson']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(counted(result.stdout)).toEqual(SAME);
  });
});
