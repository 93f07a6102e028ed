/** A signal ends the wait for a descriptor, and nothing is left of the operation that waited. */
import { describe, expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { gate, idle, isPending } from '../support/gate.ts';
import { DIRECTORY, deltaOptions, IDS, LSN_RANGE, memoryDisk } from '../support/layers.ts';
import { DELTA } from '../support/sample-layers.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

/** A table whose only place is taken until `end`, by a read of `/busy`. */
async function fullTable() {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/layers');
  fileSystem.createFile('/busy', Uint8Array.of(1));
  fileSystem.createFile('/layer', DELTA.bytes);
  const openFiles = new OpenFiles({ capacity: 1, fileSystem });
  const busy = await VirtualFile.open('/busy', { read: true, openFiles });
  const { opened, open } = gate();
  fileSystem.intercept = ({ kind, path }) =>
    kind === 'read' && path === '/busy' ? { delay: opened } : undefined;
  const reading = busy.readAt(new Uint8Array(1), 0);
  await idle();
  const end = async (): Promise<void> => {
    open();
    await reading;
    await busy.close();
    await idle();
  };
  return { fileSystem, openFiles, end };
}

const read = { read: true } as const;

describe('while all descriptors of the table are in use', () => {
  type Act = (openFiles: OpenFiles, signal: AbortSignal) => Promise<unknown>;
  test.each<[string, Act]>([
    ['a file', (openFiles, signal) => VirtualFile.open('/layer', { ...read, openFiles, signal })],
    [
      'a new file',
      (openFiles, signal) =>
        VirtualFile.open('/new', { write: true, createNew: true, openFiles, signal }),
    ],
    ['a layer', (openFiles, signal) => openLayer('/layer', { openFiles, signal })],
    ['a layer to verify', (openFiles, signal) => verifyLayer('/layer', { openFiles, signal })],
    ['a file to replace', (openFiles, signal) => overwriteFile('/new', 'x', { openFiles, signal })],
    [
      'a layer writer',
      (openFiles, signal) =>
        DeltaLayerWriter.create({ ...deltaOptions(memoryDisk()), openFiles, signal }),
    ],
    [
      'an ephemeral layer',
      (openFiles, signal) =>
        EphemeralLayer.create({
          ...IDS,
          directory: DIRECTORY,
          startLsn: LSN_RANGE.start,
          openFiles,
          signal,
        }),
    ],
  ])('the wait of %s ends with its signal, and nothing was created', async (_, act) => {
    const { fileSystem, openFiles, end } = await fullTable();
    const controller = new AbortController();
    const acting = act(openFiles, controller.signal);
    expect(await isPending(acting)).toBe(true);
    controller.abort();
    expect((await storageErrorOf(acting)).code).toBe('aborted');
    await end();
    expect([fileSystem.openCount, openFiles.openCount]).toEqual([0, 0]);
    expect(fileSystem.paths()).toEqual(['/busy', '/layer']);
  });

  test('the caller after one that stopped waiting for a descriptor gets the place', async () => {
    const { openFiles, end } = await fullTable();
    const controller = new AbortController();
    const { signal } = controller;
    const first = VirtualFile.open('/layer', { ...read, openFiles, signal });
    const second = VirtualFile.open('/layer', { ...read, openFiles });
    expect(await isPending(second)).toBe(true);
    controller.abort();
    await storageErrorOf(first);
    expect(await isPending(second)).toBe(true);
    await end();
    await (await second).close();
    expect(openFiles.openCount).toBe(0);
  });

  test('a slot that becomes free together with the signal is passed on', async () => {
    const { openFiles, end } = await fullTable();
    const controller = new AbortController();
    const { signal } = controller;
    const first = VirtualFile.open('/layer', { ...read, openFiles, signal });
    const second = VirtualFile.open('/layer', { ...read, openFiles });
    const outcome = first.then(
      (file) => file.close(),
      () => {},
    );
    await idle();
    const ended = end();
    controller.abort();
    await outcome;
    await (await second).close();
    await ended;
    expect(openFiles.openCount).toBe(0);
  });
});

describe('while the system has no descriptor left', () => {
  async function withoutDescriptors() {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ capacity: 8, fileSystem });
    fileSystem.createFile('/busy', Uint8Array.of(1));
    const used = await VirtualFile.open('/busy', { ...read, openFiles });
    const { opened, open } = gate();
    fileSystem.intercept = ({ kind }) => {
      if (kind === 'open') return { fail: 'EMFILE' };
      return kind === 'read' ? { delay: opened } : undefined;
    };
    const reading = used.readAt(new Uint8Array(1), 0);
    await idle();
    const finish = async (): Promise<void> => {
      open();
      await reading;
      await used.close();
    };
    return { fileSystem, openFiles, finish };
  }

  test('the waits of the first in line and of the next ones end with their signals', async () => {
    const { fileSystem, openFiles, finish } = await withoutDescriptors();
    const controllers = [new AbortController(), new AbortController()];
    const opening = controllers.map(({ signal }) =>
      VirtualFile.open('/busy', { ...read, openFiles, signal }),
    );
    const last = VirtualFile.open('/busy', { ...read, openFiles });
    const [first, second] = opening.map((one) => storageErrorOf(one));
    expect(await isPending(Promise.race(opening))).toBe(true);
    controllers[1]?.abort();
    expect((await second)?.code).toBe('aborted');
    controllers[0]?.abort();
    expect((await first)?.code).toBe('aborted');
    expect(await isPending(last)).toBe(true);
    fileSystem.intercept = undefined;
    await finish();
    await (await last).close();
    expect(openFiles.openCount).toBe(0);
  });
});
