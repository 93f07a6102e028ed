import { describe, expect, onTestFinished, test } from 'vitest';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

/** What nobody catches, while the test runs. */
function uncaught(): unknown[] {
  const errors: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => errors.push(error));
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
  return errors;
}

function disk(onFatalError: () => void, capacity = 1) {
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem, capacity, onFatalError });
  const open = (path: string): Promise<VirtualFile> =>
    VirtualFile.open(path, { read: true, write: true, createNew: true, openFiles });
  return { fileSystem, openFiles, open };
}

describe('a hook that throws', () => {
  test('a hook that throws at the sync of an eviction leaves the table usable and nothing open', async () => {
    const errors = uncaught();
    const thrown = new Error('the hook');
    let calls = 0;
    const { fileSystem, open } = disk(() => {
      calls += 1;
      throw thrown;
    });
    const first = await open('/a');
    await first.writeAllAt(Uint8Array.of(1), 0);
    fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
    const second = await open('/b');
    expect((await storageErrorOf(first.sync())).code).toBe('sync-failed');
    const third = await open('/c');
    await third.writeAllAt(Uint8Array.of(1), 0);
    expect((await storageErrorOf(third.sync())).code).toBe('sync-failed');
    await Promise.all([first, second, third].map((file) => file.close()));
    expect(fileSystem.openCount).toBe(0);
    expect(calls).toBe(1);
    expect(errors).toEqual([thrown]);
  });

  test('a hook that throws at a failed operation gives the caller the error of the disk', async () => {
    const errors = uncaught();
    const thrown = new Error('the hook');
    const { fileSystem, open } = disk(() => {
      throw thrown;
    });
    const file = await open('/a');
    fileSystem.intercept = () => ({ fail: 'EIO' });
    expect(await storageErrorOf(file.stat())).toMatchObject({ code: 'io', errno: 'EIO' });
    fileSystem.intercept = undefined;
    await file.close();
    expect(errors).toEqual([thrown]);
  });
});

test('the hook is called before the caller gets the error', async () => {
  const events: string[] = [];
  const { fileSystem, open } = disk(() => events.push('hook'));
  const file = await open('/a');
  fileSystem.intercept = () => ({ fail: 'EIO' });
  await file.stat().catch(() => events.push('caller'));
  fileSystem.intercept = undefined;
  await file.close();
  expect(events).toEqual(['hook', 'caller']);
});
