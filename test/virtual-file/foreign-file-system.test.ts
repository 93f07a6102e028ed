import { describe, expect, test } from 'vitest';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type {
  DirectoryEntry,
  FileStat,
  FileSystem,
  OpenFile,
} from '../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { delegatingFile } from '../support/delegating-file.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const CONTENT = new Uint8Array([1, 2, 3, 4]);

/** With a file of four bytes; some things are done in another way. */
function foreignFileSystem(own: Partial<FileSystem>, ownOfFile: Partial<OpenFile> = {}): OpenFiles {
  const memory = new MemoryFileSystem();
  memory.createDirectory('/data');
  memory.createFile('/data/file', CONTENT);
  const fileSystem: FileSystem = {
    open: async (path, options) => delegatingFile(await memory.open(path, options), ownOfFile),
    rename: (source, target) => memory.rename(source, target),
    link: (source, target) => memory.link(source, target),
    unlink: (path) => memory.unlink(path),
    stat: (path) => memory.stat(path),
    readDirectory: (path) => memory.readDirectory(path),
    syncDirectory: (path) => memory.syncDirectory(path),
    ...own,
  };
  return new OpenFiles({ fileSystem: Object.freeze(fileSystem) });
}

async function read(openFiles: OpenFiles): Promise<number[]> {
  const file = await VirtualFile.open('/data/file', { openFiles, read: true });
  try {
    const target = new Uint8Array(4);
    await file.readExactAt(target, 0);
    return [...target];
  } finally {
    await file.close();
  }
}

const readDirectory = ({ fileSystem }: OpenFiles) => fileSystem.readDirectory('/data');

const removeFile = ({ fileSystem }: OpenFiles) => fileSystem.unlink('/data/file');

const write = (openFiles: OpenFiles) => overwriteFile('/data/file', 'new', { openFiles });

test('a file system that keeps the contract is used as it is', async () => {
  const openFiles = foreignFileSystem({});
  expect(await read(openFiles)).toEqual([...CONTENT]);
  await write(openFiles);
  expect((await openFiles.fileSystem.stat('/data/file')).size).toBe(3);
});

test('two tables with one file system share what is remembered by file system', () => {
  const { fileSystem } = foreignFileSystem({});
  const first = new OpenFiles({ fileSystem });
  expect(new OpenFiles({ fileSystem }).fileSystem).toBe(first.fileSystem);
});

test('the file systems of this package are used without checks', () => {
  const fileSystem = new MemoryFileSystem();
  expect(new OpenFiles({ fileSystem }).fileSystem).toBe(fileSystem);
  expect(new OpenFiles({ fileSystem: nodeFileSystem }).fileSystem).toBe(nodeFileSystem);
});

describe('what a file system throws', () => {
  const failure = new RangeError('out of luck');
  const fail = () => Promise.reject(failure);

  test.each([
    ['open', read],
    ['stat', write],
    ['readDirectory', readDirectory],
    ['rename', write],
    ['unlink', removeFile],
  ] as const)('what %s of a file system throws is io with path and cause', async (method, use) => {
    const error = await storageErrorOf(use(foreignFileSystem({ [method]: fail })));
    expect(error).toMatchObject({ code: 'io', errno: undefined, cause: failure });
    expect(error.path).toMatch(/^\/data/);
    expect(error.message).toContain(': out of luck');
  });

  test('what a file system throws from the sync of a directory keeps its message', async () => {
    const openFiles = foreignFileSystem({ syncDirectory: fail });
    const error = await storageErrorOf(openFiles.syncDirectory('/data'));
    expect(error.message).toContain('out of luck');
  });

  test.each([
    ['fsync', 'EIO'],
    ['fsync', 'EMFILE'],
    [undefined, 'EIO'],
    [undefined, undefined],
  ])('an error from the sync of a directory (%s, %s) is final', async (syscall, code) => {
    const lost = Object.assign(new Error('broken disk'), { syscall, code });
    const answers = [Promise.reject(lost), Promise.resolve()];
    const openFiles = foreignFileSystem({
      syncDirectory: () => answers.shift() ?? Promise.resolve(),
    });
    const error = await storageErrorOf(openFiles.syncDirectory('/data'));
    expect(error).toMatchObject({ code: 'sync-failed', errno: code, path: '/data', cause: lost });
    expect(await storageErrorOf(openFiles.syncDirectory('/data'))).toBe(error);
  });

  test.each([
    ['open', 'EIO'],
    ['open', 'EACCES'],
    [undefined, 'EACCES'],
    [undefined, 'EINVAL'],
  ])('an error from opening the directory (%s, %s) is not final', async (syscall, code) => {
    const failed = Object.assign(new Error('not open'), { syscall, code });
    const answers = [Promise.reject(failed)];
    const openFiles = foreignFileSystem({
      syncDirectory: () => answers.shift() ?? Promise.resolve(),
    });
    const error = await storageErrorOf(openFiles.syncDirectory('/data'));
    expect(error).toMatchObject({ code: 'io', errno: code, path: '/data' });
    await openFiles.syncDirectory('/data');
  });

  test('what a file system throws from the sync itself, that directories cannot be synced, is a success', async () => {
    const unsupported = Object.assign(new Error('no'), { syscall: 'fsync', code: 'EINVAL' });
    const openFiles = foreignFileSystem({ syncDirectory: () => Promise.reject(unsupported) });
    await openFiles.syncDirectory('/data');
  });

  test('what a file system throws where no path is given has none', () => {
    const { fileSystem } = foreignFileSystem({
      checkCanSync: () => {
        throw failure;
      },
    });
    const error = storageErrorThrownBy(() => fileSystem.checkCanSync?.());
    expect(error).toMatchObject({ code: 'io', message: 'cannot check can sync: out of luck' });
    expect(error.path).toBeUndefined();
  });

  test('what a file system throws instead of a promise is io, too', async () => {
    const openFiles = foreignFileSystem({
      open: () => {
        throw failure;
      },
    });
    expect(await storageErrorOf(read(openFiles))).toMatchObject({ code: 'io', cause: failure });
  });

  test('what a file system throws from a read is io with path and offset', async () => {
    const openFiles = foreignFileSystem({}, { read: fail });
    const file = await VirtualFile.open('/data/file', { openFiles, read: true });
    expect(await storageErrorOf(file.readExactAt(new Uint8Array(2), 1))).toMatchObject({
      code: 'io',
      message: '/data/file: cannot read: out of luck at offset 1',
      offset: 1,
      cause: failure,
    });
    await file.close();
  });

  test('what a file system throws with the code of the system is what the system says', async () => {
    const missing = Object.assign(new Error('no such file'), { code: 'ENOENT' });
    const openFiles = foreignFileSystem({ open: () => Promise.reject(missing) });
    expect(await storageErrorOf(read(openFiles))).toMatchObject({
      code: 'not-found',
      errno: 'ENOENT',
      cause: missing,
    });
  });

  test('what a file system throws with the number of the system alone is what the system says', async () => {
    const missing = Object.assign(new Error('no such file'), { errno: -2 });
    const openFiles = foreignFileSystem({ open: () => Promise.reject(missing) });
    expect(await storageErrorOf(read(openFiles))).toMatchObject({
      code: 'not-found',
      errno: 'ENOENT',
    });
  });

  test.each([
    ['nothing', undefined, 'undefined'],
    ['a text', 'no luck', 'no luck'],
    ['an error without a message', new RangeError(''), 'RangeError'],
    ['an object', {}, 'an object without a message'],
  ])('a thrown value that is %s is io, in words', async (_, thrown, words) => {
    const openFiles = foreignFileSystem({ open: () => Promise.reject(thrown) });
    const error = await storageErrorOf(read(openFiles));
    expect(error).toMatchObject({ code: 'io', message: `/data/file: cannot open: ${words}` });
  });
});

describe('a count of bytes that is impossible', () => {
  test.each([-1, 5, 0.5, Number.NaN, undefined])(
    'an impossible count of %s bytes from a read is io',
    async (count) => {
      const openFiles = foreignFileSystem({}, { read: async () => count as number });
      expect(await storageErrorOf(read(openFiles))).toMatchObject({
        code: 'io',
        path: '/data/file',
        expected: '0 to 4 bytes from read',
      });
    },
  );

  test.each([-1, 4, Number.NaN])(
    'an impossible count of %s bytes from a write is io, and nothing is replaced',
    async (count) => {
      const openFiles = foreignFileSystem({}, { write: async () => count });
      expect(await storageErrorOf(write(openFiles))).toMatchObject({
        code: 'io',
        outcome: 'not-applied',
      });
      expect((await openFiles.fileSystem.stat('/data/file')).size).toBe(4);
    },
  );
});

describe('an impossible answer', () => {
  const STAT = { size: 4, mode: 0o600, userId: 0, groupId: 0, identity: 'a', kind: 'file' };

  test.each([
    ['no description', undefined],
    ['a description without a size', { ...STAT, size: undefined }],
    ['a negative size', { ...STAT, size: -1 }],
    ['a mode that is a text', { ...STAT, mode: '0600' }],
    ['an identity that is a number', { ...STAT, identity: 5 }],
    ['an unknown kind', { ...STAT, kind: 'pipe' }],
    ['an allocated size that is a bigint', { ...STAT, allocatedSize: 5n }],
    ['a modification time that is a number', { ...STAT, modificationTime: 5 }],
  ])('%s is io', async (_, stat) => {
    const expected = 'a description of a file from stat';
    const answer = { stat: async () => stat as FileStat };
    const ofName = storageErrorOf(foreignFileSystem(answer).fileSystem.stat('/data/file'));
    expect(await ofName).toMatchObject({ code: 'io', path: '/data/file', expected });
    expect(await storageErrorOf(read(foreignFileSystem({}, answer)))).toMatchObject({ expected });
  });

  test.each([
    ['no list', undefined],
    ['an entry without a name', [{ kind: 'file' }]],
    ['an entry without a kind', [{ name: 'a' }]],
    ['a list with a hole', new Array(1)],
    ['the directory itself', [{ name: '', kind: 'directory' }]],
    ['the directory above', [{ name: '..', kind: 'directory' }]],
    ['a name in a directory', [{ name: 'a/b', kind: 'file' }]],
  ])('%s instead of the entries of a directory is io', async (_, entries) => {
    const openFiles = foreignFileSystem({ readDirectory: async () => entries as DirectoryEntry[] });
    expect(await storageErrorOf(readDirectory(openFiles))).toMatchObject({
      ...{ code: 'io', path: '/data' },
      expected: 'a list of names and kinds from readDirectory',
    });
  });

  test('a file that cannot be closed is io', async () => {
    const file = { read: async () => 0 } as unknown as OpenFile;
    const error = await storageErrorOf(read(foreignFileSystem({ open: async () => file })));
    expect(error).toMatchObject({ code: 'io', expected: 'an open file from open' });
  });
});

test('a file system that lacks a method is refused', () => {
  const unlink = undefined as unknown as FileSystem['unlink'];
  expect(storageErrorThrownBy(() => foreignFileSystem({ unlink }))).toMatchObject({
    ...{ code: 'invalid-input', expected: 'an object with unlink()' },
  });
});

test('an open that returns no file is io', async () => {
  const open: unknown = async () => undefined;
  const openFiles = foreignFileSystem({ open: open as FileSystem['open'] });
  expect(await storageErrorOf(read(openFiles))).toMatchObject({
    code: 'io',
    expected: 'an open file from open',
  });
});

test('what an intercept of the file system in memory throws is io', async () => {
  const failure = new Error('a slip');
  const fileSystem = new MemoryFileSystem();
  fileSystem.createFile('/file', CONTENT);
  fileSystem.intercept = () => {
    throw failure;
  };
  expect(await storageErrorOf(fileSystem.stat('/file'))).toMatchObject({
    code: 'io',
    message: '/file: cannot stat: a slip',
    cause: failure,
  });
});
