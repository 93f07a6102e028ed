import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { everyChoice, loseEverything, loseNothing } from '../../src/testing/choices.ts';
import type { FileSystemOperation } from '../../src/testing/faults.ts';
import { CHUNK_SIZE } from '../../src/testing/memory-file.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type { FileSystem, OpenFile, OpenOptions } from '../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const NEW: OpenOptions = { read: true, write: true, createNew: true };
const READ_WRITE: OpenOptions = { read: true, write: true };

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf(fileSystem: MemoryFileSystem, path: string): string {
  return new TextDecoder().decode(fileSystem.contentOf(path));
}

/** Every state that a crash may leave, described by `look`, without repetitions, sorted. */
function statesAfterCrash(
  fileSystem: MemoryFileSystem,
  look: (after: MemoryFileSystem) => string,
): string[] {
  const states = new Set<string>();
  for (const choose of everyChoice()) states.add(look(fileSystem.crash(choose)));
  return [...states].sort();
}

/** Names and content, with zero bytes as dots. */
function contentOfAll(fileSystem: MemoryFileSystem): string {
  return fileSystem
    .paths()
    .map((path) => `${path}=${textOf(fileSystem, path).replaceAll('\0', '.')}`)
    .join(' ');
}

describe('what a crash leaves', () => {
  test('a synced file whose directory is synced survives, in one state', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/a', NEW);
    await file.write(bytes('content'), 0);
    await file.sync();
    await fileSystem.syncDirectory('/');
    expect(fileSystem.countCrashStates()).toBe(1n);
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=content']);
  });

  test('a synced file whose directory is not synced may be gone', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/a', NEW);
    await file.write(bytes('content'), 0);
    await file.sync();
    expect(fileSystem.countCrashStates()).toBe(2n);
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['', '/a=content']);
  });

  test('a file that is not synced has any mix of new length and new content', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/a', NEW);
    await fileSystem.syncDirectory('/');
    await file.write(bytes('new'), 0);
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=', '/a=...', '/a=new']);
  });

  test('each chunk of a write survives or not', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', new Uint8Array(2 * CHUNK_SIZE).fill(0x61));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('xyz'), CHUNK_SIZE - 1);
    const states = statesAfterCrash(fileSystem, (after) =>
      textOf(after, '/a').slice(CHUNK_SIZE - 2, CHUNK_SIZE + 3),
    );
    expect(states).toEqual(['aaaaa', 'aayza', 'axaaa', 'axyza']);
  });

  test('a crash may leave any version of a chunk written twice', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('one'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('two'), 0);
    await file.write(bytes('X'), 0);
    expect(fileSystem.countCrashStates()).toBe(3n);
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=Xwo', '/a=one', '/a=two']);
  });

  test('cutting a file survives or not, and growing it again shows zeros', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('content'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.setLength(3);
    await file.setLength(5);
    expect(textOf(fileSystem, '/a')).toBe('con\0\0');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual([
      '/a=con',
      '/a=con..',
      '/a=conte',
      '/a=content',
    ]);
  });

  test('a rename over a file leaves the old or the new one', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    fileSystem.createFile('/b', bytes('new'));
    await fileSystem.rename('/b', '/a');
    expect(contentOfAll(fileSystem)).toBe('/a=new');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=new', '/a=old /b=new']);
  });

  test('a rename may survive although the content of the renamed file does not', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    const file = await fileSystem.open('/b', NEW);
    await file.write(bytes('new'), 0);
    await fileSystem.rename('/b', '/a');
    await fileSystem.syncDirectory('/');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=', '/a=...', '/a=new']);
  });

  test('creations, links and removals survive in any combination', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('1'));
    await fileSystem.link('/a', '/b');
    await fileSystem.unlink('/a');
    expect(fileSystem.countCrashStates()).toBe(4n);
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['', '/a=1', '/a=1 /b=1', '/b=1']);
  });

  test('a rename between directories is half durable when one of them is synced', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createDirectory('/x');
    fileSystem.createDirectory('/y');
    fileSystem.createFile('/x/a', bytes('1'));
    await fileSystem.rename('/x/a', '/y/a');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/x/a=1', '/y/a=1']);
    await fileSystem.syncDirectory('/y');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/x/a=1 /y/a=1', '/y/a=1']);
    await fileSystem.syncDirectory('/x');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/y/a=1']);
  });

  test('syncing one directory leaves the changes of another open', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createDirectory('/x');
    await fileSystem.open('/x/a', NEW);
    await fileSystem.syncDirectory('/');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['', '/x/a=']);
  });

  test('mode and owner are durable after a sync, but not after a data sync', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('1'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.setOwnership({ mode: 0o600, userId: 7, groupId: 8 });
    await file.write(bytes('2'), 0);
    await file.syncData();
    const lost = fileSystem.crash(loseEverything);
    expect(textOf(lost, '/a')).toBe('2');
    expect(await lost.stat('/a')).toMatchObject({ mode: 0o644, userId: 0, groupId: 0 });
    await file.sync();
    expect(await fileSystem.crash(loseEverything).stat('/a')).toMatchObject({
      mode: 0o600,
      userId: 7,
      groupId: 8,
    });
  });

  test('a removed file that is still open keeps its content, and does not come back', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/a', NEW);
    await fileSystem.unlink('/a');
    await fileSystem.syncDirectory('/');
    await file.write(bytes('still here'), 0);
    const target = new Uint8Array(5);
    expect(await file.read(target, 6)).toBe(4);
    expect(new TextDecoder().decode(target)).toBe('here\0');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['']);
  });
});

describe('a sync that failed', () => {
  test('the next sync succeeds, but what was written before may be lost', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('new'), 0);
    fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
    expect((await storageErrorOf(file.sync())).errno).toBe('EIO');
    fileSystem.intercept = undefined;
    await file.sync();
    expect(contentOfAll(fileSystem)).toBe('/a=new');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=new', '/a=old']);
  });

  test('the length becomes durable with the next sync, so that zeros stand for lost bytes', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes(''));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('new'), 0);
    fileSystem.intercept = ({ kind }) => (kind === 'sync-data' ? { fail: 'EIO' } : undefined);
    await storageErrorOf(file.syncData());
    await file.sync();
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=...', '/a=new']);
  });

  test('a chunk that is written again is durable after the next sync', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('new'), 0);
    fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
    await storageErrorOf(file.sync());
    fileSystem.intercept = undefined;
    await file.write(bytes('N'), 0);
    await file.sync();
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=New']);
  });

  test('lost bytes after the end do not come back when the file grows', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('content'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('CONTENT'), 0);
    fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
    await storageErrorOf(file.sync());
    fileSystem.intercept = undefined;
    await file.setLength(2);
    await file.setLength(4);
    await file.sync();
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=CO..', '/a=co..']);
  });

  test('a directory keeps its changes in doubt, until the names change again', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    fileSystem.createFile('/b', bytes('new'));
    await fileSystem.rename('/b', '/a');
    fileSystem.intercept = ({ kind }) => (kind === 'sync-directory' ? { fail: 'EIO' } : undefined);
    await storageErrorOf(fileSystem.syncDirectory('/'));
    fileSystem.intercept = undefined;
    await fileSystem.syncDirectory('/');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=new', '/a=old /b=new']);
    fileSystem.createFile('/c', bytes('newest'));
    await fileSystem.rename('/c', '/a');
    await fileSystem.syncDirectory('/');
    expect(statesAfterCrash(fileSystem, contentOfAll)).toEqual(['/a=newest', '/a=newest /b=new']);
  });
});

describe('faults', () => {
  test('every operation is reported with its number, path, offset and length before it happens', async () => {
    const seen: FileSystemOperation[] = [];
    const fileSystem = new MemoryFileSystem({
      intercept: (operation) => {
        seen.push(operation);
        return undefined;
      },
    });
    const file = await fileSystem.open('/a', NEW);
    await file.write(bytes('12345'), 7);
    await file.read(new Uint8Array(3), 1);
    await file.setLength(2);
    await file.sync();
    await file.close();
    await fileSystem.link('/a', '/b');
    await fileSystem.rename('/b', '/c');
    await fileSystem.unlink('/c');
    await fileSystem.stat('/a');
    await fileSystem.readDirectory('/');
    await fileSystem.syncDirectory('/');
    expect(seen).toEqual([
      { index: 0, kind: 'open', path: '/a' },
      { index: 1, kind: 'write', path: '/a', offset: 7, length: 5 },
      { index: 2, kind: 'read', path: '/a', offset: 1, length: 3 },
      { index: 3, kind: 'set-length', path: '/a', length: 2 },
      { index: 4, kind: 'sync', path: '/a' },
      { index: 5, kind: 'close', path: '/a' },
      { index: 6, kind: 'link', path: '/a', target: '/b' },
      { index: 7, kind: 'rename', path: '/b', target: '/c' },
      { index: 8, kind: 'unlink', path: '/c' },
      { index: 9, kind: 'stat', path: '/a' },
      { index: 10, kind: 'read-directory', path: '/' },
      { index: 11, kind: 'sync-directory', path: '/' },
    ]);
    expect(fileSystem.operationCount).toBe(12);
  });

  test('a failed operation has no effect and rejects with code, errno and path', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    const file = await fileSystem.open('/a', READ_WRITE);
    fileSystem.intercept = () => ({ fail: 'ENOSPC' });
    const error = await storageErrorOf(file.write(bytes('new'), 0));
    expect(error).toMatchObject({ code: 'io', errno: 'ENOSPC', path: '/a' });
    await storageErrorOf(fileSystem.unlink('/a'));
    await storageErrorOf(fileSystem.rename('/a', '/b'));
    await storageErrorOf(file.setLength(0));
    expect(contentOfAll(fileSystem)).toBe('/a=old');
  });

  test('reads and writes can be cut short', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/a', NEW);
    fileSystem.intercept = () => ({ limit: 2 });
    expect(await file.write(bytes('12345'), 0)).toBe(2);
    const target = new Uint8Array(5);
    expect(await file.read(target, 1)).toBe(1);
    expect(target).toEqual(Uint8Array.of(0x32, 0, 0, 0, 0));
    expect(contentOfAll(fileSystem)).toBe('/a=12');
  });

  test('an operation can be held back while others continue', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/a', NEW);
    let release = (): void => {};
    const delay = new Promise<void>((resolve) => {
      release = resolve;
    });
    fileSystem.intercept = ({ offset }) => (offset === 0 ? { delay } : undefined);
    const first = file.write(bytes('first'), 0);
    await file.write(bytes('second'), 5);
    expect(contentOfAll(fileSystem)).toBe('/a=.....second');
    release();
    await first;
    expect(contentOfAll(fileSystem)).toBe('/a=firstsecond');
  });

  test('bytes that change before the promise settles are written changed', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/a', NEW);
    const source = bytes('before');
    const writing = file.write(source, 0);
    source.set(bytes('after '));
    await writing;
    expect(contentOfAll(fileSystem)).toBe('/a=after ');
  });

  test('a file that cannot be closed is closed all the same', async () => {
    const fileSystem = new MemoryFileSystem();
    const file = await fileSystem.open('/a', NEW);
    expect(fileSystem.openPaths).toEqual(['/a']);
    fileSystem.intercept = () => ({ fail: 'EIO' });
    await storageErrorOf(file.close());
    expect(fileSystem.openCount).toBe(0);
    fileSystem.intercept = undefined;
    await expect(async () => file.read(new Uint8Array(1), 0)).rejects.toMatchObject({
      errno: 'EBADF',
    });
  });
});

describe('copies', () => {
  test('a clone keeps what is not durable in doubt, and goes its own way', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('new'), 0);
    const clone = fileSystem.clone();
    await file.sync();
    await fileSystem.unlink('/a');
    expect(contentOfAll(clone)).toBe('/a=new');
    expect(statesAfterCrash(clone, contentOfAll)).toEqual(['/a=new', '/a=old']);
    expect(clone.openCount).toBe(0);
  });

  test('what a crash left is durable, and goes its own way', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('new'), 0);
    const after = fileSystem.crash(loseNothing);
    expect(after.countCrashStates()).toBe(1n);
    await (await after.open('/a', READ_WRITE)).write(bytes('X'), 0);
    expect(contentOfAll(after)).toBe('/a=Xew');
    expect(contentOfAll(fileSystem)).toBe('/a=new');
  });

  test('two names of one file are two names of one file after a crash', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('1'));
    await fileSystem.link('/a', '/b');
    const after = fileSystem.crash(loseNothing);
    expect((await after.stat('/a')).identity).toBe((await after.stat('/b')).identity);
    await (await after.open('/a', READ_WRITE)).write(bytes('2'), 0);
    expect(contentOfAll(after)).toBe('/a=2 /b=2');
  });

  test('states that look alike share their contents, until one of them changes', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    fileSystem.createFile('/b', bytes('other'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('new'), 0);
    const states = [loseNothing, loseNothing, loseEverything].map((lose) => fileSystem.crash(lose));
    const [kept, keptAgain, lost] = states.map((state) => state.contents());
    expect(kept?.get('/a')).toEqual(bytes('new'));
    expect(lost?.get('/a')).toEqual(bytes('old'));
    expect(keptAgain?.get('/a')).toBe(kept?.get('/a'));
    expect(lost?.get('/b')).toBe(kept?.get('/b'));
    const changed = await states[0]?.open('/a', READ_WRITE);
    await changed?.write(bytes('X'), 1);
    await changed?.sync();
    expect(states.map((state) => textOf(state, '/a'))).toEqual(['nXw', 'new', 'old']);
    expect(kept?.get('/a')).toEqual(bytes('new'));
    expect(textOf(fileSystem.crash(loseNothing), '/a')).toBe('new');
  });

  test('a chunk that survives without its length shows nothing when the file grows', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', bytes('old'));
    const file = await fileSystem.open('/a', READ_WRITE);
    await file.write(bytes('longer'), 0);
    const answers = [1, 0];
    const after = fileSystem.crash(() => answers.shift() ?? 0);
    expect(contentOfAll(after)).toBe('/a=lon');
    await (await after.open('/a', READ_WRITE)).setLength(6);
    expect(contentOfAll(after)).toBe('/a=lon...');
  });
});

describe('names that are no regular files', () => {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/directory');
  fileSystem.createFile('/directory/file', bytes('1'));
  fileSystem.createSymbolicLink('/link', 'directory/file');
  fileSystem.createSymbolicLink('/to-directory', '/directory');
  fileSystem.createSymbolicLink('/dangling', '/directory/nothing');
  fileSystem.createSymbolicLink('/loop', 'loop');
  fileSystem.createSymbolicLink('/ping', '/pong/x');
  fileSystem.createSymbolicLink('/pong', '/ping/x');
  fileSystem.createSpecialFile('/fifo');

  test.each<[string, OpenOptions, string, string]>([
    ['/directory', { read: true }, 'io', 'EISDIR'],
    ['/', { read: true }, 'io', 'EISDIR'],
    ['/directory/..', { read: true }, 'io', 'EISDIR'],
    ['/fifo', { read: true }, 'io', 'EINVAL'],
    ['/link', NEW, 'exists', 'EEXIST'],
    ['/dangling', NEW, 'exists', 'EEXIST'],
    ['/dangling', { read: true }, 'not-found', 'ENOENT'],
    ['/loop', { read: true }, 'io', 'ELOOP'],
    ['/ping/file', { read: true }, 'io', 'ELOOP'],
    ['/missing/file', { read: true }, 'not-found', 'ENOENT'],
    ['/directory/file/x', { read: true }, 'io', 'ENOTDIR'],
    [`/${'x'.repeat(256)}`, NEW, 'io', 'ENAMETOOLONG'],
  ])('opening %s as %o fails with %s (%s)', async (path, options, code, errno) => {
    expect(await storageErrorOf(fileSystem.open(path, options))).toMatchObject({ code, errno });
  });

  test.each(['/link', '/to-directory/file', '/directory/../link', '//directory/./file'])(
    'opening %s leads to the file',
    async (path) => {
      const file = await fileSystem.open(path, { read: true });
      expect((await file.stat()).identity).toBe(
        (await fileSystem.stat('/directory/file')).identity,
      );
    },
  );

  test('a symbolic link is described and removed itself', async () => {
    const copy = fileSystem.clone();
    expect(await copy.stat('/link')).toMatchObject({ kind: 'symbolic-link' });
    await copy.unlink('/link');
    expect(textOf(copy, '/directory/file')).toBe('1');
  });

  test.each(['/to-directory/', '/to-directory/.'])(
    'stat of %s describes the directory',
    async (path) => {
      expect(await fileSystem.stat(path)).toEqual(await fileSystem.stat('/directory'));
    },
  );

  test('entries are listed in byte order with their kinds', async () => {
    expect(await fileSystem.readDirectory('/to-directory')).toEqual([
      { name: 'file', kind: 'file' },
    ]);
    expect(
      (await fileSystem.readDirectory('/')).map(({ name, kind }) => `${name} ${kind}`),
    ).toEqual([
      'dangling symbolic-link',
      'directory directory',
      'fifo other',
      'link symbolic-link',
      'loop symbolic-link',
      'ping symbolic-link',
      'pong symbolic-link',
      'to-directory symbolic-link',
    ]);
  });
});

test('contents are found under every name of a file, in byte order, and under links to it', () => {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/d');
  // UTF-16 has the third name before the second one.
  for (const name of ['/d/a', '/d/\uffee', '/d/\u{1f600}'])
    fileSystem.createFile(name, bytes(name));
  fileSystem.createSymbolicLink('/link', 'd/a');
  fileSystem.createSymbolicLink('/directory', 'd');
  fileSystem.createSymbolicLink('/nowhere', 'nothing');
  fileSystem.createSpecialFile('/fifo');
  const paths = ['/d/a', '/d/\uffee', '/d/\u{1f600}', '/link'];
  expect([...fileSystem.contents().keys()]).toEqual(paths);
  expect(fileSystem.contents().get('/link')).toEqual(bytes('/d/a'));
  expect(fileSystem.paths().filter((path) => path.startsWith('/d/'))).toEqual(paths.slice(0, 3));
});

describe('an ordinary user', () => {
  const user = { userId: 1000, groupId: 100 };
  const file = async (owner: { userId: number; groupId: number }) => {
    const fileSystem = new MemoryFileSystem(user);
    fileSystem.createFile('/a', bytes(''), { mode: 0o644, ...owner });
    return fileSystem.open('/a', READ_WRITE);
  };

  test('an ordinary user changes the mode of an own file', async () => {
    const own = await file(user);
    await own.setOwnership({ mode: 0o600, ...user });
    expect(await own.stat()).toMatchObject({ mode: 0o600, ...user });
  });

  test.each([
    ['gives an own file away', user, { userId: 0, groupId: 100 }],
    ['gives an own file to a foreign group', user, { userId: 1000, groupId: 0 }],
    ['takes a foreign file', { userId: 0, groupId: 0 }, user],
  ])('an ordinary user never %s', async (_, from, to) => {
    const opened = await file(from);
    expect(await storageErrorOf(opened.setOwnership({ mode: 0o644, ...to }))).toMatchObject({
      code: 'io',
      errno: 'EPERM',
    });
    expect(await opened.stat()).toMatchObject(from);
  });
});

describe('compared with the real file system', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await fs.mkdtemp(join(tmpdir(), 'layerfile-memory-'));
  });
  afterEach(() => fs.rm(directory, { recursive: true }));

  const name = fc.constantFrom('a', 'b', 'd', 'd/c', 'd/c/e', 'b/e', 'missing/c', 'a/c');
  const step = fc.oneof(
    fc.record({
      do: fc.constant('open' as const),
      name,
      options: fc.record({
        read: fc.constant(true),
        write: fc.boolean(),
        create: fc.boolean(),
        createNew: fc.boolean(),
        truncate: fc.constant(false),
      }),
    }),
    fc.record({
      do: fc.constant('write' as const),
      length: fc.constantFrom(0, 1, 100, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 10_000),
      offset: fc.constantFrom(0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, 20_000),
      fill: fc.integer({ min: 1, max: 255 }),
    }),
    fc.record({ do: fc.constant('read' as const), offset: fc.integer({ min: 0, max: 9000 }) }),
    fc.record({ do: fc.constant('set-length' as const), length: fc.nat({ max: 12_000 }) }),
    fc.record({ do: fc.constant('sync' as const) }),
    fc.record({ do: fc.constant('rename' as const), name, target: name }),
    fc.record({ do: fc.constant('link' as const), name, target: name }),
    fc.record({ do: fc.constant('unlink' as const), name }),
    fc.record({ do: fc.constant('make-directory' as const), name }),
    fc.record({ do: fc.constant('remove-directory' as const), name }),
    fc.record({ do: fc.constant('stat' as const), name }),
    fc.record({ do: fc.constant('list' as const) }),
  );
  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

  /** What the step returns or rejects with, the last opened file being the one that it uses. */
  async function outcomeOf(
    fileSystem: FileSystem,
    root: string,
    opened: OpenFile[],
    action: Step,
  ): Promise<unknown> {
    const file = opened.at(-1);
    const at = (entry: string): string => join(root, entry);
    switch (action.do) {
      case 'open':
        opened.push(await fileSystem.open(at(action.name), action.options));
        return 'opened';
      case 'write':
        return file?.write(new Uint8Array(action.length).fill(action.fill), action.offset);
      case 'read': {
        const target = new Uint8Array(9000);
        const length = await file?.read(target, action.offset);
        return { length, content: Buffer.from(target).toString('hex') };
      }
      case 'set-length':
        return file?.setLength(action.length);
      case 'sync':
        return file?.sync();
      case 'rename':
        return fileSystem.rename(at(action.name), at(action.target));
      case 'link':
        return fileSystem.link(at(action.name), at(action.target));
      case 'unlink':
        return fileSystem.unlink(at(action.name));
      case 'make-directory':
        return fileSystem.makeDirectory?.(at(action.name), 0o700);
      case 'remove-directory':
        return fileSystem.removeDirectory?.(at(action.name));
      case 'stat': {
        const { kind, size, mode, userId, groupId } = await fileSystem.stat(at(action.name));
        return kind === 'file' ? { kind, size, mode, userId, groupId } : kind;
      }
      case 'list':
        return fileSystem.readDirectory(root);
    }
  }

  async function outcomeOrError(...parameters: Parameters<typeof outcomeOf>): Promise<unknown> {
    try {
      return await outcomeOf(...parameters);
    } catch (error) {
      if (error instanceof StorageError) return { code: error.code, errno: error.errno };
      throw error;
    }
  }

  test('the same steps give the same results and errors', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        run += 1;
        const root = join(directory, `run-${run}`);
        await fs.mkdir(root);
        await fs.mkdir(join(root, 'd'));
        const memory = new MemoryFileSystem({
          umask: process.umask(),
          userId: process.getuid?.() ?? 0,
          groupId: process.getgid?.() ?? 0,
        });
        memory.createDirectory('/d');
        const opened = { node: [] as OpenFile[], memory: [] as OpenFile[] };
        try {
          for (const action of steps) {
            const real = await outcomeOrError(nodeFileSystem, root, opened.node, action);
            const fake = await outcomeOrError(memory, '/', opened.memory, action);
            expect(fake).toEqual(real);
          }
        } finally {
          for (const file of opened.node) await file.close();
        }
      }),
      { numRuns: rounds(100) },
    );
  });
});
