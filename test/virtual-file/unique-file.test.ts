import { expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { createUnique } from '../../src/virtual-file/unique-file.ts';
import { IDS, KEY_RANGE, LSN_RANGE } from '../support/layers.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const pathOf = (token: string): string => `/data/${token}`;

function disk() {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory('/data');
  return { fileSystem, openFiles: new OpenFiles({ fileSystem }) };
}

test('each file has a unique name that contains its owner', async () => {
  const { fileSystem, openFiles } = disk();
  const files = [];
  for (let n = 0; n < 50; n += 1) files.push(await createUnique(pathOf, { openFiles }));
  const names = files.map(({ path }) => path.slice('/data/'.length));
  expect(new Set(names).size).toBe(50);
  for (const name of names) expect(name).toMatch(new RegExp(`^${fileSystem.owners.own()}.{8}$`));
  for (const file of files) await file.abandon();
  expect(fileSystem.paths()).toEqual([]);
});

test('a name that is taken is not used, and its file stays', async () => {
  const { fileSystem, openFiles } = disk();
  const taken = '/data/taken';
  fileSystem.createFile(taken, new Uint8Array(1));
  const paths = [taken, '/data/free'];
  const file = await createUnique(() => paths.shift() ?? '', { openFiles });
  expect(file.path).toBe('/data/free');
  await file.abandon();
  expect(fileSystem.paths()).toEqual([taken]);
});

test('where every name is taken, it is io, and no name of the caller’s', async () => {
  const { fileSystem, openFiles } = disk();
  let asked = 0;
  fileSystem.intercept = () => {
    asked += 1;
    return { fail: 'EEXIST' };
  };
  const error = await storageErrorOf(createUnique(pathOf, { openFiles }));
  expect(error).toMatchObject({ code: 'io', errno: 'EEXIST' });
  expect(error.message).toContain('no free name for a temporary file');
  expect(asked).toBe(8);
});

test('another error ends the search, and leaves no file', async () => {
  const { openFiles, fileSystem } = disk();
  const opened: string[] = [];
  const create = fileSystem.open.bind(fileSystem);
  fileSystem.open = async (path, options) => {
    opened.push(path);
    await (await create(path, options)).close();
    throw await storageErrorOf(create('/missing/file', { write: true, create: true }));
  };
  expect(await storageErrorOf(createUnique(pathOf, { openFiles }))).toMatchObject({
    code: 'not-found',
  });
  expect(opened).toHaveLength(1);
  expect(fileSystem.paths()).toEqual([]);
});

test('layers and scratch files have such names', async () => {
  const { fileSystem, openFiles } = disk();
  const options = { directory: '/data', ...IDS, openFiles };
  const ranges = { keyRange: KEY_RANGE, lsnRange: LSN_RANGE };
  const writers = [
    await DeltaLayerWriter.create({ ...options, ...ranges }),
    await DeltaLayerWriter.create({ ...options, ...ranges }),
  ];
  const layer = await EphemeralLayer.create({ ...options, startLsn: LSN_RANGE.start });
  const own = fileSystem.owners.own();
  expect(fileSystem.paths()).toEqual([
    expect.stringMatching(new RegExp(`-XXX__[^.]+\\.${own}.{8}\\.___temp$`)),
    expect.stringMatching(new RegExp(`-XXX__[^.]+\\.${own}.{8}\\.___temp$`)),
    expect.stringMatching(new RegExp(`^/data/ephemeral-${own}.{8}$`)),
  ]);
  for (const writer of writers) await writer.abandon();
  await layer.close();
});
