/** Commands that see the shards of a timeline as one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { cp, mkdir, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMapSource } from '../../src/cli/map-source.ts';
import { collectLayers } from '../../src/map/collect-layers.ts';
import { Model } from '../../src/map/page/model.ts';
import { readLines, unpackTimelines } from '../support/golden-timelines.ts';
import { copySharded } from '../support/sharded-timelines.ts';
import { parseLines, runCli } from './support.ts';

const root = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
const whole = join(root, 'whole');
const cut = join(root, 'cut');
const TENANT = 'c0ffee00000000000000000000000001';
const TIMELINE = '1'.repeat(32);
const SHARDS = ['0002', '0102'];
const CHOICE = ['--timeline', TIMELINE, '--ndjson'];

beforeAll(async () => {
  await unpackTimelines('branches', whole);
  const sharding = { count: 2, stripeSize: 4 };
  await copySharded({ source: whole, target: cut, tenantId: TENANT, sharding });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function linesOf(...words: string[]) {
  const { stdout } = await runCli([...words, ...CHOICE]);
  return parseLines(stdout);
}

function shardsOf(lines: readonly Record<string, unknown>[]): unknown[] {
  return [...new Set(lines.map(({ shard }) => shard))].sort();
}

describe('of a timeline of two shards', () => {
  test('ls lists the layers of both, in the order of their names', async () => {
    const lines = await linesOf('ls', cut);
    expect(shardsOf(lines)).toEqual(SHARDS);
    const names = lines.map(({ name }) => String(name));
    expect(names).toEqual(names.toSorted());
    expect(new Set(names).size).toBeLessThan(names.length);
    expect(lines.every(({ present, in_index }) => present === true && in_index === true)).toBe(
      true,
    );
  });

  test('check looks at the layers of both, whose lines name the shard', async () => {
    const lines = await linesOf('check', cut, '--deep');
    const summary = lines.pop()?.['summary'];
    expect(shardsOf(lines)).toEqual(SHARDS);
    expect(summary).toMatchObject({ layers: lines.length, ok: true, errors: 0 });
    const people = await runCli(['check', cut, '--timeline', TIMELINE, '--byte-budget', '0']);
    expect(people.stdout).toContain('  shard 0102\n');
  });

  test('check has one byte budget for both', async () => {
    const blocks = 3;
    const lines = await linesOf('check', cut, '--byte-budget', String(blocks * 8192));
    const read = lines.filter(({ findings }) => {
      return Array.isArray(findings) && findings.every(({ code }) => code !== 'too-large');
    });
    expect(read.filter(({ name }) => name !== undefined)).toHaveLength(blocks);
  });

  test('find finds what it finds before the cut', async () => {
    const reads = readLines<{ key: string; records?: number }>('branches-reads.ndjson.br');
    const keys = new Set(reads.flatMap(({ key, records = 0 }) => (records > 2 ? [key] : [])));
    expect(keys.size).toBeGreaterThan(5);
    for (const key of [...keys].slice(0, 5)) {
      const [before, after] = [await linesOf('find', whole, key), await linesOf('find', cut, key)];
      expect(before.length).toBeGreaterThan(0);
      const shownOf = ({ lsn, len, type }: Record<string, unknown>) => ({ lsn, len, type });
      expect(after.map(shownOf)).toEqual(before.map(shownOf));
    }
  });

  test('map has the layers of both in one step', async () => {
    const { signal } = new AbortController();
    const stdin = async function* () {};
    const { snapshots } = await readMapSource({ signal, stdin }, cut, { timeline: TIMELINE });
    expect(snapshots).toHaveLength(1);
    const layers = [...(snapshots[0]?.layers ?? [])];
    expect(new Set(layers.map(({ shard }) => shard))).toEqual(new Set(SHARDS));
    expect(snapshots[0]?.stripeSize).toBe(4);
    expect(layers).toHaveLength((await linesOf('ls', cut)).length);
  });
});

test('after a split, the shards of the highest count that are all there are seen', async () => {
  const split = join(root, 'split', 'tenants');
  await mkdir(split, { recursive: true });
  for (const shard of SHARDS) {
    await cp(join(cut, 'tenants', `${TENANT}-${shard}`), join(split, `${TENANT}-${shard}`), {
      recursive: true,
    });
  }
  const child = `${TENANT}-0004`;
  await cp(join(cut, 'tenants', `${TENANT}-0002`), join(split, child), { recursive: true });
  expect(shardsOf(await linesOf('ls', join(root, 'split')))).toEqual(SHARDS);
});

describe('after a split whose children still have the layers of their parent', () => {
  const split = join(root, 'split-in-place');
  let layerCount = 0;

  beforeAll(async () => {
    await cp(whole, split, { recursive: true });
    const parent = join(split, 'tenants', TENANT, 'timelines', TIMELINE);
    const names = await readdir(parent);
    const index = names.find((name) => name.startsWith('index_part')) ?? '';
    layerCount = names.length - 1;
    for (const shard of SHARDS) {
      const child = join(split, 'tenants', `${TENANT}-${shard}`, 'timelines', TIMELINE);
      await mkdir(child, { recursive: true });
      await cp(join(parent, index), join(child, index));
    }
  });

  test('after a split whose children still have the layers of their parent ls lists each layer once', async () => {
    const lines = await linesOf('ls', split);
    expect(lines).toHaveLength(layerCount);
    expect(lines.every(({ present, in_index }) => present === true && in_index === true)).toBe(
      true,
    );
    expect(lines.some(({ visible }) => visible === true)).toBe(true);
  });

  test('map counts each layer once, whatever shard reads it', async () => {
    const { signal } = new AbortController();
    const stdin = async function* () {};
    const source = await readMapSource({ signal, stdin }, split, { timeline: TIMELINE });
    const { description, columns, objectCount } = collectLayers('split', source.snapshots);
    expect(objectCount).toBe(layerCount);
    const model = new Model(description, columns);
    expect(model.count).toBe(2 * layerCount);
    expect(model.amountOf('kept', 'added').layers).toBe(layerCount);
    const sizes = (await linesOf('ls', split)).map(({ size }) => BigInt(Number(size)));
    expect(model.amountOf('kept').bytes).toBe(sizes.reduce((sum, size) => sum + size, 0n));
  });
});
