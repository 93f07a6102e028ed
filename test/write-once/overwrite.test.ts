import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { everyChoice, seededChoices } from '../../src/testing/choices.ts';
import type { FaultAction, FileSystemOperation } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { MAXIMUM_SYNCS } from '../../src/virtual-file/limiter.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { leftoverName, ownerThat, temporaryPathIn } from '../support/leftovers.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const OLD = 'the old content';
const OVERWRITES = rounds(1000);
const NEW = 'the new content, which is longer';

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A directory with one file in it. */
function withOldFile(): { fileSystem: MemoryFileSystem; openFiles: OpenFiles } {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/data');
  fileSystem.createFile('/data/file', bytes(OLD), { mode: 0o640 });
  return { fileSystem, openFiles: new OpenFiles({ fileSystem }) };
}

function contentOf(fileSystem: MemoryFileSystem, path = '/data/file'): string {
  return new TextDecoder().decode(fileSystem.contentOf(path));
}

/** The content, or nothing where the file is missing. */
function contentIfThere(fileSystem: MemoryFileSystem): string | undefined {
  return fileSystem.paths().includes('/data/file') ? contentOf(fileSystem) : undefined;
}

/** Every crash state where they are few, else a sample of them. */
function forCrashStates(fileSystem: MemoryFileSystem, look: (after: MemoryFileSystem) => void) {
  const isFew = fileSystem.countCrashStates() <= 512n;
  const choices = isFew
    ? everyChoice()
    : Array.from({ length: rounds(200) }, (_, seed) => seededChoices(seed));
  for (const choose of choices) look(fileSystem.crash(choose));
}

test.each(['a.___temp', 'ephemeral-12', 'ephemeral-0f'])(
  'the name %s, which a crash leaves behind, is refused',
  async (name) => {
    const { fileSystem, openFiles } = withOldFile();
    fileSystem.createFile(`/data/${name}`, bytes(OLD));
    const error = await storageErrorOf(overwriteFile(`/data/${name}`, NEW, { openFiles }));
    expect(error).toMatchObject({ code: 'invalid-input', outcome: 'not-applied', actual: name });
    expect(contentOf(fileSystem, `/data/${name}`)).toBe(OLD);
    expect(fileSystem.operationCount).toBe(0);
  },
);

test.each(['.___temp', 'a.___temp.bak', 'ephemeral-', 'ephemeral-notes', 'ephemeral-1.txt'])(
  '%s is accepted as a name like any other',
  async (name) => {
    const { fileSystem, openFiles } = withOldFile();
    await overwriteFile(`/data/${name}`, NEW, { openFiles });
    expect(contentOf(fileSystem, `/data/${name}`)).toBe(NEW);
    expect(await removeLeftovers('/data', { openFiles })).toEqual([]);
  },
);

describe('a file on the real file system', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await fs.mkdtemp(join(tmpdir(), 'layerfile-overwrite-'));
  });
  afterEach(() => fs.rm(directory, { recursive: true }));

  test('an overwritten file is created where there was none', async () => {
    await overwriteFile(join(directory, 'file'), NEW);
    expect(await fs.readFile(join(directory, 'file'), 'utf8')).toBe(NEW);
    expect(await fs.readdir(directory)).toEqual(['file']);
  });

  test('an overwritten file is replaced, also by nothing', async () => {
    await overwriteFile(join(directory, 'file'), Uint8Array.of(1, 2, 3));
    expect([...(await fs.readFile(join(directory, 'file')))]).toEqual([1, 2, 3]);
    await overwriteFile(join(directory, 'file'), '');
    expect(await fs.readFile(join(directory, 'file'), 'utf8')).toBe('');
  });

  test('an overwritten file keeps its mode', async () => {
    await fs.writeFile(join(directory, 'file'), OLD);
    await fs.chmod(join(directory, 'file'), 0o640);
    await overwriteFile(join(directory, 'file'), NEW, { mode: 0o777 });
    expect((await fs.stat(join(directory, 'file'))).mode & 0o7777).toBe(0o640);
  });

  test('an overwritten file keeps its owner', async () => {
    await fs.writeFile(join(directory, 'file'), OLD);
    // Only the superuser can give it to another user first.
    if (process.getuid?.() === 0) await fs.chown(join(directory, 'file'), 1234, 2345);
    const { uid, gid } = await fs.stat(join(directory, 'file'));
    await overwriteFile(join(directory, 'file'), NEW);
    expect(await fs.stat(join(directory, 'file'))).toMatchObject({ uid, gid });
  });

  test('a symbolic link with the name of a leftover stays, and its target, too', async () => {
    await fs.writeFile(join(directory, 'precious'), OLD);
    const link = leftoverName('file', ownerThat('ended', {}));
    await fs.symlink('precious', join(directory, link));
    await overwriteFile(join(directory, 'file'), NEW);
    expect(await fs.readFile(join(directory, 'precious'), 'utf8')).toBe(OLD);
    expect(await fs.readdir(directory)).toEqual(['file', link, 'precious']);
  });

  test.each([1, 98, 99, 247, 248, 255])(
    'an overwritten file may have a name of %d bytes',
    async (length) => {
      for (const name of [
        'x'.repeat(length),
        `${'é'.repeat(length >> 1)}${'x'.repeat(length & 1)}`,
      ]) {
        expect(Buffer.byteLength(name)).toBe(length);
        await overwriteFile(join(directory, name), OLD);
        await overwriteFile(join(directory, name), NEW);
        expect(await fs.readFile(join(directory, name), 'utf8')).toBe(NEW);
      }
      expect(await fs.readdir(directory)).toHaveLength(length === 1 ? 1 : 2);
    },
  );

  test(`${OVERWRITES} concurrent overwrites leave the last one, complete, and no temporary file`, async () => {
    const contents = Array.from({ length: OVERWRITES }, (_, index) => `${index}:`.repeat(300));
    const openFiles = new OpenFiles({ capacity: 4 });
    const path = join(directory, 'file');
    await Promise.all(contents.map((content) => overwriteFile(path, content, { openFiles })));
    expect(await fs.readFile(path, 'utf8')).toBe(contents.at(-1));
    expect(await fs.readdir(directory)).toEqual(['file']);
    expect(openFiles.openCount).toBe(0);
  });

  test('overwrites through two paths to one directory do not disturb each other', async () => {
    await fs.mkdir(join(directory, 'real'));
    await fs.symlink('real', join(directory, 'alias'));
    const overwrites = Array.from({ length: 40 }, (_, index) =>
      overwriteFile(join(directory, index % 2 === 0 ? 'real' : 'alias', 'file'), `${index}`),
    );
    await Promise.all(overwrites);
    expect(await fs.readdir(join(directory, 'real'))).toEqual(['file']);
  });

  test('a missing directory is not found, by its own path', async () => {
    const error = await storageErrorOf(overwriteFile(join(directory, 'missing', 'file'), NEW));
    expect(error).toMatchObject({
      code: 'not-found',
      outcome: 'not-applied',
      path: join(directory, 'missing'),
    });
  });
});

describe('what others have left in the directory', () => {
  test.each([
    ['of a thread that has ended', 'is removed', 'ended'],
    ['of a thread that is running', 'stays', 'running'],
    ['of a thread of which nothing is known', 'stays', 'unknown'],
  ] as const)('a temporary file %s %s', async (_, result, owner) => {
    const { fileSystem, openFiles } = withOldFile();
    const path = `/data/${leftoverName('file', ownerThat(owner, fileSystem))}`;
    fileSystem.createFile(path, bytes('half of some'));
    await overwriteFile('/data/file', NEW, { openFiles });
    expect(contentOf(fileSystem)).toBe(NEW);
    expect(fileSystem.paths().includes(path)).toBe(result === 'stays');
  });

  test('a temporary file whose name contains no owner stays', async () => {
    const { fileSystem, openFiles } = withOldFile();
    for (const name of ['file.___temp', 'file.0.___temp', 'ephemeral-0f']) {
      fileSystem.createFile(`/data/${name}`, bytes('half of some'));
    }
    await overwriteFile('/data/file', NEW, { openFiles });
    expect(fileSystem.paths()).toHaveLength(4);
  });

  test.each(['directory', 'symbolic link'])(
    'a %s with the name of a temporary file stays',
    async (kind) => {
      const { fileSystem, openFiles } = withOldFile();
      const path = `/data/${leftoverName('file', ownerThat('ended', fileSystem))}`;
      if (kind === 'directory') fileSystem.createDirectory(path);
      else fileSystem.createSymbolicLink(path, 'file');
      await overwriteFile('/data/file', NEW, { openFiles });
      expect(await fileSystem.stat(path)).toBeDefined();
    },
  );

  test.each(['read-directory', 'unlink'])(
    'an overwrite succeeds although %s fails on the leftovers of others',
    async (failing) => {
      const { fileSystem, openFiles } = withOldFile();
      const path = `/data/${leftoverName('file', ownerThat('ended', fileSystem))}`;
      fileSystem.createFile(path, bytes('half of some'));
      fileSystem.intercept = ({ kind }) => (kind === failing ? { fail: 'EACCES' } : undefined);
      await overwriteFile('/data/file', NEW, { openFiles });
      fileSystem.intercept = undefined;
      expect(contentOf(fileSystem)).toBe(NEW);
      expect(fileSystem.paths()).toEqual(['/data/file', path]);
    },
  );

  test.each([
    [63, 10],
    [64, 5],
    [65, 5],
    [640, 1],
  ])(
    'what others have left in the directory is looked for among %d files by %d of 10 overwrites',
    async (count, looks) => {
      const { fileSystem, openFiles } = withOldFile();
      for (let n = 1; n < count; n += 1) fileSystem.createFile(`/data/${n}`, bytes(OLD));
      let seen = 0;
      fileSystem.intercept = ({ kind }) => {
        if (kind === 'read-directory') seen += 1;
        return undefined;
      };
      for (let n = 0; n < 10; n += 1) await overwriteFile('/data/file', NEW, { openFiles });
      expect(seen).toBe(looks);
    },
  );

  test('overwrites that begin together search the directory for leftovers once', async () => {
    const { fileSystem, openFiles } = withOldFile();
    let seen = 0;
    fileSystem.intercept = ({ kind }) => {
      if (kind === 'read-directory') seen += 1;
      return undefined;
    };
    const names = Array.from({ length: 10 }, (_, n) => `/data/${n}`);
    await Promise.all(names.map((name) => overwriteFile(name, NEW, { openFiles })));
    expect(seen).toBe(1);
  });
});

describe('what has the name', () => {
  test.each([
    ['a directory', 'directory'],
    ['a special file', 'other'],
  ])('overwriting %s (%s) is refused, and it stays', async (_, kind) => {
    const { fileSystem, openFiles } = withOldFile();
    const path = '/data/other';
    if (kind === 'directory') fileSystem.createDirectory(path);
    else fileSystem.createSpecialFile(path);
    const error = await storageErrorOf(overwriteFile(path, NEW, { openFiles }));
    expect(error).toMatchObject({ code: 'exists', path, outcome: 'not-applied', actual: kind });
    expect((await fileSystem.stat(path)).kind).toBe(kind);
    expect(contentOf(fileSystem)).toBe(OLD);
  });

  test('a symbolic link is replaced itself, and what it points to stays', async () => {
    const { fileSystem, openFiles } = withOldFile();
    fileSystem.createSymbolicLink('/data/link', 'file');
    await overwriteFile('/data/link', NEW, { openFiles });
    expect(contentOf(fileSystem)).toBe(OLD);
    expect(contentOf(fileSystem, '/data/link')).toBe(NEW);
    expect(await fileSystem.stat('/data/link')).toMatchObject({ kind: 'file', mode: 0o644 });
  });
});

describe('mode and owner', () => {
  test('a new file gets the requested mode, cut by the umask', async () => {
    const { fileSystem, openFiles } = withOldFile();
    await overwriteFile('/data/new', NEW, { openFiles, mode: 0o666 });
    await overwriteFile('/data/secret', NEW, { openFiles, mode: 0o600 });
    expect((await fileSystem.stat('/data/new')).mode).toBe(0o644);
    expect((await fileSystem.stat('/data/secret')).mode).toBe(0o600);
  });

  test('no other user can read the new content of a secret file at any time', async () => {
    const { fileSystem, openFiles } = withOldFile();
    fileSystem.createFile('/data/secret', bytes(OLD), { mode: 0o400, userId: 5, groupId: 6 });
    const modes = new Set<number>();
    let looking = Promise.resolve();
    fileSystem.intercept = () => {
      const clone = fileSystem.clone();
      const look = clone.stat(temporaryPathIn(clone) ?? '/none').then(
        ({ mode }) => void modes.add(mode),
        () => {},
      );
      looking = Promise.all([looking, look]).then(() => {});
      return undefined;
    };
    await overwriteFile('/data/secret', NEW, { openFiles });
    await looking;
    expect([...modes].sort()).toEqual([0o400, 0o600]);
    expect(await fileSystem.stat('/data/secret')).toMatchObject({
      mode: 0o400,
      userId: 5,
      groupId: 6,
    });
  });

  test.each([
    [0o644, [0o644]],
    [0o600, [0o600]],
    [0o755, [0o755]],
    // Cut by the umask at first.
    [0o666, [0o644, 0o666]],
    [0o640, [0o600, 0o640]],
    [0o604, [0o600, 0o604]],
    [0o646, [0o600, 0o646]],
    [0o444, [0o600, 0o444]],
    [0o4755, [0o600, 0o4755]],
    [0o1644, [0o600, 0o1644]],
  ])(
    'a file of mode %o is replaced by a temporary file that never has a wider mode',
    async (mode, expected) => {
      const { fileSystem, openFiles } = withOldFile();
      fileSystem.createFile('/data/kept', bytes(OLD), { mode });
      const modes: number[] = [];
      const looking: Promise<void>[] = [];
      const look = (): void => {
        const clone = fileSystem.clone();
        const found = clone.stat(temporaryPathIn(clone) ?? '/none');
        looking.push(
          found.then(
            (stat) => void modes.push(stat.mode),
            () => {},
          ),
        );
      };
      fileSystem.intercept = () => {
        look();
        return undefined;
      };
      await overwriteFile('/data/kept', NEW, { openFiles });
      await Promise.all(looking);
      expect([...new Set(modes)]).toEqual(expected);
      expect((await fileSystem.stat('/data/kept')).mode).toBe(mode);
    },
  );

  test('a file whose owner the process may not keep is not replaced', async () => {
    const fileSystem = new MemoryFileSystem({ userId: 1000, groupId: 100 });
    fileSystem.createFile('/file', bytes(OLD), { userId: 0, groupId: 0 });
    const openFiles = new OpenFiles({ fileSystem });
    const error = await storageErrorOf(overwriteFile('/file', NEW, { openFiles }));
    expect(error).toMatchObject({ code: 'io', errno: 'EPERM', outcome: 'not-applied' });
    expect(contentOf(fileSystem, '/file')).toBe(OLD);
    expect(fileSystem.paths()).toEqual(['/file']);
  });

  test('an ordinary user keeps the mode of an own file', async () => {
    const fileSystem = new MemoryFileSystem({ userId: 1000, groupId: 100 });
    fileSystem.createFile('/file', bytes(OLD), { mode: 0o604 });
    const openFiles = new OpenFiles({ fileSystem });
    await overwriteFile('/file', NEW, { openFiles });
    expect(await fileSystem.stat('/file')).toMatchObject({ mode: 0o604, userId: 1000 });
  });
});

describe('the content', () => {
  test('the content of an overwrite may change as soon as the call has returned', async () => {
    const { fileSystem, openFiles } = withOldFile();
    const content = bytes(NEW);
    const overwriting = overwriteFile('/data/file', content, { openFiles });
    content.fill(0);
    await overwriting;
    expect(contentOf(fileSystem)).toBe(NEW);
  });

  test('the content of an overwrite is written in as many pieces as the system likes', async () => {
    const { fileSystem, openFiles } = withOldFile();
    fileSystem.intercept = ({ kind }) => (kind === 'write' ? { limit: 3 } : undefined);
    await overwriteFile('/data/file', NEW, { openFiles });
    expect(contentOf(fileSystem)).toBe(NEW);
  });

  test.each<[string, unknown]>([
    ['a string that is no Unicode', 'a\ud800'],
    ['an ArrayBuffer', new ArrayBuffer(3)],
    ['a list', [1, 2, 3]],
    ['a number', 3],
    ['nothing', undefined],
  ])('%s is refused as the content of a file', async (_, content) => {
    const { fileSystem, openFiles } = withOldFile();
    const error = await storageErrorOf(
      overwriteFile('/data/file', content as Uint8Array, { openFiles }),
    );
    expect(error).toMatchObject({ code: 'invalid-input', outcome: 'not-applied' });
    expect(fileSystem.operationCount).toBe(0);
  });
});

/** What a thread that has ended has left. */
function createStale(fileSystem: MemoryFileSystem): void {
  const name = leftoverName('file', ownerThat('ended', fileSystem));
  fileSystem.createFile(`/data/${name}`, bytes('stale'));
}

/** Runs an overwrite; `fault` answers for each operation. */
async function overwriteWith(
  fault: (operation: FileSystemOperation) => FaultAction | undefined,
): Promise<{ fileSystem: MemoryFileSystem; openFiles: OpenFiles; result: unknown }> {
  const { fileSystem, openFiles } = withOldFile();
  createStale(fileSystem);
  fileSystem.intercept = fault;
  const result = await overwriteFile('/data/file', NEW, { openFiles }).catch((e: unknown) => e);
  fileSystem.intercept = undefined;
  return { fileSystem, openFiles, result };
}

async function operationsOfOneOverwrite(): Promise<FileSystemOperation[]> {
  const operations: FileSystemOperation[] = [];
  await overwriteWith((operation) => {
    operations.push(operation);
    return undefined;
  });
  return operations;
}

describe('a crash', () => {
  test('a crash at any operation leaves the old or the new content, and acknowledged means new', async () => {
    const snapshots: MemoryFileSystem[] = [];
    const { fileSystem, openFiles } = withOldFile();
    createStale(fileSystem);
    fileSystem.intercept = () => {
      snapshots.push(fileSystem.clone());
      return undefined;
    };
    await overwriteFile('/data/file', NEW, { openFiles });
    const seen = new Set<string | undefined>();
    for (const snapshot of snapshots) {
      forCrashStates(snapshot, (after) => seen.add(contentIfThere(after)));
    }
    expect([...seen].sort()).toEqual([NEW, OLD]);
    forCrashStates(fileSystem, (after) => {
      expect(contentIfThere(after)).toBe(NEW);
      expect(after.paths()).toEqual(['/data/file']);
    });
  });

  test('a crash leaves nothing or all of a file of many chunks that did not exist', async () => {
    const content = 'chunk '.repeat(5_000);
    const snapshots: MemoryFileSystem[] = [];
    const fileSystem = new MemoryFileSystem();
    fileSystem.createDirectory('/data');
    fileSystem.intercept = ({ kind }) => {
      snapshots.push(fileSystem.clone());
      return kind === 'write' ? { limit: 5_000 } : undefined;
    };
    await overwriteFile('/data/file', content, { openFiles: new OpenFiles({ fileSystem }) });
    const seen = new Set<string | undefined>();
    for (const snapshot of [...snapshots, fileSystem]) {
      forCrashStates(snapshot, (after) => seen.add(contentIfThere(after)));
    }
    expect(seen.size).toBe(2);
    expect(seen.has(content)).toBe(true);
    expect(seen.has(undefined)).toBe(true);
  });

  test('a crash in a series of overwrites never brings back content older than the acknowledged', async () => {
    const { fileSystem, openFiles } = withOldFile();
    let acknowledged = 0;
    const snapshots: { readonly state: MemoryFileSystem; readonly acknowledged: number }[] = [];
    fileSystem.intercept = () => {
      snapshots.push({ state: fileSystem.clone(), acknowledged });
      return undefined;
    };
    await overwriteFile('/data/file', '0', { openFiles });
    snapshots.length = 0;
    for (let version = 1; version <= 4; version += 1) {
      await overwriteFile('/data/file', String(version), { openFiles });
      acknowledged = version;
    }
    for (const { state, acknowledged: atLeast } of snapshots) {
      forCrashStates(state, (after) => {
        const version = Number(contentOf(after));
        expect(version === atLeast || version === atLeast + 1).toBe(true);
      });
    }
  });

  test('a crash leaves a temporary at most, which the next overwrite removes', async () => {
    const { fileSystem, openFiles } = withOldFile();
    const snapshots: MemoryFileSystem[] = [];
    fileSystem.intercept = () => {
      snapshots.push(fileSystem.clone());
      return undefined;
    };
    await overwriteFile('/data/file', NEW, { openFiles });
    for (const snapshot of snapshots) {
      for (let seed = 0; seed < 4; seed += 1) {
        const after = snapshot.crash(seededChoices(seed));
        await overwriteFile('/data/file', 'third', {
          openFiles: new OpenFiles({ fileSystem: after }),
        });
        expect(contentOf(after)).toBe('third');
        expect(after.paths()).toEqual(['/data/file']);
      }
    }
  });
});

describe('every operation fails in turn', () => {
  const errnos = ['EIO', 'ENOSPC', 'EDQUOT', 'EACCES'];

  test.each(errnos)(
    'an overwrite whose operations fail in turn with %s tells what is on disk, and leaves nothing',
    async (errno) => {
      const operations = await operationsOfOneOverwrite();
      expect(operations.map(({ kind }) => kind)).toEqual([
        'stat', // directory
        'read-directory',
        'unlink', // of what another thread has left
        'stat', // file that is replaced
        'open',
        'stat', // identity and ownership
        'write',
        'set-ownership',
        'sync',
        'stat', // the temporary name is still that of the file
        'rename',
        'close', // beside the next one
        'sync-directory',
      ]);
      for (const { index, kind } of operations) {
        const { fileSystem, openFiles, result } = await overwriteWith((operation) =>
          operation.index === index ? { fail: errno } : undefined,
        );
        const isTidying = kind === 'read-directory' || index === 2;
        const isSync = kind === 'sync' || (kind === 'sync-directory' && errno !== 'EACCES');
        if (isTidying) expect(result).toBeUndefined();
        else expect(result).toMatchObject({ code: isSync ? 'sync-failed' : 'io', errno });
        const outcome =
          kind === 'sync-directory'
            ? 'in-doubt'
            : kind === 'close' || isTidying
              ? 'durable'
              : 'not-applied';
        if (!isTidying) expect(result).toMatchObject({ name: 'StorageError', outcome });
        const expected = { 'not-applied': [OLD], 'in-doubt': [NEW, OLD], durable: [NEW] }[outcome];
        const seen = new Set<string | undefined>();
        forCrashStates(fileSystem, (after) => seen.add(contentIfThere(after)));
        expect([...seen].sort()).toEqual(expected);
        expect(contentOf(fileSystem)).toBe(expected[0]);
        // Where the leftover was not removed, it is none of ours.
        expect(fileSystem.paths().length).toBe(index <= 2 ? 2 : 1);
        expect(openFiles.openCount).toBe(0);
        expect(fileSystem.openPaths).toEqual([]);
      }
    },
  );

  test('a write that makes no progress is an error, not an endless loop', async () => {
    const { fileSystem, result } = await overwriteWith(({ kind }) =>
      kind === 'write' ? { limit: 0 } : undefined,
    );
    expect(result).toMatchObject({ code: 'io', outcome: 'not-applied' });
    expect(fileSystem.paths()).toEqual(['/data/file']);
  });

  test('a full disk that takes part of the content leaves the old one', async () => {
    const { fileSystem, result } = await overwriteWith(({ kind, offset }) => {
      if (kind !== 'write') return undefined;
      return offset === 0 ? { limit: 10 } : { fail: 'ENOSPC' };
    });
    expect(result).toMatchObject({ code: 'io', errno: 'ENOSPC', outcome: 'not-applied' });
    expect(contentOf(fileSystem)).toBe(OLD);
    expect(fileSystem.paths()).toEqual(['/data/file']);
  });

  test('the first error is the one that counts when the temporary cannot be removed either', async () => {
    const { fileSystem, result } = await overwriteWith(({ kind, index }) => {
      if (kind === 'sync') return { fail: 'EIO' };
      return kind === 'unlink' && index > 2 ? { fail: 'EROFS' } : undefined;
    });
    expect(result).toMatchObject({ code: 'sync-failed', errno: 'EIO', outcome: 'not-applied' });
    expect(fileSystem.paths()).toEqual(['/data/file', temporaryPathIn(fileSystem)]);
  });

  test('after a failed directory sync no overwrite in the directory changes anything', async () => {
    const { fileSystem, openFiles } = await overwriteWith(({ kind }) =>
      kind === 'sync-directory' ? { fail: 'EIO' } : undefined,
    );
    const error = await storageErrorOf(overwriteFile('/data/file', 'third', { openFiles }));
    expect(error).toMatchObject({ code: 'sync-failed', errno: 'EIO', outcome: 'not-applied' });
    expect(contentOf(fileSystem)).toBe(NEW);
    expect(fileSystem.paths()).toEqual(['/data/file']);
    await overwriteFile('/elsewhere', 'third', { openFiles });
  });

  test('after a failed operation, an overwrite in the next process is durable', async () => {
    const { fileSystem } = await overwriteWith(({ kind }) =>
      kind === 'sync-directory' ? { fail: 'EIO' } : undefined,
    );
    const next = fileSystem.clone();
    await overwriteFile('/data/file', 'third', { openFiles: new OpenFiles({ fileSystem: next }) });
    forCrashStates(next, (after) => expect(contentIfThere(after)).toBe('third'));
  });
});

describe('an abort', () => {
  test('an abort before the call changes nothing and does nothing', async () => {
    const { fileSystem, openFiles } = withOldFile();
    const signal = AbortSignal.abort('enough');
    const error = await storageErrorOf(overwriteFile('/data/file', NEW, { openFiles, signal }));
    expect(error).toMatchObject({ code: 'aborted', outcome: 'not-applied', cause: 'enough' });
    expect(fileSystem.operationCount).toBe(0);
  });

  test('an abort at any operation either changes nothing or comes too late', async () => {
    const operations = await operationsOfOneOverwrite();
    for (const { index, kind } of operations) {
      const { fileSystem, openFiles } = withOldFile();
      createStale(fileSystem);
      const controller = new AbortController();
      fileSystem.intercept = (operation) => {
        if (operation.index === index) controller.abort();
        return undefined;
      };
      const { signal } = controller;
      const overwriting = overwriteFile('/data/file', NEW, { openFiles, signal });
      if (['rename', 'sync-directory', 'close'].includes(kind)) {
        await overwriting;
        expect(contentOf(fileSystem)).toBe(NEW);
      } else {
        expect(await storageErrorOf(overwriting)).toMatchObject({
          code: 'aborted',
          outcome: 'not-applied',
        });
        expect(contentOf(fileSystem)).toBe(OLD);
      }
      const left = fileSystem.paths().filter((path) => path !== '/data/file');
      expect(left).toHaveLength(index < 1 ? 1 : 0);
      expect(fileSystem.openPaths).toEqual([]);
    }
  });

  test('an abort while other overwrites have their turn takes effect immediately, and does not disturb them', async () => {
    const { fileSystem, openFiles } = withOldFile();
    let release = (): void => {};
    const delay = new Promise<void>((resolve) => {
      release = resolve;
    });
    fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { delay } : undefined);
    const first = overwriteFile('/data/file', 'first', { openFiles });
    const controller = new AbortController();
    const second = overwriteFile('/data/file', 'second', { openFiles, signal: controller.signal });
    const third = overwriteFile('/data/file', 'third', { openFiles });
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    expect((await storageErrorOf(second)).code).toBe('aborted');
    const operationsWhileHeld = fileSystem.operationCount;
    await new Promise((resolve) => setImmediate(resolve));
    expect(fileSystem.operationCount).toBe(operationsWhileHeld);
    release();
    await first;
    await third;
    expect(contentOf(fileSystem)).toBe('third');
  });
});

describe('many overwrites', () => {
  test('many overwrites of one file happen in the order of the calls, also when one fails', async () => {
    const { fileSystem, openFiles } = withOldFile();
    fileSystem.intercept = ({ kind, index }) =>
      kind === 'rename' && index < 12 ? { fail: 'EIO' } : undefined;
    const results = await Promise.allSettled(
      ['a', 'b', 'c'].map((content) => overwriteFile('/data/file', content, { openFiles })),
    );
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(contentOf(fileSystem)).toBe('c');
  });

  test('many overwrites of one file by two paths happen in the order of the calls', async () => {
    const { fileSystem, openFiles } = withOldFile();
    fileSystem.createSymbolicLink('/alias', 'data');
    fileSystem.intercept = ({ kind, path }) =>
      kind === 'sync' && path.startsWith('/data/')
        ? { delay: new Promise((resolve) => setTimeout(resolve, 20)) }
        : undefined;
    const first = overwriteFile('/data/file', 'first', { openFiles });
    await Promise.all([first, overwriteFile('/alias/file', 'second', { openFiles })]);
    expect(contentOf(fileSystem)).toBe('second');
  });

  test('overwrites of different files run concurrently', async () => {
    const { fileSystem, openFiles } = withOldFile();
    let syncsAtOnce = 0;
    let most = 0;
    fileSystem.intercept = ({ kind }) => {
      if (kind !== 'sync') return undefined;
      syncsAtOnce += 1;
      most = Math.max(most, syncsAtOnce);
      const delay = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
        syncsAtOnce -= 1;
      });
      return { delay };
    };
    await Promise.all(
      ['/data/a', '/data/b', '/data/c'].map((path) => overwriteFile(path, path, { openFiles })),
    );
    expect(most).toBe(Math.min(3, MAXIMUM_SYNCS));
    expect(fileSystem.paths()).toEqual(['/data/a', '/data/b', '/data/c', '/data/file']);
  });
});
