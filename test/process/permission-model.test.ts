/** Under Node's permission model, which forbids fsync: nothing is begun that could not be durable. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PERMISSION_FLAG, resultOf, startNode } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const DIST = new URL('../../dist/', import.meta.url).href;
const LAYERS = new URL('../golden/layers/12-image-zstd1/', import.meta.url);

/** Runs the body of an async function, which returns what is told, with the imports at hand. */
function underPermissions<T>(body: string, ...words: string[]): Promise<T> {
  const program = `
    const [layerfile, layers, virtualFile, writeOnce, testing] = await Promise.all(
      ['index', 'layers', 'virtual-file', 'write-once', 'testing'].map((name) => import('${DIST}' + name + '.js')));
    const directory = process.argv[1];
    let fatal = 0;
    const openFiles = new virtualFile.OpenFiles({ onFatalError: () => { fatal += 1; } });
    const errorOf = (promise) => promise.then(() => 'none', ({ code, errno, outcome, message }) =>
      ({ code, errno, outcome, message }));
    const id = '0123456789abcdef0123456789abcdef';
    const layer = {
      directory, tenantId: id, timelineId: id, lsn: 0x10n, openFiles,
      keyRange: { start: layerfile.minimumKey(), end: layerfile.maximumKey() },
    };
    const told = await (async () => { ${body} })();
    console.log(JSON.stringify({ told, fatal }));`;
  const flags = [PERMISSION_FLAG, '--no-warnings', '--allow-fs-read=*', '--allow-fs-write=*'];
  return resultOf(startNode([...flags, '--input-type=module', '-e', program, ...words]));
}

test('an overwrite, a layer and a removal are refused before anything is touched', async () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'file'), 'old');
  mkdirSync(join(directory, 'sub'));
  writeFileSync(join(directory, 'sub', 'left.___temp'), '');
  const { told, fatal } = await underPermissions<{ told: unknown[]; fatal: number }>(
    `return [
      await errorOf(writeOnce.overwriteFile(directory + '/file', 'new', { openFiles })),
      await errorOf(layerfile.ImageLayerWriter.create(layer)),
      await errorOf(writeOnce.removeLeftovers(directory + '/sub', { openFiles })),
    ];`,
    directory,
  );
  const refused = {
    code: 'io',
    errno: 'ERR_ACCESS_DENIED',
    message: expect.stringContaining('the permission model of Node forbids fsync'),
  };
  expect(told).toEqual([
    { ...refused, outcome: 'not-applied' },
    expect.objectContaining(refused),
    refused,
  ]);
  expect(fatal).toBe(0);
  expect(readdirSync(directory).sort()).toEqual(['file', 'sub']);
  expect(readdirSync(join(directory, 'sub'))).toEqual(['left.___temp']);
});

test('a sync that is refused loses nothing: the file stays readable, and closing it reports the error', async () => {
  const { told, fatal } = await underPermissions<{ told: unknown; fatal: number }>(
    `const file = await virtualFile.VirtualFile.open(directory + '/file',
       { read: true, write: true, create: true, openFiles });
     await file.writeAllAt(Buffer.from('text'), 0);
     const errors = [await errorOf(file.sync()), await errorOf(file.syncData())];
     const text = Buffer.from(await file.readToEnd({ maximumLength: 10 })).toString();
     // Closing syncs what was not synced yet, which is refused again.
     errors.push(await errorOf(file.close()));
     return { codes: errors.map(({ code, errno }) => [code, errno]), text };`,
    temporaryDirectory(),
  );
  const refusal = ['io', 'ERR_ACCESS_DENIED'];
  expect(told).toEqual({ codes: [refusal, refusal, refusal], text: 'text' });
  expect(fatal).toBe(0);
});

test('a layer is read, and pages are compressed where no thread and no binary may be loaded', async () => {
  const { told } = await underPermissions<{ told: unknown }>(
    `const { ok } = await layerfile.verifyLayer(process.argv[2]);
     const compressionPool = new layerfile.CompressionPool({ threadCount: 2, startAfter: 0 });
     const fileSystem = new testing.MemoryFileSystem();
     const memory = new virtualFile.OpenFiles({ fileSystem });
     const writer = await layerfile.ImageLayerWriter.create(
       { ...layer, directory: '/', openFiles: memory, compressionPool });
     for (let block = 0; block < 300; block += 1) {
       const key = layerfile.parseKey(block.toString(16).toUpperCase().padStart(36, '0'));
       await writer.put(key, new Uint8Array(8192).fill(block));
     }
     const { entryCount } = await writer.finish();
     return { ok, entryCount, threads: compressionPool.readyCount };`,
    '/',
    join(LAYERS.pathname, readdirSync(LAYERS).find((name) => name !== 'manifest.json') ?? ''),
  );
  expect(told).toEqual({ ok: true, entryCount: 300, threads: 0 });
});
