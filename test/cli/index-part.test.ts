/** The command `index-part`. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { goldenIndex } from '../support/golden-indices.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from './support.ts';

const TENANT = '000102030405060708090a0b0c0d0e0f';
const TIMELINE = '11223344556677881122334455667788';
const IMAGE =
  '000000000000000000000000000000000000-030000000000000000000000000000000002__0000000001500028';
const DELTA =
  '000000000000000000000000000000000000-FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF__0000000001500029-0000000001696071';

/** The directory of a timeline in remote storage, with two generations of its index. */
function timeline(): { readonly root: string; readonly directory: string } {
  const root = temporaryDirectory();
  const directory = join(root, 'tenants', TENANT, 'timelines', TIMELINE);
  mkdirSync(directory, { recursive: true });
  for (const generation of [1, 2]) {
    writeFileSync(
      join(directory, `index_part.json-0000000${generation}`),
      goldenIndex(`pg17/${generation}`),
    );
  }
  return { root, directory };
}

describe('index-part', () => {
  test('index-part shows the index that counts, with LSNs of 16 digits', async () => {
    const { root, directory } = timeline();
    for (const source of [root, directory, join(directory, 'index_part.json-00000002')]) {
      const result = await runCli(['index-part', source, '--json']);
      expect(result.status).toBe(0);
      const [shown] = parseLines(result.stdout);
      expect(shown?.['disk_consistent_lsn']).toBe('0000000007000340');
      expect(Object.keys(shown?.['layer_metadata'] ?? {}).length).toBe(36);
      expect(result.stdout).toContain('"file_size":1105920,');
      expect(shown).toMatchObject({
        version: 15,
        metadata_bytes: {
          ancestor_timeline: null,
          ancestor_lsn: '0000000000000000',
          pg_version: 17,
        },
      });
    }
    const older = await runCli(['index-part', directory, '--generation', '00000001', '--json']);
    expect(parseLines(older.stdout)[0]?.['disk_consistent_lsn']).not.toBe('0000000007000340');
  });

  test('index-part shows sizes beyond 2^53 and numbers that are not known exactly', async () => {
    const path = join(temporaryDirectory(), 'index');
    const text = goldenIndex('sk15/1')
      .replace(/"file_size":\d+/, '"file_size":9007199254740993')
      .replace('{"version"', '{"x":1.50,"version"');
    writeFileSync(path, text);
    const [shown] = parseLines((await runCli(['index-part', path, '--json'])).stdout);
    expect(JSON.stringify(shown)).toContain('"file_size":"9007199254740993"');
    expect(shown?.['x']).toBe('1.50');
  });

  test('index-part shows a summary to people', async () => {
    const { directory } = timeline();
    const result = await runCli(['index-part', directory]);
    expect(result.stdout).toMatch(/^layers +36, /m);
    expect(result.stdout).toMatch(/^disk_consistent_lsn +0\/7000340$/m);
  });

  test('index-part asks for the timeline if there are several, and exits 2', async () => {
    const { root, directory } = timeline();
    const other = join(root, 'tenants', TENANT, 'timelines', '2'.repeat(32));
    mkdirSync(other);
    const result = await runCli(['index-part', root, '--json']);
    expect(result.status).toBe(2);
    expect(result.stderr).toContain(TIMELINE);
    const chosen = await runCli(['index-part', root, '--timeline', TIMELINE, '--json']);
    expect(chosen.status).toBe(0);
    expect(directory).toContain(TIMELINE);
  });

  test.each([
    ['that is not there', 'missing', 3, 'not-found'],
    ['in a directory without one', '.', 3, 'not-found'],
  ])('index-part of an index %s exits 3', async (_, name, status, code) => {
    const result = await runCli(['index-part', join(temporaryDirectory(), name), '--json']);
    expect(result.status).toBe(status);
    expect(parseError(result)['code']).toBe(code);
  });

  test('index-part of damaged JSON exits 1 with path and offset', async () => {
    const path = join(temporaryDirectory(), 'index_part.json');
    writeFileSync(path, '{"version":15,}');
    const result = await runCli(['index-part', path, '--json']);
    expect(result.status).toBe(1);
    expect(parseError(result)).toMatchObject({ code: 'corrupt', path, offset: 14 });
  });
});

describe('index-part check', () => {
  test('index-part check finds nothing in an index of a pageserver', async () => {
    const { directory } = timeline();
    const result = await runCli(['index-part', 'check', directory, '--json']);
    expect(result.status).toBe(0);
    expect(parseLines(result.stdout)[0]).toEqual({
      path: join(directory, 'index_part.json-00000002'),
      ok: true,
      findings: [],
      errors: 0,
      warnings: 0,
    });
  });

  test('index-part check names what is wrong, and exits 1', async () => {
    const path = join(temporaryDirectory(), 'index_part.json');
    writeFileSync(path, goldenIndex('variants/gc-blocking-empty/11111111'));
    const result = await runCli(['index-part', 'check', path]);
    expect(result.status).toBe(1);
    expect(result.stdout).toContain('error: gc_blocking has no reasons');
  });
});

describe('index-part diff', () => {
  test('index-part diff of two generations lists fields and layers, and exits 1', async () => {
    const { directory } = timeline();
    const [a, b] = [1, 2].map((generation) =>
      join(directory, `index_part.json-0000000${generation}`),
    );
    const result = await runCli(['index-part', 'diff', String(a), String(b), '--ndjson']);
    expect(result.status).toBe(1);
    const lines = parseLines(result.stdout);
    expect(lines[0]).toMatchObject({ field: 'disk_consistent_lsn', b: '0000000007000340' });
    const added = lines.filter((line) => 'layer' in line && !('a' in line));
    expect(added.length).toBeGreaterThan(0);
    const { summary } = lines.at(-1) as { summary: { fields: number; layers: number } };
    expect(summary.fields + summary.layers).toBe(lines.length - 1);
  });

  test('index-part diff of the same index in an old form finds the version only', async () => {
    const directory = temporaryDirectory();
    const [a, b] = [join(directory, 'a'), join(directory, 'b')];
    writeFileSync(a, goldenIndex('variants/v6/22222222'));
    writeFileSync(b, goldenIndex('variants/v7/22222222'));
    const result = await runCli(['index-part', 'diff', a, b, '--json']);
    const lines: { field?: string }[] = JSON.parse(result.stdout);
    expect(
      lines
        .filter(({ field }) => field !== undefined && field !== 'last_aux_file_policy')
        .map(({ field }) => field),
    ).toEqual(['version']);
    expect((await runCli(['index-part', 'diff', a, a])).status).toBe(0);
  });
});

describe('index-part set', () => {
  test('index-part set writes the next generation, and leaves the old one alone', async () => {
    const { directory } = timeline();
    const result = await runCli([
      'index-part',
      'set',
      directory,
      'archived_at=2026-01-02T03:04:05',
      'initdb_lsn=0/10',
      '--json',
    ]);
    expect(result.status).toBe(0);
    const path = join(directory, 'index_part.json-00000003');
    expect(parseLines(result.stdout)[0]).toEqual({
      path,
      from: join(directory, 'index_part.json-00000002'),
    });
    const written = JSON.parse(readFileSync(path, 'utf8'));
    expect(written.archived_at).toBe('2026-01-02T03:04:05');
    expect(written.metadata_bytes.initdb_lsn).toBe('0/10');
    expect(readFileSync(join(directory, 'index_part.json-00000002'), 'utf8')).toBe(
      goldenIndex('pg17/2'),
    );
    expect(readdirSync(directory).length).toBe(3);
  });

  test('index-part set never replaces an index', async () => {
    const { directory } = timeline();
    const result = await runCli([
      'index-part',
      'set',
      directory,
      'archived_at=null',
      '--write-generation',
      '00000001',
      '--json',
    ]);
    expect(result.status).toBe(1);
    expect(parseError(result)['code']).toBe('exists');
    expect(readFileSync(join(directory, 'index_part.json-00000001'), 'utf8')).toBe(
      goldenIndex('pg17/1'),
    );
  });

  test('index-part set writes to standard output if that is requested', async () => {
    const { directory } = timeline();
    const result = await runCli([
      'index-part',
      'set',
      directory,
      'disk_consistent_lsn=0/8',
      '--out',
      '-',
    ]);
    expect(JSON.parse(result.stdout)).toMatchObject({
      disk_consistent_lsn: '0/8',
      metadata_bytes: { disk_consistent_lsn: '0/8' },
    });
    expect(readdirSync(directory).length).toBe(2);
  });

  test.each([
    ['a name that is not known', 'archived=null'],
    ['a time of a zone', 'archived_at=2026-01-02T03:04:05Z'],
    ['an LSN that is none', 'gc_compaction=x'],
    ['a migration that is none', 'rel_size_migration=done'],
    ['an LSN that is no multiple of 8', 'disk_consistent_lsn=0/1'],
    ['no value', 'archived_at'],
  ])('index-part set ends with status 2 and changes nothing for %s', async (_, assignment) => {
    const { directory } = timeline();
    const result = await runCli(['index-part', 'set', directory, assignment, '--json']);
    expect(result.status).toBe(2);
    expect(readdirSync(directory).length).toBe(2);
  });
});

describe('index-part rebuild', () => {
  test('index-part rebuild makes an index of local layers, and says what is derived', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, `${IMAGE}-v1-00000001`), 'x'.repeat(10));
    writeFileSync(join(directory, `${DELTA}-00000002`), 'x'.repeat(20));
    writeFileSync(join(directory, 'metadata'), 'x');
    const result = await runCli([
      'index-part',
      'rebuild',
      directory,
      'pg_version=16',
      'initdb_lsn=0/8',
      '--json',
    ]);
    expect(result.status).toBe(0);
    const path = join(directory, 'index_part.json-00000003');
    expect(parseLines(result.stdout)[0]).toEqual({
      path,
      layers: 2,
      derived: [
        'disk_consistent_lsn',
        'prev_record_lsn',
        'ancestor_timeline',
        'ancestor_lsn',
        'latest_gc_cutoff_lsn',
      ],
      superseded: [],
    });
    expect(result.stderr).toContain('derived from the names of layers');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
      layer_metadata: {
        [IMAGE]: { file_size: 10, generation: 1 },
        [DELTA]: { file_size: 20, generation: 2 },
      },
      disk_consistent_lsn: '0/1696070',
      metadata_bytes: { latest_gc_cutoff_lsn: '0/1500028', initdb_lsn: '0/8', pg_version: 16 },
    });
    expect((await runCli(['index-part', 'check', path])).status).toBe(0);
  });

  test('index-part rebuild is refused beside an index, without a version of Postgres, and without layers', async () => {
    const { directory } = timeline();
    const beside = await runCli(['index-part', 'rebuild', directory, 'pg_version=16', '--json']);
    expect(parseError(beside)['code']).toBe('exists');
    const empty = temporaryDirectory();
    expect((await runCli(['index-part', 'rebuild', empty, 'initdb_lsn=0/8'])).status).toBe(2);
    const none = await runCli(['index-part', 'rebuild', empty, 'pg_version=16', '--json']);
    expect(parseError(none)['code']).toBe('empty');
  });
});
