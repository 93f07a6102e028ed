import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { batchRoomFor, CompressionBatch } from '../../src/blob-writer/compression-batch.ts';
import { CompressionPool } from '../../src/blob-writer/compression-pool.ts';
import { type Compressor, loadCompressor } from '../../src/zstd/compression.ts';
import { bytesOf } from '../support/blobs.ts';
import { compressionThreads } from '../support/compression-threads.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { untilReady } from '../support/until-ready.ts';

const newPool = compressionThreads();

const NAMES = ['wasm', 'native', 'node'] as const;

/** The compressors of this process. */
async function compressors(level: number): Promise<Compressor[]> {
  const loading = NAMES.map((name) => loadCompressor(level, name).catch(() => undefined));
  return (await Promise.all(loading)).filter((found) => found !== undefined);
}

/** What a thread says first. */
const READY = `{ kind: 'ready', protocol: 1 }`;

describe('threads', () => {
  test('compression threads give the same blobs as this thread, whatever compresses and at which level', async () => {
    const pool = newPool();
    for (const level of [1, 3, 20]) {
      for (const compressor of await compressors(level)) {
        const here = await new CompressionPool({ threadCount: 0 }).compress(batch(0), compressor);
        await pool.compress(batch(0), compressor);
        await untilReady(pool);
        const there = await pool.compress(batch(0), compressor);
        expect(there.count).toBe(here.count);
        expect(Buffer.compare(there.encoded, here.encoded)).toBe(0);
      }
    }
  });

  test('compression threads accept many batches concurrently, and each promise returns its own', async () => {
    const pool = newPool();
    const compressor = await loadCompressor(1);
    await pool.compress(batch(0), compressor);
    await untilReady(pool);
    const numbers = Array.from({ length: 40 }, (_, number) => number);
    const alone = new CompressionPool({ threadCount: 0 });
    const expected = [];
    for (const number of numbers) expected.push(await alone.compress(batch(number), compressor));
    const found = await Promise.all(
      numbers.map((number) => pool.compress(batch(number), compressor)),
    );
    for (const number of numbers) {
      expect(hash(found[number])).toBe(hash(expected[number]));
    }
  });

  test('compression threads are served first, and this thread takes what they have no room for', async () => {
    const pool = newPool(1);
    const compressor = await loadCompressor(1);
    await pool.compress(batch(0), compressor);
    await untilReady(pool);
    let pagesHere = 0;
    const counted: Compressor = {
      ...compressor,
      compressSync: (page) => {
        pagesHere += 1;
        return compressor.compressSync(page);
      },
    };
    await pool.compress(batch(1), counted);
    expect(pagesHere).toBe(0);
    const numbers = Array.from({ length: 40 }, (_, number) => number);
    await Promise.all(numbers.map((number) => pool.compress(batch(number), counted)));
    expect(pagesHere).toBeGreaterThan(0);
    expect(pagesHere).toBeLessThanOrEqual(38 * 8);
  });

  test.each<[string, number, (number: number) => CompressionBatch]>([
    ['pages at a slow level', 12, batch],
    ['contents that are large', 1, largeBatch],
  ])('the calling thread leaves %s to a thread of the pool', async (_, level, newBatch) => {
    const pool = newPool(1);
    const compressor = await loadCompressor(level);
    await pool.compress(newBatch(0), compressor);
    await untilReady(pool);
    const refuse = () => {
      throw new Error('on this thread');
    };
    const elsewhere: Compressor = { ...compressor, compress: refuse, compressSync: refuse };
    const numbers = [1, 2, 3, 4, 5, 6];
    const compressed = numbers.map((number) => pool.compress(newBatch(number), elsewhere));
    for (const { count } of await Promise.all(compressed)) expect(count).toBeGreaterThan(0);
  });

  test('compression threads are not started for small amounts', async () => {
    const pool = new CompressionPool({ threadCount: 2, startAfter: 1_000_000 });
    await pool.compress(batch(0), await loadCompressor(1));
    await pool.close();
    expect(pool.readyCount).toBe(0);
  });

  test('compression threads that are closed leave nothing, and take nothing more', async () => {
    const pool = newPool();
    const compressor = await loadCompressor(1);
    await pool.compress(batch(0), compressor);
    await untilReady(pool);
    const under = Array.from({ length: 12 }, (_, number) =>
      storageErrorOf(pool.compress(batch(number), compressor)),
    );
    await pool.close();
    expect((await Promise.all(under)).map(({ code }) => code)).toEqual(Array(12).fill('closed'));
    expect(pool.readyCount).toBe(0);
    expect((await storageErrorOf(pool.compress(batch(0), compressor))).code).toBe('closed');
    await pool.close();
  });

  test('compression threads that cannot load a compressor return the batch, and this thread compresses it', async () => {
    const pool = newPool(1);
    const compressor = await loadCompressor(1);
    await pool.compress(batch(0), compressor);
    await untilReady(pool);
    const onlyHere: Compressor = { ...compressor, level: 99 };
    const expected = hash(await pool.compress(batch(1), compressor));
    expect(hash(await pool.compress(batch(1), onlyHere))).toBe(expected);
    expect(pool.readyCount).toBe(1);
  });

  test('compression threads that fail on a batch report why, and continue with the next', async () => {
    const pool = poolOf(
      `import { parentPort } from 'node:worker_threads';
       parentPort.on('message', ({ id, buffer }) =>
         parentPort.postMessage(id === 0
           ? { kind: 'failed', id, reason: 'libzstd is tired' }
           : { kind: 'compressed', id, buffer }));
       parentPort.postMessage(${READY});`,
    );
    const compressor = await loadCompressor(1);
    await pool.compress(batch(0), compressor);
    await untilReady(pool);
    const error = await storageErrorOf(pool.compress(batch(1), compressor));
    expect(error).toMatchObject({ code: 'io' });
    expect(error.message).toContain('libzstd is tired');
    expect((await pool.compress(batch(1), compressor)).count).toBeGreaterThan(0);
  });

  test('compression threads that end during a batch reject it, and the pool continues without them', async () => {
    const compressor = await loadCompressor(1);
    const pool = poolOf(
      `import { parentPort } from 'node:worker_threads';
       parentPort.on('message', () => process.exit(3));
       parentPort.postMessage(${READY});`,
    );
    await pool.compress(batch(0), compressor);
    await untilReady(pool);
    const error = await storageErrorOf(pool.compress(batch(1), compressor));
    expect(error).toMatchObject({ code: 'io' });
    expect(error.message).toContain('the thread has ended');
    while (pool.readyCount > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await pool.compress(batch(2), compressor)).count).toBeGreaterThan(0);
  });

  test('compression threads that end under many batches leave none of them without an answer', async () => {
    const compressor = await loadCompressor(1);
    const pool = poolOf(
      `import { parentPort } from 'node:worker_threads';
       parentPort.on('message', () => { throw new Error('out of luck'); });
       parentPort.postMessage(${READY});`,
    );
    await pool.compress(batch(0), compressor);
    await untilReady(pool);
    const numbers = Array.from({ length: 12 }, (_, number) => number);
    const settled = await Promise.allSettled(
      numbers.map((number) => pool.compress(batch(number), compressor)),
    );
    // The two that it had; the others are compressed here.
    expect(settled.filter(({ status }) => status === 'rejected').length).toBe(2);
    // What it had is told before it has ended.
    await expect.poll(() => pool.readyCount).toBe(0);
  });

  test('compression threads that throw during a batch reject it', async () => {
    const pool = poolOf(
      `import { parentPort } from 'node:worker_threads';
       parentPort.on('message', () => { throw new Error('out of luck'); });
       parentPort.postMessage(${READY});`,
    );
    const compressor = await loadCompressor(1);
    await pool.compress(batch(0), compressor);
    await untilReady(pool);
    const error = await storageErrorOf(pool.compress(batch(1), compressor));
    expect(error.message).toContain('out of luck');
  });
});

describe('where no thread can start', () => {
  const PROGRAMS: Record<string, () => URL> = {
    'a file that is missing': () => pathToFileURL('/nowhere/compression-thread.js'),
    'a file that is not one': () => new URL('https://example.com/compression-thread.js'),
    'a program that throws': () => programOf('throw new Error("no")'),
    'a program that ends': () => programOf('process.exit(0)'),
    'a program that speaks of something else': () =>
      programOf(`import { parentPort } from 'node:worker_threads';
       parentPort.on('message', () => {});
       parentPort.postMessage('hello');`),
    'a program of another version': () =>
      programOf(`import { parentPort } from 'node:worker_threads';
       parentPort.on('message', () => {});
       parentPort.postMessage({ kind: 'ready', protocol: 0 });`),
  };
  test.each(Object.entries(PROGRAMS))(
    'where no thread can start because of %s, the calling thread compresses',
    async (_, program) => {
      const pool = new CompressionPool({ threadCount: 2, startAfter: 0, program: program() });
      const compressor = await loadCompressor(1);
      for (let number = 0; number < 4; number += 1) {
        expect((await pool.compress(batch(number), compressor)).count).toBeGreaterThan(0);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await pool.close();
      expect(pool.readyCount).toBe(0);
    },
  );
});

describe('this thread', () => {
  test('the calling thread has turns for others while it compresses', async () => {
    const pool = new CompressionPool({ threadCount: 0 });
    const compressor = await loadCompressor(1);
    const slow: Compressor = {
      ...compressor,
      compressSync: (...page) => {
        for (const end = performance.now() + 3; performance.now() < end; );
        return compressor.compressSync(...page);
      },
    };
    const batches = [1, 2, 3, 4].map(batch);
    let compressed = 0;
    const between: number[] = [];
    const isDone = Promise.all(
      batches.map((pages) => pool.compress(pages, slow).then(() => (compressed += 1))),
    );
    while (compressed < batches.length) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      between.push(compressed);
    }
    await isDone;
    // Others had a turn before the last one, not only when all was over.
    expect(between.some((count) => count > 0 && count < batches.length)).toBe(true);
  });

  test('the calling thread has turns for others between batches each of which is over in less', async () => {
    const pool = new CompressionPool({ threadCount: 0 });
    const compressor = await loadCompressor(1);
    let pages = 0;
    let mostPages = 0;
    const counted: Compressor = {
      ...compressor,
      compressSync: (page) => {
        for (const end = performance.now() + 0.1; performance.now() < end; );
        pages += 1;
        mostPages = Math.max(mostPages, pages);
        return compressor.compressSync(page);
      },
    };
    let isDone = false;
    const batches = Array.from({ length: 200 }, onePage);
    const compressing = Promise.all(batches.map((one) => pool.compress(one, counted)));
    void compressing.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      pages = 0;
    }
    await compressing;
    expect(mostPages).toBeLessThan(20);
  });

  test('the calling thread reports what the compressor throws', async () => {
    const pool = new CompressionPool({ threadCount: 0 });
    const compressor = await loadCompressor(1);
    const broken: Compressor = {
      ...compressor,
      compressSync: () => {
        throw new RangeError('no memory');
      },
    };
    const error = await storageErrorOf(pool.compress(batch(0), broken));
    expect(error).toMatchObject({ code: 'io' });
    expect(error.message).toContain('no memory');
    expect((await pool.compress(batch(0), compressor)).count).toBeGreaterThan(0);
  });

  test('the calling thread leaves a large content to a compressor with its own threads', async () => {
    const content = bytesOf(400_000, 5);
    for (const compressor of await compressors(1)) {
      const only: Compressor = {
        ...compressor,
        compressSync: () => {
          throw new Error('at once');
        },
      };
      const large = CompressionBatch.create(batchRoomFor(content.length));
      large.add(content);
      const { encoded } = await new CompressionPool({ threadCount: 0 }).compress(large, only);
      const frame = await compressor.compress(content);
      expect(Buffer.compare(encoded.subarray(4), frame)).toBe(0);
    }
  });
});

test.each([-1, 1.5, Number.NaN])(
  'a pool of %d threads is refused as invalid-input',
  (threadCount) => {
    const error = storageErrorThrownBy(() => new CompressionPool({ threadCount }));
    expect(error).toMatchObject({ code: 'invalid-input', actual: String(threadCount) });
  },
);

function hash(compressed: CompressionBatch | undefined): string {
  return createHash('sha256')
    .update(compressed?.encoded ?? 'nothing')
    .digest('hex');
}

/** Pages that differ with the number. */
function batch(number: number): CompressionBatch {
  const filled = CompressionBatch.create(8 * batchRoomFor(8192));
  for (let page = 0; page < 8; page += 1) filled.add(bytesOf(8192 - number, number + page));
  return filled;
}

function onePage(): CompressionBatch {
  const filled = CompressionBatch.create(batchRoomFor(8192));
  filled.add(bytesOf(8192, 1));
  return filled;
}

/** One content that is longer than two batches of pages. */
function largeBatch(number: number): CompressionBatch {
  const content = bytesOf(600_000, number);
  const filled = CompressionBatch.create(batchRoomFor(content.length));
  filled.add(content);
  return filled;
}

function poolOf(program: string): CompressionPool {
  const pool = new CompressionPool({
    threadCount: 1,
    startAfter: 0,
    program: programOf(program),
  });
  onTestFinished(() => pool.close());
  return pool;
}

function programOf(text: string): URL {
  const directory = mkdtempSync(join(tmpdir(), 'layerfile-program-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'program.mjs');
  writeFileSync(path, text);
  return pathToFileURL(path);
}
