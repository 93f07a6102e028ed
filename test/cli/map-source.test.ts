/** What a map is drawn from. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { mergedSteps, readMapSource } from '../../src/cli/map-source.ts';
import { isStorageError } from '../../src/errors.ts';
import { CHILD, indexText, NAME, PARENT, remoteLayout, TENANT } from '../support/map-layouts.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

function read(source: string, options: { tenant?: string; timeline?: string } = {}) {
  const { signal } = new AbortController();
  const stdin = async function* () {
    yield Buffer.from(NAME);
  };
  return readMapSource({ signal, stdin }, source, options);
}

describe('a source', () => {
  test('a source that is a timeline has its indexes by generation, and the branches beside it', async () => {
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

  test('a source of two shards is one timeline, at each generation that a shard has', async () => {
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

  test('a source of shards is durable up to the lowest LSN, and is read at the highest', () => {
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

  test('a source above several timelines needs a choice', async () => {
    const { root, child } = remoteLayout();
    await expect(read(root)).rejects.toThrow(/several timelines: choose with --tenant/);
    expect((await read(root, { timeline: CHILD })).title).toBe(CHILD);
    expect((await read(child)).title).toBe(CHILD);
    await expect(read(root, { timeline: '3'.repeat(32) })).rejects.toThrow(/no timeline/);
    await expect(read(root, { tenant: '3'.repeat(32) })).rejects.toThrow(/no timeline/);
  });

  test('a source without an index has the layers that lie there, with their sizes', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, `${NAME}-v1-00000003`), 'abc');
    writeFileSync(join(directory, 'ephemeral-1'), '');
    const { snapshots } = await read(directory);
    expect(snapshots.map(({ layers }) => layers)).toEqual([
      [{ name: NAME, size: 3, generation: 3, shard: undefined }],
    ]);
  });

  test('a source of names has lines to draw, and an index of another name is one', async () => {
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

  test('a source with a line that is too long keeps the first 4,096 characters of it', async () => {
    const directory = temporaryDirectory();
    const names = join(directory, 'names');
    writeFileSync(names, 'x'.repeat(100_000));
    const [layer] = (await read(names)).snapshots[0]?.layers ?? [];
    expect(layer?.name).toHaveLength(4096);
  });

  test('a source that is damaged is an error with its path', async () => {
    const directory = temporaryDirectory();
    const index = join(directory, 'index_part.json');
    writeFileSync(index, '{"version":15,"layer_metadata":{}}');
    const error = await read(index).catch((thrown: unknown) => thrown);
    expect(isStorageError(error, 'corrupt') && error.path).toBe(index);
  });
});
