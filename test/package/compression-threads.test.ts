/** The built package finds the program of its compression threads. */
import { expect, test } from 'vitest';
import { resultOf, startNode } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const DIST = new URL('../../dist/', import.meta.url).href;

const PROGRAM = `
  const { CompressionPool, ImageLayerWriter, maximumKey, minimumKey, parseKey, verifyLayer } =
    await import('${DIST}index.js').then(async (index) => ({ ...(await import('${DIST}layers.js')), ...index }));
  const compressionPool = new CompressionPool({ threadCount: 2, startAfter: 0 });
  const id = '0123456789abcdef0123456789abcdef';
  const writer = await ImageLayerWriter.create({
    directory: process.argv[1], tenantId: id, timelineId: id, lsn: 0x10n, compressionPool,
    keyRange: { start: minimumKey(), end: maximumKey() },
  });
  const page = new Uint8Array(8192).map((_, at) => (at * at) % 251);
  for (let block = 0; block < 100_000 && compressionPool.readyCount < 2; block += 1) {
    await writer.put(parseKey(block.toString(16).toUpperCase().padStart(36, '0')), page);
    // So that the processors are free for the start of the threads.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { path, entryCount } = await writer.finish();
  const { ok, entries } = await verifyLayer(path);
  console.log(JSON.stringify({ threads: compressionPool.readyCount, ok, isWhole: entries === entryCount }));
`;

test('a layer that is written with the built package is compressed by threads', async () => {
  const running = startNode(['--input-type=module', '-e', PROGRAM, temporaryDirectory()]);
  expect(await resultOf(running)).toEqual({ threads: 2, ok: true, isWhole: true });
});
