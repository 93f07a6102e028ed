import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checksummed, fabricateCluster, pages } from '../postgres/fabricated-cluster.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from './support.ts';

const IDS = ['--tenant', 'AB'.repeat(16), '--timeline', '11'.repeat(16)];
const GOOD = ['rel=1663/5/16384', 'blkno=0'];
const BAD = ['rel=1663/5/16384', 'blkno=1'];
const WITHOUT = ['rel=1663/5/16385', 'blkno=0'];
const NEW = ['rel=1663/5/16384', 'fork=fsm', 'blkno=0'];

/** A block with LSN 0/1000, two items and flags, one that is damaged, one without, and a new one. */
async function makeLayer(): Promise<string> {
  const main = pages(2, 1);
  const view = new DataView(main.buffer);
  view.setUint32(4, 0x1000, true);
  view.setUint16(10, 5, true);
  view.setUint16(12, 32, true);
  view.setUint16(16, 8176, true);
  const bytes = checksummed(main);
  bytes[8192 + 5000] = 99;
  const without = checksummed(pages(1, 3)).fill(0, 8, 10);
  const files = {
    'base/5/16384': bytes,
    'base/5/16385': without,
    'base/5/16384_fsm': new Uint8Array(8192),
  };
  const directory = fabricateCluster(files);
  const out = temporaryDirectory();
  const { stdout } = await runCli(['import', 'pgdata', directory, '--out', out, ...IDS]);
  return String(parseLines(stdout)[0]?.['path']);
}

test('get shows the header of a page to people', async () => {
  const layer = await makeLayer();
  const { stdout } = await runCli(['get', layer, ...GOOD]);
  expect(stdout).toMatch(/^page LSN +0\/1000$/m);
  expect(stdout).toMatch(/^page checksum +0x[0-9a-f]{4}, good$/m);
  expect(stdout).toMatch(/^page flags +0x0005, has free line pointers, all visible$/m);
  expect(stdout).toMatch(/^lower, upper, special +32 {2}8,192 {2}8,176$/m);
  expect(stdout).toMatch(/^items +2$/m);
  const bad = /^page checksum +0x[0-9a-f]{4}, bad: expected 0x[0-9a-f]{4}$/m;
  expect((await runCli(['get', layer, ...BAD])).stdout).toMatch(bad);
  for (const key of [WITHOUT, NEW]) {
    expect((await runCli(['get', layer, ...key])).stdout).toMatch(/^page checksum +none$/m);
  }
});

test('get shows no page header for a value that is not a page', async () => {
  const { stdout } = await runCli(['get', await makeLayer(), 'rel=1663/5/16384', 'size']);
  expect(stdout).not.toContain('page');
});

test('export page --describe prints it in place of the bytes', async () => {
  const layer = await makeLayer();
  const people = await runCli(['export', 'page', layer, ...GOOD, '--describe'], { terminal: true });
  expect(people.status).toBe(0);
  expect(people.stdout).toContain('good');
  expect(people.stdout).toContain('block 0 of relation 1663/5/16384, main fork');

  const programs = await runCli(['export', 'page', layer, ...GOOD, '--describe', '--json']);
  const page = readPage(layer);
  expect(parseLines(programs.stdout)).toEqual([
    {
      key: '000000067F00000005000040000000000000',
      lsn: '00000000016C3560',
      page_lsn: '0000000000001000',
      checksum: (await page).readUInt16LE(8),
      checksum_state: 'good',
      flags: 5,
      lower: 32,
      upper: 8192,
      special: 8176,
      items: 2,
    },
  ]);
  const bad = await runCli(['export', 'page', layer, ...BAD, '--describe', '--json']);
  expect(parseLines(bad.stdout)).toMatchObject([
    { checksum_state: 'bad', expected_checksum: expect.any(Number) },
  ]);
});

test('export page --describe beside a file, and not beside the bytes', async () => {
  const layer = await makeLayer();
  const out = join(temporaryDirectory(), 'page');
  const result = await runCli(['export', 'page', layer, ...GOOD, '--describe', '--out', out]);
  expect(result.status).toBe(0);
  expect(result.stdout).toContain('page LSN');
  expect(readFileSync(out).equals(await readPage(layer))).toBe(true);
  const both = await runCli(['export', 'page', layer, ...GOOD, '--describe', '--out', '-']);
  expect(both).toMatchObject({ status: 2, stdout: '' });
});

test('verify --page-checksums finds a flipped byte in a page, in any fork', async () => {
  const layer = await makeLayer();
  expect((await runCli(['verify', layer])).status).toBe(0);
  const result = await runCli(['verify', layer, '--page-checksums', '--ndjson']);
  expect(result.status).toBe(1);
  expect(parseLines(result.stdout)).toMatchObject([
    {
      ok: false,
      errors: 1,
      findings: [
        {
          severity: 'error',
          code: 'corrupt',
          message: expect.stringContaining('page checksum of block 1'),
          key: '000000067F00000005000040000000000001',
        },
      ],
    },
  ]);
  const people = await runCli(['verify', layer, '--page-checksums']);
  expect(people.stderr).toContain('page checksums: 1 good, 1 bad, 1 without one, 1 new');
});

test('an import names bad pages, and writes only if it may', async () => {
  const bytes = checksummed(pages(150, 1));
  for (let offset = 0; offset < bytes.length; offset += 8192) bytes[offset + 100] = 1;
  const directory = fabricateCluster({ 'base/5/16384': bytes }, { checksumVersion: 1 });
  const out = temporaryDirectory();
  const words = ['import', 'pgdata', directory, '--out', out, ...IDS];
  const refused = await runCli([...words, '--json']);
  expect(refused).toMatchObject({ status: 1, stdout: '' });
  expect(parseError(refused)).toMatchObject({
    code: 'corrupt',
    path: join(directory, 'base/5/16384'),
    message: expect.stringContaining('150 pages have wrong checksums'),
  });
  const warnings = parseLines(refused.stderr).filter((line) => 'warning' in line);
  expect(warnings).toHaveLength(101);
  expect(JSON.stringify(warnings[100])).toContain('50 more bad pages');
  expect(JSON.stringify(warnings[7])).toContain('checksum of block 7');
  expect(readdirSync(out)).toEqual([]);

  const allowed = await runCli([...words, '--allow-bad-pages']);
  expect(allowed.status).toBe(0);
  expect(parseLines(allowed.stdout)).toMatchObject([{ bad_pages: 150 }]);
  writeFileSync(join(directory, 'base/5/16384'), checksummed(pages(150, 1)));
  const valid = await runCli([...words, '--lsn', '0/16C3568']);
  expect(parseLines(valid.stdout)).toMatchObject([{ bad_pages: 0 }]);
});

async function readPage(layer: string): Promise<Buffer> {
  return (await runCli(['export', 'page', layer, ...GOOD])).stdoutBytes;
}
