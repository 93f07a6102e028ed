import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { directoryStore } from '../../src/object-store/directory-store.ts';
import type { ObjectStore } from '../../src/object-store/object-store.ts';
import { digestFile, isSameAsFile, putFile } from '../../src/object-store/put-file.ts';
import { crashStates } from '../../src/testing/crash-states.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { startS3 } from '../support/s3-server.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const MIB = 1024 * 1024;

function fileOf(length: number, seed = 1): { path: string; bytes: Uint8Array } {
  const bytes = Uint8Array.from(
    { length },
    (_, index) => (index * 31 + seed + (index >>> 9)) & 255,
  );
  const path = join(temporaryDirectory(), 'file');
  writeFileSync(path, bytes);
  return { path, bytes };
}

describe('a file put into a directory', () => {
  test('a file put into a directory is a second name of the file, in directories that were made for it', async () => {
    const root = temporaryDirectory();
    const source = join(root, 'source');
    writeFileSync(source, 'content');
    const info = await putFile(directoryStore(root), 'a/b/c', source);
    expect(info).toMatchObject({ key: 'a/b/c', size: 7 });
    expect(statSync(join(root, 'a/b/c')).ino).toBe(statSync(source).ino);
  });

  test('a file put into a directory never replaces an object', async () => {
    const root = temporaryDirectory();
    writeFileSync(join(root, 'taken'), 'old');
    const { path } = fileOf(10);
    const error = await storageErrorOf(putFile(directoryStore(root), 'taken', path));
    expect(error).toMatchObject({ code: 'exists', path: `${root}/taken` });
    expect(readFileSync(join(root, 'taken'), 'utf8')).toBe('old');
  });

  test('a file put into a directory is copied where files have no second names, and survives a crash', async () => {
    const disk = new MemoryFileSystem();
    disk.createDirectory('/data');
    const bytes = Uint8Array.from({ length: 2 * MIB + 17 }, (_, index) => index >>> 9);
    disk.createFile('/file', bytes);
    disk.intercept = ({ kind, path }) =>
      kind === 'link' && path === '/file' ? { fail: 'EXDEV' } : undefined;
    const store = directoryStore('/data', { openFiles: new OpenFiles({ fileSystem: disk }) });
    await putFile(store, 'a', '/file');
    for (const { disk: after } of crashStates(disk)) {
      expect(Buffer.compare(after.contentOf('/data/a'), bytes)).toBe(0);
    }
    disk.createFile('/other', Uint8Array.of(1));
    expect((await storageErrorOf(putFile(store, 'a', '/other'))).code).toBe('exists');
    expect(disk.contentOf('/data/a').length).toBe(bytes.length);
  });

  test('a file put into a directory that is missing is not found, and makes no object', async () => {
    const root = temporaryDirectory();
    const error = await storageErrorOf(putFile(directoryStore(root), 'a', join(root, 'none')));
    expect(error.code).toBe('not-found');
    expect(await directoryStore(root).head('a')).toBeUndefined();
  });
});

describe('a file put into a bucket', () => {
  test('a file put into a bucket is sent with its length and digest', async () => {
    const { server, store } = await startS3();
    const { path, bytes } = fileOf(3 * MIB + 5);
    expect(await putFile(store, 'a/b', path)).toMatchObject({ key: 'a/b', size: bytes.length });
    expect(Buffer.compare(server.objects.get('a/b')?.bytes ?? new Uint8Array(), bytes)).toBe(0);
    const sent = server.requests.find(({ method }) => method === 'PUT');
    expect(sent?.headers['content-length']).toBe(String(bytes.length));
    expect(sent?.headers['if-none-match']).toBe('*');
  });

  test('a file put into a bucket is sent again after a fault that passes', async () => {
    const { server, store } = await startS3();
    const { path, bytes } = fileOf(MIB);
    const faults = ['cut', 'lost'] as const;
    let puts = 0;
    server.fault = ({ method }) => {
      const kind = method === 'PUT' ? faults[puts++] : undefined;
      return kind === undefined ? undefined : { kind };
    };
    expect(await putFile(store, 'a', path)).toMatchObject({ size: bytes.length });
    expect(puts).toBe(3);
  });

  test('a file put into a bucket never replaces an object, whatever its size', async () => {
    const { server, store } = await startS3();
    const { path } = fileOf(100);
    server.put('a', new Uint8Array(100));
    expect((await storageErrorOf(putFile(store, 'a', path))).code).toBe('exists');
    server.fault = ({ method }, number) =>
      method === 'GET' && number === 1
        ? { kind: 'status', status: 404, code: 'NoSuchKey' }
        : undefined;
    server.reset();
    expect((await storageErrorOf(putFile(store, 'a', path))).code).toBe('exists');
    expect(server.objects.get('a')?.bytes).toEqual(new Uint8Array(100));
  });

  test('a file put into a bucket reaches a store that takes bytes only', async () => {
    const { server, store } = await startS3();
    const { path, bytes } = fileOf(1000);
    await putFile(bytesOnly(store), 'a', path);
    expect(Buffer.compare(server.objects.get('a')?.bytes ?? new Uint8Array(), bytes)).toBe(0);
  });
});

describe('a file and an object', () => {
  test.each([
    ['with the same bytes is the same as the file', (bytes: Uint8Array) => bytes, true],
    [
      'with one other byte is not the same as the file',
      (bytes: Uint8Array) => bytes.with(MIB, 255 - (bytes[MIB] ?? 0)),
      false,
    ],
    [
      'that is shorter is not the same as the file',
      (bytes: Uint8Array) => bytes.subarray(0, -1),
      false,
    ],
    [
      'that is longer is not the same as the file',
      (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc(1)]),
      false,
    ],
  ])('an object in a directory and in a bucket %s', async (_, change, expected) => {
    const { path, bytes } = fileOf(2 * MIB + 3);
    const root = temporaryDirectory();
    writeFileSync(join(root, 'a'), change(bytes));
    const { server, store } = await startS3();
    server.put('a', change(bytes));
    for (const place of [directoryStore(root), store]) {
      const info = await place.head('a');
      expect(info !== undefined && (await isSameAsFile(place, info, path))).toBe(expected);
    }
  });

  test('a file and an object are compared without reading the object if its etag is the MD5', async () => {
    const { server, store } = await startS3();
    const { path, bytes } = fileOf(MIB);
    server.put('a', bytes);
    const info = await store.head('a');
    server.reset();
    expect(info !== undefined && (await isSameAsFile(store, info, path))).toBe(true);
    expect(server.requests).toHaveLength(0);
  });

  test('a file and an object are the same under an etag that only looks like an MD5', async () => {
    const { path, bytes } = fileOf(MIB);
    const store = directoryStore(temporaryDirectory());
    const { key, size } = await store.put('a', bytes);
    const etag = '0'.repeat(32);
    const trusting = { ...bytesOnly(store), readRanges: readingAny(store) };
    expect(await isSameAsFile(trusting, { key, size, etag }, path)).toBe(true);
  });
});

test('the digest of a file is that of its bytes', async () => {
  const { path, bytes } = fileOf(MIB + 1);
  expect(await digestFile(path, 'sha256')).toEqual({
    hex: createHash('sha256').update(bytes).digest('hex'),
    length: bytes.length,
  });
});

/** The store without `putFile`. */
function bytesOnly(store: ObjectStore): ObjectStore {
  return {
    name: store.name,
    readRanges: (...args) => store.readRanges(...args),
    readStart: (...args) => store.readStart(...args),
    list: (...args) => store.list(...args),
    head: (...args) => store.head(...args),
    put: (...args) => store.put(...args),
  };
}

function readingAny(store: ObjectStore): ObjectStore['readRanges'] {
  return (key, ranges) => store.readRanges(key, ranges);
}
