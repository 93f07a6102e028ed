/** A file whose sync has failed stays poisoned, whoever has it open and whoever opens it again. */
import { describe, expect, test } from 'vitest';
import { loseEverything } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { MAXIMUM_SYNCS } from '../../src/virtual-file/limiter.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../src/virtual-file/temporary-file.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { gate, idle, turns } from '../support/gate.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const OLD = Uint8Array.of(1, 1, 1);
const NEW = Uint8Array.of(2, 2, 2);

function disk() {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createFile('/file', OLD);
  const openFiles = new OpenFiles({ fileSystem });
  const open = (path = '/file', table = openFiles): Promise<VirtualFile> =>
    VirtualFile.open(path, { read: true, write: true, openFiles: table });
  const failSyncs = (fails: boolean): void => {
    fileSystem.intercept = ({ kind }) =>
      fails && (kind === 'sync' || kind === 'sync-data') ? { fail: 'EIO' } : undefined;
  };
  return { fileSystem, openFiles, open, failSyncs };
}

describe('after a failed sync', () => {
  test.each([
    ['by its path', '/file'],
    ['through a symbolic link', '/symbolic'],
    ['by another name', '/other'],
  ])('after a failed sync, the file cannot be opened again %s', async (_, path) => {
    const { fileSystem, open, failSyncs } = disk();
    fileSystem.createSymbolicLink('/symbolic', 'file');
    await fileSystem.link('/file', '/other');
    const file = await open();
    await file.writeAllAt(NEW, 0);
    failSyncs(true);
    const error = await storageErrorOf(file.sync());
    failSyncs(false);
    await file.close();
    expect(await storageErrorOf(open(path))).toMatchObject({
      code: 'sync-failed',
      errno: error.errno,
    });
    const elsewhere = new OpenFiles({ fileSystem });
    expect((await storageErrorOf(open(path, elsewhere))).code).toBe('sync-failed');
    expect(fileSystem.openCount).toBe(0);
    expect([...fileSystem.crash(loseEverything).contentOf('/file')]).toEqual([...OLD]);
  });

  test('after a failed sync, another that has the file open does not acknowledge what is lost', async () => {
    const { open, failSyncs } = disk();
    const [writer, other] = [await open(), await open()];
    await writer.writeAllAt(NEW, 0);
    failSyncs(true);
    expect((await storageErrorOf(other.sync())).code).toBe('sync-failed');
    failSyncs(false);
    expect((await storageErrorOf(writer.sync())).code).toBe('sync-failed');
    expect((await storageErrorOf(writer.writeAllAt(NEW, 0))).code).toBe('sync-failed');
    await Promise.all([writer.close(), other.close()]);
  });

  test('after a failed sync, another that holds the file open gets the error at its next read', async () => {
    const { open, failSyncs } = disk();
    const [writer, other] = [await open(), await open()];
    const held = await other.hold();
    expect(held.readSync(new Uint8Array(3), 0)).toBe(3);
    await writer.writeAllAt(NEW, 0);
    failSyncs(true);
    await storageErrorOf(writer.sync());
    failSyncs(false);
    const error = storageErrorThrownBy(() => held.readSync(new Uint8Array(3), 0));
    expect(error.code).toBe('sync-failed');
    held.release();
    await Promise.all([writer.close(), other.close()]);
  });

  // A pool of one thread takes one sync at a time: none is under way beside another.
  test.runIf(MAXIMUM_SYNCS > 1)('a sync under way acknowledges nothing', async () => {
    const { fileSystem, open } = disk();
    const [writer, other] = [await open(), await open()];
    await writer.writeAllAt(NEW, 0);
    const { opened, open: letGo } = gate();
    let syncs = 0;
    fileSystem.intercept = ({ kind }) => {
      if (kind !== 'sync') return undefined;
      syncs += 1;
      return syncs === 1 ? { delay: opened } : { fail: 'EIO' };
    };
    const syncing = storageErrorOf(writer.sync());
    await idle();
    expect((await storageErrorOf(other.sync())).code).toBe('sync-failed');
    letGo();
    expect((await syncing).code).toBe('sync-failed');
    fileSystem.intercept = undefined;
    await Promise.all([writer.close(), other.close()]);
  });

  /** The moment between the opening and its end is some turns of the microtask queue long. */
  test.each(Array.from({ length: 12 }, (_, turn) => turn))(
    'after a failed sync, %d turns after another was about to open the file, no descriptor of it stays open',
    async (turn) => {
      const { fileSystem, openFiles, open } = disk();
      const writer = await open();
      await writer.writeAllAt(NEW, 0);
      const { opened, open: letGo } = gate();
      fileSystem.intercept = ({ kind }) => {
        if (kind === 'open') return { delay: opened };
        return kind === 'sync' ? { delay: opened.then(() => turns(turn)), fail: 'EIO' } : undefined;
      };
      const opening = open().then(
        (file) => file.close(),
        (error: unknown) => error,
      );
      const syncing = storageErrorOf(writer.sync());
      await idle();
      letGo();
      await Promise.all([opening, syncing]);
      await writer.close();
      expect(openFiles.openCount).toBe(0);
      expect(fileSystem.openCount).toBe(0);
    },
  );

  test('other files are still synced', async () => {
    const { fileSystem, open, failSyncs } = disk();
    fileSystem.createFile('/valid', OLD);
    const file = await open();
    failSyncs(true);
    await storageErrorOf(file.sync());
    failSyncs(false);
    const valid = await open('/valid');
    await valid.writeAllAt(NEW, 0);
    await valid.sync();
    await Promise.all([file.close(), valid.close()]);
  });
});

describe('closing a file with unsynced writes', () => {
  test('closing a file with unsynced writes reports a failed sync that no call has reported', async () => {
    const { fileSystem, failSyncs } = disk();
    fileSystem.createFile('/second', OLD);
    const openFiles = new OpenFiles({ fileSystem, capacity: 1 });
    const options = { read: true, write: true, openFiles };
    const evicted = await VirtualFile.open('/file', options);
    await evicted.writeAllAt(NEW, 0);
    failSyncs(true);
    const other = await VirtualFile.open('/second', options);
    failSyncs(false);
    expect((await storageErrorOf(evicted.close())).code).toBe('sync-failed');
    await other.close();
    expect(openFiles.openCount).toBe(0);
    expect(fileSystem.openCount).toBe(0);
    expect([...fileSystem.crash(loseEverything).contentOf('/file')]).toEqual([...OLD]);
  });

  test('closing a file with unsynced writes reports the failed sync of another handle of the file', async () => {
    const { open, failSyncs, openFiles } = disk();
    const [writer, other] = [await open(), await open()];
    await writer.writeAllAt(NEW, 0);
    failSyncs(true);
    await storageErrorOf(other.sync());
    failSyncs(false);
    expect((await storageErrorOf(writer.close())).code).toBe('sync-failed');
    await other.close();
    expect(openFiles.openCount).toBe(0);
  });

  test('closing a file with unsynced writes resolves if a call has reported the failed sync already', async () => {
    const { open, failSyncs } = disk();
    const file = await open();
    await file.writeAllAt(NEW, 0);
    failSyncs(true);
    await storageErrorOf(file.sync());
    await file.close();
  });

  test('closing a file with unsynced writes while it is evicted does not open it again', async () => {
    const { fileSystem } = disk();
    fileSystem.createFile('/second', OLD);
    const openFiles = new OpenFiles({ fileSystem, capacity: 1 });
    const options = { read: true, write: true, openFiles };
    const evicted = await VirtualFile.open('/file', options);
    await evicted.writeAllAt(NEW, 0);
    const { opened, open: letGo } = gate();
    fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { delay: opened } : undefined);
    const opening = VirtualFile.open('/second', options);
    await idle();
    const closing = evicted.close();
    await fileSystem.rename('/file', '/renamed');
    letGo();
    await closing;
    await (await opening).close();
    expect(fileSystem.openCount).toBe(0);
  });
});

/** A file system gives the number of a file that is gone to the next one. */
describe('a new file that gets the identity of a poisoned one', () => {
  /** Every file has the same. */
  function withOneIdentity() {
    const world = disk();
    const { fileSystem } = world;
    const stat = fileSystem.stat.bind(fileSystem);
    const open = fileSystem.open.bind(fileSystem);
    fileSystem.stat = async (path) => ({ ...(await stat(path)), identity: 'one' });
    fileSystem.open = async (path, options) => {
      const file = await open(path, options);
      const statOfFile = file.stat.bind(file);
      file.stat = async () => ({ ...(await statOfFile()), identity: 'one' });
      return file;
    };
    return world;
  }

  test('a new file that gets the identity of a poisoned one by being created exclusively is not poisoned', async () => {
    const { fileSystem, openFiles, failSyncs, open } = withOneIdentity();
    const poisoned = await open();
    failSyncs(true);
    await storageErrorOf(poisoned.sync());
    failSyncs(false);
    await poisoned.close();
    await fileSystem.unlink('/file');
    const temporary = await TemporaryFile.create('/file', { openFiles });
    await temporary.file.writeAllAt(NEW, 0);
    await temporary.file.sync();
    await temporary.abandon();
  });

  test('a new file that gets the identity of a poisoned one is not poisoned once the library has deleted the poisoned one', async () => {
    const { fileSystem, openFiles, failSyncs, open } = withOneIdentity();
    const poisoned = await TemporaryFile.create('/temporary', { openFiles });
    failSyncs(true);
    await storageErrorOf(poisoned.file.sync());
    failSyncs(false);
    expect((await storageErrorOf(open('/temporary'))).code).toBe('sync-failed');
    await poisoned.abandon();
    const file = await open();
    await file.sync();
    await file.close();
    expect(fileSystem.openCount).toBe(0);
  });
});
