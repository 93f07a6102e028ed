import { expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { formatTemporaryName } from '../../src/layers/layer-name.ts';
import { MemoryFileSystem } from '../../src/virtual-file/memory-file-system.ts';
import { createNumbered } from '../../src/virtual-file/numbered-file.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { IDS, KEY_RANGE, LSN_RANGE } from '../support/layers.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const pathOf = (number: number): string => `/data/${number}`;

/** The names of many crashes. */
function disk(nameOf: (number: number) => string = String) {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/data');
  for (let number = 0; number <= 1000; number += 1) {
    fileSystem.createFile(`/data/${nameOf(number)}`, new Uint8Array(1));
  }
  const openFiles = new OpenFiles({ fileSystem });
  return { fileSystem, openFiles };
}

test('the first free number is taken', async () => {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/data');
  for (const number of [0, 1, 3]) fileSystem.createFile(pathOf(number), new Uint8Array(0));
  const openFiles = new OpenFiles({ fileSystem });
  const file = await createNumbered(pathOf, { openFiles });
  expect(file.path).toBe('/data/2');
  await file.abandon();
});

test('where the first thousand are taken, a random one is', async () => {
  const { openFiles, fileSystem } = disk();
  const files = [await createNumbered(pathOf, { openFiles })];
  files.push(await createNumbered(pathOf, { openFiles }));
  expect(new Set(files.map(({ path }) => path)).size).toBe(2);
  for (const file of files) await file.abandon();
  expect(fileSystem.paths()).toHaveLength(1001);
});

test('where every name is taken, it is io, and no name of the caller’s', async () => {
  const fileSystem = new MemoryFileSystem();
  let asked = 0;
  fileSystem.intercept = () => {
    asked += 1;
    return { fail: 'EEXIST' };
  };
  const openFiles = new OpenFiles({ fileSystem });
  const error = await storageErrorOf(createNumbered(pathOf, { openFiles }));
  expect(error).toMatchObject({ code: 'io', errno: 'EEXIST' });
  expect(error.message).toContain('no name is free for a temporary file');
  expect(asked).toBeLessThan(1000);
});

test('another error ends the search', async () => {
  const { openFiles, fileSystem } = disk();
  fileSystem.intercept = ({ path }) => (path === pathOf(1) ? { fail: 'ENOSPC' } : undefined);
  expect(await storageErrorOf(createNumbered(pathOf, { openFiles }))).toMatchObject({
    errno: 'ENOSPC',
    path: pathOf(1),
  });
});

test('a thousand unfinished layers are in nobody’s way', async () => {
  const name = { kind: 'delta', keyRange: KEY_RANGE, lsnRange: LSN_RANGE } as const;
  const { openFiles } = disk((number) => formatTemporaryName(name, number));
  const options = { directory: '/data', ...IDS, openFiles };
  const writer = await DeltaLayerWriter.create({ ...options, ...name });
  await writer.abandon();
});

test('a thousand scratch files are in nobody’s way', async () => {
  const { openFiles, fileSystem } = disk((number) => `ephemeral-${number}`);
  const options = { directory: '/data', ...IDS, openFiles };
  const layer = await EphemeralLayer.create({ ...options, startLsn: LSN_RANGE.start });
  const [scratch = ''] = fileSystem
    .paths()
    .filter((path) => path.length > '/data/ephemeral-1000'.length);
  expect(scratch).toMatch(/^\/data\/ephemeral-\d+$/);
  await layer.close();
});
