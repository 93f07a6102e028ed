import { describe, expect, test } from 'vitest';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../src/virtual-file/temporary-file.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

function inMemory() {
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  return { fileSystem, openFiles };
}

describe('creating', () => {
  test('creating a temporary file gives an empty file for reading and writing, with the requested mode', async () => {
    const { fileSystem, openFiles } = inMemory();
    const temporary = await TemporaryFile.create('/temporary', { openFiles, mode: 0o600 });
    expect(temporary.path).toBe('/temporary');
    await temporary.file.writeAllAt(Uint8Array.of(1, 2), 0);
    const target = new Uint8Array(2);
    await temporary.file.readExactAt(target, 0);
    expect([...target]).toEqual([1, 2]);
    expect((await fileSystem.stat('/temporary')).mode).toBe(0o600);
    await temporary.abandon();
  });

  test.each(['file', 'directory', 'link', 'special'])(
    'creating a temporary file over a %s is exists, and what is there stays',
    async (name) => {
      const { fileSystem, openFiles } = inMemory();
      fileSystem.createFile('/file', Uint8Array.of(1));
      fileSystem.createDirectory('/directory');
      fileSystem.createSymbolicLink('/link', '/elsewhere');
      fileSystem.createSpecialFile('/special');
      const before = fileSystem.paths();
      const error = await storageErrorOf(TemporaryFile.create(`/${name}`, { openFiles }));
      expect(error).toMatchObject({ code: 'exists', path: `/${name}` });
      expect(fileSystem.paths()).toEqual(before);
      expect([...fileSystem.contentOf('/file')]).toEqual([1]);
    },
  );

  test('two concurrent creations under one name: one succeeds, the other is refused', async () => {
    const { openFiles } = inMemory();
    const both = await Promise.allSettled([
      TemporaryFile.create('/temporary', { openFiles }),
      TemporaryFile.create('/temporary', { openFiles }),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

describe('a temporary file', () => {
  test('a temporary file that is disposed of is deleted', async () => {
    const { fileSystem, openFiles } = inMemory();
    {
      await using temporary = await TemporaryFile.create('/temporary', { openFiles });
      await temporary.file.writeAllAt(Uint8Array.of(1), 0);
    }
    expect(fileSystem.paths()).toEqual([]);
    expect(fileSystem.openCount).toBe(0);
  });

  test('a temporary file that was kept stays, closed', async () => {
    const { fileSystem, openFiles } = inMemory();
    {
      await using temporary = await TemporaryFile.create('/temporary', { openFiles });
      temporary.keep();
      temporary.keep();
    }
    expect(fileSystem.paths()).toEqual(['/temporary']);
    expect(fileSystem.openCount).toBe(0);
  });

  test('a temporary file that was abandoned cannot be kept, nor written', async () => {
    const { fileSystem, openFiles } = inMemory();
    const temporary = await TemporaryFile.create('/temporary', { openFiles });
    const abandoning = temporary.abandon();
    expect(storageErrorThrownBy(() => temporary.keep())).toMatchObject({
      code: 'closed',
      path: '/temporary',
    });
    const error = await storageErrorOf(temporary.file.writeAllAt(Uint8Array.of(1), 0));
    expect(error.code).toBe('closed');
    await abandoning;
    expect(fileSystem.paths()).toEqual([]);
  });

  test('a temporary file is deleted once, however often it is abandoned', async () => {
    const { fileSystem, openFiles } = inMemory();
    const temporary = await TemporaryFile.create('/temporary', { openFiles });
    await Promise.all([temporary.abandon(), temporary.abandon()]);
    fileSystem.createFile('/temporary', Uint8Array.of(1));
    await temporary.abandon();
    await temporary[Symbol.asyncDispose]();
    expect([...fileSystem.contentOf('/temporary')]).toEqual([1]);
  });

  test('a temporary file whose name is gone already is abandoned without an error', async () => {
    const { fileSystem, openFiles } = inMemory();
    const temporary = await TemporaryFile.create('/temporary', { openFiles });
    await fileSystem.unlink('/temporary');
    await temporary.abandon();
    expect(fileSystem.openCount).toBe(0);
  });

  test('a temporary file is abandoned after what is in flight', async () => {
    const { fileSystem, openFiles } = inMemory();
    const temporary = await TemporaryFile.create('/temporary', { openFiles });
    const kinds: string[] = [];
    fileSystem.intercept = ({ kind }) => {
      kinds.push(kind);
      return undefined;
    };
    const writing = temporary.file.writeAllAt(Uint8Array.of(1), 0);
    await Promise.all([writing, temporary.abandon()]);
    expect(kinds).toEqual(['write', 'close', 'unlink']);
  });

  test('a temporary file that cannot be deleted is an error', async () => {
    const { fileSystem, openFiles } = inMemory();
    const temporary = await TemporaryFile.create('/temporary', { openFiles });
    fileSystem.intercept = ({ kind }) => (kind === 'unlink' ? { fail: 'EACCES' } : undefined);
    const error = await storageErrorOf(temporary.abandon());
    expect(error).toMatchObject({ code: 'io', errno: 'EACCES', path: '/temporary' });
  });

  test('a temporary file is deleted even where closing it fails, or a sync failed', async () => {
    const { fileSystem, openFiles } = inMemory();
    const temporary = await TemporaryFile.create('/temporary', { openFiles });
    fileSystem.intercept = ({ kind }) =>
      kind === 'close' || kind === 'sync' ? { fail: 'EIO' } : undefined;
    expect((await storageErrorOf(temporary.file.sync())).code).toBe('sync-failed');
    expect(await storageErrorOf(temporary.abandon())).toMatchObject({ code: 'io', errno: 'EIO' });
    expect(fileSystem.paths()).toEqual([]);
  });
});

test.each([Number.NaN, -1, 0o10000, 1.5])('a mode of %s is invalid input', async (mode) => {
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const error = await storageErrorOf(TemporaryFile.create('/file', { openFiles, mode }));
  expect(error.code).toBe('invalid-input');
  expect(fileSystem.operationCount).toBe(0);
});

test('a mode of 0o7777 is accepted', async () => {
  const openFiles = new OpenFiles({ fileSystem: new MemoryFileSystem({ umask: 0 }) });
  await using file = await TemporaryFile.create('/file', { openFiles, mode: 0o7777 });
  expect((await file.file.stat()).mode).toBe(0o7777);
});
