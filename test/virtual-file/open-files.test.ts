import { describe, expect, test } from 'vitest';
import type { FaultAction, FileSystemOperation } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { MAXIMUM_SYNCS } from '../../src/virtual-file/limiter.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import type { VirtualFileOptions } from '../../src/virtual-file/virtual-file-options.ts';
import { gate, idle, isPending } from '../support/gate.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const NEW: VirtualFileOptions = { read: true, write: true, createNew: true };

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A table over a file system in memory that writes down its operations. */
function table(
  capacity: number,
  answer?: (operation: FileSystemOperation) => FaultAction | undefined,
) {
  const operations: FileSystemOperation[] = [];
  const fatal: unknown[] = [];
  const fileSystem = new MemoryFileSystem({
    intercept: (operation) => {
      operations.push(operation);
      return answer?.(operation);
    },
  });
  const openFiles = new OpenFiles({
    capacity,
    fileSystem,
    onFatalError: (error) => fatal.push(error),
  });
  const open = (path: string, options: VirtualFileOptions = NEW): Promise<VirtualFile> =>
    VirtualFile.open(path, { ...options, openFiles });
  const history = (path: string): string[] =>
    operations.filter((operation) => operation.path === path).map(({ kind }) => kind);
  const text = (path: string): string => new TextDecoder().decode(fileSystem.contentOf(path));
  return { fileSystem, openFiles, operations, fatal, open, history, text };
}

async function readText(file: VirtualFile): Promise<string> {
  return new TextDecoder().decode(await file.readToEnd({ maximumLength: 1000 }));
}

describe('the size of the table', () => {
  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'a table of %d descriptors is invalid-input',
    (n) => {
      const error = storageErrorThrownBy(() => new OpenFiles({ capacity: n }));
      expect(error).toMatchObject({ code: 'invalid-input', actual: String(n) });
    },
  );

  test('the size of the table is never exceeded, whatever runs concurrently', async () => {
    const { open, fileSystem, openFiles, operations } = table(3);
    let most = 0;
    const intercept = fileSystem.intercept;
    fileSystem.intercept = (operation) => {
      most = Math.max(most, fileSystem.openCount, openFiles.openCount);
      return intercept?.(operation);
    };
    const files = await Promise.all(Array.from({ length: 20 }, (_, n) => open(`/${n}`)));
    await Promise.all(files.map((file, n) => file.writeAllAt(bytes(`content ${n}`), 0)));
    const texts = await Promise.all(files.map(readText));
    expect(texts).toEqual(files.map((_, n) => `content ${n}`));
    await Promise.all(files.map((file) => file.close()));
    expect(most).toBe(3);
    expect(openFiles.openCount).toBe(0);
    expect(operations.filter(({ kind }) => kind === 'open').length).toBeGreaterThan(20);
  });

  test('a table of one descriptor serves many files in turn', async () => {
    const { open, fileSystem } = table(1);
    const files = [await open('/a'), await open('/b'), await open('/c')];
    for (const [n, file] of files.entries()) await file.writeAllAt(bytes(`content ${n}`), 0);
    for (const [n, file] of files.entries()) expect(await readText(file)).toBe(`content ${n}`);
    expect(fileSystem.openPaths).toEqual(['/c']);
    await Promise.all(files.map((file) => file.close()));
  });

  test('a slot whose file could not be opened counts as free', async () => {
    let fails = true;
    const { open, openFiles } = table(1, ({ kind }) =>
      kind === 'open' && fails ? { fail: 'EACCES' } : undefined,
    );
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect(await storageErrorOf(open('/a'))).toMatchObject({ code: 'io', errno: 'EACCES' });
    }
    fails = false;
    await (await open('/a')).close();
    expect(openFiles.openCount).toBe(0);
  });

  test('one open serves all concurrent callers', async () => {
    const { open, history } = table(1);
    const file = await open('/a');
    await (await open('/b')).close();
    await (await open('/c', { read: true, write: true, create: true })).close();
    const target = new Uint8Array(0);
    await Promise.all(Array.from({ length: 9 }, () => file.readAt(target, 0)));
    expect(history('/a').filter((kind) => kind === 'open')).toHaveLength(2);
    await file.close();
  });
});

describe('when every slot is in use', () => {
  test('opening waits until a slot is free', async () => {
    const { opened, open: letGo } = gate();
    const { open, fileSystem } = table(2, ({ kind }) =>
      kind === 'write' ? { delay: opened } : undefined,
    );
    const files = [await open('/a'), await open('/b')];
    const writes = files.map((file) => file.writeAllAt(bytes('x'), 0));
    const opening = open('/c');
    expect(await isPending(opening)).toBe(true);
    expect(fileSystem.openPaths).toEqual(['/a', '/b']);
    letGo();
    await Promise.all(writes);
    const third = await opening;
    expect(fileSystem.openCount).toBe(2);
    await Promise.all([...files, third].map((file) => file.close()));
  });

  test('closing a file lets the next one in', async () => {
    const { opened, open: letGo } = gate();
    const { open } = table(1, ({ kind }) => (kind === 'read' ? { delay: opened } : undefined));
    const file = await open('/a');
    const reading = file.readAt(new Uint8Array(1), 0);
    const closing = file.close();
    const waiting = [open('/b'), open('/c'), open('/d')];
    expect(await isPending(Promise.race(waiting))).toBe(true);
    letGo();
    await Promise.all([reading, closing]);
    for (const other of await Promise.all(waiting)) await other.close();
  });

  test('every caller that waits for a slot is served even if an open fails in between', async () => {
    const { opened, open: letGo } = gate();
    const { open, openFiles } = table(1, ({ kind, path }) => {
      if (kind === 'read') return { delay: opened };
      return kind === 'open' && path.startsWith('/bad') ? { fail: 'EACCES' } : undefined;
    });
    const file = await open('/a');
    const reading = file.readAt(new Uint8Array(1), 0);
    const outcomes = Promise.allSettled(
      ['/bad1', '/b', '/bad2', '/bad3', '/c', '/bad4'].map((path) => open(path)),
    );
    await idle();
    letGo();
    await reading;
    const settled = await outcomes;
    expect(settled.map(({ status }) => status === 'fulfilled')).toEqual([
      false,
      true,
      false,
      false,
      true,
      false,
    ]);
    for (const one of settled) if (one.status === 'fulfilled') await one.value.close();
    await file.close();
    expect(openFiles.openCount).toBe(0);
  });
});

describe('evicting a descriptor', () => {
  test('evicting a descriptor comes after a sync where there are unsynced writes', async () => {
    const { open, history } = table(1);
    const file = await open('/a');
    await file.writeAllAt(bytes('x'), 0);
    await (await open('/b')).close();
    expect(history('/a')).toEqual(['open', 'stat', 'write', 'sync', 'close']);
    await file.close();
  });

  test.each<[string, (file: VirtualFile) => Promise<unknown>, boolean]>([
    ['nothing', async () => {}, false],
    ['reads', (file) => file.readAt(new Uint8Array(1), 0), false],
    ['a write', (file) => file.writeAllAt(bytes('x'), 0), true],
    ['a change of length', (file) => file.setLength(9), true],
    ['a change of mode', (f) => f.setOwnership({ mode: 0, userId: 0, groupId: 0 }), true],
    ['a synced write', (file) => file.writeAllAt(bytes('x'), 0).then(() => file.sync()), false],
    [
      'a write whose data alone is synced',
      (f) => f.writeAllAt(bytes('x'), 0).then(() => f.syncData()),
      false,
    ],
    [
      'a write after a sync',
      (file) => file.sync().then(() => file.writeAllAt(bytes('x'), 0)),
      true,
    ],
  ])('a descriptor given up after %s is synced if that is needed', async (_, act, isSynced) => {
    const { open, operations } = table(1);
    const file = await open('/a');
    await act(file);
    operations.length = 0;
    await (await open('/b')).close();
    const kinds = operations.filter(({ path }) => path === '/a').map(({ kind }) => kind);
    expect(kinds).toEqual(isSynced ? ['sync', 'close'] : ['close']);
    await file.close();
  });

  test('evicting a descriptor after truncating while opening comes after a sync', async () => {
    const { open, fileSystem, history } = table(1);
    fileSystem.createFile('/a', bytes('content'));
    const file = await open('/a', { write: true, truncate: true });
    await (await open('/b')).close();
    expect(history('/a')).toEqual(['open', 'stat', 'sync', 'close']);
    await file.close();
  });

  test('evicting a descriptor also syncs what was written while a sync ran', async () => {
    const { opened, open: letGo } = gate();
    let first = true;
    const { open, history } = table(1, ({ kind }) => {
      if (kind !== 'sync' || !first) return undefined;
      first = false;
      return { delay: opened };
    });
    const file = await open('/a');
    const syncing = file.sync();
    await idle();
    await file.writeAllAt(bytes('late'), 0);
    letGo();
    await syncing;
    await (await open('/b')).close();
    expect(history('/a')).toEqual(['open', 'stat', 'sync', 'write', 'sync', 'close']);
    await file.close();
  });

  test('syncs a write that failed half-way', async () => {
    const { open, history } = table(1, ({ kind, offset }) =>
      kind === 'write' ? (offset === 0 ? { limit: 1 } : { fail: 'ENOSPC' }) : undefined,
    );
    const file = await open('/a');
    expect((await storageErrorOf(file.writeAllAt(bytes('xy'), 0))).errno).toBe('ENOSPC');
    await (await open('/b')).close();
    expect(history('/a').slice(-2)).toEqual(['sync', 'close']);
    await file.close();
  });

  test('evicting a descriptor never syncs scratch files', async () => {
    const { open, operations } = table(1);
    const files: VirtualFile[] = [];
    for (let n = 0; n < 4; n += 1) {
      const file = await open(`/${n}`, { ...NEW, durability: 'scratch' });
      await file.writeAllAt(bytes(`content ${n}`), 0);
      files.push(file);
    }
    for (const [n, file] of files.entries()) expect(await readText(file)).toBe(`content ${n}`);
    await Promise.all(files.map((file) => file.close()));
    expect(operations.some(({ kind }) => kind === 'sync' || kind === 'sync-data')).toBe(false);
  });

  test('evicting a descriptor prefers clean files', async () => {
    const { open, fileSystem, operations } = table(4);
    const names = ['/clean1', '/dirty1', '/dirty2', '/clean2'];
    const files: VirtualFile[] = [];
    for (const name of names) {
      const file = await open(name);
      if (name.startsWith('/dirty')) await file.writeAllAt(bytes('x'), 0);
      files.push(file);
    }
    files.push(await open('/e'), await open('/f'));
    expect(fileSystem.openPaths.sort()).toEqual(['/dirty1', '/dirty2', '/e', '/f']);
    expect(operations.some(({ kind }) => kind === 'sync')).toBe(false);
    await Promise.all(files.map((file) => file.close()));
  });

  test('evicting a descriptor prefers files that were not used recently', async () => {
    const { open, history } = table(4);
    const used = await open('/used');
    for (let n = 0; n < 40; n += 1) {
      await used.readAt(new Uint8Array(1), 0);
      await open(`/${n}`);
    }
    const opens = history('/used').filter((kind) => kind === 'open');
    expect(opens.length).toBeLessThanOrEqual(2);
    await used.close();
  });

  test('evicting a descriptor with a failing sync poisons that file, not the one that needed the slot', async () => {
    const { open, fatal, history, openFiles } = table(1, ({ kind, path }) =>
      kind === 'sync' && path === '/a' ? { fail: 'EIO' } : undefined,
    );
    const file = await open('/a');
    await file.writeAllAt(bytes('x'), 0);
    const other = await open('/b');
    const error = await storageErrorOf(file.readAt(new Uint8Array(1), 0));
    expect(error).toMatchObject({ code: 'sync-failed', errno: 'EIO', path: '/a' });
    expect(await storageErrorOf(file.sync())).toBe(error);
    expect(fatal).toEqual([error]);
    expect(history('/a').filter((kind) => kind === 'sync')).toHaveLength(1);
    await other.writeAllAt(bytes('y'), 0);
    await other.sync();
    await Promise.all([file.close(), other.close()]);
    expect(openFiles.openCount).toBe(0);
  });

  test('evicting a descriptor with a failing close poisons that file, not the one that needed the slot', async () => {
    const { open, text } = table(1, ({ kind, path }) =>
      kind === 'close' && path === '/a' ? { fail: 'EDQUOT' } : undefined,
    );
    const file = await open('/a');
    await file.writeAllAt(bytes('x'), 0);
    const other = await open('/b');
    await other.writeAllAt(bytes('y'), 0);
    expect(text('/b')).toBe('y');
    const error = await storageErrorOf(file.readAt(new Uint8Array(1), 0));
    expect(error).toMatchObject({ code: 'sync-failed', errno: 'EDQUOT' });
    await Promise.all([file.close(), other.close()]);
  });

  test('operations and closes wait for an eviction in progress', async () => {
    for (const act of ['read', 'close'] as const) {
      const { opened, open: letGo } = gate();
      const { open, history, openFiles } = table(1, ({ kind, path }) =>
        kind === 'sync' && path === '/a' ? { delay: opened } : undefined,
      );
      const file = await open('/a');
      await file.writeAllAt(bytes('x'), 0);
      const opening = open('/b');
      await idle();
      const acting = act === 'read' ? readText(file) : file.close();
      expect(await isPending(acting)).toBe(true);
      letGo();
      const other = await opening;
      expect(await acting).toBe(act === 'read' ? 'x' : undefined);
      expect(history('/a').slice(3, 5)).toEqual(['sync', 'close']);
      await Promise.all([file.close(), other.close()]);
      expect(openFiles.openCount).toBe(0);
    }
  });

  test('evicting a descriptor at the moment of a close leaves nothing open when the close is done', async () => {
    const { opened, open: letGo } = gate();
    const { open, fileSystem } = table(1, ({ kind, path }) =>
      kind === 'sync' && path === '/a' ? { delay: opened } : undefined,
    );
    const file = await open('/a');
    await file.writeAllAt(bytes('x'), 0);
    const closing = file.close();
    const opening = open('/b');
    await idle();
    letGo();
    await closing;
    expect(fileSystem.openPaths).not.toContain('/a');
    await (await opening).close();
  });
});

describe('opening again', () => {
  test('opening again neither creates nor truncates', async () => {
    const { open, text, fileSystem } = table(1);
    const created = await open('/a');
    await created.writeAllAt(bytes('created'), 0);
    fileSystem.createFile('/b', bytes('content that goes'));
    const truncated = await open('/b', { read: true, write: true, truncate: true });
    await truncated.writeAllAt(bytes('new'), 0);
    for (let turn = 0; turn < 3; turn += 1) {
      expect(await readText(created)).toBe('created');
      expect(await readText(truncated)).toBe('new');
    }
    expect([text('/a'), text('/b')]).toEqual(['created', 'new']);
    await Promise.all([created.close(), truncated.close()]);
  });

  test('a file that was removed meanwhile is not-found, and stays away', async () => {
    const { open, fileSystem } = table(1);
    const file = await open('/a', { read: true, write: true, create: true });
    const other = await open('/b');
    await fileSystem.unlink('/a');
    expect(await storageErrorOf(file.readAt(new Uint8Array(1), 0))).toMatchObject({
      code: 'not-found',
      path: '/a',
    });
    expect(fileSystem.paths()).toEqual(['/b']);
    await Promise.all([file.close(), other.close()]);
  });

  test('a file that was replaced meanwhile is io, and keeps its content', async () => {
    const { open, fileSystem, text, openFiles } = table(1);
    const file = await open('/a');
    const other = await open('/b');
    fileSystem.createFile('/new', bytes('replacement'));
    await fileSystem.rename('/new', '/a');
    const error = await storageErrorOf(file.writeAllAt(bytes('x'), 0));
    expect(error).toMatchObject({ code: 'io', path: '/a' });
    expect(error.message).toContain('replaced');
    expect(text('/a')).toBe('replacement');
    expect(openFiles.openCount).toBe(fileSystem.openCount);
    await Promise.all([file.close(), other.close()]);
    expect(fileSystem.openCount).toBe(0);
  });
});

describe('when the system has no descriptor left', () => {
  /** A system with a limit of its own, below the table's. */
  function tightTable(limit: number, errno: string, capacity = 10, stats?: Promise<void>) {
    const made = table(capacity, ({ kind }) => {
      if (kind === 'stat') return { delay: stats };
      return kind === 'open' && made.fileSystem.openCount >= limit ? { fail: errno } : undefined;
    });
    return made;
  }

  test.each(['EMFILE', 'ENFILE'])(
    '%s makes the table give descriptors back and try again',
    async (errno) => {
      const { open, fileSystem, openFiles } = tightTable(3, errno);
      const files: VirtualFile[] = [];
      for (let n = 0; n < 8; n += 1) {
        const file = await open(`/${n}`);
        await file.writeAllAt(bytes(`content ${n}`), 0);
        files.push(file);
      }
      for (const [n, file] of files.entries()) expect(await readText(file)).toBe(`content ${n}`);
      expect(fileSystem.openCount).toBe(3);
      await Promise.all(files.map((file) => file.close()));
      expect(openFiles.openCount).toBe(0);
    },
  );

  test('concurrent calls take turns when the system has no descriptor left', async () => {
    const { open, openFiles } = tightTable(3, 'EMFILE', 64);
    const files = await Promise.all(Array.from({ length: 30 }, (_, n) => open(`/${n}`)));
    await Promise.all(files.map((file, n) => file.writeAllAt(bytes(`content ${n}`), 0)));
    const texts = await Promise.all(files.map(readText));
    expect(texts).toEqual(files.map((_, n) => `content ${n}`));
    await Promise.all(files.map((file) => file.close()));
    expect(openFiles.openCount).toBe(0);
  });

  test('an operation waits for a descriptor of the system where all of the table are in use', async () => {
    const { opened, open: letGo } = gate();
    const { open, fileSystem } = table(10, ({ kind }) => {
      if (kind === 'write') return { delay: opened };
      return kind === 'open' && fileSystem.openCount >= 2 ? { fail: 'EMFILE' } : undefined;
    });
    const files = [await open('/a'), await open('/b')];
    const writes = files.map((file) => file.writeAllAt(bytes('x'), 0));
    const openings = [open('/c'), open('/d')];
    expect(await isPending(Promise.race(openings))).toBe(true);
    letGo();
    await Promise.all(writes);
    const others = await Promise.all(openings);
    await Promise.all([...files, ...others].map((file) => file.close()));
  });

  test('a system without descriptors is an error if the table holds none to release', async () => {
    const { open } = tightTable(0, 'EMFILE');
    expect(await storageErrorOf(open('/a'))).toMatchObject({ code: 'io', errno: 'EMFILE' });
  });

  test('a system that stays without descriptors is an error in the end', async () => {
    const { open, fileSystem, operations } = table(4);
    const files = [await open('/a'), await open('/b'), await open('/c')];
    fileSystem.intercept = ({ kind }) => (kind === 'open' ? { fail: 'ENFILE' } : undefined);
    expect(await storageErrorOf(open('/d'))).toMatchObject({ code: 'io', errno: 'ENFILE' });
    expect(operations.length).toBeLessThan(30);
    await Promise.all(files.map((file) => file.close()));
  });

  test('syncing a directory releases descriptors, too', async () => {
    const { open, openFiles, fileSystem } = table(10, ({ kind }) =>
      kind === 'sync-directory' && fileSystem.openCount >= 2 ? { fail: 'EMFILE' } : undefined,
    );
    const files = [await open('/a'), await open('/b'), await open('/c')];
    await openFiles.syncDirectory('/');
    expect(fileSystem.openCount).toBe(1);
    await Promise.all(files.map((file) => file.close()));
  });

  test('a caller that waited for the descriptor of a directory lets the next one continue', async () => {
    const { opened, open: letGo } = gate();
    let scarce = true;
    const { open, openFiles } = table(10, ({ kind }) => {
      if (kind === 'write') return { delay: opened };
      return kind === 'sync-directory' && scarce ? { fail: 'EMFILE' } : undefined;
    });
    const file = await open('/a');
    const writing = file.writeAllAt(bytes('x'), 0);
    const syncs = [openFiles.syncDirectory('/'), openFiles.syncDirectory('/')];
    expect(await isPending(Promise.race(syncs))).toBe(true);
    scarce = false;
    letGo();
    await Promise.all([writing, ...syncs]);
    await file.close();
  });

  test('descriptors that are being opened are waited for', async () => {
    const { opened, open: letGo } = gate();
    const { open, openFiles } = tightTable(2, 'EMFILE', 10, opened);
    const openings = Array.from({ length: 6 }, (_, n) => open(`/${n}`));
    expect(await isPending(Promise.race(openings))).toBe(true);
    expect(openFiles.openCount).toBe(0);
    letGo();
    const files = await Promise.all(openings);
    await Promise.all(files.map((file) => file.close()));
    expect(openFiles.openCount).toBe(0);
  });

  test('a directory that holds the last one is waited for', async () => {
    const { opened, open: letGo } = gate();
    const { open, openFiles } = table(10, ({ kind }) => {
      if (kind === 'sync-directory') return { delay: opened.then(() => (scarce = false)) };
      return kind === 'open' && scarce ? { fail: 'EMFILE' } : undefined;
    });
    let scarce = true;
    const sync = openFiles.syncDirectory('/');
    const opening = open('/a');
    expect(await isPending(opening)).toBe(true);
    letGo();
    await sync;
    await (await opening).close();
  });
});

describe('syncing directories', () => {
  test('syncing directories runs at most two at a time', async () => {
    let running = 0;
    let most = 0;
    const { openFiles } = table(10, ({ kind }) => {
      if (kind !== 'sync-directory') return undefined;
      running += 1;
      most = Math.max(most, running);
      return { delay: idle().then(() => (running -= 1)) };
    });
    await Promise.all(Array.from({ length: 7 }, () => openFiles.syncDirectory('/')));
    expect(most).toBe(Math.min(2, MAXIMUM_SYNCS));
  });

  test('a failed sync of a directory is reported to the hook', async () => {
    const { openFiles, fatal } = table(10, ({ path }) =>
      path === '/' ? { fail: 'EIO' } : undefined,
    );
    expect(await storageErrorOf(openFiles.syncDirectory('/missing'))).toMatchObject({
      code: 'not-found',
    });
    expect(fatal).toEqual([]);
    const error = await storageErrorOf(openFiles.syncDirectory('/'));
    expect(error).toMatchObject({ code: 'sync-failed', errno: 'EIO', path: '/' });
    expect(fatal).toEqual([error]);
  });
});
