/** `map`, in the built program: its page needs what the build puts beside it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { mergedSteps, readMapSource } from '../../../src/cli/map-source.ts';
import { isStorageError } from '../../../src/errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const PROGRAM = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
const KEYS = `${'0'.repeat(36)}-${'F'.repeat(36)}`;
const NAME = `${KEYS}__0000000000000010-0000000000000020`;
const TENANT = '0'.repeat(32);
const [PARENT, CHILD] = ['1'.repeat(32), '2'.repeat(32)];

function run(cwd: string, words: readonly string[], input = '') {
  return spawnSync(process.execPath, [PROGRAM, ...words], { cwd, input, encoding: 'utf8' });
}

function read(source: string, options: { tenant?: string; timeline?: string } = {}) {
  const { signal } = new AbortController();
  const stdin = async function* () {
    yield Buffer.from(NAME);
  };
  return readMapSource({ signal, stdin }, source, options);
}

function indexText(names: readonly string[], ancestor: string | null = null): string {
  return JSON.stringify({
    version: 15,
    layer_metadata: Object.fromEntries(
      names.map((name) => [name, { file_size: 9, generation: 1 }]),
    ),
    disk_consistent_lsn: '0/18',
    metadata_bytes: {
      disk_consistent_lsn: '0/18',
      prev_record_lsn: null,
      ancestor_timeline: ancestor,
      ancestor_lsn: ancestor === null ? '0/0' : '0/15',
      latest_gc_cutoff_lsn: '0/10',
      initdb_lsn: '0/10',
      pg_version: 17,
    },
    lineage: {},
  });
}

/** Two timelines of a tenant; the second one branched off the first. */
function remoteLayout(): {
  readonly root: string;
  readonly parent: string;
  readonly child: string;
} {
  const root = temporaryDirectory();
  const timelines = join(root, 'tenants', TENANT, 'timelines');
  const [parent, child] = [join(timelines, PARENT), join(timelines, CHILD)];
  for (const directory of [parent, child]) mkdirSync(directory, { recursive: true });
  writeFileSync(join(parent, 'index_part.json'), indexText([]));
  writeFileSync(join(parent, 'index_part.json-0000000a'), indexText([NAME]));
  writeFileSync(join(parent, 'index_part.json-00000002'), indexText([]));
  writeFileSync(join(child, 'index_part.json-00000001'), indexText([NAME], PARENT));
  return { root, parent, child };
}

describe('the command', () => {
  test('writes a page and prints one line', () => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, 'names'), `${NAME}\r\nno-layer\n\n`);
    const { status, stdout, stderr } = run(cwd, ['map', 'names', '--out', 'map.html', '--json']);
    const { size } = statSync(join(cwd, 'map.html'));
    expect(JSON.parse(stdout)).toEqual({ path: 'map.html', layers: 1, size });
    expect(JSON.parse(stderr)).toEqual({
      warning: {
        message: expect.stringMatching(
          /^1 name is not on the map: no-layer: not the name of a layer$/,
        ),
      },
    });
    expect(status).toBe(0);
    expect(readFileSync(join(cwd, 'map.html'), 'utf8')).toMatch(/^<!doctype html>/);
  });

  test('writes to standard output what it writes to a file', () => {
    const cwd = temporaryDirectory();
    const words = ['map', '-', '--title', 'one', '--branch', '0/15', '--branch', '0/16'];
    const piped = run(cwd, [...words, '--out', '-'], NAME);
    run(cwd, [...words, '--out', 'map.html'], NAME);
    expect(piped.stdout).toBe(readFileSync(join(cwd, 'map.html'), 'utf8'));
    expect(piped.stdout).toContain('"branchLsns":["0000000000000015","0000000000000016"]');
  });

  test('refuses to write over its source', () => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, 'names'), NAME);
    symlinkSync('names', join(cwd, 'link'));
    const { status, stderr } = run(cwd, ['map', 'names', '--out', 'link']);
    expect([status, stderr]).toEqual([2, expect.stringContaining('the output is the input')]);
    expect(readFileSync(join(cwd, 'names'), 'utf8')).toBe(NAME);
  });

  test.each([
    [['map', '--out', 'map.html'], 2],
    [['map', 'names'], 2],
    [['map', 'missing', '--out', 'map.html'], 3],
    [['map', 'index_part.json', '--out', 'map.html'], 1],
    [['map', '-', '--out', 'map.html', '--branch', 'x'], 2],
  ])('%j ends with status %i and leaves no page', (words, status) => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, 'index_part.json'), '{"version":15}');
    const result = run(cwd, words);
    expect(result.status).toBe(status);
    expect(result.stdout).toBe('');
    expect(() => statSync(join(cwd, 'map.html'))).toThrow(/ENOENT/);
  });

  test('labels the steps by what their paths do not share', () => {
    const { parent } = remoteLayout();
    const html = execFileSync(process.execPath, [PROGRAM, 'map', parent, '--out', '-'], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    expect(html.match(/"label":"[^"]*"/g)).toEqual([
      '"label":"index_part.json"',
      '"label":"index_part.json-00000002"',
      '"label":"index_part.json-0000000a"',
    ]);
  });
});

describe('a source', () => {
  test('that is a timeline has its indexes by generation, and the branches beside it', async () => {
    const { parent, child } = remoteLayout();
    const { title, snapshots } = await read(parent);
    expect(title).toBe(PARENT);
    expect(snapshots.map(({ layers }) => [...layers].length)).toEqual([0, 0, 1]);
    expect(snapshots[2]).toMatchObject({
      diskConsistentLsn: 0x18n,
      gcCutoffLsn: 0x10n,
      branchLsns: [0x15n],
    });
    expect((await read(child)).snapshots).toEqual([
      expect.objectContaining({ ancestorLsn: 0x15n, branchLsns: [] }),
    ]);
  });

  test('of two shards is one timeline, at each generation that a shard has', async () => {
    const root = temporaryDirectory();
    const write = (shard: string, name: string, names: readonly string[]): void => {
      const tenant = join(root, 'tenants', `${TENANT}-${shard}`);
      const timeline = join(tenant, 'timelines', PARENT);
      mkdirSync(timeline, { recursive: true });
      writeFileSync(join(timeline, name), indexText(names));
      const manifest = { version: 2, stripe_size: 8, offloaded_timelines: [] };
      writeFileSync(join(tenant, 'tenant-manifest.json'), JSON.stringify(manifest));
    };
    write('0002', 'index_part.json-00000001', [NAME]);
    write('0002', 'index_part.json-00000003', []);
    write('0102', 'index_part.json-00000002', [NAME]);
    const { title, snapshots } = await read(root);
    expect(title).toBe(PARENT);
    const shown = snapshots.map(({ label, stripeSize, layers, ...lsns }) => ({
      label,
      stripeSize,
      shards: Array.from(layers, ({ name, shard }) => [name === NAME, shard]),
      durable: [lsns.diskConsistentLsn, lsns.lastLsn],
    }));
    const durable = [0x18n, 0x18n];
    expect(shown).toEqual([
      {
        label: 'index_part.json-00000001 of 1 shard',
        stripeSize: 8,
        shards: [[true, '0002']],
        durable,
      },
      {
        label: 'index_part.json-00000002 of 2 shards',
        stripeSize: 8,
        shards: [
          [true, '0002'],
          [true, '0102'],
        ],
        durable,
      },
      {
        label: 'index_part.json-00000003 of 2 shards',
        stripeSize: 8,
        shards: [[true, '0102']],
        durable,
      },
    ]);
  });

  test('of shards is durable up to the lowest LSN, and is read at the highest', () => {
    const step = (diskConsistentLsn: bigint, gcCutoffLsn: bigint) => ({
      generation: 1,
      snapshot: { label: '', layers: [], diskConsistentLsn, gcCutoffLsn, branchLsns: [5n] },
    });
    const shards = [
      { shard: '0002', steps: [step(90n, 20n)] },
      { shard: '0102', steps: [step(100n, 10n)] },
    ];
    expect(mergedSteps(shards, 8)).toEqual([
      expect.objectContaining({
        diskConsistentLsn: 90n,
        lastLsn: 100n,
        gcCutoffLsn: 20n,
        branchLsns: [5n],
      }),
    ]);
  });

  test('above several timelines needs a choice', async () => {
    const { root, child } = remoteLayout();
    await expect(read(root)).rejects.toThrow(/several timelines: choose with --tenant/);
    expect((await read(root, { timeline: CHILD })).title).toBe(CHILD);
    expect((await read(child)).title).toBe(CHILD);
    await expect(read(root, { timeline: '3'.repeat(32) })).rejects.toThrow(/no timeline/);
    await expect(read(root, { tenant: '3'.repeat(32) })).rejects.toThrow(/no timeline/);
  });

  test('without an index has the layers that lie there, with their sizes', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, `${NAME}-v1-00000003`), 'abc');
    writeFileSync(join(directory, 'ephemeral-1'), '');
    const { snapshots } = await read(directory);
    expect(snapshots.map(({ layers }) => layers)).toEqual([
      [{ name: NAME, size: 3, generation: 3, shard: undefined }],
    ]);
  });

  test('of names has lines to draw, and an index of another name is one', async () => {
    const directory = temporaryDirectory();
    const names = join(directory, 'names');
    writeFileSync(names, `gc_cutoff:0000000000000012\nbranch:0/13\n${NAME}`);
    expect((await read(names)).snapshots).toEqual([
      { label: names, layers: [{ name: NAME }], branchLsns: [0x13n], gcCutoffLsn: 0x12n },
    ]);
    const index = join(directory, 'saved.json');
    writeFileSync(index, `\n${indexText([NAME])}`);
    expect((await read(index)).snapshots[0]?.diskConsistentLsn).toBe(0x18n);
    expect((await read('-')).snapshots[0]?.layers).toEqual([{ name: NAME }]);
  });

  test('with a line that is too long keeps the first 4,096 characters of it', async () => {
    const directory = temporaryDirectory();
    const names = join(directory, 'names');
    writeFileSync(names, 'x'.repeat(100_000));
    const [layer] = (await read(names)).snapshots[0]?.layers ?? [];
    expect(layer?.name).toHaveLength(4096);
  });

  test('that is damaged is an error with its path', async () => {
    const directory = temporaryDirectory();
    const index = join(directory, 'index_part.json');
    writeFileSync(index, '{"version":15,"layer_metadata":{}}');
    const error = await read(index).catch((thrown: unknown) => thrown);
    expect(isStorageError(error, 'corrupt') && error.path).toBe(index);
  });
});
