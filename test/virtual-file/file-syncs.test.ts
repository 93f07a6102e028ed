/** Syncs of one file that meet, and a new file that fails to open whole. */
import { expect, test } from 'vitest';
import type { FaultAction, FileSystemOperation } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { gate, idle } from '../support/gate.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

function newFile(
  fileSystem: MemoryFileSystem,
  answer: (operation: FileSystemOperation) => FaultAction | undefined,
): Promise<VirtualFile> {
  fileSystem.intercept = answer;
  const openFiles = new OpenFiles({ fileSystem });
  return VirtualFile.open('/file', { read: true, write: true, createNew: true, openFiles });
}

test('concurrent syncs of one file wait for each other', async () => {
  const gates = [gate(), gate(), gate()];
  let syncs = 0;
  const file = await newFile(new MemoryFileSystem(), ({ kind }) => {
    if (kind !== 'sync' && kind !== 'sync-data') return undefined;
    syncs += 1;
    return { delay: gates[syncs - 1]?.opened };
  });
  const syncing = [file.sync(), file.syncData(), file.sync()];
  for (let under = 1; under <= gates.length; under += 1) {
    await idle();
    expect(syncs).toBe(under);
    gates[under - 1]?.open();
  }
  await Promise.all(syncing);
  await file.close();
});

test('a sync that waited for one that fails never reaches the system', async () => {
  const { opened, open: letFail } = gate();
  let syncs = 0;
  const file = await newFile(new MemoryFileSystem(), ({ kind }) => {
    if (kind !== 'sync') return undefined;
    syncs += 1;
    return syncs === 1 ? { delay: opened, fail: 'EIO' } : undefined;
  });
  await file.writeAllAt(new Uint8Array(1), 0);
  const outcomes = [storageErrorOf(file.sync()), storageErrorOf(file.sync())];
  await idle();
  letFail();
  const [first, second] = await Promise.all(outcomes);
  expect(first?.code).toBe('sync-failed');
  expect(second).toBe(first);
  expect(syncs).toBe(1);
  await file.close();
});

test('a new file whose stat fails once it is open is closed and deleted', async () => {
  const fileSystem = new MemoryFileSystem();
  const error = await storageErrorOf(
    newFile(fileSystem, ({ kind }) => (kind === 'stat' ? { fail: 'EIO' } : undefined)),
  );
  expect(error.errno).toBe('EIO');
  expect(fileSystem.openCount).toBe(0);
  fileSystem.intercept = undefined;
  expect((await storageErrorOf(fileSystem.stat('/file'))).code).toBe('not-found');
});
