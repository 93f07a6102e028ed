import type { CompressionPool } from '../../src/blob-writer/compression-pool.ts';

/** Resolves when all threads of the pool are ready. */
export async function untilReady(pool: CompressionPool): Promise<void> {
  while (pool.readyCount < pool.threadCount) await new Promise((resolve) => setTimeout(resolve, 5));
}
