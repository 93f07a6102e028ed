import { describe, expect, test } from 'vitest';
import { loseEverything } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { DurableDirectories, makeDirectories } from '../../src/virtual-file/durable-directories.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

async function survives(disk: MemoryFileSystem, path: string): Promise<boolean> {
  return disk
    .crash(loseEverything)
    .stat(path)
    .then(
      ({ kind }) => kind === 'directory',
      () => false,
    );
}

/** Counts the syncs of directories, by path. */
function syncsOf(disk: MemoryFileSystem): string[] {
  const syncs: string[] = [];
  disk.intercept = ({ kind, path }) => {
    if (kind === 'sync-directory') syncs.push(path);
    return undefined;
  };
  return syncs;
}

describe('directories that are made', () => {
  test('directories that are made survive a crash, with those above them', async () => {
    const disk = new MemoryFileSystem();
    disk.createDirectory('/data');
    await makeDirectories('/data/a/b', new OpenFiles({ fileSystem: disk }));
    expect(await survives(disk, '/data/a/b')).toBe(true);
  });

  test('directories that are made are left as they are if they exist', async () => {
    const disk = new MemoryFileSystem();
    disk.createDirectory('/data');
    const syncs = syncsOf(disk);
    await makeDirectories('/data', new OpenFiles({ fileSystem: disk }));
    expect(syncs).toEqual([]);
  });

  test('directories that are made where the file system has none are not-found, and the file system is called twice', async () => {
    const disk = new MemoryFileSystem();
    disk.createDirectory('/proc');
    let asked = 0;
    disk.intercept = ({ kind, path }) => {
      if (kind !== 'make-directory' || path !== '/proc/none') return undefined;
      asked += 1;
      return { fail: 'ENOENT' };
    };
    const making = makeDirectories('/proc/none', new OpenFiles({ fileSystem: disk }));
    expect((await storageErrorOf(making)).code).toBe('not-found');
    expect(asked).toBe(2);
  });

  test('directories that are made below a file are io', async () => {
    const disk = new MemoryFileSystem();
    disk.createFile('/file', new Uint8Array(1));
    const making = makeDirectories('/file/a/b', new OpenFiles({ fileSystem: disk }));
    expect(await storageErrorOf(making)).toMatchObject({ code: 'io', errno: 'ENOTDIR' });
  });
});

describe('directories of another owner', () => {
  async function unsynced(): Promise<MemoryFileSystem> {
    const disk = new MemoryFileSystem();
    for (const path of ['/data', '/data/a', '/data/a/b']) await disk.makeDirectory(path);
    expect(await survives(disk, '/data')).toBe(false);
    return disk;
  }

  test('directories of another owner survive a crash once their names are synced, each once', async () => {
    const disk = await unsynced();
    const syncs = syncsOf(disk);
    const directories = new DurableDirectories('/data', new OpenFiles({ fileSystem: disk }));
    await Promise.all([directories.sync('/data/a/b'), directories.sync('/data/a')]);
    await directories.sync('/data/a/b');
    expect(await survives(disk, '/data/a/b')).toBe(true);
    expect(syncs.sort()).toEqual(['/', '/data', '/data/a']);
  });

  test('directories of another owner may be below one that cannot be opened', async () => {
    const disk = await unsynced();
    disk.intercept = ({ kind, path }) =>
      kind === 'sync-directory' && path === '/' ? { fail: 'EACCES' } : undefined;
    await new DurableDirectories('/data', new OpenFiles({ fileSystem: disk })).sync('/data/a');
  });

  test.each([
    ['/', 'EIO'],
    ['/data', 'EACCES'],
    ['/data', 'EIO'],
  ])(
    'directories of another owner are not taken for durable if %s fails with %s',
    async (failing, errno) => {
      const disk = await unsynced();
      disk.intercept = ({ kind, path }) =>
        kind === 'sync-directory' && path === failing ? { fail: errno } : undefined;
      const directories = new DurableDirectories('/data', new OpenFiles({ fileSystem: disk }));
      const failed = await storageErrorOf(directories.sync('/data/a'));
      expect(failed.code).toBe(errno === 'EIO' ? 'sync-failed' : 'io');
      disk.intercept = undefined;
      if (errno === 'EIO') {
        expect((await storageErrorOf(directories.sync('/data/a'))).code).toBe('sync-failed');
      } else await directories.sync('/data/a');
    },
  );
});
