/** Layers that a thread writes out: its program is bundled from the sources. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ViewedBytes } from '../../../src/byte-words.ts';
import { localLayers } from '../../../src/ingest/pipeline/open-layers.ts';
import { PutBatch } from '../../../src/ingest/pipeline/put-batch.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { WriteOutThread } from '../../../src/layers/ephemeral-layer/write-out-thread.ts';
import { formatKey } from '../../../src/layers/key.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { blockKey } from '../../support/layers.ts';
import { type BundledProgram, bundleProgram } from '../../support/programs.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const IDS = { tenantId: '00'.repeat(16), timelineId: '11'.repeat(16) };
const START = 0x1000n;
const END = 0x100_0000n;

let program: BundledProgram;
beforeAll(async () => {
  program = await bundleProgram(new URL('../../../src/entry/write-out-thread.ts', import.meta.url));
});
afterAll(() => program.remove());

function threadOf(place: URL = pathToFileURL(program.path)): WriteOutThread {
  const thread = new WriteOutThread(place);
  onTestFinished(() => thread.end());
  thread.start();
  return thread;
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** Rows of more than one segment, out of order; every tenth value takes the place of the one before. */
async function filledLayer(directory: string, thread?: WriteOutThread): Promise<EphemeralLayer> {
  const layer = await EphemeralLayer.create({ ...IDS, directory, startLsn: START, thread });
  onTestFinished(() => layer.close());
  for (let at = 0; at < 20_000; at += 1) {
    const lsn = START + BigInt(at % 10 === 0 && at > 0 ? at - 1 : at);
    const block = Math.imul(at % 10 === 0 && at > 0 ? at - 1 : at, 0x9e37) >>> 0;
    const bytes = new Uint8Array(at % 97).fill(at);
    await layer.put(blockKey(block), lsn, { type: 'wal', willInit: false, bytes });
  }
  await layer.freeze(END);
  return layer;
}

describe('a layer that a thread writes out', () => {
  test('a layer that a thread writes out has the bytes of one that the caller writes, and can be read meanwhile and afterwards', async () => {
    const [one, other] = [temporaryDirectory(), temporaryDirectory()];
    const expected = await (await filledLayer(one)).writeDelta();
    const layer = await filledLayer(other, threadOf());
    const writing = layer.writeDelta();
    const key = blockKey(Math.imul(7, 0x9e37) >>> 0);
    const read = async () => (await layer.get(key))?.bytes;
    const value = encodeValue({ type: 'wal', willInit: false, bytes: new Uint8Array(7).fill(7) });
    expect(await read()).toEqual(value);
    const written = await writing;
    expect(await read()).toEqual(value);
    expect(written).toEqual({ ...expected, path: join(other, expected.name) });
    expect(written.entryCount).toBe(20_000 - 1999);
    expect(digestOf(written.path)).toBe(digestOf(expected.path));
  });

  test('a layer that exists already when a thread writes it out fails with the error that the caller would throw', async () => {
    const directory = temporaryDirectory();
    const { path } = await (await filledLayer(directory)).writeDelta();
    const error = await storageErrorOf((await filledLayer(directory, threadOf())).writeDelta());
    expect(error).toMatchObject({ code: 'exists', path, outcome: 'not-applied' });
  });

  test('a layer without values is not written by a thread, which says so', async () => {
    const directory = temporaryDirectory();
    const options = { ...IDS, directory, startLsn: START, thread: threadOf() };
    await using layer = await EphemeralLayer.create(options);
    await layer.freeze(END);
    expect((await storageErrorOf(layer.writeDelta())).code).toBe('empty');
  });

  test('a layer that a thread writes out fails with an outcome in doubt if the thread ends meanwhile, and is written by the caller afterwards', async () => {
    const directory = temporaryDirectory();
    const ending = join(directory, 'ending.mjs');
    writeFileSync(
      ending,
      `import { parentPort } from 'node:worker_threads';
      parentPort.on('message', () => process.exit(1));
      parentPort.postMessage({ kind: 'ready' });`,
    );
    const layer = await filledLayer(directory, threadOf(pathToFileURL(ending)));
    const error = await storageErrorOf(layer.writeDelta());
    expect(error).toMatchObject({ code: 'io', outcome: 'in-doubt' });
    expect((await layer.writeDelta()).entryCount).toBe(20_000 - 1999);
  });

  test('a layer that a thread writes out is written by the caller if the thread has no program', async () => {
    const directory = temporaryDirectory();
    const missing = pathToFileURL(join(directory, 'missing.js'));
    const { path } = await (await filledLayer(directory, threadOf(missing))).writeDelta();
    expect(await readdir(directory)).toContain(path.slice(directory.length + 1));
  });

  test('a layer that a thread writes out keeps its rows until the thread has written it, although it is closed', async () => {
    const directory = temporaryDirectory();
    const thread = threadOf();
    const layer = await filledLayer(directory, thread);
    const writing = layer.writeDelta();
    const steps: string[] = [];
    await Promise.allSettled([
      writing.finally(() => steps.push('written')),
      layer.close().then(() => steps.push('closed')),
    ]);
    expect(steps).toEqual(['written', 'closed']);
    // The memory of the rows is used again.
    const segment = thread.rowMemory.take();
    thread.rowMemory.release([segment]);
    expect(thread.rowMemory.take()).toBe(segment);
  });

  test('a layer that the caller writes out keeps its rows for that, although it is closed and the next one uses their memory', async () => {
    const [one, other] = [temporaryDirectory(), temporaryDirectory()];
    const expected = await (await filledLayer(one)).writeDelta();
    const thread = new WriteOutThread();
    const layer = await filledLayer(other, thread);
    const writing = layer.writeDelta();
    await Promise.allSettled([layer.close().then(() => filledLayer(one, thread)), writing]);
    expect(digestOf((await writing).path)).toBe(digestOf(expected.path));
  });
});

test('a line of layers starts the thread when a layer is large, and then has the bytes that it has without', async () => {
  const place = { ...IDS, generation: undefined, ioMode: undefined };
  const value = new ViewedBytes(new Uint8Array(8192));
  const write = async (directory: string, thread: WriteOutThread | undefined) => {
    const layers = localLayers({ ...place, directory }, thread);
    const layer = await layers.open(START);
    for (let at = 0; at < 10; at += 1) {
      const batch = new PutBatch();
      batch.setLsn(0, 0x2000 + at);
      for (let block = 0; block < 128; block += 1) {
        batch.put(new ViewedBytes(blockKey(block)), true, value);
      }
      await layer.put(batch);
      expect(thread?.isStarted ?? false).toBe(thread !== undefined && at >= 8);
    }
    await layer.freeze(END);
    const keyRange = { start: blockKey(0), end: blockKey(128) };
    const finished = await layer.finish(keyRange);
    expect(finished?.name).toContain(`${formatKey(keyRange.start)}-${formatKey(keyRange.end)}__`);
    await layers.close();
    return digestOf(finished?.path ?? '');
  };
  const thread = new WriteOutThread(pathToFileURL(program.path));
  const written = await write(temporaryDirectory(), thread);
  expect(written).toBe(await write(temporaryDirectory(), undefined));
  expect(thread.isStarted).toBe(false);
});
