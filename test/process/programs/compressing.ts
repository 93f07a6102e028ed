/**
 * Writes image layers with compression threads, and ends as requested: by itself, with the threads
 * idle or busy; or by process.exit while they are.
 */
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { CompressionPool } from '../../../src/blob-writer/compression-pool.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import { blockKey, IDS, IMAGE_LSN, KEY_RANGE } from '../../support/layers.ts';

export interface CompressingInput {
  readonly directory: string;
  readonly threadProgram: string;
  readonly end: 'finish' | 'leave' | 'exit';
}

const PAGES = 3000;

const { directory, threadProgram, end }: CompressingInput = JSON.parse(process.argv[2] ?? '');

const compressionPool = new CompressionPool({
  threadCount: 2,
  startAfter: 0,
  program: pathToFileURL(threadProgram),
});
const writer = await ImageLayerWriter.create({
  directory,
  ...IDS,
  keyRange: KEY_RANGE,
  lsn: IMAGE_LSN,
  compression: { kind: 'zstd', level: 1 },
  compressionPool,
});
const page = new Uint8Array(8192).map((_, at) => (at * at) % 251);
await putPages(0);
// Threads take their time to start on a busy machine; what comes then is theirs.
for (let waited = 0; compressionPool.readyCount === 0 && waited < 4000; waited += 1) {
  await setTimeout(5);
}
await putPages(PAGES);
if (end === 'finish') await writer.finish();
if (end === 'exit') {
  for (let block = 2 * PAGES; block < 3 * PAGES; block += 1) void writer.put(blockKey(block), page);
  process.exit(0);
}
process.stdout.write(`${compressionPool.readyCount > 0 ? 'threads' : 'no threads'}\n`);

async function putPages(first: number): Promise<void> {
  for (let block = first; block < first + PAGES; block += 1) {
    await writer.put(blockKey(block), page);
  }
}
