import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { BufferedWriter } from '../src/blob-writer/buffered-writer.ts';
import { DeltaLayerWriter } from '../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../src/layers/image-layer/writer.ts';
import { onAbort, unlessAborted } from '../src/on-abort.ts';
import { MemoryFileSystem } from '../src/testing/memory-file-system.ts';
import { OpenFiles } from '../src/virtual-file/open-files.ts';
import { VirtualFile } from '../src/virtual-file/virtual-file.ts';
import { overwriteFile } from '../src/write-once/overwrite.ts';
import { gate, idle } from './support/gate.ts';
import {
  blockKey,
  DIRECTORY,
  deltaOptions,
  IDS,
  imageOptions,
  memoryDisk,
} from './support/layers.ts';
import { storageErrorOf } from './support/storage-errors.ts';

function listenerCount({ signal }: AbortController): number {
  return getEventListeners(signal, 'abort').length;
}

test('any number of callbacks share one listener and are called once, in order', () => {
  const controller = new AbortController();
  const called: number[] = [];
  for (let index = 0; index < 50; index += 1) {
    onAbort(controller.signal, () => called.push(index));
  }
  expect(listenerCount(controller)).toBe(1);
  controller.abort();
  controller.abort();
  expect(called).toEqual(Array.from({ length: 50 }, (_, index) => index));
  expect(listenerCount(controller)).toBe(0);
});

test('a removed callback is not called, and the listener is removed with the last one', () => {
  const controller = new AbortController();
  const called: string[] = [];
  const stopFirst = onAbort(controller.signal, () => called.push('first'));
  const stopSecond = onAbort(controller.signal, () => called.push('second'));
  stopFirst();
  stopFirst();
  expect(listenerCount(controller)).toBe(1);
  stopSecond();
  expect(listenerCount(controller)).toBe(0);
  const stopThird = onAbort(controller.signal, () => called.push('third'));
  // Those of before have nothing to do with the new listener.
  stopFirst();
  stopSecond();
  onAbort(controller.signal, () => called.push('fourth'));
  expect(listenerCount(controller)).toBe(1);
  controller.abort();
  stopThird();
  expect(called).toEqual(['third', 'fourth']);
  expect(listenerCount(controller)).toBe(0);
});

test('a callback may remove itself and others while callbacks are called', () => {
  const controller = new AbortController();
  const called: string[] = [];
  const stops: (() => void)[] = [];
  stops.push(
    onAbort(controller.signal, () => {
      called.push('first');
      for (const stop of stops) stop();
    }),
  );
  stops.push(onAbort(controller.signal, () => called.push('second')));
  controller.abort();
  expect(called).toEqual(['first']);
  expect(listenerCount(controller)).toBe(0);
});

test('a signal that has fired calls nothing more, and gets no listener', () => {
  const controller = new AbortController();
  controller.abort();
  let calls = 0;
  const stop = onAbort(controller.signal, () => {
    calls += 1;
  });
  expect(listenerCount(controller)).toBe(0);
  stop();
  expect(calls).toBe(0);
});

test('forty writers of each kind and as many waits have one listener together, and leave none', async () => {
  const warnings: Error[] = [];
  const note = (warning: Error): void => void warnings.push(warning);
  process.on('warning', note);
  const controller = new AbortController();
  const { signal } = controller;
  const disk = memoryDisk();
  const { openFiles } = disk;
  const { opened, open } = gate();
  const ends: (() => Promise<unknown>)[] = [];
  for (let index = 0; index < 40; index += 1) {
    const generation = index.toString(16).padStart(8, '0');
    const delta = await DeltaLayerWriter.create(deltaOptions(disk, { generation, signal }));
    const image = await ImageLayerWriter.create(imageOptions(disk, { generation, signal }));
    const layer = await EphemeralLayer.create({
      ...{ directory: DIRECTORY, ...IDS, startLsn: 0x1000n, openFiles, signal },
    });
    const file = await VirtualFile.open(`/plain${index}`, { write: true, create: true, openFiles });
    const plain = new BufferedWriter(file, { signal });
    void delta.putSerialized(blockKey(1), 0x1800n, new Uint8Array(100), true);
    void image.put(blockKey(1), new Uint8Array(100));
    const waiting = unlessAborted(opened, signal);
    ends.push(
      index % 2 === 0 ? () => delta.finish() : () => delta.abandon(),
      index % 2 === 0 ? () => image.finish() : () => image.abandon(),
      () => layer.close(),
      async () => {
        await (index % 2 === 0 ? plain.finish() : plain.abandon());
        await file.close();
      },
      () => waiting,
    );
  }
  expect(listenerCount(controller)).toBe(1);
  open();
  await Promise.all(ends.map((end) => end()));
  const writing = [];
  for (let index = 0; index < 40; index += 1) {
    writing.push(overwriteFile('/one', Uint8Array.of(index), { openFiles, signal }));
  }
  await idle();
  expect(listenerCount(controller)).toBeLessThanOrEqual(1);
  await Promise.all(writing);
  process.off('warning', note);
  expect(warnings).toEqual([]);
  expect(listenerCount(controller)).toBe(0);
});

test('one abort ends all that wait', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const errors: Promise<unknown>[] = [];
  for (let index = 0; index < 20; index += 1) {
    const file = await VirtualFile.open(`/${index}`, { write: true, create: true, openFiles });
    fileSystem.intercept = ({ kind }) => (kind === 'write' ? { delay: gate().opened } : undefined);
    const writer = new BufferedWriter(file, { bufferSize: 4, signal });
    errors.push(storageErrorOf(Promise.resolve(writer.append(new Uint8Array(100)))));
    errors.push(storageErrorOf(unlessAborted(new Promise(() => {}), signal)));
  }
  controller.abort();
  for (const error of await Promise.all(errors)) expect(error).toMatchObject({ code: 'aborted' });
  expect(listenerCount(controller)).toBe(0);
});
