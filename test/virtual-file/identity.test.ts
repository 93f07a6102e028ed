/** What tells a file from its successor, where the system gives the same inode number to both. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openLayer } from '../../src/layers/open-layer.ts';
import { loseEverything } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { birthTimeOf } from '../../src/virtual-file/birth-times.ts';
import type { FileStat, FileSystem } from '../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { blockKey } from '../support/layers.ts';
import { DELTA } from '../support/sample-layers.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const OLD = Uint8Array.of(1, 1, 1);
const NEW = Uint8Array.of(2, 2, 2);

const READ = { read: true } as const;
const READ_WRITE = { read: true, write: true } as const;

/** The inode number alone, of the real system or the one in memory. */
function inodeOf({ identity }: FileStat): string | undefined {
  return identity.split(':')[1];
}

describe('the identity of a file on the real file system', () => {
  test('the identity of a file stays as it is, whatever is done to the file', async () => {
    const path = join(temporaryDirectory(), 'file');
    const file = await nodeFileSystem.open(path, { ...READ_WRITE, createNew: true });
    const { identity, userId, groupId } = await file.stat();
    expect(file.opened?.identity).toBe(identity);
    const acts: (() => unknown)[] = [
      () => file.write(OLD, 0),
      () => file.sync(),
      () => file.setLength(1),
      () => file.setOwnership({ mode: 0o640, userId, groupId }),
      () => nodeFileSystem.link(path, `${path}-2`),
      () => nodeFileSystem.rename(path, `${path}-3`),
      () => nodeFileSystem.rename(`${path}-3`, path),
      () => nodeFileSystem.unlink(`${path}-2`),
      () => fs.utimesSync(path, 1, 1),
    ];
    for (const act of acts) {
      await act();
      expect((await file.stat()).identity).toBe(identity);
      const known = fs.existsSync(path) ? path : `${path}-3`;
      expect((await nodeFileSystem.stat(known)).identity).toBe(identity);
    }
    await file.close();
    expect(nodeFileSystem.openSync?.(path, READ).opened?.identity).toBe(identity);
  });

  test('the identity of a file is not that of its successor, though the inode number may be', async () => {
    const path = join(temporaryDirectory(), 'file');
    for (let round = 0; round < 20; round += 1) {
      fs.writeFileSync(path, 'old');
      const old = await nodeFileSystem.stat(path);
      fs.unlinkSync(path);
      fs.writeFileSync(path, 'new');
      expect((await nodeFileSystem.stat(path)).identity).not.toBe(old.identity);
      fs.unlinkSync(path);
    }
  });
});

describe('a birth time', () => {
  let devices = 0n;
  /** As of a device that was never seen before. */
  function statsOf(times: { birth: bigint; change: bigint; modification: bigint }): fs.BigIntStats {
    devices += 1n;
    return Object.assign(fs.statSync('.', { bigint: true }), {
      dev: (1n << 60n) + devices,
      birthtimeNs: times.birth,
      ctimeNs: times.change,
      mtimeNs: times.modification,
    });
  }

  test('a birth time of 0 counts as unknown', () => {
    const stats = statsOf({ birth: 0n, change: 5n, modification: 5n });
    expect(birthTimeOf(stats, '/file')).toBeUndefined();
  });

  test('a birth time that may be the time of the last change counts as unknown', () => {
    const stats = statsOf({ birth: 5n, change: 5n, modification: 4n });
    expect(birthTimeOf(stats, '/file')).toBeUndefined();
    // And so it stays, so that no identity changes.
    expect(birthTimeOf(Object.assign(stats, { ctimeNs: 9n }), '/file')).toBeUndefined();
  });

  test('a birth time that may be the time of the last write counts as unknown', () => {
    const stats = statsOf({ birth: 5n, change: 6n, modification: 5n });
    expect(birthTimeOf(stats, '/file')).toBeUndefined();
  });

  test('a birth time that differs from both counts, and then does for each file of the device', () => {
    const stats = statsOf({ birth: 3n, change: 5n, modification: 4n });
    expect(birthTimeOf(stats, '/file')).toBe(3n);
    const fresh = Object.assign(stats, { birthtimeNs: 7n, ctimeNs: 7n, mtimeNs: 7n });
    expect(birthTimeOf(fresh, '/file')).toBe(7n);
  });

  test('a birth time of a new file counts where an older directory above it shows that the device has them', () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'below', 'below', 'file');
    fs.mkdirSync(join(directory, 'below', 'below'), { recursive: true });
    fs.writeFileSync(path, '');
    const stats = fs.statSync(path, { bigint: true });
    const { birthtimeNs } = fs.statSync(directory, { bigint: true });
    const expected = birthtimeNs === 0n ? undefined : stats.birthtimeNs;
    expect(birthTimeOf(stats, path)).toBe(expected);
  });
});

describe('the file system in memory', () => {
  test('the file system in memory gives the inode number of a file to the next one, once it has no name and is not open', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', OLD);
    await fileSystem.link('/a', '/b');
    const open = await fileSystem.open('/a', READ);
    const old = await open.stat();
    const isReused = async (name: string): Promise<boolean> => {
      fileSystem.createFile(name, NEW);
      const next = await fileSystem.stat(name);
      expect(next.identity).not.toBe(old.identity);
      return inodeOf(next) === inodeOf(old);
    };
    await fileSystem.unlink('/a');
    expect(await isReused('/1')).toBe(false);
    await fileSystem.unlink('/b');
    expect(await isReused('/2')).toBe(false);
    await open.close();
    expect(await isReused('/3')).toBe(true);
    expect(await isReused('/4')).toBe(false);
  });

  test('the file system in memory takes the number of a file that a rename replaces, not of the one that it moves', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/a', OLD);
    fileSystem.createFile('/b', NEW);
    const [a, b] = [await fileSystem.stat('/a'), await fileSystem.stat('/b')];
    await fileSystem.rename('/a', '/b');
    expect((await fileSystem.stat('/b')).identity).toBe(a.identity);
    fileSystem.createFile('/c', NEW);
    fileSystem.createFile('/d', NEW);
    expect(inodeOf(await fileSystem.stat('/c'))).toBe(inodeOf(b));
    expect(inodeOf(await fileSystem.stat('/d'))).not.toBe(inodeOf(a));
  });

  test('the file system in memory cannot distinguish a file from its successor without birth times', async () => {
    const fileSystem = new MemoryFileSystem({ birthTimes: 'none' });
    fileSystem.createFile('/a', OLD);
    const { identity } = await fileSystem.stat('/a');
    await fileSystem.unlink('/a');
    fileSystem.createFile('/a', NEW);
    expect((await fileSystem.stat('/a')).identity).toBe(identity);
  });

  test('the file system in memory has two files where a crash brings one back that had lost its number', async () => {
    const fileSystem = new MemoryFileSystem({ birthTimes: 'none' });
    fileSystem.createFile('/a', OLD);
    await fileSystem.unlink('/a');
    fileSystem.createFile('/b', NEW);
    const after = fileSystem.crash(loseEverything);
    expect(after.paths()).toEqual(['/a', '/b']);
    expect((await after.stat('/a')).identity).not.toBe((await after.stat('/b')).identity);
  });
});

/** Each closes the descriptors of others as soon as they are not in use. */
const PLACES: [
  string,
  () => { fileSystem: FileSystem; path: string; put: (b: Uint8Array) => void },
][] = [
  [
    'on the real file system',
    () => {
      const path = join(temporaryDirectory(), 'file');
      return { fileSystem: nodeFileSystem, path, put: (bytes) => fs.writeFileSync(path, bytes) };
    },
  ],
  [
    'in memory',
    () => {
      const fileSystem = new MemoryFileSystem();
      return { fileSystem, path: '/file', put: (bytes) => fileSystem.createFile('/file', bytes) };
    },
  ],
];

describe.each(PLACES)('a file that is replaced while its descriptor is closed, %s', (_, place) => {
  async function replaced() {
    const { fileSystem, path, put } = place();
    const openFiles = new OpenFiles({ capacity: 1, fileSystem });
    put(OLD);
    const file = await VirtualFile.open(path, { read: true, openFiles });
    const held = await file.hold();
    const before = await fileSystem.stat(path);
    return { fileSystem, path, put, openFiles, file, held, before };
  }

  test('a file that is replaced while its descriptor is closed is refused, asynchronously and synchronously', async () => {
    const { fileSystem, path, put, openFiles, file, held, before } = await replaced();
    await fileSystem.link(path, `${path}-other`);
    const other = await VirtualFile.open(`${path}-other`, { read: true, openFiles });
    await fileSystem.unlink(`${path}-other`);
    await other.close();
    await fileSystem.unlink(path);
    put(NEW);
    const after = await fileSystem.stat(path);
    expect(after.identity).not.toBe(before.identity);
    expect(openFiles.openCount).toBe(0);
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(3), 0))).toMatchObject({
      code: 'io',
      path,
      message: expect.stringContaining('file was replaced while in use'),
    });
    expect(await storageErrorOf(file.readExactAt(new Uint8Array(3), 0))).toMatchObject({
      code: 'io',
      path,
    });
    held.release();
    await file.close();
    expect(openFiles.openCount).toBe(0);
  });
});

test.each(['async', 'sync'] as const)(
  'a layer that is replaced under an %s reader gives no value of the new file',
  async (reads) => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createFile('/layer', DELTA.bytes);
    fileSystem.createFile('/other', OLD);
    const openFiles = new OpenFiles({ capacity: 1, fileSystem });
    const reader = await openLayer('/layer', { openFiles, readMode: reads, blockCache: null });
    const key = blockKey(0);
    await reader.get(key);
    const other = await VirtualFile.open('/other', { read: true, openFiles });
    const old = await fileSystem.stat('/layer');
    await fileSystem.unlink('/layer');
    fileSystem.createFile('/layer', DELTA.bytes);
    expect(inodeOf(await fileSystem.stat('/layer'))).toBe(inodeOf(old));
    expect((await storageErrorOf(reader.get(key))).code).toBe('io');
    if (reads === 'sync') expect(storageErrorThrownBy(() => reader.getSync(key)).code).toBe('io');
    await reader.close();
    await other.close();
  },
);

describe('a file with immutable content that is opened again', () => {
  async function opened(content: 'immutable' | 'mutable') {
    const fileSystem = new MemoryFileSystem({ birthTimes: 'none' });
    fileSystem.createFile('/file', OLD);
    fileSystem.createFile('/other', OLD);
    const openFiles = new OpenFiles({ capacity: 1, fileSystem });
    const file = await VirtualFile.open('/file', { read: true, openFiles, content });
    const other = await VirtualFile.open('/other', { read: true, openFiles });
    await other.close();
    expect(openFiles.openCount).toBe(0);
    return { fileSystem, file };
  }

  test.each([
    ['written', async (fileSystem: MemoryFileSystem) => change(fileSystem, OLD)],
    ['made longer', async (fileSystem: MemoryFileSystem) => change(fileSystem, new Uint8Array(4))],
    [
      'replaced by one of the same inode number',
      async (fileSystem: MemoryFileSystem) => {
        await fileSystem.unlink('/file');
        fileSystem.createFile('/file', NEW);
      },
    ],
  ])(
    'a file with immutable content that is opened again is refused where it was %s',
    async (_, act) => {
      const { fileSystem, file } = await opened('immutable');
      await act(fileSystem);
      expect(await storageErrorOf(file.readAt(new Uint8Array(1), 0))).toMatchObject({
        code: 'io',
        path: '/file',
        message: expect.stringContaining('file was changed while in use'),
      });
      await file.close();
      expect(fileSystem.openCount).toBe(0);
    },
  );

  test('a file with immutable content that is opened again is refused where only its size is another one', async () => {
    const { fileSystem, file } = await opened('immutable');
    const open = fileSystem.open.bind(fileSystem);
    fileSystem.open = async (path, options) => {
      const again = await open(path, options);
      const stat = again.stat.bind(again);
      again.stat = async () => ({ ...(await stat()), size: 4 });
      return again;
    };
    expect((await storageErrorOf(file.readAt(new Uint8Array(1), 0))).code).toBe('io');
    await file.close();
    expect(fileSystem.openCount).toBe(0);
  });

  test('a file with immutable content that is opened again is the same whatever happens to its names and mode', async () => {
    const { fileSystem, file } = await opened('immutable');
    await fileSystem.link('/file', '/second');
    await fileSystem.rename('/second', '/third');
    await fileSystem.unlink('/third');
    const changing = await fileSystem.open('/file', READ_WRITE);
    await changing.setOwnership({ mode: 0o600, userId: 1, groupId: 1 });
    await changing.sync();
    await changing.close();
    const target = new Uint8Array(3);
    await file.readExactAt(target, 0);
    expect(target).toEqual(OLD);
    await file.close();
  });

  test('a file with immutable content that is opened again is refused for writing in the first place', async () => {
    const openFiles = new OpenFiles({ fileSystem: new MemoryFileSystem() });
    const opening = VirtualFile.open('/file', { ...READ_WRITE, openFiles, content: 'immutable' });
    expect((await storageErrorOf(opening)).code).toBe('invalid-input');
  });

  test('a file with mutable content may be another when it is opened again', async () => {
    const { fileSystem, file } = await opened('mutable');
    await change(fileSystem, new Uint8Array(4));
    expect(await file.readAt(new Uint8Array(8), 0)).toBe(4);
    await file.close();
  });

  async function change(fileSystem: MemoryFileSystem, bytes: Uint8Array): Promise<void> {
    const writer = await fileSystem.open('/file', READ_WRITE);
    await writer.write(bytes, 0);
    await writer.close();
  }
});

test('a file that other code made in place of a poisoned one, with its inode number, is not poisoned', async () => {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createFile('/file', OLD);
  const openFiles = new OpenFiles({ fileSystem });
  const poisoned = await VirtualFile.open('/file', { ...READ_WRITE, openFiles });
  const old = await poisoned.stat();
  await poisoned.writeAllAt(NEW, 0);
  fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
  await storageErrorOf(poisoned.sync());
  fileSystem.intercept = undefined;
  await poisoned.close();
  await fileSystem.unlink('/file');
  fileSystem.createFile('/file', NEW);
  expect(inodeOf(await fileSystem.stat('/file'))).toBe(inodeOf(old));
  const file = await VirtualFile.open('/file', { ...READ_WRITE, openFiles });
  await file.sync();
  await file.close();
});
