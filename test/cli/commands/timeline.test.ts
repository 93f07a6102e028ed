/** `find`, `explain`, and `export page` of a timeline. */
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readLines, unpackTimelines } from '../../support/golden-timelines.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const root = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
const TIMELINE = '11223344556677881122334455667788';

interface Read {
  readonly key: string;
  readonly lsn: string;
  readonly image?: { readonly lsn: string } | null;
  readonly records?: number;
  readonly missing?: true;
}

const READS = readLines<Read>('sk15-reconstruct.ndjson.br').filter(
  ({ records }) => (records ?? 0) < 50,
);

beforeAll(async () => {
  await unpackTimelines('sk15', root);
  await unpackTimelines('branches', join(root, 'several'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('explain', () => {
  test('explain of a batch has the base and the number of records of each read, in order', async () => {
    const pairs = READS.map(({ key, lsn }) => `${key} ${lsn}\n`).join('');
    const result = await runCli(['explain', root, '--batch', '-', '--ndjson'], { stdin: pairs });
    expect(result.status).toBe(READS.some(({ missing }) => missing) ? 1 : 0);
    const lines = parseLines(result.stdout);
    expect(lines).toHaveLength(READS.length);
    for (const [index, line] of lines.entries()) {
      const { key, lsn, image, records, missing } = READS[index] as Read;
      expect(line).toMatchObject({ key, lsn });
      if (missing) expect(['missing', 'no-base']).toContain(line['result']);
      else {
        expect(line['records']).toBe(records);
        expect((line['base'] as Record<string, unknown> | null)?.['lsn']).toBe(image?.lsn);
        expect(['page', 'needs-redo']).toContain(line['result']);
      }
    }
  });

  test('explain of one key has the visits in the order of reading', async () => {
    const read = READS.find(({ records }) => (records ?? 0) > 1) as Read;
    const result = await runCli(['explain', root, read.key, '--lsn', read.lsn, '--json']);
    const explained = JSON.parse(result.stdout);
    const entries = explained.visits.at(-1).entries;
    expect(explained.visits.at(-1)).toMatchObject({ timeline_id: TIMELINE });
    expect(entries.at(-1)).toMatchObject({ will_init: true });
    const ends = explained.visits.map(({ lsn_end }: { lsn_end: string }) => lsn_end);
    expect(ends).toEqual(ends.toSorted().reverse());
  });

  test('explain for people names the key, the base and the layers', async () => {
    const read = READS.find(({ image }) => image) as Read;
    const { status, stdout } = await runCli(['explain', root, read.key, '--lsn', read.lsn]);
    expect(status).toBe(0);
    expect(stdout).toContain(read.key);
    expect(stdout).toContain('result');
    expect(stdout).toMatch(/read from +up to, excluding +found +layer/);
  });

  test('explain of a key that is not there exits 1', async () => {
    const absent = ['rel=1663/5/99999', 'blkno=0'];
    const result = await runCli(['explain', root, ...absent, '--json']);
    expect([result.status, JSON.parse(result.stdout).result]).toEqual([1, 'missing']);
  });

  test.each([
    ['a line that is no pair', 'nonsense\n'],
    ['a line without an LSN', `${'0'.repeat(36)}\n`],
  ])('explain of %s is wrong usage', async (_, stdin) => {
    const result = await runCli(['explain', root, '--batch', '-', '--ndjson'], { stdin });
    expect(result.status).toBe(2);
    expect(parseError(result)['message']).toContain('line 1');
  });

  test('a key beside --batch is wrong usage', async () => {
    const result = await runCli(['explain', root, 'checkpoint', '--batch', '-', '--json']);
    expect([result.status, parseError(result)['code']]).toEqual([2, 'usage']);
  });

  test('explain of several timelines without a choice exits with 2 and their list', async () => {
    const result = await runCli(['explain', join(root, 'several'), 'db_dir']);
    expect(result.status).toBe(2);
    expect(result.stderr).toContain(
      'c0ffee00000000000000000000000001/11111111111111111111111111111111',
    );
  });
});

describe('find', () => {
  test('find lists versions newest first, within the LSNs and the limit', async () => {
    const all = parseLines((await runCli(['find', root, 'checkpoint', '--ndjson'])).stdout);
    expect(all.length).toBeGreaterThan(3);
    const lsns = all.map(({ lsn }) => String(lsn));
    expect(lsns).toEqual(lsns.toSorted().reverse());
    expect(all[0]).toMatchObject({ type: 'image', will_init: true });
    const [, second, third] = lsns;
    const range = ['--lsn-start', String(third), '--lsn-end', String(lsns[0])];
    const some = await runCli(['find', root, 'checkpoint', ...range, '--ndjson']);
    expect(parseLines(some.stdout).map(({ lsn }) => lsn)).toEqual([second, third]);
    const one = await runCli(['find', root, 'checkpoint', '--limit', '1', '--json']);
    expect(JSON.parse(one.stdout)).toEqual([all[0]]);
  });

  test('find of a key without a version exits 1 with not-found', async () => {
    const result = await runCli(['find', root, 'rel=1663/5/99999', 'blkno=0', '--ndjson']);
    expect([result.status, result.stdout, parseError(result)['code']]).toEqual([
      1,
      '',
      'not-found',
    ]);
  });
});

describe('export page', () => {
  const imageOnly = READS.find(
    ({ image, records, key }) => image && records === 0 && key.startsWith('000000067F'),
  ) as Read;

  test('export page of a timeline is the page that a pageserver reads', async () => {
    const out = join(root, '..', `layerfile-page-${process.pid}`);
    try {
      const result = await runCli([
        'export',
        'page',
        root,
        imageOnly.key,
        '--lsn',
        imageOnly.lsn,
        '--out',
        out,
      ]);
      expect(result.stderr).toBe('');
      expect(await readFile(out)).toHaveLength(8192);
    } finally {
      rmSync(out, { force: true });
    }
  });

  test('export page beyond the end of a relation is zeros', async () => {
    const size = await runCli(['find', root, 'rel=1663/5/1259', 'size', '--ndjson']);
    expect(size.status, size.stderr).toBe(0);
    const result = await runCli(['export', 'page', root, 'rel=1663/5/1259', 'blkno=100000']);
    expect(result.stderr).toBe('');
    expect(result.stdoutBytes).toEqual(Buffer.alloc(8192));
  });

  test('a page that needs redo exits 1, also if the messages for its redo are written', async () => {
    const lines = parseLines(
      (
        await runCli(['explain', root, '--batch', '-', '--ndjson'], {
          stdin: READS.map(({ key, lsn }) => `${key} ${lsn}\n`).join(''),
        })
      ).stdout,
    );
    const needing = lines.find(({ result }) => result === 'needs-redo') as Record<string, unknown>;
    const words = ['export', 'page', root, String(needing['key']), '--lsn', String(needing['lsn'])];
    const refused = await runCli([...words, '--json']);
    expect([refused.status, parseError(refused)['code']]).toEqual([1, 'needs-redo']);
    const directory = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
    try {
      const input = join(directory, 'redo');
      const written = await runCli([...words, '--redo-input', input, '--json']);
      expect([written.status, written.stdoutBytes.length]).toEqual([1, 0]);
      expect(parseError(written)['code']).toBe('needs-redo');
      const bytes = await readFile(input);
      expect([bytes[0], bytes.at(-22)]).toEqual([0x42, 0x47]);
      expect(['A', 'P']).toContain(String.fromCharCode(bytes[22] as number));
      const program = join(directory, 'redo.sh');
      await writeFile(
        program,
        '#!/bin/sh\nhead -c 100 >/dev/null\nhead -c 8192 /dev/zero\ncat >/dev/null\n',
        { mode: 0o755 },
      );
      await rm(input);
      const page = await runCli([...words, '--wal-redo', program, '--redo-input', input]);
      expect(page.stderr).toBe('');
      expect(page.stdoutBytes).toEqual(Buffer.alloc(8192));
      expect(await readFile(input)).toEqual(bytes);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('export page into the source is refused', async () => {
    const result = await runCli([
      'export',
      'page',
      root,
      imageOnly.key,
      '--out',
      join(root, 'page'),
    ]);
    expect(result.status).toBe(2);
  });
});
