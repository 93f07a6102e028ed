import {
  existsSync,
  mkdirSync,
  readdirSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { formatKey, nextKey, parseKey } from '../../src/layers/key.ts';
import { CLUSTER_STATES } from '../../src/postgres/control-file.ts';
import { type ImportOptions, importPgdata } from '../../src/postgres/import.ts';
import { explainKey } from '../../src/postgres/key-explanation.ts';
import type { FileSystem } from '../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { controlFileBytes } from '../support/control-file.ts';
import { relationMapBytes } from '../support/relation-map.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import {
  fabricateBareCluster,
  fabricateCluster,
  pages,
  temporaryDirectory,
  writeFiles,
} from './fabricated-cluster.ts';

const IDS = {
  tenantId: '11223344556677881122334455667788',
  timelineId: '99aabbccddeeff0099aabbccddeeff00',
};

const SEGMENT_PAGE_COUNT = 4;

const MAP = Buffer.from(relationMapBytes({ mappings: [[1259, 16390]] }));
const SHARED_MAP = Buffer.from(relationMapBytes({ mappings: [[1262, 1262]] }));

/** Two segments, an empty fork, two databases, a map: what takes another path each. */
function cluster(): string {
  return fabricateCluster(
    {
      'base/5/16384': pages(4, 1),
      'base/5/16384.1': pages(2, 2),
      'base/5/16384_vm': pages(1, 3),
      'base/5/16385': '',
      'base/5/pg_filenode.map': MAP,
      'base/5/pg_internal.init': 'cache',
      'global/1260': pages(1, 4),
      'global/pg_filenode.map': SHARED_MAP,
    },
    { segmentPageCount: SEGMENT_PAGE_COUNT, checkpointLsn: 0x16c_3560n },
  );
}

describe('an imported cluster', () => {
  it('an imported cluster is one image layer with maps, pages and sizes in key order', async () => {
    const outDirectory = temporaryDirectory();
    const layer = await run(cluster(), { outDirectory });

    const first = parseKey('000000067F00000005000000000000000000');
    const last = parseKey('000000068000000000000004EC00FFFFFFFF');
    expect(basename(layer.path)).toBe(
      `${formatKey(first)}-${formatKey(nextKey(last))}__00000000016C3560`,
    );
    expect(readdirSync(outDirectory)).toEqual([layer.name]);
    expect(layer).toMatchObject({ forkCount: 4, pageCount: 8, mapCount: 2, entryCount: 14 });
    expect(layer.lsn).toBe(0x16c_3560n);
    expect(layer.leftOut.map(({ reason }) => reason).sort()).toEqual([
      'cache',
      'control file',
      'version',
      'version',
    ]);
    expect([layer.warnings, layer.badPageCount]).toEqual([[], undefined]);

    const rel = 'relation 1663/5/16384';
    expect(await entriesOf(layer.path)).toEqual([
      ['relation map of database 5 in tablespace 1663', MAP],
      [`block 0 of ${rel}, main fork`, pageOf(4, 1, 0)],
      [`block 1 of ${rel}, main fork`, pageOf(4, 1, 1)],
      [`block 2 of ${rel}, main fork`, pageOf(4, 1, 2)],
      [`block 3 of ${rel}, main fork`, pageOf(4, 1, 3)],
      [`block 4 of ${rel}, main fork`, pageOf(2, 2, 0)],
      [`block 5 of ${rel}, main fork`, pageOf(2, 2, 1)],
      [`size of ${rel}, main fork`, Buffer.from([6, 0, 0, 0])],
      [`block 0 of ${rel}, vm fork`, pageOf(1, 3, 0)],
      [`size of ${rel}, vm fork`, Buffer.from([1, 0, 0, 0])],
      ['size of relation 1663/5/16385, main fork', Buffer.from([0, 0, 0, 0])],
      ['relation map of the shared catalogs (1664/0)', SHARED_MAP],
      ['block 0 of relation 1664/0/1260, main fork', pageOf(1, 4, 0)],
      ['size of relation 1664/0/1260, main fork', Buffer.from([1, 0, 0, 0])],
    ]);
  });

  it('an imported cluster may get another LSN, a generation and no compression', async () => {
    const layer = await run(cluster(), {
      lsn: 0x7000_0000_0001n,
      generation: '0000002a',
      compression: { kind: 'none' },
    });
    expect(layer.name).toMatch(/__0000700000000001-v1-0000002a$/);
    expect((await entriesOf(layer.path)).length).toBe(14);
  });

  it('an imported cluster is read with no more open files than there are places for', async () => {
    const openFiles = new OpenFiles({ capacity: 2 });
    const layer = await run(cluster(), { openFiles });
    expect(layer.entryCount).toBe(14);
    expect(openFiles.openCount).toBeLessThanOrEqual(2);
  });

  it('an imported cluster is read in pieces that are larger than a page and smaller than a segment', async () => {
    const content = pages(300, 9);
    const directory = fabricateCluster({ 'base/5/16384': content });
    const layer = await run(directory);
    const entries = await entriesOf(layer.path);
    expect(Buffer.concat(entries.slice(1, 301).map(([, bytes]) => bytes)).equals(content)).toBe(
      true,
    );
    expect(entries[301]?.[1]).toEqual(Buffer.from([0x2c, 1, 0, 0]));
  });

  it('an imported cluster whose first relation is empty starts at its size', async () => {
    const directory = fabricateBareCluster({ 'base/5/7': '' });
    const layer = await run(directory, { allowDamaged: true });
    expect(formatKey(layer.keyRange.start)).toBe('000000067F000000050000000700FFFFFFFF');
    expect(layer.entryCount).toBe(1);
  });

  it('an imported cluster reports progress up to the last byte', async () => {
    const reports: (readonly [number, number])[] = [];
    await run(cluster(), { onProgress: (done, total) => reports.push([done, total]) });
    const total = 8 * 8192 + 2 * 524;
    expect(reports.at(-1)).toEqual([total, total]);
    expect(reports.map(([done]) => done)).toEqual(
      reports.map(([done]) => done).sort((left, right) => left - right),
    );
  });
});

describe('a cluster that was not shut down cleanly', () => {
  it.each(CLUSTER_STATES.filter((state) => state !== 'shut down'))(
    'a cluster that is %s is not imported unless that is allowed',
    async (state) => {
      const directory = fabricateCluster({ 'base/5/7': pages(1, 1) }, { state });
      const outDirectory = temporaryDirectory();
      const error = await storageErrorOf(run(directory, { outDirectory }));
      expect([error.code, error.path]).toEqual([
        'invalid-input',
        join(directory, 'global/pg_control'),
      ]);
      expect(error.message).toContain(`found "${state}"`);
      expect(readdirSync(outDirectory)).toEqual([]);

      const layer = await run(directory, { outDirectory, allowUnclean: true });
      expect(layer.control.state).toBe(state);
      expect(layer.entryCount).toBe(4);
      expect(layer.warnings.map(({ message }) => message)).toEqual([error.message]);
    },
  );

  it('a cluster that was not shut down cleanly has the lock file of a server', async () => {
    const directory = cluster();
    writeFiles(directory, { 'postmaster.pid': '4711\n' });
    const error = await storageErrorOf(run(directory));
    expect([error.code, error.path]).toEqual(['invalid-input', join(directory, 'postmaster.pid')]);
    expect((await run(directory, { allowUnclean: true })).entryCount).toBe(14);
  });
});

describe('a directory that changes while it is read', () => {
  const changes: readonly (readonly [string, string, (path: string) => void])[] = [
    ['a relation file grows before it is opened', '16384', (path) => truncateSync(path, 40960)],
    ['a relation file shrinks before it is opened', '16384', (path) => truncateSync(path, 8192)],
    ['a relation map changes its size', 'pg_filenode.map', (path) => writeFileSync(path, 'x')],
    ['a relation file is removed', '16384_vm', unlinkSync],
  ];
  it.each(changes)(
    'a directory is not imported if, while it is read, %s',
    async (_, name, change) => {
      const directory = cluster();
      const outDirectory = temporaryDirectory();
      const path = join(directory, 'base/5', name);
      const fileSystem = changing(nodeFileSystem, path, () => change(path));
      const error = await storageErrorOf(
        run(directory, { outDirectory, openFiles: new OpenFiles({ fileSystem }) }),
      );
      expect(error.code).toBe(change === unlinkSync ? 'not-found' : 'invalid-input');
      expect(error.path).toBe(path);
      expect(readdirSync(outDirectory)).toEqual([]);
    },
  );

  it.each([
    ['grows', 1024 * 8192],
    ['shrinks', 200 * 8192],
  ])('a relation file %s between two reads', async (_, size) => {
    const directory = fabricateCluster({ 'base/5/16384': pages(300, 1) });
    const outDirectory = temporaryDirectory();
    const path = join(directory, 'base/5/16384');
    const onProgress = (done: number): void => {
      if (done < 200 * 8192) truncateSync(path, size);
    };
    const error = await storageErrorOf(run(directory, { outDirectory, onProgress }));
    expect([error.code, error.path]).toEqual(['invalid-input', path]);
    expect(readdirSync(outDirectory)).toEqual([]);
  });

  it('a server starts and changes pg_control', async () => {
    const directory = cluster();
    const outDirectory = temporaryDirectory();
    const onProgress = (): void => {
      writeFiles(directory, { 'global/pg_control': controlFileBytes({ state: 'in production' }) });
    };
    const error = await storageErrorOf(run(directory, { outDirectory, onProgress }));
    expect(error.code).toBe('invalid-input');
    expect(error.message).toContain('found "in production"');
    expect(readdirSync(outDirectory)).toEqual([]);
  });

  it('a checkpoint is written to pg_control, which is a warning if an unclean cluster is allowed', async () => {
    const directory = cluster();
    const outDirectory = temporaryDirectory();
    const onProgress = (): void => {
      writeFiles(directory, {
        'global/pg_control': controlFileBytes({ checkpointLsn: 0x200_0000n }),
      });
    };
    const { warnings } = await run(directory, { outDirectory, onProgress, allowUnclean: true });
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringContaining('latest checkpoint at 0/2000000'),
    ]);
  });

  it('a directory whose place another cluster takes while it is read is refused, whatever is allowed', async () => {
    const directory = cluster();
    const outDirectory = temporaryDirectory();
    const onProgress = (): void => {
      writeFiles(directory, { 'global/pg_control': controlFileBytes({ systemIdentifier: 1n }) });
    };
    const error = await storageErrorOf(
      run(directory, { outDirectory, onProgress, allowUnclean: true, allowDamaged: true }),
    );
    expect(error.message).toContain('system identifier');
    expect(readdirSync(outDirectory)).toEqual([]);
  });
});

describe('a directory that cannot be imported', () => {
  const BAD = [
    [
      'has no pg_control',
      (path: string) => unlinkSync(join(path, 'global/pg_control')),
      'not-found',
    ],
    ['has no PG_VERSION', (path: string) => unlinkSync(join(path, 'PG_VERSION')), 'not-found'],
    [
      'is of another version than pg_control',
      (path: string) => writeFiles(path, { PG_VERSION: '16\n' }),
      'invalid-input',
    ],
    [
      'has pages of another size',
      (path: string) =>
        writeFiles(path, { 'global/pg_control': controlFileBytes({ pageSize: 4096 }) }),
      'invalid-input',
    ],
    [
      'has a damaged pg_control',
      (path: string) =>
        writeFiles(path, { 'global/pg_control': controlFileBytes().fill(1, 256, 257) }),
      'corrupt',
    ],
    [
      'has a short pg_control',
      (path: string) => truncateSync(join(path, 'global/pg_control'), 100),
      'truncated',
    ],
    [
      'is of a version that is not known',
      (path: string) =>
        writeFiles(path, { 'global/pg_control': controlFileBytes({ controlVersion: 1800 }) }),
      'unsupported-version',
    ],
  ] as const;
  it.each(BAD)(
    'a directory that cannot be imported leaves nothing: %s',
    async (_, damage, code) => {
      const directory = cluster();
      const outDirectory = temporaryDirectory();
      damage(directory);
      const error = await storageErrorOf(run(directory, { outDirectory }));
      expect(error.code).toBe(code);
      expect(error.path?.startsWith(directory)).toBe(true);
      expect(readdirSync(outDirectory)).toEqual([]);
    },
  );

  it('a directory without relations cannot be imported', async () => {
    const error = await storageErrorOf(run(fabricateCluster({})));
    expect(error.code).toBe('empty');
  });

  it('a directory that does not exist cannot be imported', async () => {
    const error = await storageErrorOf(run(join(temporaryDirectory(), 'nothing')));
    expect(error.code).toBe('not-found');
  });
});

describe('an import that ends early', () => {
  it('an import that ends early leaves an existing layer as it is', async () => {
    const outDirectory = temporaryDirectory();
    const directory = cluster();
    const { path, name } = await run(directory, { outDirectory });
    writeFileSync(path, 'ours');
    expect((await storageErrorOf(run(directory, { outDirectory }))).code).toBe('exists');
    expect(readdirSync(outDirectory)).toEqual([name]);
  });

  it('an import that ends early leaves nothing when it is aborted', async () => {
    const outDirectory = temporaryDirectory();
    const controller = new AbortController();
    const options = { outDirectory, signal: controller.signal };
    const onProgress = (): void => controller.abort();
    const error = await storageErrorOf(run(cluster(), { ...options, onProgress }));
    expect(error.code).toBe('aborted');
    expect(readdirSync(outDirectory)).toEqual([]);
    expect((await storageErrorOf(run(cluster(), options))).code).toBe('aborted');
  });

  it('an import without its out directory ends early', async () => {
    const outDirectory = join(temporaryDirectory(), 'nothing');
    const error = await storageErrorOf(run(cluster(), { outDirectory }));
    expect([error.code, error.path]).toEqual(['not-found', outDirectory]);
    expect(existsSync(outDirectory)).toBe(false);
  });
});

function run(
  dataDirectory: string,
  options: Partial<ImportOptions> = {},
): ReturnType<typeof importPgdata> {
  const outDirectory = options.outDirectory ?? join(temporaryDirectory(), 'out');
  if (options.outDirectory === undefined) mkdirSync(outDirectory);
  return importPgdata({ ...IDS, lsn: 'auto', ...options, dataDirectory, outDirectory });
}

/** The meaning of each key, and its bytes. */
async function entriesOf(path: string): Promise<(readonly [string, Buffer])[]> {
  const reader = await ImageLayerReader.open(path);
  const entries: (readonly [string, Buffer])[] = [];
  for await (const { key, bytes } of reader.entries()) {
    entries.push([explainKey(key), Buffer.from(bytes)]);
  }
  await reader.close();
  return entries;
}

function pageOf(count: number, seed: number, index: number): Buffer {
  return Buffer.from(pages(count, seed).subarray(index * 8192, (index + 1) * 8192));
}

/** The file system, with something that happens right before `path` is opened. */
function changing(fileSystem: FileSystem, path: string, change: () => void): FileSystem {
  return {
    ...fileSystem,
    open: (opened, options) => {
      if (opened === path) change();
      return fileSystem.open(opened, options);
    },
  };
}
