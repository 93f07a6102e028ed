/** Pools whose threads run the sources, bundled. */
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { CompressionBatch } from '../../src/blob-writer/compression-batch.ts';
import { CompressionPool } from '../../src/blob-writer/compression-pool.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { type BundledProgram, bundleProgram } from './programs.ts';
import { untilReady } from './until-ready.ts';

const SOURCE = new URL('../../src/entry/compression-thread.ts', import.meta.url);

/** To be called outside of tests. Returns: makes a pool, for one test, that starts its threads immediately. */
export function compressionThreads(): (threadCount?: number) => CompressionPool {
  const program = programOfThreads();
  return (threadCount = 2) => {
    const pool = newPool(program(), threadCount);
    onTestFinished(() => pool.close());
    return pool;
  };
}

/** As `compressionThreads`, but the tests share one pool, whose threads are ready. */
export function sharedCompressionThreads(): () => CompressionPool {
  const program = programOfThreads();
  let pool: CompressionPool;
  beforeAll(async () => {
    pool = newPool(program(), 2);
    const batch = CompressionBatch.create(2);
    batch.add(new Uint8Array(1));
    await pool.compress(batch, await loadCompressor(1));
    await untilReady(pool);
  });
  afterAll(() => pool.close());
  return () => pool;
}

function programOfThreads(): () => BundledProgram {
  let program: BundledProgram;
  beforeAll(async () => {
    program = await bundleProgram(SOURCE);
  });
  afterAll(() => program.remove());
  return () => program;
}

function newPool({ path }: BundledProgram, threadCount: number): CompressionPool {
  return new CompressionPool({ threadCount, startAfter: 0, program: pathToFileURL(path) });
}
