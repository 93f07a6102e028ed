import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { directoryStore } from '../../src/object-store/directory-store.ts';
import {
  isCommonPrefix,
  type ObjectListOptions,
  type ObjectStore,
} from '../../src/object-store/object-store.ts';
import { putFile } from '../../src/object-store/put-file.ts';
import { readWhole } from '../../src/object-store/read-whole.ts';
import { loseEverything } from '../../src/testing/choices.ts';
import { crashStates } from '../../src/testing/crash-states.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const BYTES = Uint8Array.from({ length: 100 }, (_, index) => index);

function storeWith(...keys: string[]): { store: ObjectStore; directory: string } {
  const directory = temporaryDirectory();
  for (const key of keys) {
    mkdirSync(join(directory, key, '..'), { recursive: true });
    writeFileSync(join(directory, key), BYTES);
  }
  return { store: directoryStore(directory), directory };
}

async function listed(
  store: ObjectStore,
  prefix: string,
  options?: ObjectListOptions,
): Promise<string[]> {
  const names = [];
  for await (const item of store.list(prefix, options)) {
    names.push(isCommonPrefix(item) ? item.prefix : item.key);
  }
  return names;
}

describe('reads of a directory', () => {
  test('ranges in any order, overlapping and empty, are filled', async () => {
    const { store } = storeWith('a/b');
    const ranges = [
      { target: new Uint8Array(10), offset: 90 },
      { target: new Uint8Array(4), offset: 2 },
      { target: new Uint8Array(3), offset: 4 },
      { target: new Uint8Array(0), offset: 100 },
    ];
    await store.readRanges('a/b', ranges);
    for (const { target, offset } of ranges) {
      expect(target).toEqual(BYTES.slice(offset, offset + target.length));
    }
  });

  test('a range beyond the end is truncated', async () => {
    const { store, directory } = storeWith('a');
    const reading = store.readRanges('a', [{ target: new Uint8Array(2), offset: 99 }]);
    expect(await storageErrorOf(reading)).toMatchObject({
      code: 'truncated',
      path: `${directory}/a`,
      offset: 100,
    });
  });

  test('the start is as long as requested, or as the object', async () => {
    const { store } = storeWith('a');
    expect((await store.readStart('a', 10)).bytes).toEqual(BYTES.slice(0, 10));
    const { info, bytes } = await store.readStart('a', 1000);
    expect(bytes).toEqual(BYTES);
    expect(info).toMatchObject({ key: 'a', size: 100 });
    expect(info).toEqual(await store.head('a'));
  });

  test('a complete object of the maximum length is read, one byte more is too large', async () => {
    const { store } = storeWith('a');
    expect((await readWhole(store, 'a', { maximumLength: 100 })).bytes).toEqual(BYTES);
    const error = await storageErrorOf(readWhole(store, 'a', { maximumLength: 99 }));
    expect(error).toMatchObject({ code: 'too-large', actual: '100' });
  });

  test.each([
    ['written again', (path: string) => writeFileSync(path, BYTES.slice(1))],
    [
      'replaced by another file',
      (path: string) => execFileSync('cp', ['--remove-destination', '/etc/hostname', path]),
    ],
  ])('an object that was %s since is changed', async (_, change) => {
    const { store, directory } = storeWith('a');
    const info = await store.head('a');
    const options = { etag: info?.etag };
    const range = { target: new Uint8Array(1), offset: 0 };
    await store.readRanges('a', [range], options);
    change(join(directory, 'a'));
    const reads = [store.readRanges('a', [range], options), store.readStart('a', 1, options)];
    const errors = await Promise.all(reads.map(storageErrorOf));
    expect(errors.map(({ code }) => code)).toEqual(['changed', 'changed']);
  });
});

test('an object that is written to while it is read is changed', async () => {
  const disk = new MemoryFileSystem();
  disk.createDirectory('/data');
  disk.createFile('/data/a', BYTES);
  const store = directoryStore('/data', { openFiles: new OpenFiles({ fileSystem: disk }) });
  const append = async (): Promise<void> => {
    const openFiles = new OpenFiles({ fileSystem: disk });
    const file = await VirtualFile.open('/data/a', { write: true, openFiles });
    const { size } = await file.stat();
    await file.writeAllAt(Uint8Array.of(1), size);
    await file.close();
  };
  const range = { target: new Uint8Array(10), offset: 0 };
  const reads = [
    (etag: string | undefined) => store.readStart('a', 10, { etag }),
    (etag: string | undefined) => store.readRanges('a', [range], { etag }),
  ];
  for (const read of reads) {
    const info = await store.head('a');
    disk.intercept = ({ kind }) => {
      if (kind !== 'read') return undefined;
      disk.intercept = undefined;
      return { delay: append() };
    };
    expect((await storageErrorOf(read(info?.etag))).code).toBe('changed');
    expect((await store.head('a'))?.size).toBe((info?.size ?? 0) + 1);
  }
});

describe('absence in a directory', () => {
  test.each(['missing', 'a/missing', 'file/below', 'a'])(
    'an object at %s is reported as absent from a directory',
    async (key) => {
      const { store } = storeWith('a/b', 'file');
      expect(await store.head(key)).toBeUndefined();
      const reads = [
        store.readStart(key, 1),
        store.readRanges(key, [{ target: new Uint8Array(1), offset: 0 }]),
      ];
      const errors = await Promise.all(reads.map(storageErrorOf));
      expect(errors.map(({ code }) => code)).toEqual(['not-found', 'not-found']);
    },
  );

  test('no absence is reported if the directory itself is missing or is a file', async () => {
    const { directory } = storeWith('file');
    for (const root of [join(directory, 'missing'), join(directory, 'file')]) {
      const store = directoryStore(root);
      const looks: (() => Promise<unknown>)[] = [
        () => store.head('a'),
        () => store.readStart('a', 1),
        () => listed(store, ''),
        () => listed(store, 'a/'),
      ];
      for (const look of looks) {
        expect(await storageErrorOf(look())).toMatchObject({ code: 'io', path: root });
      }
    }
  });

  test('no absence is reported for a name that is neither a file nor a directory', async () => {
    const { store, directory } = storeWith();
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    expect((await storageErrorOf(store.head('fifo'))).code).toBe('io');
    expect((await storageErrorOf(store.readStart('fifo', 1))).code).toBe('io');
  });
});

describe('a listing of a directory', () => {
  const KEYS = ['a-b', 'a/1', 'a/2/3', 'a0', 'b', 'é', '\u{1f600}', '\uffee'];

  test('a listing of a directory has all keys in byte order, where a slash sorts as in keys', async () => {
    const { store } = storeWith(...KEYS);
    const bytes = (key: string) => Buffer.from(key);
    const expected = KEYS.toSorted((left, right) => bytes(left).compare(bytes(right)));
    expect(await listed(store, '')).toEqual(expected);
  });

  test.each([
    ['a', ['a-b', 'a/1', 'a/2/3', 'a0']],
    ['a/', ['a/1', 'a/2/3']],
    ['a/2', ['a/2/3']],
    ['a/2/3', ['a/2/3']],
    ['a/2/34', []],
    ['missing/x', []],
    ['b/', []],
    ['/', []],
    ['a//', []],
    ['../', []],
    ['a/../', []],
  ])('a listing of a directory below %s has what begins with it', async (prefix, expected) => {
    const { store } = storeWith(...KEYS);
    expect(await listed(store, prefix)).toEqual(expected);
  });

  test.each([
    ['', ['a-b', 'a/', 'a0', 'b', '\u00e9', '\uffee', '\u{1f600}']],
    ['a', ['a-b', 'a/', 'a0']],
    ['a/', ['a/1', 'a/2/']],
  ])(
    'a listing of a directory with a delimiter below %j groups by directories',
    async (prefix, expected) => {
      const { store } = storeWith(...KEYS);
      expect(await listed(store, prefix, { delimiter: '/' })).toEqual(expected);
    },
  );

  test('a listing of a directory follows links to files, but not those to directories or to nothing', async () => {
    const { store, directory } = storeWith('a/b');
    symlinkSync(join(directory, 'a/b'), join(directory, 'link'));
    symlinkSync(directory, join(directory, 'loop'));
    symlinkSync('nothing', join(directory, 'dangling'));
    expect(await listed(store, '')).toEqual(['a/b', 'link']);
    expect(await store.head('link')).toMatchObject({ size: 100 });
    expect(await store.head('dangling')).toBeUndefined();
  });

  test('a listing of a directory ends with aborted once its signal has fired', async () => {
    const { store } = storeWith('a');
    const listing = listed(store, '', { signal: AbortSignal.abort() });
    expect((await storageErrorOf(listing)).code).toBe('aborted');
  });
});

describe('a put into a directory', () => {
  test('a put into a directory makes the directories, replaces, and says what is there now', async () => {
    const root = join(temporaryDirectory(), 'not/yet');
    const store = directoryStore(root);
    await store.put('x/y/z', new Uint8Array(5));
    const info = await store.put('x/y/z', BYTES);
    expect(info).toEqual(await store.head('x/y/z'));
    expect(info.size).toBe(100);
    expect(readdirSync(join(root, 'x/y'))).toEqual(['z']);
  });

  test('a put into a directory that must be absent is refused if it is there, which stays as it is', async () => {
    const { store, directory } = storeWith();
    await store.put('new/a', BYTES, { ifAbsent: true });
    const again = store.put('new/a', new Uint8Array(1), { ifAbsent: true });
    expect(await storageErrorOf(again)).toMatchObject({
      code: 'exists',
      path: `${directory}/new/a`,
    });
    expect((await readWhole(store, 'new/a', { maximumLength: 1000 })).bytes).toEqual(BYTES);
    expect(readdirSync(join(directory, 'new'))).toEqual(['a']);
  });

  test('a put into a directory that replaces an expected object is refused if another one is there', async () => {
    const { store } = storeWith();
    const { etag } = await store.put('new/a', BYTES);
    await store.put('new/a', new Uint8Array(7), { ifMatch: etag });
    const late = store.put('new/a', new Uint8Array(1), { ifMatch: etag });
    expect((await storageErrorOf(late)).code).toBe('changed');
    const absent = store.put('new/b', new Uint8Array(1), { ifMatch: etag });
    expect((await storageErrorOf(absent)).code).toBe('changed');
    expect((await store.head('new/a'))?.size).toBe(7);
    expect(await store.head('new/b')).toBeUndefined();
  });

  test('a put into a directory that was aborted changes nothing', async () => {
    const { store, directory } = storeWith();
    const putting = store.put('a', BYTES, { ifAbsent: true, signal: AbortSignal.abort() });
    expect((await storageErrorOf(putting)).code).toBe('aborted');
    expect(existsSync(join(directory, 'a'))).toBe(false);
  });

  test.each([true, false])(
    'a put into a directory survives every crash once it has resolved (absent: %s)',
    async (ifAbsent) => {
      const disk = new MemoryFileSystem();
      disk.createDirectory('/data');
      const store = directoryStore('/data', { openFiles: new OpenFiles({ fileSystem: disk }) });
      await store.put('a', BYTES, { ifAbsent });
      let count = 0;
      for (const { disk: after } of crashStates(disk)) {
        expect(after.contentOf('/data/a')).toEqual(BYTES);
        count += 1;
      }
      expect(count).toBeGreaterThan(0);
    },
  );

  /** Directories and a file whose names no process has synced. */
  async function unsynced(): Promise<{ disk: MemoryFileSystem; store: ObjectStore }> {
    const disk = new MemoryFileSystem();
    for (const path of ['/data', '/data/a']) await disk.makeDirectory(path);
    disk.createFile('/file', BYTES);
    await disk.link('/file', '/data/a/found');
    const store = directoryStore('/data', { openFiles: new OpenFiles({ fileSystem: disk }) });
    return { disk, store };
  }

  test.each(['a/new', 'a/b/c/new'])(
    'a put into a directory of %s survives every crash, also if nobody synced the directories that it found',
    async (key) => {
      const { disk, store } = await unsynced();
      await store.put(key, BYTES);
      for (const { disk: after } of crashStates(disk)) {
        expect(after.contentOf(`/data/${key}`)).toEqual(BYTES);
      }
    },
  );

  test('a put into a directory survives a crash, also if another one is making the directory', async () => {
    const { disk, store } = await unsynced();
    const puts = ['one', 'two', 'three'].map(async (name) => {
      await store.put(`new/b/${name}`, BYTES, { ifAbsent: true });
      expect(disk.crash(loseEverything).contentOf(`/data/new/b/${name}`)).toEqual(BYTES);
    });
    await Promise.all(puts);
  });

  test.each(['put', 'putFile'] as const)(
    'a put into a directory that finds the object keeps it in every crash (%s)',
    async (way) => {
      const { disk, store } = await unsynced();
      const putting =
        way === 'put'
          ? store.put('a/found', BYTES, { ifAbsent: true })
          : putFile(store, 'a/found', '/file');
      expect((await storageErrorOf(putting)).code).toBe('exists');
      for (const { disk: after } of crashStates(disk)) {
        expect(after.contentOf('/data/a/found')).toEqual(BYTES);
      }
    },
  );
});

test.each([
  '',
  '/a',
  'a/',
  'a//b',
  '.',
  'a/./b',
  '../a',
  'a/..',
  'a\0',
  '\ud800',
  'k'.repeat(1025),
])('the key %j is refused', async (key) => {
  const { store } = storeWith('a');
  const calls = [store.head(key), store.readStart(key, 1), store.put(key, BYTES)];
  const errors = await Promise.all(calls.map(storageErrorOf));
  expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['invalid-input']));
});

test('a directory without a name is refused', () => {
  expect(storageErrorThrownBy(() => directoryStore('')).code).toBe('invalid-input');
});
