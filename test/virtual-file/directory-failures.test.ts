import { describe, expect, test } from 'vitest';
import type { StorageError } from '../../src/errors.ts';
import { everyChoice } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { durableRename, publishNew } from '../../src/virtual-file/durable-rename.ts';
import { MAXIMUM_SYNCS } from '../../src/virtual-file/limiter.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../src/virtual-file/temporary-file.ts';
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
  test('every later one fails with the same error, without another try', async () => {
    const world = disk();
    const { openFiles, kinds } = world;
    await failSync(world);
    for (let call = 0; call < 2; call += 1) {
      const error = await storageErrorOf(openFiles.syncDirectory('/data'));
      expect(error).toMatchObject({ code: 'sync-failed', errno: 'EIO', path: '/data' });
    }
    expect(kinds).not.toContain('sync-directory');
  });

  test('after a failed sync of the directory, no file takes a name in it any more, and existing files stay', async () => {
    const world = disk();
    const { openFiles, fileSystem, kinds } = world;
    fileSystem.createFile('/data/a', new Uint8Array(1));
    await failSync(world);
    for (const [publish, target] of [
      [durableRename, '/data/a'],
      [publishNew, '/data/b'],
    ] as const) {
      const temporary = await TemporaryFile.create('/data/temporary', { openFiles });
      const error = await storageErrorOf(publish(temporary, target));
      expect(error).toMatchObject({ code: 'sync-failed', errno: 'EIO', outcome: 'not-applied' });
      await temporary.abandon();
    }
    expect(kinds).not.toContain('rename');
    expect(kinds).not.toContain('link');
    expect(fileSystem.paths()).toEqual(['/data/a']);
  });

  test('the next process knows nothing of it', async () => {
    const world = disk();
    await failSync(world);
    const openFiles = new OpenFiles({ fileSystem: world.fileSystem.clone() });
    await openFiles.syncDirectory('/data');
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
    expect(await storageErrorOf(first)).toMatchObject({ code: 'sync-failed', errno: 'EIO' });
  });

  test('after a failed sync of the directory, another table over the same disk knows, and so does another spelling of the path', async () => {
    const world = disk();
    const other = new OpenFiles({ fileSystem: world.fileSystem });
    await failSync(world);
    await storageErrorOf(other.syncDirectory('/data/'));
  });

  test('other directories are still synced', async () => {
    const world = disk();
    await failSync(world);
    await world.openFiles.syncDirectory('/');
  });

  test.each(['/alias', '/data/../alias/.', '/to-alias'])(
    'after a failed sync of the directory, the same directory by the path %s fails, too',
    async (path) => {
      const world = disk();
      world.fileSystem.createSymbolicLink('/alias', 'data');
      world.fileSystem.createSymbolicLink('/to-alias', '/alias');
      await failSync(world);
      expect(await storageErrorOf(world.openFiles.syncDirectory(path))).toMatchObject({
        errno: 'EIO',
      });
    },
  );

  test('after a failed sync of a directory whose identity is unknown, any directory may be the one', async () => {
    const world = disk();
    world.answer(({ kind }) => (kind === 'read' ? undefined : { fail: 'EIO' }));
    await storageErrorOf(world.openFiles.syncDirectory('/data'));
    world.answer(undefined);
    await storageErrorOf(world.openFiles.syncDirectory('/'));
  });

  test('a sync that ends while the directory is looked up does not count as successful', async () => {
    const world = disk();
    const { opened: lookedUp, open: lookUp } = gate();
    const { opened: synced, open: endSync } = gate();
    let [syncs, stats] = [0, 0];
    world.answer(({ kind }) => {
      if (kind === 'stat') return ++stats === 1 ? { delay: lookedUp } : undefined;
      if (kind !== 'sync-directory') return undefined;
      return ++syncs === 1 ? { fail: 'EIO' } : { delay: synced };
    });
    const first = storageErrorOf(world.openFiles.syncDirectory('/data'));
    const second = world.openFiles.syncDirectory('/data');
    await first;
    endSync();
    expect(await isPending(second)).toBe(true);
    lookUp();
    expect(await storageErrorOf(second)).toMatchObject({ errno: 'EIO' });
  });

  test('a directory of unknown identity may be the one', async () => {
    const world = disk();
    await failSync(world);
    world.answer(({ kind }) => (kind === 'stat' ? { fail: 'EACCES' } : undefined));
    await storageErrorOf(world.openFiles.syncDirectory('/'));
  });

  test('of two directories that failed, each fails with its own error', async () => {
    const world = disk();
    world.fileSystem.createDirectory('/other');
    const errors = [];
    for (const path of ['/data', '/other']) {
      world.answer(({ kind }) => (kind === 'sync-directory' ? { fail: 'EIO' } : undefined));
      errors.push(await storageErrorOf(world.openFiles.syncDirectory(path)));
      world.answer(undefined);
    }
    expect(await storageErrorOf(world.openFiles.syncDirectory('/data'))).toBe(errors[0]);
    expect(await storageErrorOf(world.openFiles.syncDirectory('/other'))).toBe(errors[1]);
  });
});

test.each(['ENOSPC', 'EDQUOT', 'EIO', 'EACCES'])(
  'a sync that fails with %s is fatal',
  async (errno) => {
    const world = disk();
    world.answer(({ kind }) =>
      kind === 'sync-directory' ? { fail: errno, whileSyncing: true } : undefined,
    );
    for (let call = 0; call < 2; call += 1) {
      const error = await storageErrorOf(world.openFiles.syncDirectory('/data'));
      expect(error).toMatchObject({ code: 'sync-failed', errno });
    }
    expect(world.fatal).toHaveLength(1);
  },
);

test.each(['EMFILE', 'ENFILE'])(
  'a sync that fails with %s is not tried again, although opening the directory is',
  async (errno) => {
    const world = disk();
    // A file of the table that could be closed to make room.
    const file = await TemporaryFile.create('/data/file', { openFiles: world.openFiles });
    let syncs = 0;
    world.answer(({ kind }) => {
      if (kind !== 'sync-directory') return undefined;
      syncs += 1;
      return syncs === 1 ? { fail: errno, whileSyncing: true } : undefined;
    });
    const error = await storageErrorOf(world.openFiles.syncDirectory('/data'));
    expect(error).toMatchObject({ code: 'sync-failed', errno });
    expect(syncs).toBe(1);
    expect(world.openFiles.openCount).toBe(1);
    expect(world.fatal).toEqual([error]);
    await file.abandon();
  },
);

test.each(['EMFILE', 'EACCES'])(
  'a directory that could not be opened (%s) lost nothing',
  async (errno) => {
    const world = disk();
    await failSync(world, errno);
    await world.openFiles.syncDirectory('/data');
    expect(world.fatal).toEqual([]);
  },
);

describe.each(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'])(
  'a file system that answers %s to the sync of a directory',
  (errno) => {
    test('a file system that cannot sync a directory has not failed', async () => {
      const world = disk();
      world.answer(({ kind }) => (kind === 'sync-directory' ? { fail: errno } : undefined));
      for (const [publish, target] of [
        [durableRename, '/data/a'],
        [publishNew, '/data/b'],
      ] as const) {
        const temporary = await TemporaryFile.create('/data/temporary', {
          openFiles: world.openFiles,
        });
        await publish(temporary, target);
        await temporary.abandon();
      }
      expect(world.fileSystem.paths()).toEqual(['/data/a', '/data/b']);
      expect(world.fatal).toEqual([]);
    });

    test('a file system that cannot sync directories is believed of the sync only: a directory that cannot be opened is an error', async () => {
      const world = disk();
      world.answer(({ kind }) =>
        kind === 'sync-directory' ? { fail: errno, whileSyncing: false } : undefined,
      );
      const error = await storageErrorOf(world.openFiles.syncDirectory('/data'));
      expect(error).toMatchObject({ code: 'io', errno });
    });
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
  for (const choose of everyChoice())
    states.add(fileSystem.crash(choose).paths().includes('/data/a'));
  expect(states).toEqual(new Set([true, false]));
});
