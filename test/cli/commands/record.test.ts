/** WAL records in values, as dump, get, find, explain and space show them: of Neon's own Postgres 15. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unpackTimelines } from '../../support/golden-timelines.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { runCli } from '../support.ts';

const root = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
let timeline: string;
let layer: string;

const FIRST_KEY = '000000067F00000005000004DF000000000E';

beforeAll(async () => {
  await unpackTimelines('sk15', root);
  timeline = directoryOf(root);
  layer = join(timeline, nameWith('__00000000014AEC09-00000000018657E1'));
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('dump', () => {
  test('dump describes records in JSON with --values json, if the version is given', async () => {
    const command = [
      'dump',
      layer,
      '--ndjson',
      '--values',
      'json',
      '--rmgr',
      'heap',
      '--limit',
      '1',
    ];
    const [line] = await lines(...command);
    expect(line).not.toHaveProperty('record');
    const [told] = await lines(...command, '--pg-version', '15');
    expect(told?.['record']).toEqual({
      resource_manager: 'Heap',
      record_type: 'INSERT',
      xid: 1024,
      prev_lsn: '00000000014AEC90',
      record_length: 1958,
      description: 'off 10 flags 0x01',
      blocks: [{ id: 0, rel: '1663/5/1247', fork: 0, blk: 14, data_len: 0, fpi_len: 1904 }],
    });
    expect(told?.['value']).toEqual(line?.['value']);
  });

  test('dump describes records in words in the table', async () => {
    const { stdout } = await runCli([
      'dump',
      layer,
      '--values',
      'json',
      '--pg-version',
      '15',
      '--rmgr',
      'Heap',
      '--limit',
      '1',
    ]);
    expect(stdout).toContain('Heap/INSERT off 10 flags 0x01 xid 1024, 1663/5/1247 blk 14 FPW\n');
  });

  test('dump reads the longer UPDATE of Neon’s Postgres by itself, and refuses it as vanilla', async () => {
    const key = ['--rel', '1663/5/1259', '--xid', '1028', '--pg-version', '15'];
    const command = ['dump', layer, '--ndjson', '--values', 'json', ...key];
    const updates = (await lines(...command)).filter(({ record }) => isUpdate(record));
    expect(updates).toHaveLength(4);
    expect(updates[0]?.['record']).toMatchObject({
      description: expect.stringMatching(/^off \d+ xmax \d+ flags 0x\w\w ; new off \d+ xmax 0$/),
    });
    const told = await lines(...command, '--dialect', 'vanilla');
    const refused = told.filter(({ record }) => Object.hasOwn(record ?? {}, 'error'));
    expect(refused).toHaveLength(4);
    expect(refused[0]).toMatchObject({
      value: { type: 'wal', hex: expect.any(String) },
      record: { error: { code: 'corrupt', message: expect.stringContaining('Heap/UPDATE') } },
    });
  });

  test('dump filters by resource manager and transaction, before the limit, whatever is printed', async () => {
    for (const values of ['none', 'sha256', 'hex', 'json']) {
      const found = await lines('dump', layer, '--ndjson', '--values', values, '--xid', '1025');
      expect(found.length).toBeGreaterThan(0);
      const all = await lines('dump', layer, '--ndjson', '--values', 'hex', '--xid', '1025');
      expect(found.map(({ lsn }) => lsn)).toEqual(all.map(({ lsn }) => lsn));
      for (const { hex } of all) expect(xidOf(String(hex))).toBe(1025);
    }
    const both = ['dump', layer, '--ndjson', '--rmgr', 'btree', '--limit', '3'];
    expect(await lines(...both)).toHaveLength(3);
    expect(await lines('dump', layer, '--ndjson', '--rmgr', 'gin')).toEqual([]);
  });

  test('dump refuses a resource manager and a version that do not exist', async () => {
    const unknown = await runCli(['dump', layer, '--rmgr', 'Haep']);
    expect(unknown).toMatchObject({ status: 2, stdout: '' });
    expect(unknown.stderr).toContain('did you mean "Heap"');
    const unnamed = await runCli(['dump', layer, '--rmgr', 'unknown']);
    expect(unnamed).toMatchObject({ status: 2, stdout: '' });
    expect((await runCli(['dump', layer, '--pg-version', '13'])).status).toBe(2);
    expect((await runCli(['dump', layer, '--dialect', 'other'])).status).toBe(2);
  });

  test.each([
    ['dump', []],
    ['get', [FIRST_KEY]],
    ['find', [FIRST_KEY]],
    ['explain', [FIRST_KEY]],
  ])('%s refuses a transaction id with its epoch, which no record has', async (command, key) => {
    const refused = await runCli([command, layer, ...key, '--xid', `${2 ** 32 + 1025}`]);
    expect(refused).toMatchObject({ status: 2, stdout: '' });
    expect(refused.stderr).toContain('an integer from 0 to 4294967295');
  });

  test('dump gives lines that build takes, record and all', async () => {
    const path = join(temporaryDirectory(), 'spec.ndjson');
    const header = (await runCli(['inspect', layer, '--json'])).stdout;
    const range = ['--key-start', FIRST_KEY, '--limit', '20', '--values', 'json'];
    const entries = (await runCli(['dump', layer, '--ndjson', ...range, '--pg-version', '15']))
      .stdout;
    writeFileSync(path, header + entries);
    const out = temporaryDirectory();
    const built = await runCli(['build', '--out', out], { stdin: readFileSync(path) });
    expect(built.status).toBe(0);
    const again = await runCli([
      'dump',
      JSON.parse(built.stdout).path,
      '--ndjson',
      '--values',
      'json',
      '--pg-version',
      '15',
    ]);
    expect(records(again.stdout)).toEqual(records(entries));
  });
});

describe('get, find and explain', () => {
  const record = {
    resource_manager: 'Heap',
    record_type: 'INSERT',
    xid: 1027,
    description: 'off 17 flags 0x00',
  };

  test('get, find and explain take the version from the index of the timeline', async () => {
    const at = ['--lsn', '0/1700000', '--json'];
    expect((await lines('get', timeline, FIRST_KEY, ...at))[0]).toMatchObject({ record });
    expect((await lines('find', timeline, FIRST_KEY, '--ndjson'))[0]).toMatchObject({ record });
    const explained = JSON.parse((await runCli(['explain', timeline, FIRST_KEY, ...at])).stdout);
    const { entries } = explained.visits[0];
    expect(entries).toHaveLength(8);
    expect(entries[0]).toMatchObject({ record });
  });

  test('get, find and explain say it in words to people', async () => {
    const words = 'Heap/INSERT off 17 flags 0x00 xid 1027, 1663/5/1247 blk 14';
    for (const command of ['get', 'find', 'explain']) {
      expect((await runCli([command, timeline, FIRST_KEY])).stdout).toContain(words);
    }
  });

  test('get, find and explain of one layer need the version', async () => {
    const [untold] = await lines('get', layer, FIRST_KEY, '--json');
    expect(untold).not.toHaveProperty('record');
    const [told] = await lines('get', layer, FIRST_KEY, '--json', '--pg-version', '15');
    expect(told).toMatchObject({ record });
  });

  test('find filters by resource manager and transaction', async () => {
    const found = await lines('find', timeline, FIRST_KEY, '--ndjson', '--xid', '1025');
    expect(found.map(({ lsn }) => lsn)).toEqual(['00000000014C5D18', '00000000014C5A40']);
    const none = await runCli(['find', timeline, FIRST_KEY, '--rmgr', 'Btree']);
    expect(none.status).toBe(1);
    expect(none.stderr).toContain('no such record of the key');
  });

  test('get prints the newest record of a transaction or resource manager, of a timeline or layer', async () => {
    for (const source of [timeline, layer]) {
      const [found] = await lines('get', source, FIRST_KEY, '--json', '--xid', '1025');
      expect(found).toMatchObject({ lsn: '00000000014C5D18' });
      const older = ['--xid', '1025', '--lsn', '0/14C5D17'];
      const [before] = await lines('get', source, FIRST_KEY, '--json', ...older);
      expect(before).toMatchObject({ lsn: '00000000014C5A40' });
      const [heap] = await lines('get', source, FIRST_KEY, '--json', '--rmgr', 'Heap');
      expect(heap).toMatchObject({ type: 'wal' });
      const none = await runCli(['get', source, FIRST_KEY, '--rmgr', 'Btree']);
      expect(none).toMatchObject({ status: 1, stdout: '' });
      expect(none.stderr).toContain('no such record');
    }
    expect((await runCli(['get', layer, FIRST_KEY, '--rmgr', 'Haep'])).status).toBe(2);
  });

  test('explain lists records of a transaction only, and what the read comes to is that of all', async () => {
    const read = ['explain', timeline, FIRST_KEY];
    const all = JSON.parse((await runCli([...read, '--json'])).stdout);
    const some = JSON.parse((await runCli([...read, '--json', '--xid', '1025'])).stdout);
    const entriesOf = (explained: typeof all) =>
      explained.visits.flatMap(({ entries }: { entries: unknown[] }) => entries);
    expect(entriesOf(some).map(({ lsn }: Line) => lsn)).toEqual([
      '00000000014C5D18',
      '00000000014C5A40',
    ]);
    expect(entriesOf(all)).toEqual(expect.arrayContaining(entriesOf(some)));
    const { visits: _, ...outcome } = all;
    expect(some).toMatchObject(outcome);
    const words = (await runCli([...read, '--xid', '1025'])).stdout;
    expect(words.match(/ xid \d+/g)).toEqual([' xid 1025', ' xid 1025']);
    const none = await runCli([...read, '--rmgr', 'Btree']);
    expect(none).toMatchObject({ status: 0, stdout: expect.stringContaining('no such record') });
    const stdin = `${FIRST_KEY} 0/1700000\n`;
    const batch = ['explain', timeline, '--batch', '-', '--ndjson', '--rmgr', 'Btree'];
    expect(JSON.parse((await runCli(batch, { stdin })).stdout).visits[0].entries).toEqual([]);
  });

  test('a batch of explain has no records', async () => {
    const stdin = `${FIRST_KEY} 0/1700000\n`;
    const { stdout } = await runCli(['explain', timeline, '--batch', '-', '--ndjson'], { stdin });
    expect(JSON.parse(stdout).visits[0].entries[0]).not.toHaveProperty('record');
  });
});

describe('space --by record', () => {
  test('space --by record adds up kinds of records, and other values by their type', async () => {
    const rows = await lines('space', timeline, '--by', 'record', '--ndjson');
    const entries = new Map(rows.map((row) => [row['name'], row['entries']]));
    expect(entries.get('Heap/INSERT')).toBe(71_447);
    expect(entries.get('Heap/INSERT+INIT')).toBe(1191);
    expect(entries.get('Heap/UPDATE')).toBe(4);
    expect(entries.get('clear_vm')).toBe(6);
  });

  test('space --by record needs the version if no index states it', async () => {
    const untold = await runCli(['space', layer, '--by', 'record']);
    expect(untold.status).toBe(2);
    expect(untold.stderr).toContain('--pg-version');
    const told = await lines('space', layer, '--by', 'record', '--pg-version', '15', '--ndjson');
    expect(told.map(({ name }) => name)).toContain('Btree/INSERT_LEAF');
  });
});

type Line = Readonly<Record<string, unknown>> & { readonly lsn?: string; readonly record?: object };

async function lines(...commandLine: string[]): Promise<Line[]> {
  const { status, stdout, stderr } = await runCli(commandLine);
  expect([status, stderr]).toEqual([0, '']);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function records(ndjson: string): unknown[] {
  return ndjson
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).record);
}

function isUpdate(record: object | undefined): boolean {
  return record !== undefined && Reflect.get(record, 'record_type') === 'UPDATE';
}

/** A value has 17 bytes before its record, and a record 4 before its transaction. */
function xidOf(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE(17 + 4);
}

function directoryOf(root: string): string {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const index = files.find((file) => /index_part\.json[^/]*$/.test(file)) ?? '';
  return join(root, index, '..');
}

function nameWith(part: string): string {
  return readdirSync(timeline).find((name) => name.includes(part)) ?? '';
}
