import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  SK15_SEGMENT_NAME,
  SK15_TIMELINE,
  sk15Segment,
  WAL_END,
  writeSk15Base,
} from '../../support/ingested-timelines.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from '../support.ts';

let base = '';
let wal = '';

beforeAll(async () => {
  const root = await mkdtemp(join(tmpdir(), 'layerfile-test-'));
  base = join(root, 'base');
  wal = join(root, 'wal');
  await writeSk15Base(base);
  mkdirSync(wal);
  writeFileSync(join(wal, SK15_SEGMENT_NAME), sk15Segment());
  return () => rmSync(root, { recursive: true });
});

function importWal(out: string, ...flags: string[]) {
  return runCli(['import', 'wal', '--base', base, '--wal', wal, '--out', out, ...flags]);
}

const END = ['--end', '0/1600000'];

describe('import wal', () => {
  test('import wal prints the layers, how far it went and where the index is', async () => {
    const out = temporaryDirectory();
    const result = await importWal(out, ...END, '--checkpoint-distance', '512KiB');
    expect(result.status).toBe(0);
    const [line] = parseLines(result.stdout);
    expect(line).toMatchObject({
      start_lsn: '00000000014AEC08',
      end_lsn: '00000000015FFF98',
      records: 7581,
      index_part: join(out, SK15_TIMELINE, 'index_part.json-00000001'),
    });
    const layers = line?.['layers'] as Record<string, unknown>[];
    expect(layers.length).toBeGreaterThan(1);
    expect(Object.keys(layers[0] ?? {})).toEqual([
      'path',
      'name',
      'size',
      'entries',
      'index_start_blk',
      'index_root_blk',
    ]);
    const names = readdirSync(join(out, SK15_TIMELINE));
    for (const { name, path } of layers) {
      expect(names).toContain(name);
      expect(path).toBe(join(out, SK15_TIMELINE, `${name}`));
      expect((await runCli(['verify', `${path}`])).status).toBe(0);
    }
    const check = await runCli(['check', out, '--json']);
    expect(check.status).toBe(0);
  });

  test('import wal says where the WAL ends and why, unless --end was reached', async () => {
    const whole = await importWal(temporaryDirectory());
    expect(whole.status).toBe(0);
    expect(whole.stderr).toMatch(
      /up to 0\/1601F90\nthe WAL ends at 0\/1601F90: .*expected D110, found 0000\n$/,
    );
    const part = await importWal(temporaryDirectory(), ...END);
    expect(part.stderr).toMatch(/up to 0\/15FFF98\n$/);
  });

  test('import wal does not need the program that replays WAL where no page is copied', async () => {
    const result = await importWal(temporaryDirectory(), ...END, '--wal-redo', '/no/program');
    expect({ status: result.status, stderr: result.stderr }).toMatchObject({ status: 0 });
    expect(parseLines(result.stdout)[0]).toMatchObject({ records: 7581 });
  });

  test('import wal refuses a timeline that exists, and continues with --resume', async () => {
    const out = temporaryDirectory();
    expect((await importWal(out, '--end', '0/1500000')).status).toBe(0);
    const refused = await importWal(out, ...END, '--json');
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(parseError(refused)['code']).toBe('exists');
    const resumed = await importWal(out, ...END, '--resume');
    expect(resumed.status).toBe(0);
    expect(parseLines(resumed.stdout)[0]).toMatchObject({ end_lsn: '00000000015FFF98' });
    expect(resumed.stderr).toContain('up to 0/15FFF98');
  });

  test('import wal ends at a damaged record with its LSN, after everything before it, and says how to continue', async () => {
    const out = temporaryDirectory();
    const segment = sk15Segment();
    segment[0x580100] = (segment[0x580100] as number) ^ 1;
    const directory = temporaryDirectory();
    writeFileSync(join(directory, SK15_SEGMENT_NAME), segment);
    const words = ['import', 'wal', '--base', base, '--wal', directory, '--out', out];
    const ended = await runCli(words);
    expect(ended).toMatchObject({ status: 1, stdout: '' });
    expect(ended.stderr).toMatch(/error\[corrupt\]/);
    expect(ended.stderr).toMatch(
      /everything up to 0\/15[78][0-9A-F]{4} is stored; continue with --resume/,
    );
    const resumed = await importWal(out, ...END, '--resume', '--json');
    expect(parseLines(resumed.stdout)[0]).toMatchObject({
      end_lsn: WAL_END.toString(16).toUpperCase().padStart(16, '0'),
    });
  });

  test('import wal of WAL of another version is 1, and the index stays where it was', async () => {
    const out = temporaryDirectory();
    const segment = sk15Segment();
    for (let page = 0x4b0000; page < 0x602000; page += 8192) segment[page] = 0x13;
    const directory = temporaryDirectory();
    writeFileSync(join(directory, SK15_SEGMENT_NAME), segment);
    const words = ['import', 'wal', '--base', base, '--wal', directory, '--out', out, '--json'];
    const refused = await runCli(words);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(parseError(refused)['message']).toContain('WAL of another version');
  });

  test('import wal without WAL is 3, and copies nothing of the base', async () => {
    const out = join(temporaryDirectory(), 'out');
    const empty = temporaryDirectory();
    const words = ['import', 'wal', '--base', base, '--wal', empty, '--out', out, '--json'];
    const refused = await runCli(words);
    expect(refused).toMatchObject({ status: 3, stdout: '' });
    expect(parseError(refused)).toMatchObject({ code: 'not-found', path: empty });
    expect(existsSync(out)).toBe(false);
  });

  test.each([
    [['--base', 'nowhere', '--wal', 'wal'], 3, 'not-found'],
    [['--base', 'base'], 2, 'usage'],
    [['--base', 'base', '--wal', 'nowhere'], 3, 'not-found'],
    [['--base', 'layer', '--wal', 'wal'], 2, 'usage'],
    [['--base', 'base', '--wal', 'wal', '--shard-number', '1'], 2, 'usage'],
    [['--base', 'base', '--wal', 'wal', '--end', '0/14AEC00'], 2, 'usage'],
    [['--base', 'base', '--wal', 'wal', '--dialect', 'postgres'], 2, 'usage'],
    [['--base', 'base', '--wal', 'wal', '--tenant', 'ff'.repeat(16)], 3, 'not-found'],
  ])('import wal with %j ends with %i, %s', async (words, status, code) => {
    const names = readdirSync(join(base, SK15_TIMELINE));
    const layer = join(base, SK15_TIMELINE, names.find((name) => name.includes('__')) ?? '');
    const places: Record<string, string> = { base, wal, layer };
    const args = words.map((word) => places[word] ?? word);
    const result = await runCli([
      'import',
      'wal',
      ...args,
      '--out',
      temporaryDirectory(),
      '--json',
    ]);
    expect(result.status).toBe(status);
    expect(parseError(result)['code']).toBe(code);
  });
});
