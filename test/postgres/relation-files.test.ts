import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findRelationFiles, type RelationFiles } from '../../src/postgres/relation-files.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import {
  type Files,
  fabricateBareCluster,
  pages,
  temporaryDirectory,
  writeFiles,
} from './fabricated-cluster.ts';

const SEGMENT_PAGE_COUNT = 4;

describe('relation files of a data directory', () => {
  it('relation files of a data directory are listed in key order, whatever the order of their names', async () => {
    const directory = fabricateBareCluster({
      'base/5/9': pages(1, 1),
      'base/5/16384_vm': pages(1, 2),
      'base/5/16384': pages(2, 3),
      'base/5/16384_init': '',
      'base/5/16384_fsm': pages(3, 4),
      'base/16/1': pages(1, 5),
      'global/1260': pages(1, 6),
    });
    const files = await find(directory);
    expect(namesOf(files)).toEqual([
      '1663/5/9/main: 1',
      '1663/5/16384/main: 2',
      '1663/5/16384/fsm: 3',
      '1663/5/16384/vm: 1',
      '1663/5/16384/init: 0',
      '1663/16/1/main: 1',
      '1664/0/1260/main: 1',
    ]);
    expect(files.forks[0]?.segments).toMatchObject([
      { segmentNumber: 0, path: join(directory, 'base/5/9'), size: 8192, fileSize: 8192 },
    ]);
  });

  it('relation files of a data directory come with the relation maps', async () => {
    const directory = fabricateBareCluster({
      'base/5/pg_filenode.map': new Uint8Array(524),
      'base/1/pg_filenode.map': new Uint8Array(512),
      'global/pg_filenode.map': new Uint8Array(524),
    });
    const { maps } = await find(directory);
    expect(maps).toEqual([
      { spcnode: 1663, dbnode: 1, path: join(directory, 'base/1/pg_filenode.map'), size: 512 },
      { spcnode: 1663, dbnode: 5, path: join(directory, 'base/5/pg_filenode.map'), size: 524 },
      { spcnode: 1664, dbnode: 0, path: join(directory, 'global/pg_filenode.map'), size: 524 },
    ]);
  });

  it('relation files of a data directory do not include temporary files, caches and unknown names, which are listed with the reason', async () => {
    const directory = fabricateBareCluster({
      'base/5/PG_VERSION': '17\n',
      'base/5/pg_internal.init': 'x',
      'base/5/pg_internal.init.42': 'x',
      'base/5/pg_filenode.map.tmp': 'x',
      'base/5/t3_16384': 'half a page',
      'base/5/t3_16384_fsm.1': '',
      'base/5/016384': 'x',
      'base/5/0': 'x',
      'base/5/16384_': 'x',
      'base/5/16384_main': 'x',
      'base/5/16384.0': 'x',
      'base/5/16384.01': 'x',
      'base/5/4294967296': 'x',
      'base/5/4294967295': pages(1, 1),
      'base/pgsql_tmp/pgsql_tmp1.0': 'x',
      'base/05/1': 'x',
    });
    const files = await find(directory);
    expect(namesOf(files)).toEqual(['1663/5/4294967295/main: 1']);
    expect(
      Object.fromEntries(
        files.leftOut.map(({ path, reason }) => [relative(directory, path), reason]),
      ),
    ).toEqual({
      'base/5/PG_VERSION': 'version',
      'base/5/pg_internal.init': 'cache',
      'base/5/pg_internal.init.42': 'cache',
      'base/5/pg_filenode.map.tmp': 'temporary files',
      'base/5/t3_16384': 'relation of a session',
      'base/5/t3_16384_fsm.1': 'relation of a session',
      'base/5/016384': 'unknown name',
      'base/5/0': 'unknown name',
      'base/5/16384_': 'unknown name',
      'base/5/16384_main': 'unknown name',
      'base/5/16384.0': 'unknown name',
      'base/5/16384.01': 'unknown name',
      'base/5/4294967296': 'unknown name',
      'base/pgsql_tmp': 'temporary files',
      'base/05': 'unknown name',
      'global/pg_control': 'control file',
    });
  });
});

describe('tablespaces', () => {
  it('relation files of a tablespace below a symbolic link are found', async () => {
    const elsewhere = temporaryDirectory();
    writeFiles(elsewhere, {
      'PG_17_202406281/5/16500': pages(2, 1),
      'PG_16_202307071/5/16500': pages(9, 1),
    });
    const directory = fabricateBareCluster({});
    symlinkSync(elsewhere, join(directory, 'pg_tblspc/16400'));
    expect(namesOf(await find(directory))).toEqual(['16400/5/16500/main: 2']);
  });

  it('tablespaces made in place are found', async () => {
    const directory = fabricateBareCluster({
      'pg_tblspc/16400/PG_17_202406281/5/16500': pages(1, 1),
    });
    expect(namesOf(await find(directory))).toEqual(['16400/5/16500/main: 1']);
  });

  it.each([
    [
      'whose link leads nowhere',
      (path: string) => symlinkSync('/nonexistent/place', path),
      'not-found',
    ],
    ['whose link leads to a file', (path: string) => symlinkSync('/etc/hostname', path), 'io'],
    ['without the directory of this version', (path: string) => mkdirSync(path), 'not-found'],
    ['that is a file', (path: string) => writeFileSync(path, ''), 'invalid-input'],
    [
      'whose version directory is a second link',
      (path: string) => {
        const elsewhere = temporaryDirectory();
        mkdirSync(path);
        symlinkSync(elsewhere, join(path, 'PG_17_202406281'));
      },
      'invalid-input',
    ],
  ])('a tablespace %s is refused', async (_, make, code) => {
    const directory = fabricateBareCluster({});
    make(join(directory, 'pg_tblspc/16400'));
    const error = await storageErrorOf(find(directory));
    expect(error.code).toBe(code);
    expect(error.path).toContain('pg_tblspc/16400');
  });

  it('tablespaces with names that are not OIDs are left out', async () => {
    const directory = fabricateBareCluster({ 'pg_tblspc/notes/a': 'x' });
    expect((await find(directory)).leftOut).toContainEqual({
      path: join(directory, 'pg_tblspc/notes'),
      reason: 'unknown name',
    });
  });
});

describe('segments', () => {
  it('segments are joined in the order of their numbers', async () => {
    const directory = fabricateBareCluster({
      'base/5/16384.10': pages(1, 3),
      ...Object.fromEntries(
        Array.from({ length: 9 }, (_, index) => [`base/5/16384.${index + 1}`, pages(4, index)]),
      ),
      'base/5/16384': pages(4, 1),
    });
    const { forks } = await find(directory);
    expect(forks[0]?.pageCount).toBe(41);
    expect(forks[0]?.segments.map((segment) => segment.segmentNumber)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ]);
  });

  it('segments that are empty after the last page belong to a relation that was truncated', async () => {
    const directory = fabricateBareCluster({
      'base/5/16384': pages(3, 1),
      'base/5/16384.1': '',
      'base/5/16384.2': '',
    });
    const { forks } = await find(directory);
    expect(forks[0]?.pageCount).toBe(3);
    expect(forks[0]?.segments).toHaveLength(1);
  });

  it('segments of full size may be the last', async () => {
    const directory = fabricateBareCluster({ 'base/5/16384': pages(4, 1), 'base/5/16384.1': '' });
    expect((await find(directory)).forks[0]?.pageCount).toBe(4);
  });

  it('segments of 1 GiB are joined', async () => {
    const directory = fabricateBareCluster({ 'base/5/16384': '', 'base/5/16384.1': pages(2, 1) });
    truncateSync(join(directory, 'base/5/16384'), 1024 ** 3);
    expect((await find(directory, 131072)).forks[0]?.pageCount).toBe(131074);
  });

  it.each<[string, Files, string, string, string]>([
    [
      'one before the last ends within a page',
      { '16384': pages(4, 1).subarray(1), '16384.1': pages(1, 1) },
      'truncated',
      '16384',
      'expected 32768 bytes, found 32767',
    ],
    [
      'a middle one is missing',
      { '16384': pages(4, 1), '16384.2': pages(1, 1) },
      'not-found',
      '16384.2',
      'segment 1',
    ],
    [
      'one before the last is not full',
      { '16384': pages(3, 1), '16384.1': pages(1, 1) },
      'truncated',
      '16384',
      'expected 32768 bytes, found 24576',
    ],
    [
      'an empty one has pages behind it',
      { '16384': pages(4, 1), '16384.1': '', '16384.2': pages(1, 1) },
      'truncated',
      '16384.1',
      'before segment 2',
    ],
    [
      'one is a byte longer than a segment',
      { '16384': new Uint8Array(32769) },
      'corrupt',
      '16384',
      'found 32769',
    ],
    ['one is longer than a segment', { '16384': pages(5, 1) }, 'corrupt', '16384', 'at most 32768'],
  ])('segments of which %s are refused', async (_, relations, code, name, part) => {
    const files = Object.entries(relations).map(([path, content]) => [`base/5/${path}`, content]);
    const directory = fabricateBareCluster(Object.fromEntries(files));
    const error = await storageErrorOf(find(directory));
    expect(error.code).toBe(code);
    expect(error.path).toBe(join(directory, 'base/5', name));
    expect(error.message).toContain(part);
  });
});

describe('what a server passes over is left out, with a warning', () => {
  it.each<[string, Files, string[], string, string]>([
    [
      'a page that is cut',
      { '16384': pages(2, 1).subarray(1) },
      ['1663/5/16384/main: 1'],
      'partial page',
      'whose last, partial page is left out at offset 8192',
    ],
    [
      'a byte after the last page',
      { '7_vm': new Uint8Array(8193) },
      ['1663/5/7/vm: 1'],
      'partial page',
      'at offset 8192: expected a multiple of 8192 bytes, found 8193',
    ],
    ['a file shorter than a page', { '7': 'x' }, ['1663/5/7/main: 0'], 'partial page', 'offset 0'],
    [
      'a page that is cut in the last of two segments',
      { '7': pages(4, 1), '7.1': pages(1, 1).subarray(1) },
      ['1663/5/7/main: 4'],
      'partial page',
      'found 8191',
    ],
    [
      'a segment without the first one',
      { '16384.1': pages(1, 1), '7': pages(1, 1) },
      ['1663/5/7/main: 1'],
      'stray segment',
      'segment 0 of a relation is missing before segment 1',
    ],
  ])('%s is left out with a warning', async (_, relations, names, reason, message) => {
    const files = Object.entries(relations).map(([path, content]) => [`base/5/${path}`, content]);
    const found = await find(fabricateBareCluster(Object.fromEntries(files)));
    expect(namesOf(found)).toEqual(names);
    expect(found.warnings.map((warning) => warning.message)).toEqual([
      expect.stringContaining(message),
    ]);
    expect(found.leftOut.map((file) => file.reason)).toEqual(['control file', reason]);
  });

  it('a pg_tblspc that is missing', async () => {
    const directory = fabricateBareCluster({ 'base/5/7': pages(1, 1) });
    rmSync(join(directory, 'pg_tblspc'), { recursive: true });
    const found = await find(directory);
    expect(namesOf(found)).toEqual(['1663/5/7/main: 1']);
    expect(found.warnings).toMatchObject([
      { code: 'not-found', path: join(directory, 'pg_tblspc') },
    ]);
  });
});

describe('entries of the wrong kind', () => {
  it.each([
    ['a relation file that is a link', 'base/5/16384'],
    ['a relation map that is a link', 'base/5/pg_filenode.map'],
    ['a database that is a link', 'base/7'],
  ])('%s is refused as of the wrong kind', async (_, path) => {
    const directory = fabricateBareCluster({ 'base/5/1': pages(1, 1), elsewhere: pages(1, 1) });
    symlinkSync(join(directory, 'elsewhere'), join(directory, path));
    const error = await storageErrorOf(find(directory));
    expect([error.code, error.path]).toEqual(['invalid-input', join(directory, path)]);
    expect(error.message).toContain('symbolic link');
  });

  it('a relation file that is a directory', async () => {
    const directory = fabricateBareCluster({ 'base/5/16384/x': '' });
    expect((await storageErrorOf(find(directory))).code).toBe('invalid-input');
  });

  it.each(['base', 'global', 'pg_tblspc'])(
    '%s is refused where it is a link, or missing though it is needed',
    async (name) => {
      const directory = fabricateBareCluster({});
      rmSync(join(directory, name), { recursive: true });
      if (name !== 'pg_tblspc') {
        expect((await storageErrorOf(find(directory))).code).toBe('not-found');
      }
      symlinkSync(temporaryDirectory(), join(directory, name));
      expect((await storageErrorOf(find(directory))).code).toBe('invalid-input');
    },
  );
});

function find(
  dataDirectory: string,
  segmentPageCount = SEGMENT_PAGE_COUNT,
): Promise<RelationFiles> {
  const layout = { dataDirectory, majorVersion: 17, catalogVersion: 202406281, segmentPageCount };
  return findRelationFiles(layout, nodeFileSystem);
}

function namesOf(files: RelationFiles): string[] {
  return files.forks.map(
    ({ spcnode, dbnode, relnode, fork, pageCount }) =>
      `${spcnode}/${dbnode}/${relnode}/${fork}: ${pageCount}`,
  );
}
