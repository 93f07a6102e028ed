import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { FileSystem, OpenFile } from '../../src/virtual-file/file-system.ts';
import { MemoryFileSystem } from '../../src/virtual-file/memory-file-system.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { systemError } from '../../src/virtual-file/system-error.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { delegatingFile } from '../support/delegating-file.ts';
import { gate, isPending, turns } from '../support/gate.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** The real file system, with another `readSync`, or none. */
function withReadSync(readSync: OpenFile['readSync']): FileSystem {
  return {
    ...nodeFileSystem,
    open: async (path, options) => {
      const file = await nodeFileSystem.open(path, options);
      return delegatingFile(file, readSync === undefined ? {} : { readSync });
    },
  };
}

async function prepare(options: { capacity?: number; fileSystem?: FileSystem } = {}) {
  const directory = temporaryDirectory();
  const fatal: unknown[] = [];
  const openFiles = new OpenFiles({ ...options, onFatalError: (error) => fatal.push(error) });
  const open = async (name: string): Promise<VirtualFile> => {
    writeFileSync(join(directory, name), `content of ${name}`);
    return VirtualFile.open(join(directory, name), { read: true, openFiles });
  };
  return { directory, openFiles, open, fatal };
}

describe('a file that is held open', () => {
  test('is read at once, up to its end', async () => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    const target = new Uint8Array(7);
    expect(held.readSync(target, 0)).toBe(7);
    expect(new TextDecoder().decode(target)).toBe('content');
    expect(held.readSync(target, 11)).toBe(1);
    expect(held.readSync(target, 12)).toBe(0);
    expect(held.readSync(new Uint8Array(0), 0)).toBe(0);
    held.release();
    await file.close();
  });

  test('keeps its place in the table until it is released', async () => {
    const { open, openFiles } = await prepare({ capacity: 2 });
    const file = await open('a');
    const held = await file.hold();
    const others = [await open('b'), await open('c')];
    for (const other of others) await other.stat();
    expect(openFiles.openCount).toBe(2);
    expect(held.readSync(new Uint8Array(7), 0)).toBe(7);
    const second = await others[0]?.hold();
    const waiting = others[1]?.stat() ?? Promise.resolve();
    expect(await isPending(waiting)).toBe(true);
    held.release();
    await waiting;
    second?.release();
    await Promise.all([file, ...others].map((one) => one.close()));
    expect(openFiles.openCount).toBe(0);
  });

  test('is closed once it is released', async () => {
    const { open, openFiles } = await prepare();
    const file = await open('a');
    const [held, again] = await Promise.all([file.hold(), file.hold()]);
    const closing = file.close();
    expect(await isPending(closing)).toBe(true);
    expect(held.readSync(new Uint8Array(7), 0)).toBe(7);
    held.release();
    held.release();
    expect(await isPending(closing)).toBe(true);
    expect(again.readSync(new Uint8Array(7), 0)).toBe(7);
    again.release();
    await closing;
    expect(openFiles.openCount).toBe(0);
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).code).toBe('closed');
  });

  test('is not read any more after its release, while others hold it', async () => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    held.release();
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).code).toBe('closed');
    await file.stat();
    await file.close();
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('is not read at %d: out-of-range', async (offset) => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), offset))).toMatchObject({
      code: 'out-of-range',
      path: file.path,
    });
    held.release();
    await file.close();
  });

  test('fills a target of more than 2 GiB in parts', async () => {
    const { open } = await prepare();
    const file = await open('a');
    const held = await file.hold();
    expect(held.readSync(new Uint8Array(2 ** 31 + 8192), 0)).toBe(12);
    held.release();
    await file.close();
  });

  test('is read again where a signal interrupts, so often and no more', async () => {
    let calls = 0;
    let interruptions = 3;
    const fileSystem = withReadSync(() => {
      calls += 1;
      if (calls <= interruptions) throw systemError('read file', 'path', 'EINTR');
      return 1;
    });
    const { open } = await prepare({ fileSystem });
    const file = await open('a');
    const held = await file.hold();
    expect(held.readSync(new Uint8Array(1), 0)).toBe(1);
    expect(calls).toBe(4);
    calls = 0;
    interruptions = Number.POSITIVE_INFINITY;
    expect(storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0)).errno).toBe('EINTR');
    expect(calls).toBe(17);
    held.release();
    await file.close();
  });

  test('tells the hook of a disk that fails', async () => {
    const fileSystem = withReadSync(() => {
      throw systemError('read file', 'path', 'EIO');
    });
    const { open, fatal } = await prepare({ fileSystem });
    const file = await open('a');
    const held = await file.hold();
    const error = storageErrorThrownBy(() => held.readSync(new Uint8Array(1), 0));
    expect(fatal).toEqual([error]);
    held.release();
    await file.close();
  });
});

/** As an application that reads at once, and never lets go, has it. */
describe('while descriptors are held and the system has none left', () => {
  test.each([1, 2, 5])('nobody waits for %d that nobody ends', async (count) => {
    const { openFiles, fileSystem } = inMemory({ capacity: 8 });
    const files = await Promise.all(
      Array.from({ length: count }, (_, n) => openIn(openFiles, `/${n}`)),
    );
    const helds = await Promise.all(files.map((file) => file.hold()));
    fileSystem.intercept = ({ kind }) =>
      kind === 'open' || kind === 'sync-directory' ? { fail: 'EMFILE' } : undefined;
    expect(await storageErrorOf(openIn(openFiles, '/other'))).toMatchObject({ errno: 'EMFILE' });
    expect(await storageErrorOf(openFiles.syncDirectory('/'))).toMatchObject({ errno: 'EMFILE' });
    expect(await storageErrorOf(overwriteFile('/file', 'x', { openFiles }))).toMatchObject({
      errno: 'EMFILE',
      outcome: 'not-applied',
    });
    fileSystem.intercept = undefined;
    for (const held of helds) expect(held.readSync(new Uint8Array(1), 0)).toBe(0);
    for (const held of helds) held.release();
    await Promise.all(files.map((file) => file.close()));
    expect(fileSystem.openCount).toBe(0);
  });

  test('an operation on a held file is waited for, its hold is not', async () => {
    const { openFiles, fileSystem } = inMemory({ capacity: 8 });
    const file = await openIn(openFiles, '/a');
    const held = await file.hold();
    const { opened, open } = gate();
    fileSystem.intercept = ({ kind }) => {
      if (kind === 'open') return { fail: 'EMFILE' };
      return kind === 'read' ? { delay: opened } : undefined;
    };
    const reading = file.readAt(new Uint8Array(1), 0);
    const opening = openIn(openFiles, '/b');
    expect(await isPending(opening)).toBe(true);
    open();
    await reading;
    expect((await storageErrorOf(opening)).errno).toBe('EMFILE');
    held.release();
    await file.close();
  });

  test('whoever waits while a file is opened to be held is told of the hold', async () => {
    await expectToldOfHold(() => undefined);
  });

  /** The moment between the opening and the hold is some turns of the microtask queue long. */
  test.each(Array.from({ length: 16 }, (_, turn) => turn))(
    'whoever finds no room %d turns after a file was opened to be held is told of the hold',
    async (turn) => {
      await expectToldOfHold((refusal, opened) =>
        refusal === 1 ? undefined : opened.then(() => turns(turn)),
      );
    },
  );

  /**
   * While a file is opened to be held, another finds no descriptor, and waits for one.
   * `delayOf` tells what each of its refusals waits for; `opened` resolves when the first is open.
   */
  async function expectToldOfHold(
    delayOf: (refusal: number, opened: Promise<void>) => Promise<void> | undefined,
  ): Promise<void> {
    const { openFiles, fileSystem } = inMemory({ capacity: 8 });
    const file = await openIn(openFiles, '/a');
    fileSystem.intercept = ({ kind }) =>
      kind === 'open' && fileSystem.openCount > 0 ? { fail: 'EMFILE' } : undefined;
    await (await openIn(openFiles, '/b')).close();
    expect(fileSystem.openCount).toBe(0);

    const { opened, open } = gate();
    let refusals = 0;
    fileSystem.intercept = ({ kind, path }) => {
      if (kind !== 'open') return undefined;
      if (path === '/a') return { delay: opened };
      refusals += 1;
      const delay = delayOf(refusals, opened);
      return delay === undefined ? { fail: 'EMFILE' } : { delay, fail: 'EMFILE' };
    };
    const holding = file.hold();
    const opening = openIn(openFiles, '/b');
    expect(await isPending(opening)).toBe(true);
    open();
    const held = await holding;
    expect((await storageErrorOf(opening)).errno).toBe('EMFILE');
    held.release();
    await file.close();
  }

  test('a file that was released makes room', async () => {
    const { openFiles, fileSystem } = inMemory({ capacity: 8 });
    const file = await openIn(openFiles, '/a');
    const held = await file.hold();
    fileSystem.intercept = ({ kind }) =>
      kind === 'open' && fileSystem.openCount > 0 ? { fail: 'EMFILE' } : undefined;
    held.release();
    held.release();
    const other = await openIn(openFiles, '/b');
    await Promise.all([file.close(), other.close()]);
  });
});

function inMemory(options: { capacity: number }) {
  const fileSystem = new MemoryFileSystem();
  return { fileSystem, openFiles: new OpenFiles({ ...options, fileSystem }) };
}

function openIn(openFiles: OpenFiles, path: string): Promise<VirtualFile> {
  return VirtualFile.open(path, { read: true, write: true, create: true, openFiles });
}

test('a file in memory is read at once, as far as the faults allow', async () => {
  const { openFiles, fileSystem } = inMemory({ capacity: 1 });
  fileSystem.createFile('/a', new TextEncoder().encode('content'));
  const file = await openIn(openFiles, '/a');
  const held = await file.hold();
  const target = new Uint8Array(9);
  expect([held.readSync(target, 3), held.readSync(target, 7)]).toEqual([4, 0]);
  const operations: unknown[] = [];
  fileSystem.intercept = (operation) => {
    operations.push(operation);
    return operation.offset === 0 ? { limit: 2 } : { fail: 'EIO' };
  };
  expect(held.readSync(target, 0)).toBe(2);
  expect(storageErrorThrownBy(() => held.readSync(target, 1)).errno).toBe('EIO');
  expect(operations).toMatchObject([
    { kind: 'read', path: '/a', offset: 0, length: 9 },
    { kind: 'read', path: '/a', offset: 1, length: 9 },
  ]);
  fileSystem.intercept = undefined;
  held.release();
  await file.close();
});

test('a file that is closed, or whose file system waits, cannot be held', async () => {
  const { open } = await prepare();
  const file = await open('a');
  await file.close();
  expect((await storageErrorOf(file.hold())).code).toBe('closed');

  const waiting = await prepare({ fileSystem: withReadSync(undefined) });
  const other = await waiting.open('a');
  expect(await storageErrorOf(other.hold())).toMatchObject({
    code: 'invalid-input',
    path: other.path,
  });
  await other.close();
  expect(waiting.openFiles.openCount).toBe(0);
});
