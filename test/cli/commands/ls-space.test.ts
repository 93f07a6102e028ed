import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { goldenLayers } from '../../support/golden.ts';
import { unpackTimelines } from '../../support/golden-timelines.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseLines, runCli } from '../support.ts';

const TENANT = '000102030405060708090a0b0c0d0e0f';
const PLACE = `tenants/${TENANT}/timelines/11223344556677881122334455667788`;
let golden = '';

beforeAll(async () => {
  golden = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
  await unpackTimelines('sk15', golden);
});

afterAll(() => rmSync(golden, { recursive: true }));

async function linesOf(...words: string[]) {
  const { stdout, stderr } = await runCli([...words, '--ndjson']);
  expect(stderr).toBe('');
  return parseLines(stdout);
}

/** The objects of the golden timeline in a bucket of their own, whose index is cut. */
function withCutIndex(): string {
  const root = join(temporaryDirectory(), 'cut');
  cpSync(golden, root, { recursive: true });
  const index = join(root, PLACE, 'index_part.json-00000001');
  writeFileSync(index, readFileSync(index).subarray(0, 1000));
  return root;
}

test('ls and space of a timeline with a truncated index report it, read the existing layers, and exit with 1', async () => {
  const root = withCutIndex();
  const listed = await runCli(['ls', root, '--ndjson']);
  expect(JSON.parse(listed.stderr)).toMatchObject({
    error: { code: 'corrupt', path: join(root, PLACE, 'index_part.json-00000001') },
  });
  const intact = await linesOf('ls', golden);
  const unknown = intact.map((line) => ({ ...line, in_index: null, visible: expect.any(Boolean) }));
  expect([listed.status, parseLines(listed.stdout)]).toEqual([1, unknown]);
  const added = await runCli(['space', root, '--ndjson']);
  expect([added.status, added.stderr]).toEqual([1, listed.stderr]);
  expect(parseLines(added.stdout)).toEqual(await linesOf('space', golden));
});

describe('ls', () => {
  test('ls has what the index has, in byte order of the names', async () => {
    const index = JSON.parse(readFileSync(join(golden, PLACE, 'index_part.json-00000001'), 'utf8'));
    const lines = await linesOf('ls', golden);
    const names = Object.keys(index.layer_metadata).sort();
    expect(lines.map(({ name }) => name)).toEqual(names);
    for (const { name, size, generation, in_index, present, visible } of lines) {
      const entry = index.layer_metadata[String(name)];
      expect({ size, generation }).toEqual({ size: entry.file_size, generation: entry.generation });
      expect([in_index, present, visible]).toEqual([true, true, true]);
    }
    const levels = lines.map(({ level }) => level);
    expect(levels.filter((level) => level === 'L0')).toHaveLength(5);
    expect(levels.filter((level) => level === 'image')).toHaveLength(4);
  });

  test('ls of a timeline, an index, or a tenant is the same', async () => {
    const lines = await linesOf('ls', golden);
    expect(await linesOf('ls', join(golden, PLACE))).toEqual(lines);
    expect(await linesOf('ls', join(golden, 'tenants', TENANT))).toEqual(lines);
    expect(await linesOf('ls', join(golden, PLACE, 'index_part.json-00000001'))).toEqual(lines);
  });

  test('ls of names knows neither index nor files', async () => {
    const names = (await linesOf('ls', golden)).map(({ name }) => String(name));
    const { stdout, status } = await runCli(['ls', '-', '--ndjson'], {
      stdin: [...names].reverse().join('\n'),
    });
    expect(status).toBe(0);
    const lines = parseLines(stdout);
    expect(lines.map(({ name }) => name)).toEqual(names);
    expect(lines[0]).toMatchObject({ in_index: null, present: null, size: null, visible: true });
  });

  const START = '000000067F00000005000040000000000000';
  const END = '000000067F00000005000040000000000010';
  const nameAt = (...lsns: string[]): string => `${START}-${END}__${lsns.join('-')}`;
  const DELTA = nameAt('0000000000000010', '0000000000000021');

  test.each([
    ['0000000000000020', false],
    ['000000000000001F', true],
  ])(
    'ls of a delta up to 0/20 and an image at %s says that the delta is visible: %s',
    async (lsn, visible) => {
      const stdin = `${DELTA}\n${nameAt(lsn)}`;
      const lines = parseLines((await runCli(['ls', '-', '--ndjson'], { stdin })).stdout);
      const bounds = { key_start: START, key_end: END };
      const image = { name: nameAt(lsn), kind: 'image', level: 'image', ...bounds, lsn };
      expect(lines.find(({ kind }) => kind === 'image')).toMatchObject({ ...image, visible: true });
      const lsns = { lsn_start: '0000000000000010', lsn_end: '0000000000000021' };
      const delta = { name: DELTA, kind: 'delta', level: 'L1', ...bounds, ...lsns, visible };
      expect(lines.find(({ kind }) => kind === 'delta')).toMatchObject(delta);
    },
  );

  test('ls of a name that is not a layer is wrong usage', async () => {
    expect(await runCli(['ls', '-'], { stdin: 'notes\x1b' })).toMatchObject({ status: 2 });
  });

  test('ls fits 80 columns', async () => {
    const { stdout } = await runCli(['ls', golden], {
      terminal: true,
      columns: 80,
      environment: { NO_COLOR: '1' },
    });
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(10);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});

test('a source of several timelines wants one of them, and lists them', async () => {
  const root = temporaryDirectory();
  await unpackTimelines('branches', root);
  for (const command of ['ls', 'check', 'space']) {
    const result = await runCli([command, root]);
    expect(result.status).toBe(2);
    expect(result.stderr).toContain('1'.repeat(32));
  }
  expect((await runCli(['check', root, '--timeline', '1'.repeat(32)])).status).toBe(0);
});

describe('space', () => {
  const [layer] = goldenLayers().filter(({ manifest }) => manifest.case === '07-delta-2-level');
  const path = layer?.path ?? '';

  test.each(['relation', 'fork', 'kind', 'type', 'layer'])(
    'space by %s adds up to the entries and the size of the file',
    async (by) => {
      const lines = await linesOf('space', path, '--by', by);
      const dump = await linesOf('dump', path);
      const sum = (field: string): number =>
        lines.reduce((total, line) => total + Number(line[field]), 0);
      expect(sum('entries')).toBe(dump.length);
      expect(sum('bytes')).toBe(dump.reduce((total, { len }) => total + Number(len), 0));
      expect(sum('stored_bytes')).toBe(readFileSync(path).length);
      const sizes = lines
        .filter(({ entries }) => Number(entries) > 0)
        .map((line) => Number(line['stored_bytes']));
      expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    },
  );

  test('space by layer is named by the layer', async () => {
    const [first] = await linesOf('space', path, '--by', 'layer');
    expect(first?.['name']).toBe(basename(path));
  });

  test('space is the same as CSV and as Parquet', async () => {
    const lines = await linesOf('space', path, '--by', 'type');
    const { stdout } = await runCli(['space', path, '--by', 'type', '--csv']);
    const [header, ...rows] = stdout.trimEnd().split('\r\n');
    expect(header).toBe('name,entries,bytes,stored_bytes');
    expect(rows).toEqual(lines.map((line) => Object.values(line).join(',')));
    const file = join(temporaryDirectory(), 'space.parquet');
    expect((await runCli(['space', path, '--by', 'type', '--parquet', file])).status).toBe(0);
    const bytes = readFileSync(file);
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    const found = await parquetReadObjects({ file: buffer });
    expect(found.map((row) => ({ ...row, entries: Number(row['entries']) }))).toEqual(
      lines.map((line) => ({
        ...line,
        bytes: BigInt(String(line['bytes'])),
        stored_bytes: BigInt(String(line['stored_bytes'])),
      })),
    );
  });

  test('space does not write over a layer', async () => {
    const result = await runCli(['space', path, '--parquet', path]);
    expect(result.status).toBe(2);
    expect(result.stderr).toContain('the output is the input');
  });

  test('space measures other levels on a sample of the images', async () => {
    const image = goldenLayers().find(({ manifest }) => manifest.case === '11-image-uncompressed');
    const lines = await linesOf('space', image?.path ?? '', '--recompress', '1,none');
    const [zstd = {}, none = {}] = lines.slice(-2);
    expect([zstd['name'], none['name']]).toEqual(['(sample, zstd 1)', '(sample, none)']);
    expect(Number(zstd['stored_bytes'])).toBeLessThan(Number(none['stored_bytes']));
    expect(none['stored_bytes']).toBe(lines[0]?.['stored_bytes']);
  });

  test('space of a relation has its entries only', async () => {
    const lines = await linesOf('space', golden, '--rel', '1663/1/1259', '--by', 'fork');
    expect(lines.map(({ name }) => name).sort()).toEqual(['fsm', 'main', 'vm']);
  });
});

describe('dump', () => {
  const path =
    goldenLayers().find(({ manifest }) => manifest.case === '07-delta-2-level')?.path ?? '';

  test('dump of the newest versions has the last of each key', async () => {
    const all = await linesOf('dump', path);
    const newest = new Map<unknown, unknown[]>();
    for (const line of all) {
      newest.set(line['key'], [...(newest.get(line['key']) ?? []), line].slice(-2));
    }
    expect(await linesOf('dump', path, '--versions', '2')).toEqual([...newest.values()].flat());
  });

  test('dump of one key, or of a relation, has what lies between', async () => {
    const all = await linesOf('dump', path);
    const key = String(all[7]?.['key']);
    const expected = all.filter((line) => line['key'] === key);
    expect(await linesOf('dump', path, '--key', key)).toEqual(expected);
    const relation = [key.slice(2, 10), key.slice(10, 18), key.slice(18, 26)]
      .map((digits) => Number.parseInt(digits, 16))
      .join('/');
    const prefix = key.slice(0, 26);
    expect(await linesOf('dump', path, '--rel', relation)).toEqual(
      all.filter((line) => String(line['key']).startsWith(prefix)),
    );
  });

  test('dump of a fork without a relation is wrong usage', async () => {
    expect(await runCli(['dump', path, '--fork', 'main'])).toMatchObject({ status: 2, stdout: '' });
  });
});

test('a quiet verify prints nothing about valid files', async () => {
  const [valid] = goldenLayers();
  const result = await runCli(['verify', valid?.path ?? '', '--quiet']);
  expect(result).toMatchObject({ status: 0, stdout: '', stderr: '' });
});
