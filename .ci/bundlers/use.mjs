// Writes an image layer of 12 MiB and reads it back, as a program that is bundled would.
//
//   use            with the defaults, whatever can be found from here
//   use fallback   with the defaults, where the packages are gone: no thread can start
//   use threads    with `compression-thread`, which was bundled beside this file
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CompressionPool, ImageLayerWriter, openLayer, parseKey } from 'layerfile';
import { addToKey, verifyLayer } from 'layerfile/layers';

const PAGES = 1500;
const MAXIMUM_PAGES = 1_000_000;
const THREADS = 2;
const START = parseKey('000000067F00000005000040000000000000');
const ID = '000102030405060708090a0b0c0d0e0f';

async function main() {
  const [, self, mode] = process.argv;
  const program = join(dirname(self), `compression-thread${extname(self)}`);
  const compressionPool =
    mode === 'threads'
      ? new CompressionPool({ threadCount: THREADS, program: pathToFileURL(program) })
      : new CompressionPool({ threadCount: THREADS });
  const isEnough = (count) =>
    count >= PAGES && (mode !== 'threads' || compressionPool.readyCount === THREADS);
  const directory = mkdtempSync(join(tmpdir(), 'layerfile-bundle-'));
  try {
    const writer = await ImageLayerWriter.create({
      directory,
      tenantId: ID,
      timelineId: ID,
      keyRange: { start: START, end: addToKey(START, MAXIMUM_PAGES) },
      lsn: 0x1000n,
      compressionPool,
    });
    let count = 0;
    for (; !isEnough(count) && count < MAXIMUM_PAGES; count += 1) {
      await writer.put(addToKey(START, count), page(count));
    }
    const { path } = await writer.finish();
    const { ok } = await verifyLayer(path);
    expectEqual('verified', ok, true);
    const reader = await openLayer(path);
    let read = 0;
    for await (const { bytes } of reader.entries()) {
      if (!page(read).equals(bytes)) throw new Error(`page ${read} differs`);
      read += 1;
    }
    await reader.close();
    expectEqual('pages', read, count);
    if (mode !== undefined) {
      expectEqual('threads', compressionPool.readyCount, mode === 'threads' ? THREADS : 0);
    }
  } finally {
    await compressionPool.close();
    rmSync(directory, { recursive: true });
  }
}

function page(number) {
  return Buffer.alloc(8192, `page ${number} of a layer that a bundled program has written; `);
}

function expectEqual(what, actual, expected) {
  if (actual !== expected) throw new Error(`${what}: ${actual}, not ${expected}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
