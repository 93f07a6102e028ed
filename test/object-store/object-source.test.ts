import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { type Key, maximumKey, minimumKey, parseKey } from '../../src/layers/key.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { type ObjectSource, objectSource } from '../../src/object-store/object-source.ts';
import type { ObjectStore } from '../../src/object-store/object-store.ts';
import { BLOCK_SIZE } from '../../src/virtual-file/block.ts';
import { goldenLayers } from '../support/golden.ts';
import { type S3Server, startS3, storeOf } from '../support/s3-server.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const KIB = 1024;

async function remote(
  bytes: Uint8Array,
  key: string,
): Promise<{ server: S3Server; store: ObjectStore }> {
  const started = await startS3();
  started.server.put(key, bytes);
  return started;
}

describe('a remote layer', () => {
  const layers = goldenLayers().filter(({ path }) => readFileSync(path).length > 100 * KIB);

  test.each(layers.map((layer) => [layer.manifest.case, layer.path]))(
    'a value of %s is looked up in three requests, with the bytes of index and value',
    async (_, path) => {
      const bytes = readFileSync(path);
      const key = `timeline/${basename(path)}`;
      const { server, store } = await remote(bytes, key);
      await using local = await openLayer(path);
      const keys = [];
      for await (const entry of local.keys()) keys.push(entry);
      const indexSize = bytes.length - local.summary.indexStartBlock * BLOCK_SIZE;
      const steps = Math.max(1, Math.floor(keys.length / 5));
      for (let at = 0; at < keys.length; at += steps) {
        const entry = keys[at];
        if (entry === undefined) throw new Error('an entry is there');
        server.reset();
        await using reader = await openLayer(await objectSource(store, key), {
          blockCache: undefined,
        });
        const found = await reader.get(entry.key, entry.lsn);
        const expected = await local.get(entry.key, entry.lsn);
        expect(found?.offset).toBe(entry.offset);
        expect(
          Buffer.compare(found?.bytes ?? Buffer.alloc(0), expected?.bytes ?? Buffer.alloc(1)),
        ).toBe(0);
        expect(server.requests.length).toBeLessThanOrEqual(3);
        expect(server.bytesSent).toBeLessThanOrEqual(
          indexSize + (found?.storedLength ?? 0) + 64 * KIB,
        );
      }
    },
  );
});

/** Deterministic bytes that do not compress. */
const NOISE = createHash('shake256', { outputLength: 1_000_000 }).update('noise').digest();

function noise(length: number, seed: number): Uint8Array {
  return Uint8Array.from(NOISE.subarray(seed, seed + length));
}

async function largeLayer(count: number, lengthOf: (index: number) => number): Promise<string> {
  const directory = temporaryDirectory();
  await using writer = await DeltaLayerWriter.create({
    directory,
    tenantId: '00'.repeat(16),
    timelineId: '11'.repeat(16),
    keyRange: { start: minimumKey(), end: maximumKey() },
    lsnRange: { start: 1n, end: 2n },
  });
  for (let index = 0; index < count; index += 1) {
    await writer.put(keyAt(index), 1n, { type: 'image', bytes: noise(lengthOf(index), index + 1) });
  }
  return (await writer.finish()).path;
}

function keyAt(index: number): Key {
  return parseKey(`000000067F0000000500004000${String(index).padStart(10, '0')}`);
}

describe('a large remote layer', () => {
  test('values of up to megabytes, also the last of their leaves, take three requests', async () => {
    const path = await largeLayer(700, (index) => (index % 100 === 0 ? 300_000 : 9_000));
    const bytes = readFileSync(path);
    const { server, store } = await remote(bytes, 'layer');
    const local = await openLayer(path);
    const indexSize = bytes.length - local.summary.indexStartBlock * BLOCK_SIZE;
    await local.close();
    for (const index of [0, 1, 100, 333, 500, 699]) {
      server.reset();
      await using reader = await openLayer(await objectSource(store, 'layer'));
      const found = await reader.get(keyAt(index));
      expect(found?.bytes.length).toBeGreaterThan(9_000 - 1);
      expect(server.requests.map(({ range }) => range)).toHaveLength(3);
      const allowed = indexSize + (found?.storedLength ?? 0) + 64 * KIB;
      expect(server.bytesSent).toBeLessThanOrEqual(allowed);
    }
  });

  test('a scan reads each byte once, in pieces of a mebibyte, several at a time', async () => {
    const path = await largeLayer(700, () => 9_000);
    const bytes = readFileSync(path);
    const { server, store } = await remote(bytes, 'layer');
    let running = 0;
    let most = 0;
    const counting: typeof fetch = async (...call) => {
      running += 1;
      most = Math.max(most, running);
      return fetch(...call).finally(() => {
        running -= 1;
      });
    };
    server.reset();
    const slow = storeOf(server, { fetch: counting });
    await using reader = await openLayer(await objectSource(slow, 'layer'));
    let count = 0;
    for await (const batch of reader.batches()) count += batch.count;
    expect(count).toBe(700);
    expect(server.requests.length).toBeLessThanOrEqual(Math.ceil(bytes.length / 2 ** 20) + 3);
    expect(server.bytesSent).toBeLessThanOrEqual(bytes.length + 64 * KIB);
    expect(most).toBeGreaterThanOrEqual(2);
    expect(store.name).toBe('s3://layers');
  });

  test('a large remote layer that changes while it is read is changed, and never mixed', async () => {
    const path = await largeLayer(300, () => 9_000);
    const { server, store } = await remote(readFileSync(path), 'layer');
    await using reader = await openLayer(await objectSource(store, 'layer'));
    server.put('layer', readFileSync(await largeLayer(300, () => 9_001)));
    expect(await storageErrorOf(reader.get(keyAt(7)))).toMatchObject({
      code: 'changed',
      path: 's3://layers/layer',
    });
  });
});

describe('the source of an object', () => {
  test('the source of an object of any length reads what a file has, in pieces of any length', async () => {
    const bytes = noise(600_000, 7);
    for (const length of [0, 1, 16_383, 16_384, 16_385, 300_000, 600_000]) {
      const { server, store } = await remote(bytes.subarray(0, length), 'a');
      const source = await objectSource(store, 'a');
      expect(source).toMatchObject({ size: length, path: 's3://layers/a' });
      for (const [offset, size] of [
        [0, 10],
        [length - 1, 10],
        [length, 1],
        [length / 3, 1_000],
      ]) {
        const at = Math.max(0, Math.floor(offset ?? 0));
        const target = new Uint8Array(size ?? 0);
        const count = await source.read(target, at);
        expect(count).toBe(Math.max(0, Math.min(target.length, length - at)));
        expect(target.subarray(0, count)).toEqual(bytes.slice(at, at + count));
      }
      await server.stop();
    }
  });

  test('the source of an object that is no longer needed is aborted with its signal', async () => {
    const { server, store } = await remote(noise(600_000, 7), 'a');
    const stop = new AbortController();
    const source = await objectSource(store, 'a', { signal: stop.signal });
    server.fault = () => ({ kind: 'stall' });
    const other = new AbortController();
    const reading = source.readRanges?.([{ target: new Uint8Array(1), offset: 20_000 }], {
      signal: other.signal,
    });
    stop.abort();
    expect((await storageErrorOf(reading ?? Promise.resolve())).code).toBe('aborted');
  });

  test('the source of a missing object is not found', async () => {
    const { store } = await startS3();
    expect((await storageErrorOf(objectSource(store, 'a'))).code).toBe('not-found');
  });
});

test('ends of sources are kept up to 64 MiB together, and those that were read first are forgotten', async () => {
  const length = 8 * 1024 * KIB;
  const size = length + 32 * KIB;
  const { server, store } = await startS3();
  const bytes = new Uint8Array(size).fill(7);
  const target = new Uint8Array(length);
  const sources: ObjectSource[] = [];
  for (let number = 0; number < 9; number += 1) {
    server.put(`object ${number}`, bytes);
    const source = await objectSource(store, `object ${number}`);
    await source.read(target, size - length);
    sources.push(source);
  }
  const isKept = (source: ObjectSource): boolean | undefined =>
    source.readCached?.(target.subarray(0, 10), size - 10);
  expect(sources.map(isKept)).toEqual([false, ...new Array(8).fill(true)]);
});
