/** File systems of which it is known that nothing becomes durable on them. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../src/virtual-file/temporary-file.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

afterEach(() => vi.unstubAllGlobals());

function onWindows(): void {
  vi.stubGlobal('process', Object.create(process, { platform: { value: 'win32' } }));
}

test('on Windows, an overwrite is refused before anything is created', async () => {
  const directory = temporaryDirectory();
  onWindows();
  const error = await storageErrorOf(overwriteFile(join(directory, 'file'), 'text'));
  expect(error).toMatchObject({ code: 'io', errno: 'ENOTSUP', outcome: 'not-applied' });
  expect(error.message).toContain('Windows does not sync directories');
  expect(readdirSync(directory)).toEqual([]);
});

test('elsewhere, files can be synced', () => {
  expect(() => nodeFileSystem.checkCanSync?.()).not.toThrow();
});

test('where the permission model lets fsync pass, files can be synced', () => {
  vi.stubGlobal('process', Object.create(process, { permission: { value: {} } }));
  expect(() => nodeFileSystem.checkCanSync?.()).not.toThrow();
});

function refusing(): OpenFiles {
  const fileSystem: MemoryFileSystem & { checkCanSync?(): void } = new MemoryFileSystem();
  fileSystem.checkCanSync = () => {
    throw new StorageError('io', { what: 'not here' });
  };
  return new OpenFiles({ fileSystem });
}

test('a scratch file is created where nothing can be synced, another temporary file is not', async () => {
  const openFiles = refusing();
  const scratch = await TemporaryFile.create('/scratch', { openFiles, durability: 'scratch' });
  await scratch.abandon();
  const error = await storageErrorOf(TemporaryFile.create('/file', { openFiles }));
  expect(error).toMatchObject({ code: 'io' });
  expect(await openFiles.fileSystem.readDirectory('/')).toEqual([]);
});

test('leftovers stay where their removal could not be synced', async () => {
  const openFiles = refusing();
  const name = 'left.___temp';
  const left = await VirtualFile.open(`/${name}`, { write: true, createNew: true, openFiles });
  await left.close();
  expect((await storageErrorOf(removeLeftovers('/', { openFiles }))).code).toBe('io');
  expect((await openFiles.fileSystem.readDirectory('/')).map((entry) => entry.name)).toEqual([
    name,
  ]);
});

test('a sync that is forbidden does not poison the file', async () => {
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const file = await VirtualFile.open('/file', {
    write: true,
    read: true,
    createNew: true,
    openFiles,
  });
  await file.writeAllAt(Uint8Array.of(1), 0);
  fileSystem.intercept = ({ kind }) =>
    kind === 'sync' ? { fail: 'ERR_ACCESS_DENIED' } : undefined;
  expect(await storageErrorOf(file.sync())).toMatchObject({
    code: 'io',
    errno: 'ERR_ACCESS_DENIED',
  });
  fileSystem.intercept = undefined;
  await file.sync();
  expect(await file.readToEnd({ maximumLength: 1 })).toEqual(Uint8Array.of(1));
  await file.close();
});

test('the check throws what an operation rejects with', () => {
  onWindows();
  const error = storageErrorThrownBy(() => nodeFileSystem.checkCanSync?.());
  expect(error).toMatchObject({ code: 'io', errno: 'ENOTSUP' });
});
