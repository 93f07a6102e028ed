/** Layers that threads read: their program is bundled from the sources. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { httpStore } from '../../src/object-store/http-store.ts';
import type { ObjectStore } from '../../src/object-store/object-store.ts';
import { CheckPool } from '../../src/timeline/check-pool.ts';
import { goldenLayers } from '../support/golden.ts';
import { type BundledProgram, bundleProgram } from '../support/programs.ts';
import { startS3, storeOf } from '../support/s3-server.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const [LAYER] = goldenLayers();
const PATH = LAYER?.path ?? '';
const ALL = { pageChecksums: 'ignore' } as const;

let program: BundledProgram;
beforeAll(async () => {
  program = await bundleProgram(new URL('../../src/entry/check-thread.ts', import.meta.url));
});
afterAll(() => program.remove());

function poolOf(signal?: AbortSignal): CheckPool {
  const pool = new CheckPool({ threadCount: 2, program: pathToFileURL(program.path), signal });
  onTestFinished(() => pool.close());
  return pool;
}

describe('a thread', () => {
  test('a thread verifies a file as the caller would', async () => {
    const one = new CheckPool({ threadCount: 1 });
    const verdict = await poolOf().verify(PATH, ALL);
    expect(verdict).toMatchObject({ kind: 'report', report: { path: PATH, ok: true } });
    expect(verdict).toEqual(await one.verify(PATH, ALL));
  });

  test('a thread reports a missing file with the error that the caller would throw', async () => {
    const missing = join(temporaryDirectory(), 'missing');
    const verdict = await poolOf().verify(missing, ALL);
    const { code, details } = (verdict as Extract<typeof verdict, { kind: 'failed' }>).error;
    const error = new StorageError(code, details);
    expect([error.code, error.path, error.errno]).toEqual(['not-found', missing, 'ENOENT']);
    expect(error.message).toContain(missing);
  });

  test('opens a store itself, and reads the object there', async () => {
    const { server, store } = await startS3();
    server.put('layer', readFileSync(PATH));
    const unread = async (): Promise<never> => {
      throw new Error('the caller reads nothing');
    };
    const ofCaller = { ...store, settings: store.settings, readStart: unread, readRanges: unread };
    const place = { store: ofCaller as typeof store, key: 'layer' };
    const verdict = await poolOf().verify(place, ALL);
    expect(verdict).toMatchObject({
      kind: 'report',
      report: { path: 's3://layers/layer', ok: true },
    });
    const checked = await poolOf().check(place, {
      name: undefined,
      tenantId: undefined,
      depth: 'every-byte',
    });
    expect(checked).toEqual({ findings: [], errors: 0, warnings: 0, failure: undefined });
  });

  test('a thread that waits for a server does not keep the caller, who aborts', async () => {
    const { server, store } = await startS3();
    server.put('layer', readFileSync(PATH));
    const controller = new AbortController();
    server.fault = () => {
      controller.abort();
      return { kind: 'stall' };
    };
    const waiting = poolOf(controller.signal).verify({ store, key: 'layer' }, ALL);
    expect((await storageErrorOf(waiting)).code).toBe('aborted');
  });

  test('a thread that is ended rejects what it has', async () => {
    const { server, store } = await startS3();
    server.put('layer', readFileSync(PATH));
    const pool = poolOf();
    server.fault = () => {
      void pool.close();
      return { kind: 'stall' };
    };
    const error = await storageErrorOf(pool.verify({ store, key: 'layer' }, ALL));
    expect(error.code).toBe('closed');
  });
});

describe('two layers at a time, on two threads', () => {
  test('two layers at a time, on two threads, are read by the caller and by one thread', async () => {
    const { server, store } = await startS3();
    server.put('layer', readFileSync(PATH));
    let readsOfCaller = 0;
    const ofCaller: ObjectStore = {
      name: store.name,
      settings: store.settings,
      readStart: (...words) => {
        readsOfCaller += 1;
        return store.readStart(...words);
      },
      readRanges: (...words) => store.readRanges(...words),
      list: (...words) => store.list(...words),
      head: (...words) => store.head(...words),
      put: (...words) => store.put(...words),
    };
    const place = { store: ofCaller, key: 'layer' };
    const pool = poolOf();
    const verdicts = await Promise.all([pool.verify(place, ALL), pool.verify(place, ALL)]);
    expect(verdicts.map(({ kind }) => kind)).toEqual(['report', 'report']);
    expect(readsOfCaller).toBe(1);
    await Promise.all(Array.from({ length: 6 }, () => pool.verify(place, ALL)));
    expect(readsOfCaller).toBeGreaterThanOrEqual(3);
    expect(readsOfCaller).toBeLessThan(7);
  });
});

describe('a store that a thread cannot open', () => {
  test('a store that a thread cannot open, with credentials from a function, is read by the caller', async () => {
    const { server } = await startS3();
    server.put('layer', readFileSync(PATH));
    let calls = 0;
    const store = storeOf(server, {
      credentials: async () => {
        calls += 1;
        return { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret/of+test' };
      },
    });
    expect(store.settings).toBeUndefined();
    const verdict = await poolOf().verify({ store, key: 'layer' }, ALL);
    expect(verdict.kind).toBe('report');
    expect(calls).toBeGreaterThan(0);
  });

  test('a store that a thread cannot open, with its own fetch, has no settings', () => {
    expect(httpStore('http://localhost/', { fetch }).settings).toBeUndefined();
    expect(httpStore('http://localhost/', { attempts: 2 }).settings).toEqual({
      kind: 'http',
      base: 'http://localhost/',
      options: { attempts: 2 },
    });
  });
});
