import { describe, expect, test } from 'vitest';
import type { StorageError } from '../../src/errors.ts';
import { durableRename, publishNew } from '../../src/virtual-file/durable-rename.ts';
import { MAXIMUM_SYNCS } from '../../src/virtual-file/limiter.ts';
import { MemoryFileSystem } from '../../src/virtual-file/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../src/virtual-file/temporary-file.ts';
import { forEveryChoice } from '../support/choices.ts';
import { gate, idle, isPending } from '../support/gate.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

function disk() {
  const kinds: string[] = [];
  const fatal: StorageError[] = [];
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/data');
  const onFatalError = (error: StorageError): number => fatal.push(error);
  const openFiles = new OpenFiles({ fileSystem, onFatalError });
  const answer = (respond: MemoryFileSystem['intercept']): void => {
    fileSystem.intercept = (operation) => {
      kinds.push(operation.kind);
      return respond?.(operation);
    };
  };
  answer(undefined);
  return { fileSystem, openFiles, answer, kinds, fatal };
}

/** Somebody else's sync of the directory fails. */
async function failSync({ openFiles, answer, kinds }: ReturnType<typeof disk>, errno = 'EIO') {
  answer(({ kind }) => (kind === 'sync-directory' ? { fail: errno } : undefined));
  expect(await storageErrorOf(openFiles.syncDirectory('/data'))).toMatchObject({ errno });
  answer(undefined);
  kinds.length = 0;
}

describe('after a failed sync of the directory', () => {
  test('the sync of an older change fails, too, without another try', async () => {
    const world = disk();
    const { openFiles, fileSystem, kinds } = world;
    const mark = openFiles.directoryMark();
    await fileSystem.open('/data/a', { write: true, createNew: true });
    await failSync(world);
    const error = await storageErrorOf(openFiles.syncDirectory('/data', mark));
    expect(error).toMatchObject({ code: 'io', errno: 'EIO', path: '/data' });
    expect(kinds).not.toContain('sync-directory');
  });

  test('a later change is synced as ever', async () => {
    const world = disk();
    const { openFiles, fileSystem, kinds } = world;
    await failSync(world);
    const mark = openFiles.directoryMark();
    await fileSystem.open('/data/a', { write: true, createNew: true });
    await openFiles.syncDirectory('/data', mark);
    expect(kinds).toEqual(['open', 'sync-directory']);
  });

  // A pool of one thread takes one sync at a time: none is under way beside another.
  test.runIf(MAXIMUM_SYNCS > 1)('a sync that was under way fails, too', async () => {
    const world = disk();
    const { openFiles, answer } = world;
    const { opened, open } = gate();
    answer(({ kind }) => (kind === 'sync-directory' ? { delay: opened } : undefined));
    const first = openFiles.syncDirectory('/data');
    await idle();
    await failSync(world);
    open();
    expect(await storageErrorOf(first)).toMatchObject({ code: 'io', errno: 'EIO' });
  });

  test('another table over the same disk knows, and so does another spelling of the path', async () => {
    const world = disk();
    const other = new OpenFiles({ fileSystem: world.fileSystem });
    const mark = other.directoryMark();
    await failSync(world);
    await storageErrorOf(other.syncDirectory('/data/', mark));
    await other.syncDirectory('/data/');
  });

  test('other directories are synced as ever', async () => {
    const world = disk();
    const mark = world.openFiles.directoryMark();
    await failSync(world);
    await world.openFiles.syncDirectory('/', mark);
  });

  test.each(['/alias', '/data/../alias/.', '/to-alias'])(
    'the same directory by the path %s fails, too',
    async (path) => {
      const world = disk();
      world.fileSystem.createSymbolicLink('/alias', 'data');
      world.fileSystem.createSymbolicLink('/to-alias', '/alias');
      const mark = world.openFiles.directoryMark();
      await failSync(world);
      expect(await storageErrorOf(world.openFiles.syncDirectory(path, mark))).toMatchObject({
        errno: 'EIO',
      });
      await world.openFiles.syncDirectory(path);
    },
  );

  test('of which nobody can tell the identity, any directory may be the one', async () => {
    const world = disk();
    const mark = world.openFiles.directoryMark();
    world.answer(({ kind }) => (kind === 'read' ? undefined : { fail: 'EIO' }));
    await storageErrorOf(world.openFiles.syncDirectory('/data'));
    world.answer(undefined);
    await storageErrorOf(world.openFiles.syncDirectory('/', mark));
    await world.openFiles.syncDirectory('/');
  });

  test('a sync that ends while the directory is looked up is not taken for sound', async () => {
    const world = disk();
    const mark = world.openFiles.directoryMark();
    const { opened: lookedUp, open: lookUp } = gate();
    const { opened: synced, open: endSync } = gate();
    let [syncs, stats] = [0, 0];
    world.answer(({ kind }) => {
      if (kind === 'stat') return ++stats === 1 ? { delay: lookedUp } : undefined;
      if (kind !== 'sync-directory') return undefined;
      return ++syncs === 1 ? { fail: 'EIO' } : { delay: synced };
    });
    const first = storageErrorOf(world.openFiles.syncDirectory('/data'));
    const second = world.openFiles.syncDirectory('/data', mark);
    await first;
    endSync();
    expect(await isPending(second)).toBe(true);
    lookUp();
    expect(await storageErrorOf(second)).toMatchObject({ errno: 'EIO' });
  });

  test('a directory whose identity nobody can tell may be the one', async () => {
    const world = disk();
    const mark = world.openFiles.directoryMark();
    await failSync(world);
    world.answer(({ kind }) => (kind === 'stat' ? { fail: 'EACCES' } : undefined));
    await storageErrorOf(world.openFiles.syncDirectory('/', mark));
  });

  test('an earlier failure of the directory counts for an older mark only', async () => {
    const world = disk();
    world.fileSystem.createDirectory('/other');
    const marks = [];
    for (const path of ['/data', '/other', '/data']) {
      marks.push(world.openFiles.directoryMark());
      world.answer(({ kind }) => (kind === 'sync-directory' ? { fail: 'EIO' } : undefined));
      await storageErrorOf(world.openFiles.syncDirectory(path));
      world.answer(undefined);
      await idle();
    }
    const fails = async (path: string, mark: number | undefined): Promise<boolean> =>
      world.openFiles.syncDirectory(path, mark).then(
        () => false,
        () => true,
      );
    expect(await fails('/data', marks[0])).toBe(true);
    expect(await fails('/data', marks[2])).toBe(true);
    expect(await fails('/other', marks[1])).toBe(true);
    expect(await fails('/other', marks[2])).toBe(false);
    expect(await fails('/', marks[0])).toBe(false);
  });
});

test.each(['ENOSPC', 'EDQUOT', 'EIO'])('a sync that fails with %s is fatal', async (errno) => {
  const world = disk();
  await failSync(world, errno);
  await failSync(world, errno);
  expect(world.fatal).toHaveLength(1);
});

test.each(['EMFILE', 'EACCES'])(
  'a directory that could not be opened (%s) lost nothing',
  async (errno) => {
    const world = disk();
    const mark = world.openFiles.directoryMark();
    await failSync(world, errno);
    await world.openFiles.syncDirectory('/data', mark);
    expect(world.fatal).toEqual([]);
  },
);

/** The failure may come between the change and its own sync, or even before the change is told. */
test.each([
  ['a durable rename', durableRename, 'rename'],
  ['publishing', publishNew, 'link'],
] as const)('%s is in doubt when another sync failed under way', async (_, publish, change) => {
  const world = disk();
  const { openFiles, fileSystem, answer, kinds } = world;
  const temporary = await TemporaryFile.create('/data/a.temporary', { openFiles });
  const { opened, open } = gate();
  answer(({ kind }) => (kind === change ? { delay: opened } : undefined));
  const publishing = publish(temporary, '/data/a');
  await idle();
  await failSync(world);
  open();
  expect(await storageErrorOf(publishing)).toMatchObject({ errno: 'EIO', outcome: 'in-doubt' });
  expect(kinds).not.toContain('sync-directory');
  await temporary.abandon();
  const states = new Set<boolean>();
  forEveryChoice((choose) => states.add(fileSystem.crash(choose).paths().includes('/data/a')));
  expect(states).toEqual(new Set([true, false]));
});
