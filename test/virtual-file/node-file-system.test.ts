import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { OpenOptions } from '../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { CAN_LIST_DESCRIPTORS, openBelow } from '../support/open-descriptors.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const READ: OpenOptions = { read: true };
const READ_WRITE: OpenOptions = { read: true, write: true };

async function contentAfterOpening(path: string, options: OpenOptions): Promise<string> {
  const file = await nodeFileSystem.open(path, options);
  await file.close();
  return fs.readFileSync(path, 'utf8');
}

describe('what opening does to a file', () => {
  test.each<[string, OpenOptions, string]>([
    ['to read leaves its content', READ, 'content'],
    ['to write leaves its content', { write: true }, 'content'],
    ['with create leaves its content', { write: true, create: true }, 'content'],
    ['with truncate empties it', { write: true, truncate: true }, ''],
    ['with create and truncate empties it', { write: true, create: true, truncate: true }, ''],
  ])('opening a file %s', async (_, options, expected) => {
    const path = join(temporaryDirectory(), 'file');
    fs.writeFileSync(path, 'content');
    expect(await contentAfterOpening(path, options)).toBe(expected);
  });

  test.each<[string, OpenOptions]>([
    ['create', { write: true, create: true }],
    ['createNew', { read: true, write: true, createNew: true }],
    ['create and truncate', { write: true, create: true, truncate: true }],
  ])('opening with %s makes a missing file', async (_, options) => {
    const path = join(temporaryDirectory(), 'file');
    expect(await contentAfterOpening(path, options)).toBe('');
  });

  test('a created file has the requested mode, cut by the umask', async () => {
    const path = join(temporaryDirectory(), 'file');
    await contentAfterOpening(path, { write: true, createNew: true, mode: 0o640 });
    expect(fs.statSync(path).mode & 0o777).toBe(0o640 & ~process.umask());
  });
});

/** What the system says of a file of N bytes; nothing if it keeps none so large. */
function sparseFile(directory: string, size: string): string | undefined {
  const path = join(directory, 'sparse');
  try {
    execFileSync('truncate', ['-s', size, path], { stdio: 'pipe' });
    return path;
  } catch {
    return undefined;
  }
}

/** A file system in memory keeps sparse files of any size. */
const SHARED_MEMORY = '/dev/shm';

test.runIf(fs.existsSync(SHARED_MEMORY))(
  'a size that no number holds is too-large, never another size',
  async () => {
    const directory = fs.mkdtempSync(join(SHARED_MEMORY, 'layerfile-'));
    onTestFinished(() => fs.rmSync(directory, { recursive: true }));
    const largest = sparseFile(directory, '9007199254740991');
    if (largest !== undefined) {
      expect((await nodeFileSystem.stat(largest)).size).toBe(Number.MAX_SAFE_INTEGER);
    }
    const beyond = sparseFile(directory, '9007199254740993');
    if (beyond === undefined) return;
    const expected = { code: 'too-large', path: beyond, actual: '9007199254740993' };
    expect(await storageErrorOf(nodeFileSystem.stat(beyond))).toMatchObject(expected);
    expect(await storageErrorOf(nodeFileSystem.open(beyond, READ))).toMatchObject(expected);
    expect(openBelow(directory)).toEqual([]);
  },
);

describe('what is refused', () => {
  test.each<[string, OpenOptions]>([
    ['reading', READ],
    ['writing', { write: true }],
    ['truncating', { write: true, truncate: true }],
  ])('%s a missing file is not-found', async (_, options) => {
    const path = join(temporaryDirectory(), 'missing');
    const error = await storageErrorOf(nodeFileSystem.open(path, options));
    expect(error).toMatchObject({ code: 'not-found', errno: 'ENOENT', path });
    expect(fs.existsSync(path)).toBe(false);
  });

  test('createNew over a file is exists, and the file keeps its content', async () => {
    const path = join(temporaryDirectory(), 'file');
    fs.writeFileSync(path, 'content');
    const options = { write: true, createNew: true, truncate: true };
    const error = await storageErrorOf(nodeFileSystem.open(path, options));
    expect(error).toMatchObject({ code: 'exists', errno: 'EEXIST', path });
    expect(fs.readFileSync(path, 'utf8')).toBe('content');
  });

  test('createNew does not follow a symbolic link, not even one that leads nowhere', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'link');
    fs.symlinkSync(join(directory, 'elsewhere'), path);
    const error = await storageErrorOf(nodeFileSystem.open(path, { write: true, createNew: true }));
    expect(error).toMatchObject({ code: 'exists', path });
    expect(fs.existsSync(join(directory, 'elsewhere'))).toBe(false);
  });

  test.each<[string, OpenOptions]>([
    ['to read', READ],
    ['to write', READ_WRITE],
    ['to create it', { write: true, create: true }],
  ])('opening a directory %s is io with EISDIR', async (_, options) => {
    const path = temporaryDirectory();
    const error = await storageErrorOf(nodeFileSystem.open(path, options));
    expect(error).toMatchObject({ code: 'io', errno: 'EISDIR', path });
  });

  test('more FIFOs than the pool has threads are refused without waiting for a writer', async () => {
    const directory = temporaryDirectory();
    const paths = Array.from({ length: 6 }, (_, index) => join(directory, `fifo-${index}`));
    execFileSync('mkfifo', paths);
    for (const options of [READ, READ_WRITE, { write: true }, { write: true, truncate: true }]) {
      const errors = await Promise.all(
        paths.map((path) => storageErrorOf(nodeFileSystem.open(path, options))),
      );
      expect(errors.map(({ code }) => code)).toEqual(paths.map(() => 'io'));
      expect(errors.every(({ errno }) => errno === 'EINVAL' || errno === 'ENXIO')).toBe(true);
    }
    if (CAN_LIST_DESCRIPTORS) expect(openBelow(directory)).toEqual([]);
  });

  test('what is not a regular file is io synchronously, too, and keeps nothing open', () => {
    const directory = temporaryDirectory();
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const path of [directory, fifo]) {
      const error = storageErrorThrownBy(() => nodeFileSystem.openSync?.(path, READ));
      expect(error).toMatchObject({ code: 'io', path });
    }
    const missing = join(directory, 'missing');
    const error = storageErrorThrownBy(() => nodeFileSystem.openSync?.(missing, READ));
    expect(error).toMatchObject({ code: 'not-found', path: missing });
    if (CAN_LIST_DESCRIPTORS) expect(openBelow(directory)).toEqual([]);
  });

  test('a device is io and keeps nothing open', async () => {
    const error = await storageErrorOf(nodeFileSystem.open('/dev/zero', READ));
    expect(error).toMatchObject({ code: 'io', errno: 'EINVAL', path: '/dev/zero' });
    if (CAN_LIST_DESCRIPTORS) expect(openBelow('/dev/zero')).toEqual([]);
  });

  test('a socket is io', async () => {
    const path = join(temporaryDirectory(), 'socket');
    const server = createServer();
    onTestFinished(() => {
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const error = await storageErrorOf(nodeFileSystem.open(path, READ));
    expect(error).toMatchObject({ code: 'io', path });
  });

  test.each([
    ['a NUL in the path', 'with\0nul'],
    ['a name of 256 bytes', 'x'.repeat(256)],
    ['a file used as a directory', 'file/below'],
  ])('%s is a typed error of every operation', async (_, name) => {
    const directory = temporaryDirectory();
    fs.writeFileSync(join(directory, 'file'), '');
    const path = join(directory, name);
    for (const operation of [
      () => nodeFileSystem.open(path, READ),
      () => nodeFileSystem.open(path, { write: true, createNew: true }),
      () => nodeFileSystem.stat(path),
      () => nodeFileSystem.unlink(path),
      () => nodeFileSystem.rename(path, join(directory, 'other')),
      () => nodeFileSystem.rename(join(directory, 'file'), path),
      () => nodeFileSystem.link(join(directory, 'file'), path),
      () => nodeFileSystem.readDirectory(path),
      () => nodeFileSystem.syncDirectory(path),
    ]) {
      expect(await storageErrorOf(operation())).toMatchObject({ code: 'io' });
    }
  });

  test('links that lead in a circle are io with ELOOP', async () => {
    const path = join(temporaryDirectory(), 'circle');
    fs.symlinkSync(path, path);
    const error = await storageErrorOf(nodeFileSystem.open(path, READ));
    expect(error).toMatchObject({ code: 'io', errno: 'ELOOP', path });
  });
});

describe('an open file', () => {
  test('a write through a descriptor for reading, and the reverse, is io with EBADF', async () => {
    const path = join(temporaryDirectory(), 'file');
    fs.writeFileSync(path, 'content');
    const reading = await nodeFileSystem.open(path, READ);
    const writing = await nodeFileSystem.open(path, { write: true });
    const some = new Uint8Array(1);
    expect(await storageErrorOf(reading.write(some, 0))).toMatchObject({ errno: 'EBADF', path });
    expect(await storageErrorOf(writing.read(some, 0))).toMatchObject({ errno: 'EBADF', path });
    await Promise.all([reading.close(), writing.close()]);
  });

  test('reads past the end return nothing, writes past it leave a hole of zeros', async () => {
    const path = join(temporaryDirectory(), 'file');
    const file = await nodeFileSystem.open(path, { read: true, write: true, createNew: true });
    expect(await file.read(new Uint8Array(4), 100)).toBe(0);
    expect(await file.write(Uint8Array.of(7), 3)).toBe(1);
    await file.close();
    expect([...fs.readFileSync(path)]).toEqual([0, 0, 0, 7]);
  });

  test('an open file accepts offsets beyond 4 GiB', async () => {
    const path = join(temporaryDirectory(), 'file');
    const file = await nodeFileSystem.open(path, { read: true, write: true, createNew: true });
    const offset = 5 * 2 ** 30 + 3;
    await file.write(Uint8Array.of(1, 2, 3), offset);
    const target = new Uint8Array(3);
    expect(await file.read(target, offset)).toBe(3);
    expect([...target]).toEqual([1, 2, 3]);
    expect((await file.stat()).size).toBe(offset + 3);
    await file.close();
  });

  test('a target of more than 2 GiB is filled in parts', async () => {
    const path = join(temporaryDirectory(), 'file');
    fs.writeFileSync(path, 'content');
    const file = await nodeFileSystem.open(path, READ);
    const target = new Uint8Array(2 ** 31 + 8192);
    expect(await file.read(target, 0)).toBe(7);
    expect(new TextDecoder().decode(target.subarray(0, 7))).toBe('content');
    await file.close();
  });

  test('an owner that no system has is a typed error, and the file can still be closed', async () => {
    const path = join(temporaryDirectory(), 'file');
    const file = await nodeFileSystem.open(path, { write: true, createNew: true });
    const ownership = { mode: 0o600, userId: 2 ** 40, groupId: 0 };
    expect(await storageErrorOf(file.setOwnership(ownership))).toMatchObject({ code: 'io', path });
    await file.close();
    if (CAN_LIST_DESCRIPTORS) expect(openBelow(path)).toEqual([]);
  });

  test('closing waits for what is in flight', async () => {
    const path = join(temporaryDirectory(), 'file');
    const file = await nodeFileSystem.open(path, { read: true, write: true, createNew: true });
    const done: string[] = [];
    const operations = [
      file.write(new Uint8Array(1 << 20).fill(5), 0).then(() => done.push('write')),
      file.sync().then(() => done.push('sync')),
      file.close().then(() => done.push('close')),
    ];
    await Promise.all(operations);
    expect(done).toHaveLength(3);
    expect(done.at(-1)).toBe('close');
    expect(fs.statSync(path).size).toBe(1 << 20);
  });

  test('an open file takes the mode and owner of another file', async () => {
    const path = join(temporaryDirectory(), 'file');
    const file = await nodeFileSystem.open(path, { write: true, createNew: true, mode: 0o600 });
    const { userId, groupId } = await file.stat();
    await file.setOwnership({ mode: 0o4751, userId, groupId });
    expect(await file.stat()).toMatchObject({ kind: 'file', mode: 0o4751, userId, groupId });
    await file.close();
  });
});

describe('names', () => {
  test('a file keeps its identity under a second name; its replacement has another', async () => {
    const directory = temporaryDirectory();
    const [one, two, three] = ['one', 'two', 'three'].map((name) => join(directory, name));
    fs.writeFileSync(one ?? '', '1');
    fs.writeFileSync(three ?? '', '3');
    await nodeFileSystem.link(one ?? '', two ?? '');
    const { identity } = await nodeFileSystem.stat(one ?? '');
    expect((await nodeFileSystem.stat(two ?? '')).identity).toBe(identity);
    await nodeFileSystem.rename(three ?? '', two ?? '');
    expect((await nodeFileSystem.stat(two ?? '')).identity).not.toBe(identity);
  });

  test('a link to a taken name is exists; the taken file is untouched', async () => {
    const directory = temporaryDirectory();
    fs.writeFileSync(join(directory, 'one'), '1');
    fs.writeFileSync(join(directory, 'two'), '2');
    const path = join(directory, 'two');
    const error = await storageErrorOf(nodeFileSystem.link(join(directory, 'one'), path));
    expect(error).toMatchObject({ code: 'exists', errno: 'EEXIST', path });
    expect(fs.readFileSync(path, 'utf8')).toBe('2');
  });

  test('a directory lists its entries in byte order, each with its kind', async () => {
    const directory = temporaryDirectory();
    for (const name of ['b', 'B', 'ä', '\u{1f600}', '\uffee']) {
      fs.writeFileSync(join(directory, name), '');
    }
    fs.mkdirSync(join(directory, 'a'));
    fs.symlinkSync('nowhere', join(directory, 'c'));
    execFileSync('mkfifo', [join(directory, 'd')]);
    expect(await nodeFileSystem.readDirectory(directory)).toEqual([
      { name: 'B', kind: 'file' },
      { name: 'a', kind: 'directory' },
      { name: 'b', kind: 'file' },
      { name: 'c', kind: 'symbolic-link' },
      { name: 'd', kind: 'other' },
      { name: 'ä', kind: 'file' },
      { name: '\uffee', kind: 'file' },
      { name: '\u{1f600}', kind: 'file' },
    ]);
  });

  test('stat describes a symbolic link itself', async () => {
    const directory = temporaryDirectory();
    fs.symlinkSync('nowhere', join(directory, 'link'));
    expect(await nodeFileSystem.stat(join(directory, 'link'))).toMatchObject({
      kind: 'symbolic-link',
      size: 7,
    });
  });

  test('a directory is synced; a file or nothing in its place is an error', async () => {
    const directory = temporaryDirectory();
    fs.writeFileSync(join(directory, 'file'), '');
    await nodeFileSystem.syncDirectory(directory);
    const file = storageErrorOf(nodeFileSystem.syncDirectory(join(directory, 'file')));
    expect(await file).toMatchObject({ code: 'io', errno: 'ENOTDIR' });
    const missing = storageErrorOf(nodeFileSystem.syncDirectory(join(directory, 'missing')));
    expect(await missing).toMatchObject({ code: 'not-found' });
    if (CAN_LIST_DESCRIPTORS) expect(openBelow(directory)).toEqual([]);
  });
});
