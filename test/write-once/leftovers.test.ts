import { describe, expect, test } from 'vitest';
import { loseEverything } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { leftoverName, ownerThat, scratchName } from '../support/leftovers.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const CONTENT = new Uint8Array(3);

function withFiles(...names: string[]): { fileSystem: MemoryFileSystem; openFiles: OpenFiles } {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/data');
  for (const name of names) fileSystem.createFile(`/data/${name}`, CONTENT);
  return { fileSystem, openFiles: new OpenFiles({ fileSystem }) };
}

describe('leftovers of a crash', () => {
  test('leftovers of a crash are removed, in byte order, and do not come back', async () => {
    const { fileSystem, openFiles } = withFiles('metadata.___temp', 'ephemeral-1f', 'a.0.___temp');
    expect(await removeLeftovers('/data', { openFiles })).toEqual([
      '/data/a.0.___temp',
      '/data/ephemeral-1f',
      '/data/metadata.___temp',
    ]);
    expect(fileSystem.crash(loseEverything).paths()).toEqual([]);
  });

  test.each([
    'metadata',
    '.___temp',
    'metadata.___temp.bak',
    'metadata.__temp',
    'metadata.___TEMP',
    'ephemeral-',
    'ephemeral-notes.txt',
    'not-ephemeral-1',
  ])('the name %s is not taken for a leftover of a crash', async (name) => {
    const { fileSystem, openFiles } = withFiles(name);
    expect(await removeLeftovers('/data', { openFiles })).toEqual([]);
    expect(fileSystem.paths()).toEqual([`/data/${name}`]);
  });

  test('directories, symbolic links and special files stay, whatever their names', async () => {
    const { fileSystem, openFiles } = withFiles('precious');
    fileSystem.createDirectory('/data/directory.___temp');
    fileSystem.createFile('/data/directory.___temp/inner.___temp', CONTENT);
    fileSystem.createSymbolicLink('/data/link.___temp', 'precious');
    fileSystem.createSpecialFile('/data/ephemeral-1');
    const before = fileSystem.paths();
    expect(await removeLeftovers('/data', { openFiles })).toEqual([]);
    expect(fileSystem.paths()).toEqual(before);
  });

  test('the directory is synced even without any: its names may be those of a killed process', async () => {
    const { fileSystem, openFiles } = withFiles('first');
    await fileSystem.rename('/data/first', '/data/second');
    expect(await removeLeftovers('/data', { openFiles })).toEqual([]);
    expect(fileSystem.crash(loseEverything).paths()).toEqual(['/data/second']);
  });

  test('a leftover that another process removes at the same time is not reported', async () => {
    const { fileSystem, openFiles } = withFiles('a.___temp', 'b.___temp');
    fileSystem.intercept = ({ kind, path }) =>
      kind === 'unlink' && path.includes('a.') ? { fail: 'ENOENT' } : undefined;
    expect(await removeLeftovers('/data', { openFiles })).toEqual(['/data/b.___temp']);
  });

  test.each(['read-directory', 'unlink'])(
    'a failing %s rejects, and a second call ends it',
    async (failing) => {
      const { fileSystem, openFiles } = withFiles('a.___temp');
      fileSystem.intercept = ({ kind }) => (kind === failing ? { fail: 'EIO' } : undefined);
      expect(await storageErrorOf(removeLeftovers('/data', { openFiles }))).toMatchObject({
        code: 'io',
        errno: 'EIO',
      });
      fileSystem.intercept = undefined;
      await removeLeftovers('/data', { openFiles });
      expect(fileSystem.paths()).toEqual([]);
    },
  );

  test('a failing sync of the directory is final: every later call rejects', async () => {
    const { fileSystem, openFiles } = withFiles('a.___temp');
    fileSystem.intercept = ({ kind }) => (kind === 'sync-directory' ? { fail: 'EIO' } : undefined);
    for (let call = 0; call < 2; call += 1) {
      expect(await storageErrorOf(removeLeftovers('/data', { openFiles }))).toMatchObject({
        code: 'sync-failed',
        errno: 'EIO',
      });
      fileSystem.intercept = undefined;
    }
  });

  test('a missing directory is not found', async () => {
    const { openFiles } = withFiles();
    expect(await storageErrorOf(removeLeftovers('/missing', { openFiles }))).toMatchObject({
      code: 'not-found',
      path: '/missing',
    });
  });

  test('an abort leaves the rest where it is', async () => {
    const { fileSystem, openFiles } = withFiles('a.___temp', 'b.___temp');
    const controller = new AbortController();
    fileSystem.intercept = ({ kind }) => {
      if (kind === 'unlink') controller.abort();
      return undefined;
    };
    const removing = removeLeftovers('/data', { openFiles, signal: controller.signal });
    expect((await storageErrorOf(removing)).code).toBe('aborted');
    expect(fileSystem.paths()).toEqual(['/data/b.___temp']);
  });
});

describe('files whose names contain their owner', () => {
  test.each([
    ['running', 'are kept'],
    ['ended', 'are removed'],
    ['unknown', 'are removed'],
  ] as const)('files that name an owner that is %s %s', async (state, result) => {
    const { fileSystem, openFiles } = withFiles();
    const owner = ownerThat(state, fileSystem);
    const names = [scratchName(owner), leftoverName('0-1__2', owner), leftoverName('file', owner)];
    for (const name of names) fileSystem.createFile(`/data/${name}`, CONTENT);
    const paths = names.map((name) => `/data/${name}`).sort();
    const isKept = result === 'are kept';
    expect(await removeLeftovers('/data', { openFiles })).toEqual(isKept ? [] : paths);
    expect(fileSystem.paths()).toEqual(isKept ? paths : []);
  });

  test('the owner is requested once, however many files it has', async () => {
    const { fileSystem, openFiles } = withFiles();
    for (const stem of ['a', 'b', 'c']) {
      const name = leftoverName(stem, ownerThat('ended', fileSystem));
      fileSystem.createFile(`/data/${name}`, CONTENT);
    }
    let asked = 0;
    const { stateOf } = fileSystem.owners;
    Object.assign(fileSystem.owners, {
      stateOf: (owner: string) => {
        asked += 1;
        return stateOf(owner);
      },
    });
    await removeLeftovers('/data', { openFiles });
    expect(asked).toBe(1);
    expect(fileSystem.paths()).toEqual([]);
  });
});
