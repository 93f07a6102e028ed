import { describe, expect, test } from 'vitest';
import type { Outcome, StorageError } from '../../src/errors.ts';
import { everyChoice, loseEverything } from '../../src/testing/choices.ts';
import type { FaultAction, FileSystemOperation } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { durableRename, publishNew } from '../../src/virtual-file/durable-rename.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../src/virtual-file/temporary-file.ts';
import { idle, turns } from '../support/gate.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

type Publish = typeof durableRename;

const TEMPORARY = '/data/file.temporary';
const TARGET = '/data/file';

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf(fileSystem: MemoryFileSystem, path: string): string | undefined {
  if (!fileSystem.paths().includes(path)) return undefined;
  return new TextDecoder().decode(fileSystem.contentOf(path));
}

/** A temporary file with `new` in it, and the target if it has an old content. */
async function prepare(oldContent?: string) {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/data');
  if (oldContent !== undefined) fileSystem.createFile(TARGET, bytes(oldContent));
  const fatal: unknown[] = [];
  const openFiles = new OpenFiles({ fileSystem, onFatalError: (error) => fatal.push(error) });
  const temporary = await TemporaryFile.create(TEMPORARY, { openFiles });
  await temporary.file.writeAllAt(bytes('new'), 0);
  const kinds: string[] = [];
  const answer = (respond: (operation: FileSystemOperation) => FaultAction | undefined): void => {
    fileSystem.intercept = (operation) => {
      kinds.push(operation.kind);
      return respond(operation);
    };
  };
  answer(() => undefined);
  return { fileSystem, openFiles, temporary, kinds, answer, fatal };
}

/** Contents that the target may have after a crash. */
function afterCrash(fileSystem: MemoryFileSystem): Set<string | undefined> {
  const contents = new Set<string | undefined>();
  for (const choose of everyChoice()) contents.add(textOf(fileSystem.crash(choose), TARGET));
  return contents;
}

describe('a durable rename', () => {
  test('syncs the file, renames it, syncs the directory', async () => {
    const { temporary, fileSystem, kinds } = await prepare('old');
    await durableRename(temporary, TARGET);
    expect(kinds).toEqual(['sync', 'stat', 'rename', 'sync-directory']);
    expect(fileSystem.paths()).toEqual([TARGET]);
    expect(afterCrash(fileSystem)).toEqual(new Set(['new']));
    await temporary.abandon();
    expect(fileSystem.paths()).toEqual([TARGET]);
  });

  test.each<[string, FaultAction & { at: string }, string, Outcome]>([
    ['the sync', { at: 'sync', fail: 'EIO' }, 'sync-failed', 'not-applied'],
    ['the rename', { at: 'rename', fail: 'ENOSPC' }, 'io', 'not-applied'],
    ['the sync of the directory', { at: 'sync-directory', fail: 'EIO' }, 'sync-failed', 'in-doubt'],
  ])(
    'a durable rename whose failing step is %s says so',
    async (_, { at, fail }, code, outcome) => {
      const { temporary, fileSystem, answer } = await prepare('old');
      answer(({ kind }) => (kind === at ? { fail } : undefined));
      const error = await storageErrorOf(durableRename(temporary, TARGET));
      expect(error).toMatchObject({ code, errno: fail, outcome });
      if (outcome === 'not-applied') {
        expect(textOf(fileSystem, TARGET)).toBe('old');
        expect(afterCrash(fileSystem)).toEqual(new Set(['old']));
      } else {
        expect(afterCrash(fileSystem)).toEqual(new Set(['old', 'new']));
      }
      await temporary.abandon();
      expect(fileSystem.paths()).toEqual([TARGET]);
    },
  );

  test('a rename that took effect although it reported failure counts as done', async () => {
    const { temporary, fileSystem, answer, kinds } = await prepare('old');
    let renamed = false;
    answer(({ kind }) => {
      if (kind !== 'rename' || renamed) return undefined;
      renamed = true;
      return { delay: fileSystem.rename(TEMPORARY, TARGET), fail: 'EIO' };
    });
    await durableRename(temporary, TARGET);
    expect(kinds.at(-1)).toBe('sync-directory');
    expect(afterCrash(fileSystem)).toEqual(new Set(['new']));
    await temporary.abandon();
    expect(fileSystem.paths()).toEqual([TARGET]);
  });

  test('a durable rename whose file another process replaces before the directory is synced is a success', async () => {
    const { temporary, fileSystem, answer } = await prepare('old');
    fileSystem.createFile('/data/other', bytes('newer'));
    answer(({ kind }) =>
      kind === 'sync-directory' ? { delay: fileSystem.rename('/data/other', TARGET) } : undefined,
    );
    await durableRename(temporary, TARGET);
    expect(afterCrash(fileSystem)).toEqual(new Set(['newer']));
    await temporary.abandon();
  });

  test('a durable rename whose temporary file was removed first is not-applied', async () => {
    const { temporary, fileSystem, answer } = await prepare('old');
    answer(({ kind }) => (kind === 'rename' ? { delay: fileSystem.unlink(TEMPORARY) } : undefined));
    const error = await storageErrorOf(durableRename(temporary, TARGET));
    expect(error).toMatchObject({ code: 'not-found', outcome: 'not-applied' });
    expect(afterCrash(fileSystem)).toEqual(new Set(['old']));
    await temporary.abandon();
  });

  test('a durable rename that fails while the target cannot be looked up is decided by the temporary name', async () => {
    const { temporary, answer } = await prepare('old');
    answer(({ kind, path }) =>
      kind === 'rename' || (kind === 'stat' && path === TARGET) ? { fail: 'EIO' } : undefined,
    );
    const error = await storageErrorOf(durableRename(temporary, TARGET));
    expect(error).toMatchObject({ code: 'io', outcome: 'not-applied' });
    await temporary.abandon();
  });

  test('a durable rename of which neither name can be looked up afterwards is in-doubt', async () => {
    const { temporary, fileSystem, answer } = await prepare('old');
    answer(({ kind }) =>
      kind === 'rename' ? { delay: fileSystem.unlink(TEMPORARY), fail: 'EIO' } : undefined,
    );
    const error = await storageErrorOf(durableRename(temporary, TARGET));
    expect(error).toMatchObject({ code: 'io', outcome: 'in-doubt' });
    await temporary.abandon();
  });

  test('a durable rename is given up when the signal has fired once the sync is done', async () => {
    const { temporary, fileSystem, kinds, answer } = await prepare('old');
    const controller = new AbortController();
    answer(({ kind }) => {
      if (kind === 'sync') controller.abort(new Error('enough'));
      return undefined;
    });
    const { signal } = controller;
    const error = await storageErrorOf(durableRename(temporary, TARGET, { signal }));
    expect(error).toMatchObject({ code: 'aborted', outcome: 'not-applied', path: TARGET });
    expect(kinds).not.toContain('rename');
    await temporary.abandon();
    expect(textOf(fileSystem, TARGET)).toBe('old');
    expect(fileSystem.paths()).toEqual([TARGET]);
  });

  test('a durable rename to a directory that is missing is not-found and not-applied', async () => {
    const { temporary } = await prepare();
    const error = await storageErrorOf(durableRename(temporary, '/missing/file'));
    expect(error).toMatchObject({ code: 'not-found', outcome: 'not-applied' });
    await temporary.abandon();
  });
});

describe('publishing under a new name', () => {
  test('syncs, links, syncs the directory and only then removes the temporary name', async () => {
    const { temporary, fileSystem, kinds } = await prepare();
    await publishNew(temporary, TARGET);
    expect(kinds).toEqual(['sync', 'stat', 'link', 'sync-directory', 'unlink']);
    expect(fileSystem.paths()).toEqual([TARGET]);
    expect(afterCrash(fileSystem)).toEqual(new Set(['new']));
    await temporary.abandon();
    expect(fileSystem.paths()).toEqual([TARGET]);
  });

  test.each<[string, FaultAction & { at: string }, string, Outcome]>([
    ['the sync', { at: 'sync', fail: 'ENOSPC' }, 'sync-failed', 'not-applied'],
    ['the link', { at: 'link', fail: 'ENOSPC' }, 'io', 'not-applied'],
    ['the sync of the directory', { at: 'sync-directory', fail: 'EIO' }, 'sync-failed', 'in-doubt'],
    ['removing the temporary name', { at: 'unlink', fail: 'EIO' }, 'io', 'durable'],
  ])(
    'publishing under a new name whose failing step is %s says so',
    async (_, { at, fail }, code, outcome) => {
      const { temporary, fileSystem, answer } = await prepare();
      answer(({ kind }) => (kind === at ? { fail } : undefined));
      const error = await storageErrorOf(publishNew(temporary, TARGET));
      expect(error).toMatchObject({ code, errno: fail, outcome });
      expect(afterCrash(fileSystem)).toEqual(
        new Set(
          { 'not-applied': [undefined], 'in-doubt': [undefined, 'new'], durable: ['new'] }[outcome],
        ),
      );
      answer(() => undefined);
      await temporary.abandon();
      expect(fileSystem.paths()).toEqual(outcome === 'not-applied' ? [] : [TARGET]);
    },
  );

  test.each(['EEXIST', 'EIO'])(
    'publishing under a new name that took place although %s came back continues',
    async (errno) => {
      const { temporary, fileSystem, answer, kinds } = await prepare();
      let linked = false;
      answer(({ kind }) => {
        if (kind !== 'link' || linked) return undefined;
        linked = true;
        return { delay: fileSystem.link(TEMPORARY, TARGET), fail: errno };
      });
      await publishNew(temporary, TARGET);
      expect(kinds.slice(-2)).toEqual(['sync-directory', 'unlink']);
      expect(afterCrash(fileSystem)).toEqual(new Set(['new']));
      await temporary.abandon();
      expect(fileSystem.paths()).toEqual([TARGET]);
    },
  );

  test('publishing under a new name is in-doubt if it is unknown whether the link took place', async () => {
    const { temporary, answer } = await prepare();
    let isFailing = false;
    answer(({ kind }) => {
      isFailing ||= kind === 'link';
      return isFailing && (kind === 'link' || kind === 'stat') ? { fail: 'EIO' } : undefined;
    });
    const error = await storageErrorOf(publishNew(temporary, TARGET));
    expect(error).toMatchObject({ code: 'io', errno: 'EIO', outcome: 'in-doubt' });
    await temporary.abandon();
  });

  test('publishing under a new name succeeds where the temporary name is gone already', async () => {
    const { temporary, fileSystem, answer } = await prepare();
    answer(({ kind }) =>
      kind === 'sync-directory' ? { delay: fileSystem.unlink(TEMPORARY) } : undefined,
    );
    await publishNew(temporary, TARGET);
    expect(afterCrash(fileSystem)).toEqual(new Set(['new']));
    await temporary.abandon();
    expect(fileSystem.paths()).toEqual([TARGET]);
  });

  test('publishing under a new name never replaces what has the name', async () => {
    const { temporary, fileSystem } = await prepare('old');
    const error = await storageErrorOf(publishNew(temporary, TARGET));
    expect(error).toMatchObject({ code: 'exists', path: TARGET, outcome: 'not-applied' });
    await temporary.abandon();
    expect(textOf(fileSystem, TARGET)).toBe('old');
    expect(fileSystem.paths()).toEqual([TARGET]);
  });

  test('publishing under a new name never follows a symbolic link that has the name', async () => {
    const { temporary, fileSystem } = await prepare();
    fileSystem.createSymbolicLink(TARGET, '/data/elsewhere');
    expect((await storageErrorOf(publishNew(temporary, TARGET))).code).toBe('exists');
    await temporary.abandon();
    expect(fileSystem.paths()).toEqual([TARGET]);
  });

  test('publishing under a new name by two callers: one gets the name for its complete content, the other is refused', async () => {
    const fileSystem = new MemoryFileSystem();
    fileSystem.createDirectory('/data');
    const openFiles = new OpenFiles({ fileSystem });
    for (let round = 0; round < 20; round += 1) {
      const target = `/data/${round}`;
      const publish = async (content: string): Promise<void> => {
        await using temporary = await TemporaryFile.create(`${target}.${content}`, { openFiles });
        await temporary.file.writeAllAt(bytes(content), 0);
        if (round % 2 === 0) await idle();
        await publishNew(temporary, target);
      };
      const contents = ['first', 'second', 'third'];
      const settled = await Promise.allSettled(contents.map(publish));
      const winners = contents.filter((_, n) => settled[n]?.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      expect(textOf(fileSystem, target)).toBe(winners[0]);
      for (const one of settled) {
        if (one.status === 'fulfilled') continue;
        expect(one.reason).toMatchObject({ code: 'exists', outcome: 'not-applied' });
      }
    }
    expect(fileSystem.paths()).toHaveLength(20);
  });
});

describe.each([
  ...['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL'],
  ...['EISDIR', 'EMLINK', 'ENOTTY', 'EXDEV', 'UNKNOWN'],
])('publishing where links fail with %s', (errno) => {
  const withoutLinks = ({ kind }: FileSystemOperation): FaultAction | undefined =>
    kind === 'link' ? { fail: errno } : undefined;

  test('publishing where links fail renames instead', async () => {
    const { temporary, fileSystem, kinds, answer } = await prepare();
    answer(withoutLinks);
    await publishNew(temporary, TARGET);
    expect(kinds).toEqual([
      ...['sync', 'stat', 'link', 'stat'],
      ...['stat', 'stat', 'rename', 'sync-directory'],
    ]);
    expect(afterCrash(fileSystem)).toEqual(new Set(['new']));
    await temporary.abandon();
    expect(fileSystem.paths()).toEqual([TARGET]);
  });

  test('publishing where links fail reports the error of the rename if that fails, too', async () => {
    const { temporary, fileSystem, answer } = await prepare();
    answer(({ kind }) =>
      kind === 'link' ? { fail: errno } : kind === 'rename' ? { fail: 'EACCES' } : undefined,
    );
    const error = await storageErrorOf(publishNew(temporary, TARGET));
    expect(error).toMatchObject({ code: 'io', errno: 'EACCES', outcome: 'not-applied' });
    expect(error.message).toContain('rename');
    await temporary.abandon();
    expect(fileSystem.paths()).toEqual([]);
  });

  test('publishing where links fail does not replace what has the name', async () => {
    const { temporary, fileSystem, answer } = await prepare('old');
    answer(withoutLinks);
    const error = await storageErrorOf(publishNew(temporary, TARGET));
    expect(error).toMatchObject({ code: 'exists', path: TARGET, outcome: 'not-applied' });
    await temporary.abandon();
    expect(textOf(fileSystem, TARGET)).toBe('old');
  });
});

test('publishing without links is not-applied where the name cannot be looked up', async () => {
  const { temporary, answer } = await prepare();
  answer(({ kind }) =>
    kind === 'link' ? { fail: 'EPERM' } : kind === 'stat' ? { fail: 'EIO' } : undefined,
  );
  const error = await storageErrorOf(publishNew(temporary, TARGET));
  expect(error).toMatchObject({ code: 'io', errno: 'EIO', outcome: 'not-applied' });
  await temporary.abandon();
});

test.each<[string, Publish]>([
  ['a durable rename', durableRename],
  ['publishing', publishNew],
])('%s of a file whose sync failed before changes nothing', async (_, publish) => {
  const { temporary, fileSystem, answer, kinds, fatal } = await prepare();
  answer(({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined));
  const first = await storageErrorOf(temporary.file.sync());
  answer(() => undefined);
  const error: StorageError = await storageErrorOf(publish(temporary, TARGET));
  expect(error).toMatchObject({ code: 'sync-failed', outcome: 'not-applied' });
  expect(error.message).toBe(first.message);
  expect(kinds).toEqual(['sync']);
  expect(fatal).toHaveLength(1);
  await temporary.abandon();
  expect(fileSystem.paths()).toEqual([]);
});

/** The name must never stand for less than the whole content, wherever the crash comes. */
test.each<[string, Publish, string | undefined]>([
  ['a durable rename', durableRename, 'old'],
  ['a durable rename to a new name', durableRename, undefined],
  ['publishing', publishNew, undefined],
])(
  'a crash at any moment of %s leaves the old state or the whole content',
  async (_, publish, old) => {
    const { temporary, fileSystem, answer } = await prepare(old);
    const crashes: MemoryFileSystem[] = [];
    answer(() => {
      crashes.push(fileSystem.clone());
      return undefined;
    });
    await publish(temporary, TARGET);
    crashes.push(fileSystem.clone());
    for (const crashed of crashes) {
      for (const content of afterCrash(crashed)) expect([old, 'new']).toContain(content);
    }
    expect(crashes.length).toBeGreaterThan(3);
    await temporary.abandon();
  },
);

describe.each<[string, Publish]>([
  ['a rename', durableRename],
  ['a new name', publishNew],
])('a temporary file in whose place another one lies, by %s', (_, publish) => {
  test.each([undefined, 'file', 'symbolic link'])(
    'a temporary file in whose place another one lies takes no name, and what lies there (%s) stays',
    async (other) => {
      const { temporary, fileSystem, kinds } = await prepare();
      await fileSystem.unlink(TEMPORARY);
      if (other === 'file') fileSystem.createFile(TEMPORARY, bytes('another'));
      if (other === 'symbolic link') fileSystem.createSymbolicLink(TEMPORARY, TARGET);
      const before = fileSystem.paths();
      const error = await storageErrorOf(publish(temporary, TARGET));
      expect(error).toMatchObject({
        code: other === undefined ? 'not-found' : 'io',
        outcome: 'not-applied',
        path: TEMPORARY,
      });
      expect(kinds).not.toContain('link');
      expect(kinds).not.toContain('rename');
      await temporary.abandon();
      expect(fileSystem.paths()).toEqual(before);
      expect(fileSystem.openCount).toBe(0);
    },
  );
});

const STEPS = ['sync', 'stat', 'rename', 'link', 'unlink', 'sync-directory'] as const;

describe.each<[string, Publish]>([
  ['a rename', durableRename],
  ['a new name', publishNew],
])('%s', (_, publish) => {
  test.each(STEPS.flatMap((step) => [0, 1, 2, 3].map((turn) => [step, turn] as const)))(
    'a publish whose file is abandoned during %s, %d turns later, tells what is on disk',
    async (step, turn) => {
      const { fileSystem, temporary, answer } = await prepare();
      let abandoning: Promise<unknown> | undefined;
      answer(({ kind }) => {
        if (kind !== step) return undefined;
        abandoning ??= turns(turn).then(() => Promise.allSettled([temporary.abandon()]));
        return { delay: turns(2) };
      });
      const error = await publish(temporary, TARGET).then(
        () => undefined,
        (thrown: StorageError) => thrown,
      );
      await abandoning;
      const outcome = error === undefined ? 'durable' : error.outcome;
      const found = textOf(fileSystem, TARGET);
      if (outcome === 'durable') {
        expect(textOf(fileSystem.crash(loseEverything), TARGET)).toBe('new');
      } else if (outcome === 'not-applied') expect(found).toBeUndefined();
      else expect(outcome).toBe('in-doubt');
    },
  );
});
