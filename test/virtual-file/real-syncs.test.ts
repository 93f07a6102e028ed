/** What reaches the real disk: each sync is the right system call, on the right file. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { durableRename, publishNew } from '../../src/virtual-file/durable-rename.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../src/virtual-file/temporary-file.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const real = {
  close: fs.close,
  fsync: fs.fsync,
  fdatasync: fs.fdatasync,
  rename: fs.rename,
  link: fs.link,
};

/** Calls in order, with the inode that a descriptor leads to. */
let calls: string[];
/** What the next fsync answers instead of syncing. */
let failure: Error | undefined;

function inodeOf(path: string): number {
  return fs.lstatSync(path).ino;
}

beforeEach(() => {
  calls = [];
  failure = undefined;
  const recorded =
    (name: 'fsync' | 'fdatasync') =>
    (descriptor: number, done: fs.NoParamCallback): void => {
      calls.push(`${name} ${fs.fstatSync(descriptor).ino}`);
      if (failure === undefined) real[name](descriptor, done);
      else process.nextTick(done, failure);
    };
  Object.assign(fs, {
    fsync: recorded('fsync'),
    fdatasync: recorded('fdatasync'),
    rename: (source: string, target: string, done: fs.NoParamCallback) => {
      calls.push('rename');
      real.rename(source, target, done);
    },
    link: (source: string, target: string, done: fs.NoParamCallback) => {
      calls.push('link');
      real.link(source, target, done);
    },
  });
  syncBuiltinESMExports();
});

afterEach(() => {
  Object.assign(fs, real);
  syncBuiltinESMExports();
});

describe('on the real file system', () => {
  test('a sync is an fsync of the file, a sync of data an fdatasync', async () => {
    const path = `${temporaryDirectory()}/file`;
    await using file = await VirtualFile.open(path, { write: true, createNew: true });
    await file.sync();
    await file.syncData();
    expect(calls).toEqual([`fsync ${inodeOf(path)}`, `fdatasync ${inodeOf(path)}`]);
  });

  test('the sync of a directory is an fsync of it', async () => {
    const directory = temporaryDirectory();
    await nodeFileSystem.syncDirectory(directory);
    expect(calls).toEqual([`fsync ${inodeOf(directory)}`]);
  });

  test.each([
    ['a durable rename', durableRename, 'rename'],
    ['publishing', publishNew, 'link'],
  ] as const)(
    '%s on the real file system syncs the file, changes the name, syncs the directory',
    async (_, publish, change) => {
      const directory = temporaryDirectory();
      await using temporary = await TemporaryFile.create(`${directory}/temporary`);
      const inode = inodeOf(temporary.path);
      await publish(temporary, `${directory}/file`);
      expect(calls).toEqual([`fsync ${inode}`, change, `fsync ${inodeOf(directory)}`]);
      expect(inodeOf(`${directory}/file`)).toBe(inode);
    },
  );

  test('a failed fsync is final: it is not called again, and nothing gets the name', async () => {
    const directory = temporaryDirectory();
    const fatal: unknown[] = [];
    const openFiles = new OpenFiles({ onFatalError: (error) => fatal.push(error) });
    await using temporary = await TemporaryFile.create(`${directory}/temporary`, { openFiles });
    failure = Object.assign(new Error('broken disk'), { code: 'EIO' });
    const first = await storageErrorOf(publishNew(temporary, `${directory}/file`));
    expect(first).toMatchObject({ code: 'sync-failed', errno: 'EIO', outcome: 'not-applied' });
    failure = undefined;
    expect((await storageErrorOf(temporary.file.sync())).code).toBe('sync-failed');
    expect(calls).toEqual([`fsync ${inodeOf(temporary.path)}`]);
    expect(fatal).toHaveLength(1);
    expect(fs.readdirSync(directory)).toEqual(['temporary']);
  });

  test.each(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'])(
    'a directory that cannot be synced (%s) is as good as synced',
    async (code) => {
      const directory = temporaryDirectory();
      const fatal: unknown[] = [];
      const openFiles = new OpenFiles({ onFatalError: (error) => fatal.push(error) });
      failure = Object.assign(new Error('not here'), { code });
      await openFiles.syncDirectory(directory);
      await openFiles.syncDirectory(directory);
      expect(calls).toHaveLength(2);
      expect(fatal).toEqual([]);
    },
  );

  test('a failed fsync of a directory is final even if closing it fails, too', async () => {
    const directory = temporaryDirectory();
    const openFiles = new OpenFiles();
    failure = Object.assign(new Error('broken disk'), { code: 'EIO' });
    fs.close = Object.assign((descriptor: number, done?: fs.NoParamCallback): void => {
      real.close(descriptor, () => done?.(failure ?? null));
    }, real.close);
    syncBuiltinESMExports();
    const first = await storageErrorOf(openFiles.syncDirectory(directory));
    expect(first).toMatchObject({ code: 'sync-failed', errno: 'EIO' });
    failure = undefined;
    expect(await storageErrorOf(openFiles.syncDirectory(directory))).toBe(first);
  });

  test('a failed fsync of a directory is final, whatever its number is: it is not called again', async () => {
    const parent = temporaryDirectory();
    for (const code of ['EIO', 'EMFILE']) {
      const directory = `${parent}/${code}`;
      fs.mkdirSync(directory);
      const fatal: unknown[] = [];
      const openFiles = new OpenFiles({ onFatalError: (error) => fatal.push(error) });
      failure = Object.assign(new Error('broken disk'), { code });
      const first = await storageErrorOf(openFiles.syncDirectory(directory));
      expect(first).toMatchObject({ code: 'sync-failed', errno: code, path: directory });
      failure = undefined;
      expect(await storageErrorOf(openFiles.syncDirectory(`${directory}/.`))).toBe(first);
      expect(calls.splice(0)).toEqual([`fsync ${inodeOf(directory)}`]);
      expect(fatal).toEqual([first]);
    }
  });
});
