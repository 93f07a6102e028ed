import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { FileSystem, OpenFile } from '../../src/virtual-file/file-system.ts';
import { MemoryFileSystem } from '../../src/virtual-file/memory-file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { systemError } from '../../src/virtual-file/system-error.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { isPending } from '../support/gate.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** The real file system, with another `readSync`. */
function withReadSync(readSync: NonNullable<OpenFile['readSync']>): FileSystem {
  return {
    ...nodeFileSystem,
    open: async (path, options) => {
      const file = await nodeFileSystem.open(path, options);
      return {
        read: (target, offset) => file.read(target, offset),
        readSync,
        write: (source, offset) => file.write(source, offset),
        sync: () => file.sync(),
        syncData: () => file.syncData(),
        setLength: (length) => file.setLength(length),
        setOwnership: (ownership) => file.setOwnership(ownership),
        stat: () => file.stat(),
        close: () => file.close(),
      };
    },
  };
}

async function prepare(options: { capacity?: number; fileSystem?: FileSystem } = {}) {
  const directory = temporaryDirectory();
  const fatal: unknown[] = [];
  const openFiles = new OpenFiles({ ...options, onFatalError: (error) => fatal.push(error) });
  const open = async (name: string): Promise<VirtualFile> => {
    writeFileSync(join(directory, name), `content of ${name}`);
    return VirtualFile.open(join(directory, name), { read: true, openFiles });
  };
  return { directory, openFiles, open, fatal };
}

describe('a file that is held open', () => {
  test('is read at once, up to its end', async () => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    const target = new Uint8Array(7);
    expect(held.readSync(target, 0)).toBe(7);
    expect(new TextDecoder().decode(target)).toBe('content');
    expect(held.readSync(target, 11)).toBe(1);
    expect(held.readSync(target, 12)).toBe(0);
    expect(held.readSync(new Uint8Array(0), 0)).toBe(0);
    held.release();
    await file.close();
  });

  test('keeps its place in the table until it is released', async () => {
    const { open, openFiles } = await prepare({ capacity: 2 });
    const file = await open('a');
    const held = await file.hold();
    const others = [await open('b'), await open('c')];
    for (const other of others) await other.stat();
    expect(openFiles.openCount).toBe(2);
    expect(held.readSync(new Uint8Array(7), 0)).toBe(7);
    const second = await others[0]?.hold();
    const waiting = others[1]?.stat() ?? Promise.resolve();
    expect(await isPending(waiting)).toBe(true);
    held.release();
    await waiting;
    second?.release();
    await Promise.all([file, ...others].map((one) => one.close()));
    expect(openFiles.openCount).toBe(0);
  });

  test('is closed once it is released', async () => {
    const { open, openFiles } = await prepare();
    const file = await open('a');
    const [held, again] = await Promise.all([file.hold(), file.hold()]);
    const closing = file.close();
    expect(await isPending(closing)).toBe(true);
    expect(held.readSync(new Uint8Array(7), 0)).toBe(7);
    held.release();
    held.release();
    expect(await isPending(closing)).toBe(true);
    expect(again.readSync(new Uint8Array(7), 0)).toBe(7);
    again.release();
    await closing;
    expect(openFiles.openCount).toBe(0);
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).code).toBe('closed');
  });

  test('is not read any more after its release, while others hold it', async () => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    held.release();
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).code).toBe('closed');
    await file.stat();
    await file.close();
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('is not read at %d: out-of-range', async (offset) => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), offset))).toMatchObject({
      code: 'out-of-range',
      path: file.path,
    });
    held.release();
    await file.close();
  });

  test('fills a target of more than 2 GiB in parts', async () => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    expect(held.readSync(new Uint8Array(2 ** 31 + 8192), 0)).toBe(12);
    held.release();
    await file.close();
  });

  test('is read again where a signal interrupts, so often and no more', async () => {
    let calls = 0;
    let interruptions = 3;
    const fileSystem = withReadSync(() => {
      calls += 1;
      if (calls <= interruptions) throw systemError('read file', 'path', 'EINTR');
      return 1;
    });
    const { open } = await prepare({ fileSystem });
    const file = await open('a');
    const held = await file.hold();
    expect(held.readSync(new Uint8Array(1), 0)).toBe(1);
    expect(calls).toBe(4);
    calls = 0;
    interruptions = Number.POSITIVE_INFINITY;
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).errno).toBe('EINTR');
    expect(calls).toBe(17);
    held.release();
    await file.close();
  });

  test('tells the hook of a disk that fails', async () => {
    const fileSystem = withReadSync(() => {
      throw systemError('read file', 'path', 'EIO');
    });
    const { open, fatal } = await prepare({ fileSystem });
    const file = await open('a');
    const held = await file.hold();
    const error = storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0));
    expect(fatal).toEqual([error]);
    held.release();
    await file.close();
  });
});

test('a file that is closed, or whose file system waits, cannot be held', async () => {
  const { open } = await prepare();
  const file = await open('a');
  await file.close();
  expect((await storageErrorOf(file.hold())).code).toBe('closed');

  const fileSystem: FileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const inMemory = await VirtualFile.open('/a', { write: true, create: true, openFiles });
  expect(await storageErrorOf(inMemory.hold())).toMatchObject({
    code: 'invalid-input',
    path: '/a',
  });
  await inMemory.close();
  expect(openFiles.openCount).toBe(0);
});
