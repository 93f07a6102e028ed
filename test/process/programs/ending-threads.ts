/** Uses pools whose threads end, or never begin, and tells when all that it waits for is settled. */

import { batchRoomFor, CompressionBatch } from '../../../src/blob-writer/compression-batch.ts';
import { CompressionPool } from '../../../src/blob-writer/compression-pool.ts';
import { loadCompressor } from '../../../src/zstd/compression.ts';
import { untilReady } from '../../support/until-ready.ts';

export type EndingThreads =
  | 'closed-while-they-start'
  | 'closed-while-they-answer'
  | 'failing-while-others-wait';

/** Whether the process ends too early is a matter of milliseconds. */
const ROUNDS = 20;

const compressor = await loadCompressor(12);
const ending: EndingThreads = JSON.parse(process.argv[2] ?? '');
const ACTIONS: Record<EndingThreads, () => Promise<void>> = {
  'closed-while-they-start': closeWhileStarting,
  'closed-while-they-answer': closeWhileAnswering,
  'failing-while-others-wait': failWhileOthersWait,
};
for (let round = 0; round < ROUNDS; round += 1) await ACTIONS[ending]();
console.log('settled');

async function closeWhileStarting(): Promise<void> {
  const pool = poolOf('setInterval(() => {}, 1000);');
  await pool.compress(batch(), compressor);
  await pool.close();
}

/** The answers are there when the pool is closed, but nobody has heard them yet. */
async function closeWhileAnswering(): Promise<void> {
  const pool = poolOf(
    `import { parentPort } from 'node:worker_threads';
     parentPort.on('message', ({ id, buffer }) =>
       parentPort.postMessage({ kind: 'compressed', id, buffer }, [buffer]));
     parentPort.postMessage({ kind: 'ready', protocol: 1 });`,
  );
  await pool.compress(batch(), compressor);
  await untilReady(pool);
  const compressing = Promise.allSettled([1, 2].map(() => pool.compress(batch(), compressor)));
  for (const end = performance.now() + 5; performance.now() < end; );
  await pool.close();
  await compressing;
}

async function failWhileOthersWait(): Promise<void> {
  const pool = poolOf(
    `import { parentPort } from 'node:worker_threads';
     parentPort.on('message', () => { throw new Error('out of luck'); });
     parentPort.postMessage({ kind: 'ready', protocol: 1 });`,
  );
  await pool.compress(batch(), compressor);
  await untilReady(pool);
  await Promise.allSettled([1, 2, 3, 4].map(() => pool.compress(batch(), compressor)));
}

function poolOf(program: string): CompressionPool {
  const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
  return new CompressionPool({ threadCount: 1, startAfter: 0, program: url });
}

function batch(): CompressionBatch {
  const filled = CompressionBatch.create(batchRoomFor(8192));
  filled.add(new Uint8Array(8192));
  return filled;
}
