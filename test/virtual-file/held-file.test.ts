import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openLayer } from '../../src/layers/open-layer.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type { FileSystem, IoMode, OpenFile } from '../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { systemError } from '../../src/virtual-file/system-error.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { delegatingFile } from '../support/delegating-file.ts';
import { gate, idle, isPending } from '../support/gate.ts';
import { blockKey } from '../support/layers.ts';
import { DELTA } from '../support/sample-layers.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** The real file system, with another `readSync`, or none. */
function withReadSync(readSync: OpenFile['readSync']): FileSystem {
  return {
    ...nodeFileSystem,
    open: async (path, options) => {
      const file = await nodeFileSystem.open(path, options);
      return delegatingFile(file, readSync === undefined ? {} : { readSync });
    },
  };
}

async function prepare(options: { capacity?: number; fileSystem?: FileSystem } = {}) {
  const directory = temporaryDirectory();
  const fatal: unknown[] = [];
  const openFiles = new OpenFiles({ ...options, onFatalError: (error) => fatal.push(error) });
  const open = async (name: string, ioMode?: IoMode): Promise<VirtualFile> => {
    writeFileSync(join(directory, name), `content of ${name}`);
    return VirtualFile.open(join(directory, name), { read: true, openFiles, ioMode });
  };
  return { directory, openFiles, open, fatal };
}

describe('a file that is held open', () => {
  test('a file that is held open is read synchronously, up to its end', async () => {
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

  test('a file that is held open can lose its slot in the table, and takes one again to be read', async () => {
    const { open, openFiles } = await prepare({ capacity: 2 });
    const files = [await open('a'), await open('b'), await open('c'), await open('d')];
    const helds = await Promise.all(files.map((file) => file.hold()));
    for (let round = 0; round < 3; round += 1) {
      for (const [number, held] of helds.entries()) {
        const target = new Uint8Array(12);
        expect(held.readSync(target, 0)).toBe(12);
        expect(new TextDecoder().decode(target)).toBe(`content of ${'abcd'[number]}`);
        expect(openFiles.openCount).toBe(2);
        await files[(number + 1) % 4]?.stat();
      }
    }
    for (const held of helds) held.release();
    await Promise.all(files.map((file) => file.close()));
    expect(openFiles.openCount).toBe(0);
  });

  test('a file that is held open is closed once it is released', async () => {
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

  test('a file that is held open cannot be read after its release, even while others hold it', async () => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    held.release();
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).code).toBe('closed');
    await file.stat();
    await file.close();
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])(
    'a file that is held open is not read at %d: out-of-range',
    async (offset) => {
      const { open } = await prepare();
      const file = await open('a');
      const held = await file.hold();
      expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), offset))).toMatchObject({
        code: 'out-of-range',
        path: file.path,
      });
      held.release();
      await file.close();
    },
  );

  test('a file that is held open fills a target of more than 2 GiB in parts', async () => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    expect(held.readSync(new Uint8Array(2 ** 31 + 8192), 0)).toBe(12);
    held.release();
    await file.close();
  });

  test('a file that is held open is read again if a signal interrupts, up to a limit', async () => {
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

  test('a file that is held open reports a failing disk to the hook', async () => {
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

describe('a held file whose descriptor was closed', () => {
  /** The held file is `/a`; the table is full of `/b`, of which `using` tells what is under way. */
  async function evicted(using: 'nothing' | 'a read' | 'a write') {
    const { openFiles, fileSystem } = inMemory({ capacity: 1 });
    fileSystem.createFile('/a', Uint8Array.of(7));
    const a = await openIn(openFiles, '/a');
    const held = await a.hold();
    const b = await openIn(openFiles, '/b');
    if (using === 'a write') await b.writeAllAt(Uint8Array.of(8), 0);
    const { opened, open } = gate();
    fileSystem.intercept = ({ kind }) => (kind === 'read' ? { delay: opened } : undefined);
    const reading = using === 'a read' ? b.readAt(new Uint8Array(1), 0) : undefined;
    await idle();
    fileSystem.intercept = undefined;
    const end = async (): Promise<void> => {
      open();
      await reading;
      held.release();
      await Promise.all([a.close(), b.close()]);
      expect(openFiles.openCount).toBe(0);
      expect(fileSystem.openCount).toBe(0);
    };
    return { openFiles, fileSystem, a, b, held, end };
  }

  test('a held file whose descriptor was closed takes the slot of an idle clean file', async () => {
    const { fileSystem, held, end } = await evicted('nothing');
    expect(held.readSync(new Uint8Array(1), 0)).toBe(1);
    expect(fileSystem.openPaths).toEqual(['/a']);
    await end();
  });

  test.each(['a read', 'a write'] as const)(
    'a held file is opened for one read beyond the capacity where %s keeps the place of another',
    async (using) => {
      const { fileSystem, held, end } = await evicted(using);
      for (let round = 0; round < 2; round += 1) {
        expect(held.readSync(new Uint8Array(1), 0)).toBe(1);
        expect(fileSystem.openPaths).toEqual(['/b']);
      }
      await end();
    },
  );

  test('a held file whose descriptor was closed leaves no descriptor beyond the capacity where the read fails', async () => {
    const { fileSystem, held, end } = await evicted('a read');
    fileSystem.intercept = ({ kind }) => (kind === 'read' ? { fail: 'EIO' } : undefined);
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).errno).toBe('EIO');
    expect(fileSystem.openPaths).toEqual(['/b']);
    fileSystem.intercept = undefined;
    await end();
  });

  test('a held file whose descriptor was closed is read while an asynchronous operation opens it', async () => {
    const { openFiles, fileSystem, a, held, end } = await evicted('nothing');
    const { opened, open } = gate();
    let opens = 0;
    fileSystem.intercept = ({ kind }) => {
      if (kind !== 'open') return undefined;
      opens += 1;
      return opens === 1 ? { delay: opened } : undefined;
    };
    const reading = a.readAt(new Uint8Array(1), 0);
    await idle();
    expect(held.readSync(new Uint8Array(1), 0)).toBe(1);
    open();
    expect(await reading).toBe(1);
    expect(openFiles.openCount).toBe(1);
    await end();
  });

  test('a held file whose descriptor was closed takes no second slot while an asynchronous operation opens it', async () => {
    const { openFiles, fileSystem } = inMemory({ capacity: 2 });
    fileSystem.createFile('/a', Uint8Array.of(7));
    const [b, a] = [await openIn(openFiles, '/b'), await openIn(openFiles, '/a')];
    const held = await a.hold();
    await (await openIn(openFiles, '/c')).close();
    expect(fileSystem.openPaths).toEqual(['/b']);
    const { opened, open } = gate();
    let opens = 0;
    fileSystem.intercept = ({ kind }) => {
      if (kind !== 'open') return undefined;
      opens += 1;
      return opens === 1 ? { delay: opened } : undefined;
    };
    const reading = a.readAt(new Uint8Array(1), 0);
    await idle();
    expect(held.readSync(new Uint8Array(1), 0)).toBe(1);
    expect(fileSystem.openPaths).toEqual(['/b']);
    open();
    expect(await reading).toBe(1);
    expect(fileSystem.openPaths).toEqual(['/b', '/a']);
    held.release();
    await Promise.all([a.close(), b.close()]);
    expect(fileSystem.openCount).toBe(0);
  });

  test('a held file whose descriptor was closed makes room among the idle files where the system has no descriptor left', async () => {
    const { openFiles, fileSystem } = inMemory({ capacity: 8 });
    const files = await Promise.all(['/a', '/b', '/c'].map((path) => openIn(openFiles, path)));
    const [a] = files;
    const held = await a?.hold();
    fileSystem.intercept = ({ kind }) =>
      kind === 'open' && fileSystem.openCount > 0 ? { fail: 'EMFILE' } : undefined;
    const other = await openIn(openFiles, '/d');
    expect(fileSystem.openPaths).toEqual(['/d']);
    expect(held?.readSync(new Uint8Array(1), 0)).toBe(0);
    expect(fileSystem.openPaths).toEqual(['/a']);
    held?.release();
    await Promise.all([...files, other].map((file) => file.close()));
    expect(openFiles.openCount).toBe(0);
  });

  test('a held file whose descriptor was closed fails with EMFILE if the table holds nothing to release, and can be read later', async () => {
    const { openFiles, fileSystem, held, end } = await evicted('a read');
    fileSystem.intercept = ({ kind }) => (kind === 'open' ? { fail: 'EMFILE' } : undefined);
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0))).toMatchObject({
      code: 'io',
      errno: 'EMFILE',
      path: '/a',
    });
    expect(openFiles.openCount).toBe(1);
    fileSystem.intercept = undefined;
    expect(held.readSync(new Uint8Array(1), 0)).toBe(1);
    await end();
  });

  test('a held file whose descriptor was closed poisons the idle file that cannot be closed to make room for it', async () => {
    const { fileSystem, b, held, end } = await evicted('nothing');
    fileSystem.intercept = ({ kind }) => (kind === 'close' ? { fail: 'EIO' } : undefined);
    expect(held.readSync(new Uint8Array(1), 0)).toBe(1);
    fileSystem.intercept = undefined;
    expect((await storageErrorOf(b.readAt(new Uint8Array(1), 0))).code).toBe('sync-failed');
    await end();
  });

  test('a held file whose descriptor was closed is refused once it is poisoned', async () => {
    const { fileSystem, openFiles, held, end } = await evicted('nothing');
    const again = await openIn(openFiles, '/a');
    fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
    await storageErrorOf(again.sync());
    fileSystem.intercept = undefined;
    const error = storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0));
    expect(error.code).toBe('sync-failed');
    await again.close();
    await end();
  });

  test('a held file that is gone, and whose descriptor was closed, is not-found', async () => {
    const { fileSystem, b, held, end } = await evicted('nothing');
    await fileSystem.unlink('/a');
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).code).toBe('not-found');
    // The place that it was to have is free again.
    const reading = b.readAt(new Uint8Array(1), 0);
    await idle();
    expect(await isPending(reading)).toBe(false);
    await end();
  });

  test('a held file whose descriptor was closed that bypasses the cache is read and frees its slot', async () => {
    const { open, openFiles } = await prepare({ capacity: 1 });
    const a = await open('a', 'direct');
    const held = await a.hold();
    const b = await open('b', 'direct');
    expect(held.readSync(new Uint8Array(20), 0)).toBe(12);
    expect(await a.readAt(new Uint8Array(20), 0)).toBe(12);
    held.release();
    await Promise.all([a.close(), b.close()]);
    expect(openFiles.openCount).toBe(0);
  });
});

describe('while the system has no descriptor left', () => {
  test.each([1, 2, 5])(
    'while the system has no descriptor left, %d held files are no reason to wait',
    async (count) => {
      const { openFiles, fileSystem } = inMemory({ capacity: 8 });
      const files = await Promise.all(
        Array.from({ length: count }, (_, n) => openIn(openFiles, `/${n}`)),
      );
      const helds = await Promise.all(files.map((file) => file.hold()));
      fileSystem.intercept = ({ kind }) =>
        kind === 'open' || kind === 'sync-directory' ? { fail: 'EMFILE' } : undefined;
      expect(await storageErrorOf(openIn(openFiles, '/other'))).toMatchObject({ errno: 'EMFILE' });
      expect(await storageErrorOf(openFiles.syncDirectory('/'))).toMatchObject({ errno: 'EMFILE' });
      expect(await storageErrorOf(overwriteFile('/file', 'x', { openFiles }))).toMatchObject({
        errno: 'EMFILE',
        outcome: 'not-applied',
      });
      fileSystem.intercept = undefined;
      for (const held of helds) expect(held.readSync(new Uint8Array(1), 0)).toBe(0);
      for (const held of helds) held.release();
      await Promise.all(files.map((file) => file.close()));
      expect(fileSystem.openCount).toBe(0);
    },
  );

  test('an operation on a held file is waited for', async () => {
    const { openFiles, fileSystem } = inMemory({ capacity: 8 });
    const file = await openIn(openFiles, '/a');
    const held = await file.hold();
    const { opened, open } = gate();
    fileSystem.intercept = ({ kind }) => {
      if (kind === 'open') return { fail: 'EMFILE' };
      return kind === 'read' ? { delay: opened } : undefined;
    };
    const reading = file.readAt(new Uint8Array(1), 0);
    const opening = openIn(openFiles, '/b');
    expect(await isPending(opening)).toBe(true);
    open();
    await reading;
    expect((await storageErrorOf(opening)).errno).toBe('EMFILE');
    held.release();
    await file.close();
  });
});

test('a table of one slot serves more synchronous readers of layers than it has slots', async () => {
  const { openFiles, fileSystem } = inMemory({ capacity: 1 });
  const paths = ['/1', '/2', '/3'];
  for (const path of paths) fileSystem.createFile(path, DELTA.bytes);
  const readers = await Promise.all(
    paths.map((path) => openLayer(path, { openFiles, readMode: 'sync', blockCache: null })),
  );
  for (const reader of readers) expect(reader.getSync(blockKey(0))?.lsn).toBe(0x1002n);
  expect(openFiles.openCount).toBe(1);
  await (await openIn(openFiles, '/4')).close();
  await Promise.all(readers.map((reader) => reader.close()));
  expect(openFiles.openCount).toBe(0);
});

function inMemory(options: { capacity: number }) {
  const fileSystem = new MemoryFileSystem();
  return { fileSystem, openFiles: new OpenFiles({ ...options, fileSystem }) };
}

function openIn(openFiles: OpenFiles, path: string): Promise<VirtualFile> {
  return VirtualFile.open(path, { read: true, write: true, create: true, openFiles });
}

test('a file in memory is read synchronously, as far as the faults allow', async () => {
  const { openFiles, fileSystem } = inMemory({ capacity: 1 });
  fileSystem.createFile('/a', new TextEncoder().encode('content'));
  const file = await openIn(openFiles, '/a');
  const held = await file.hold();
  const target = new Uint8Array(9);
  expect([held.readSync(target, 3), held.readSync(target, 7)]).toEqual([4, 0]);
  const operations: unknown[] = [];
  fileSystem.intercept = (operation) => {
    operations.push(operation);
    return operation.offset === 0 ? { limit: 2 } : { fail: 'EIO' };
  };
  expect(held.readSync(target, 0)).toBe(2);
  expect(storageErrorThrownBy(() => held.readSync(target, 1)).errno).toBe('EIO');
  expect(operations).toMatchObject([
    { kind: 'read', path: '/a', offset: 0, length: 9 },
    { kind: 'read', path: '/a', offset: 1, length: 9 },
  ]);
  fileSystem.intercept = undefined;
  held.release();
  await file.close();
});

test('a file that is closed, or whose file system waits, cannot be held', async () => {
  const { open } = await prepare();
  const file = await open('a');
  await file.close();
  expect((await storageErrorOf(file.hold())).code).toBe('closed');

  const waiting = await prepare({ fileSystem: withReadSync(undefined) });
  const { openSync: _, ...withoutOpenSync } = nodeFileSystem;
  const opening = await prepare({ fileSystem: withoutOpenSync });
  for (const each of [waiting, opening]) {
    const other = await each.open('a');
    expect(await storageErrorOf(other.hold())).toMatchObject({
      code: 'invalid-input',
      path: other.path,
    });
    await other.close();
    expect(each.openFiles.openCount).toBe(0);
  }
});
