import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { StorageError } from '../../src/errors.ts';
import type { FaultAction, FileSystemOperation } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import type { VirtualFileOptions } from '../../src/virtual-file/virtual-file-options.ts';
import { gate, idle, isPending, turns } from '../support/gate.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const READ_WRITE: VirtualFileOptions = { read: true, write: true, create: true };

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function text(content: Uint8Array): string {
  return new TextDecoder().decode(content);
}

/** A file with content, in memory; the answer to each operation comes from `answer`. */
async function openInMemory(
  content: string,
  answer?: (operation: FileSystemOperation) => FaultAction | undefined,
) {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createFile('/file', bytes(content));
  const fatal: unknown[] = [];
  const openFiles = new OpenFiles({ fileSystem, onFatalError: (error) => fatal.push(error) });
  const file = await VirtualFile.open('/file', { ...READ_WRITE, openFiles });
  const operations: FileSystemOperation[] = [];
  fileSystem.intercept = (operation) => {
    operations.push(operation);
    return answer?.(operation);
  };
  const count = (kind: string): number => operations.filter((one) => one.kind === kind).length;
  return { fileSystem, openFiles, file, operations, count, fatal };
}

describe('opening', () => {
  test('opening neither for reading nor for writing is invalid-input', async () => {
    const path = join(temporaryDirectory(), 'file');
    const error = await storageErrorOf(VirtualFile.open(path, { create: true }));
    expect(error.code).toBe('invalid-input');
    expect(fs.existsSync(path)).toBe(false);
  });

  test.each<[string, VirtualFileOptions, string]>([
    ['missing', { read: true }, 'not-found'],
    ['taken', { write: true, createNew: true }, 'exists'],
    ['directory', { read: true }, 'io'],
    ['device', { read: true }, 'io'],
  ])(
    'opening a %s path is a typed error, and the table stays empty',
    async (kind, options, code) => {
      const directory = temporaryDirectory();
      fs.writeFileSync(join(directory, 'taken'), '');
      fs.mkdirSync(join(directory, 'directory'));
      const path = kind === 'device' ? '/dev/null' : join(directory, kind);
      const openFiles = new OpenFiles({ capacity: 1 });
      for (let attempt = 0; attempt < 3; attempt += 1) {
        const error = await storageErrorOf(VirtualFile.open(path, { ...options, openFiles }));
        expect(error).toMatchObject({ code, path });
      }
      expect(openFiles.openCount).toBe(0);
    },
  );

  test('a file that is opened to be truncated, but not written, is invalid-input, and creates nothing', async () => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem });
    const opening = VirtualFile.open('/a', { read: true, truncate: true, create: true, openFiles });
    expect((await storageErrorOf(opening)).code).toBe('invalid-input');
    expect((await storageErrorOf(fileSystem.stat('/a'))).code).toBe('not-found');
  });

  test('a file without its own table is in the one that the process shares', async () => {
    const path = join(temporaryDirectory(), 'file');
    const file = await VirtualFile.open(path, READ_WRITE);
    expect(file.openFiles).toBe(OpenFiles.shared());
    expect(file.openFiles.capacity).toBe(1024);
    await file.close();
  });
});

describe('reading', () => {
  test('a read past the end returns the bytes that exist; an exact read fails with the offset', async () => {
    const { file } = await openInMemory('0123456789');
    const target = new Uint8Array(8);
    expect(await file.readAt(target, 4)).toBe(6);
    expect(text(target.subarray(0, 6))).toBe('456789');
    expect(await file.readAt(target, 10)).toBe(0);
    expect(await file.readAt(target, 1e15)).toBe(0);
    const error = await storageErrorOf(file.readExactAt(target, 4));
    expect(error).toMatchObject({ code: 'truncated', offset: 10, path: '/file', actual: '6' });
    await file.readExactAt(new Uint8Array(0), 10);
  });

  test.each([1, 2, 3, 7])('what is read %i bytes at a time is put together', async (limit) => {
    const { file } = await openInMemory('0123456789', ({ kind }) =>
      kind === 'read' ? { limit } : undefined,
    );
    const target = new Uint8Array(12);
    expect(await file.readAt(target, 0)).toBe(10);
    expect(text(target.subarray(0, 10))).toBe('0123456789');
  });

  test('reading that is interrupted up to 16 times continues where it was', async () => {
    let interruptions = 0;
    const { file } = await openInMemory('0123456789', ({ kind, offset }) => {
      if (kind !== 'read') return undefined;
      if (offset === 4 && interruptions < 16) {
        interruptions += 1;
        return { fail: 'EINTR' };
      }
      return { limit: 4 };
    });
    const target = new Uint8Array(10);
    await file.readExactAt(target, 0);
    expect(text(target)).toBe('0123456789');
    expect(interruptions).toBe(16);
  });

  test('reading that is always interrupted ends with an error', async () => {
    const { file, count } = await openInMemory('content', ({ kind }) =>
      kind === 'read' ? { fail: 'EINTR' } : undefined,
    );
    const error = await storageErrorOf(file.readAt(new Uint8Array(4), 0));
    expect(error).toMatchObject({ code: 'io', errno: 'EINTR' });
    expect(count('read')).toBe(17);
  });

  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    'reading or writing at %d is out-of-range and does nothing',
    async (offset) => {
      const { file, operations } = await openInMemory('content');
      const some = bytes('x');
      for (const promise of [
        file.readAt(some, offset),
        file.readExactAt(some, offset),
        file.writeAllAt(some, offset),
        file.setLength(offset),
      ]) {
        expect(await storageErrorOf(promise)).toMatchObject({
          code: 'out-of-range',
          path: '/file',
          actual: String(offset),
        });
      }
      expect(operations).toEqual([]);
    },
  );

  test('reading the complete file stops at a limit', async () => {
    const { file, count } = await openInMemory('0123456789');
    expect(text(await file.readToEnd({ maximumLength: 10 }))).toBe('0123456789');
    const reads = count('read');
    const error = await storageErrorOf(file.readToEnd({ maximumLength: 9 }));
    expect(error).toMatchObject({ code: 'too-large', path: '/file', actual: '10' });
    const noLimit = file.readToEnd({ maximumLength: Number.NaN });
    expect((await storageErrorOf(noLimit)).code).toBe('too-large');
    expect(count('read')).toBe(reads);
    await file.setLength(0);
    expect(await file.readToEnd({ maximumLength: 0 })).toHaveLength(0);
  });

  test('a file that was cut after its size was read is truncated', async () => {
    const { file, fileSystem } = await openInMemory('0123456789');
    const { opened, open } = gate();
    fileSystem.intercept = ({ kind }) => (kind === 'read' ? { delay: opened } : undefined);
    const reading = storageErrorOf(file.readToEnd({ maximumLength: 100 }));
    await idle();
    await file.setLength(3);
    open();
    expect(await reading).toMatchObject({ code: 'truncated', offset: 3 });
  });
});

describe('writing', () => {
  test.each([1, 3])('writing %i bytes at a time writes everything', async (limit) => {
    const { file, fileSystem } = await openInMemory('', ({ kind }) =>
      kind === 'write' ? { limit } : undefined,
    );
    await file.writeAllAt(bytes('0123456789'), 2);
    expect(text(fileSystem.contentOf('/file'))).toBe('\0\x000123456789');
  });

  test('a write without progress is io with the place, and is not repeated', async () => {
    let writes = 0;
    const { file } = await openInMemory('', ({ kind }) => {
      if (kind !== 'write') return undefined;
      writes += 1;
      return { limit: writes === 1 ? 4 : 0 };
    });
    const error = await storageErrorOf(file.writeAllAt(bytes('0123456789'), 100));
    expect(error).toMatchObject({ code: 'io', path: '/file', offset: 104 });
    expect(writes).toBe(2);
  });

  test('a full disk is io with ENOSPC, and the file stays usable', async () => {
    let full = true;
    const { file, fileSystem, fatal } = await openInMemory('', ({ kind }) =>
      kind === 'write' && full ? { fail: 'ENOSPC' } : undefined,
    );
    const error = await storageErrorOf(file.writeAllAt(bytes('x'), 0));
    expect(error).toMatchObject({ code: 'io', errno: 'ENOSPC', path: '/file' });
    full = false;
    await file.writeAllAt(bytes('y'), 0);
    expect(text(fileSystem.contentOf('/file'))).toBe('y');
    expect(fatal).toEqual([]);
  });

  test('nothing is written for no bytes', async () => {
    const { file, count } = await openInMemory('content');
    await file.writeAllAt(new Uint8Array(0), 3);
    expect(count('write')).toBe(0);
  });

  test('the length is cut, and extended with zeros', async () => {
    const { file, fileSystem } = await openInMemory('0123456789');
    await file.setLength(3);
    await file.setLength(5);
    expect(text(fileSystem.contentOf('/file'))).toBe('012\0\0');
    expect((await file.stat()).size).toBe(5);
  });

  test('mode and owner are set', async () => {
    const { file } = await openInMemory('');
    const ownership = { mode: 0o600, userId: 12, groupId: 34 };
    await file.setOwnership(ownership);
    expect(await file.stat()).toMatchObject(ownership);
  });
});

describe('after a failed sync', () => {
  test.each(['sync', 'sync-data'])(
    'every call after a failed %s rejects with its error',
    async (kind) => {
      let fails = true;
      const { file, count, fatal } = await openInMemory('content', (operation) =>
        operation.kind === kind && fails ? { fail: 'ENOSPC' } : undefined,
      );
      const sync = (): Promise<void> => (kind === 'sync' ? file.sync() : file.syncData());
      const first = await storageErrorOf(sync());
      fails = false;
      expect(first).toMatchObject({ code: 'sync-failed', errno: 'ENOSPC', path: '/file' });
      expect(first.cause).toMatchObject({ code: 'io', errno: 'ENOSPC' });
      for (const call of [
        sync,
        () => file.sync(),
        () => file.syncData(),
        () => file.readAt(new Uint8Array(1), 0),
        () => file.readExactAt(new Uint8Array(1), 0),
        () => file.readToEnd({ maximumLength: 100 }),
        () => file.writeAllAt(bytes('x'), 0),
        () => file.setLength(1),
        () => file.setOwnership({ mode: 0o600, userId: 0, groupId: 0 }),
        () => file.stat(),
      ]) {
        expect(await storageErrorOf(call())).toBe(first);
      }
      expect(count('sync') + count('sync-data')).toBe(1);
      expect(count('write')).toBe(0);
      expect(fatal).toEqual([first]);
      await file.close();
    },
  );

  test('a sync that was requested at the same time does not succeed', async () => {
    const { opened, open } = gate();
    let syncs = 0;
    const { file, count } = await openInMemory('content', ({ kind }) => {
      if (kind !== 'sync') return undefined;
      syncs += 1;
      return syncs === 1 ? { delay: opened, fail: 'EIO' } : undefined;
    });
    const outcomes = Array.from({ length: 8 }, () => storageErrorOf(file.sync()));
    await idle();
    open();
    const [first, ...others] = await Promise.all(outcomes);
    expect(first).toMatchObject({ code: 'sync-failed', errno: 'EIO' });
    for (const other of others) expect(other).toBe(first);
    expect(count('sync')).toBe(1);
  });

  test('a write that waited for the descriptor is refused', async () => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem, capacity: 1 });
    const file = await VirtualFile.open('/file', { ...READ_WRITE, openFiles });
    await file.writeAllAt(bytes('lost'), 0);
    const { opened, open } = gate();
    fileSystem.intercept = ({ kind }) =>
      kind === 'sync' ? { delay: opened, fail: 'EIO' } : undefined;
    const opening = VirtualFile.open('/other', { ...READ_WRITE, openFiles });
    await idle();
    const writing = storageErrorOf(file.writeAllAt(bytes('more'), 4));
    open();
    const other = await opening;
    expect((await writing).code).toBe('sync-failed');
    expect(text(fileSystem.contentOf('/file'))).toBe('lost');
    await Promise.all([other.close(), file.close()]);
  });

  test('a read whose descriptor comes while another handle fails does not begin after that', async () => {
    let refused = 0;
    for (let between = 0; between < 40; between += 1) {
      const fileSystem = new MemoryFileSystem();
      let hasFailed = false;
      const onFatalError = (): void => {
        hasFailed = true;
      };
      const openFiles = new OpenFiles({ fileSystem, capacity: 2, onFatalError });
      const file = await VirtualFile.open('/file', { ...READ_WRITE, openFiles });
      const second = await VirtualFile.open('/file', { read: true, openFiles });
      await file.writeAllAt(bytes('lost'), 0);
      const other = await VirtualFile.open('/other', { ...READ_WRITE, openFiles });
      const [opening, syncing] = [gate(), gate()];
      let beganLate = false;
      fileSystem.intercept = ({ kind }) => {
        if (kind === 'read') beganLate ||= hasFailed;
        if (kind === 'sync') return { delay: syncing.opened, fail: 'EIO' };
        return kind === 'open' ? { delay: opening.opened } : undefined;
      };
      const reading = second.readAt(new Uint8Array(4), 0).then(
        () => 'read',
        (error: StorageError) => error.code,
      );
      const failing = storageErrorOf(file.sync());
      await idle();
      opening.open();
      await turns(between);
      syncing.open();
      expect((await failing).code).toBe('sync-failed');
      if ((await reading) === 'sync-failed') refused += 1;
      expect(beganLate).toBe(false);
      await Promise.all([file.close(), second.close(), other.close()]);
    }
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(40);
  });

  test('the error stays the same once the file is gone', async () => {
    const fileSystem = new MemoryFileSystem({
      intercept: ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined),
    });
    const openFiles = new OpenFiles({ fileSystem, capacity: 1 });
    const file = await VirtualFile.open('/file', { ...READ_WRITE, openFiles });
    const first = await storageErrorOf(file.sync());
    const other = await VirtualFile.open('/other', { ...READ_WRITE, openFiles });
    expect(fileSystem.openPaths).toEqual(['/other']);
    await fileSystem.unlink('/file');
    expect(await storageErrorOf(file.stat())).toBe(first);
    await Promise.all([file.close(), other.close()]);
    expect(openFiles.openCount).toBe(0);
  });
});

describe('the hook for fatal errors', () => {
  test.each([
    ['EIO of a read', 'read', 'EIO', 'io'],
    ['EIO of a write', 'write', 'EIO', 'io'],
    ['EROFS of a change of length', 'set-length', 'EROFS', 'io'],
    ['EIO of a look-up', 'stat', 'EIO', 'io'],
    ['any failed sync', 'sync', 'EDQUOT', 'sync-failed'],
    ['EIO of a close', 'close', 'EIO', 'io'],
  ])('the hook for fatal errors is called once for %s', async (_, kind, errno, code) => {
    const { file, fatal } = await openInMemory('content', (operation) =>
      operation.kind === kind ? { fail: errno } : undefined,
    );
    const all = await Promise.allSettled([
      file.readAt(new Uint8Array(1), 0),
      file.writeAllAt(bytes('x'), 0),
      file.setLength(1),
      file.stat(),
      file.sync(),
      file.sync(),
      file.close(),
    ]);
    const [failed] = all.filter((one) => one.status === 'rejected');
    expect(failed?.reason).toMatchObject({ code, errno });
    expect(fatal).toHaveLength(1);
    expect(fatal[0]).toMatchObject({ code, errno });
  });

  test('the hook for fatal errors is not called for what the caller can mend', async () => {
    const { openFiles, fatal, file } = await openInMemory('content', ({ kind }) =>
      kind === 'write' ? { fail: 'EDQUOT' } : undefined,
    );
    await storageErrorOf(VirtualFile.open('/missing', { read: true, openFiles }));
    await storageErrorOf(file.writeAllAt(bytes('x'), 0));
    await storageErrorOf(file.readExactAt(new Uint8Array(100), 0));
    await file.close();
    await storageErrorOf(file.stat());
    expect(fatal).toEqual([]);
  });

  test('the hook for fatal errors is called when a directory on a read-only disk cannot take a file', async () => {
    const fileSystem = new MemoryFileSystem({
      intercept: ({ kind }) => (kind === 'open' ? { fail: 'EROFS' } : undefined),
    });
    const fatal: unknown[] = [];
    const openFiles = new OpenFiles({ fileSystem, onFatalError: (error) => fatal.push(error) });
    const error = await storageErrorOf(VirtualFile.open('/file', { ...READ_WRITE, openFiles }));
    expect(fatal).toEqual([error]);
  });
});

describe('closing', () => {
  test('closing waits for the operations in flight, which succeed', async () => {
    const { opened, open } = gate();
    const { file, count, openFiles } = await openInMemory('content', ({ kind }) =>
      kind === 'close' ? undefined : { delay: opened },
    );
    const target = new Uint8Array(7);
    const operations = [file.readExactAt(target, 0), file.writeAllAt(bytes('x'), 7), file.sync()];
    const closing = file.close();
    expect(await isPending(closing)).toBe(true);
    expect(count('close')).toBe(0);
    open();
    await Promise.all([...operations, closing]);
    expect(text(target)).toBe('content');
    expect(count('close')).toBe(1);
    expect(openFiles.openCount).toBe(0);
  });

  test('closing refuses later calls immediately', async () => {
    const { file, operations } = await openInMemory('content');
    const closing = file.close();
    for (const promise of [
      file.readAt(new Uint8Array(1), 0),
      file.writeAllAt(bytes('x'), 0),
      file.sync(),
      file.syncData(),
      file.setLength(0),
      file.stat(),
      file.readToEnd({ maximumLength: 10 }),
    ]) {
      expect(await storageErrorOf(promise)).toMatchObject({ code: 'closed', path: '/file' });
    }
    await closing;
    expect(operations.map(({ kind }) => kind)).toEqual(['close']);
  });

  test('closing again has no effect', async () => {
    const { file, count } = await openInMemory('content');
    await Promise.all([file.close(), file.close(), file[Symbol.asyncDispose]()]);
    await file.close();
    expect(count('close')).toBe(1);
  });

  test('closing that fails is an error, and frees the slot of the table', async () => {
    const { file, openFiles } = await openInMemory('content', ({ kind }) =>
      kind === 'close' ? { fail: 'EDQUOT' } : undefined,
    );
    expect(await storageErrorOf(file.close())).toMatchObject({ code: 'io', errno: 'EDQUOT' });
    expect(openFiles.openCount).toBe(0);
    await file.openFiles.fileSystem.stat('/file');
  });

  test('syncs what was written since the last sync, once', async () => {
    const { file, operations } = await openInMemory('content');
    await file.writeAllAt(bytes('x'), 0);
    await file.sync();
    await file.setLength(3);
    await Promise.all([file.close(), file.close()]);
    const kinds = operations.map(({ kind }) => kind);
    expect(kinds).toEqual(['write', 'sync', 'set-length', 'sync', 'close']);
  });

  test.each<[string, (file: VirtualFile) => Promise<void>, VirtualFileOptions, string[]]>([
    ['nothing was written', (file) => file.close(), READ_WRITE, ['close']],
    [
      'all is synced',
      (file) => writeAndSync(file).then(() => file.close()),
      READ_WRITE,
      ['write', 'sync', 'close'],
    ],
    [
      'it is discarded',
      (file) => write(file).then(() => file.discard()),
      READ_WRITE,
      ['write', 'close'],
    ],
    [
      'it is a scratch file',
      (file) => write(file).then(() => file.close()),
      { ...READ_WRITE, durability: 'scratch' },
      ['write', 'close'],
    ],
  ])('closing a file syncs nothing more where %s', async (_, use, options, expected) => {
    const { openFiles, operations } = await openInMemory('content');
    const file = await VirtualFile.open('/file', { ...options, openFiles });
    operations.length = 0;
    await use(file);
    expect(operations.map(({ kind }) => kind)).toEqual(expected);
  });

  test('closing reports bytes that could not be written back, which no later sync would report', async () => {
    let isLost = false;
    const fileSystem = new MemoryFileSystem({
      intercept: ({ kind }) => {
        // As the kernel: it tells one sync, and forgets once the last descriptor is closed.
        const fails = isLost && kind === 'sync';
        if (kind === 'write') isLost = true;
        else if (kind === 'sync' || kind === 'close') isLost = false;
        return fails ? { fail: 'EIO' } : undefined;
      },
    });
    const fatal: unknown[] = [];
    const openFiles = new OpenFiles({ fileSystem, onFatalError: (error) => fatal.push(error) });
    const file = await VirtualFile.open('/file', { ...READ_WRITE, openFiles });
    await file.writeAllAt(bytes('lost'), 0);
    const error = await storageErrorOf(file.close());
    expect(error).toMatchObject({ code: 'sync-failed', path: '/file', errno: 'EIO' });
    expect(fatal).toEqual([error]);
    expect(fileSystem.openCount).toBe(0);
    expect(openFiles.openCount).toBe(0);
    const again = VirtualFile.open('/file', { ...READ_WRITE, openFiles });
    expect((await storageErrorOf(again)).code).toBe('sync-failed');
  });

  test('a file is not evicted while closing syncs it, and its slot is free afterwards', async () => {
    const { opened, open } = gate();
    const fileSystem = new MemoryFileSystem({
      intercept: ({ kind }) => (kind === 'sync' ? { delay: opened } : undefined),
    });
    const openFiles = new OpenFiles({ fileSystem, capacity: 1 });
    const file = await VirtualFile.open('/file', { ...READ_WRITE, openFiles });
    await file.writeAllAt(bytes('x'), 0);
    const closing = file.close();
    const other = VirtualFile.open('/other', { ...READ_WRITE, openFiles });
    expect(await isPending(other)).toBe(true);
    expect(fileSystem.openPaths).toEqual(['/file']);
    open();
    await closing;
    await (await other).close();
    expect(fileSystem.openCount).toBe(0);
  });
});

function write(file: VirtualFile): Promise<void> {
  return file.writeAllAt(bytes('x'), 0);
}

async function writeAndSync(file: VirtualFile): Promise<void> {
  await write(file);
  await file.sync();
}
