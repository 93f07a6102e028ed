/** A relative path means what it meant at the call, wherever the process goes. */
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { durableRename, publishNew } from '../../src/virtual-file/durable-rename.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../src/virtual-file/temporary-file.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { blockKey, IDS, KEY_RANGE, LSN_RANGE } from '../support/layers.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const DELTA = { directory: 'data', ...IDS, keyRange: KEY_RANGE, lsnRange: LSN_RANGE };

let root = '';

/** Two places, each with a directory `data`; the process is at the first. */
beforeEach(() => {
  const before = process.cwd();
  onTestFinished(() => process.chdir(before));
  root = temporaryDirectory();
  for (const place of ['one', 'two']) mkdirSync(join(root, place, 'data'), { recursive: true });
  go('one');
});

function go(place: 'one' | 'two'): void {
  process.chdir(join(root, place));
}

function names(place: 'one' | 'two'): string[] {
  return readdirSync(join(root, place, 'data'));
}

async function deltaWriter(block: number): Promise<DeltaLayerWriter> {
  const writer = await DeltaLayerWriter.create(DELTA);
  await writer.put(blockKey(block), LSN_RANGE.start, { type: 'image', bytes: new Uint8Array(9) });
  return writer;
}

describe('after the process has changed its directory', () => {
  test('two layers of one relative path are two layers', async () => {
    const first = await deltaWriter(1);
    go('two');
    const second = await deltaWriter(2);
    const finished = [await first.finish(), await second.finish()];
    for (const [index, place] of (['one', 'two'] as const).entries()) {
      expect(names(place)).toEqual([finished[index]?.name]);
      expect(finished[index]?.path).toBe(`data/${finished[index]?.name}`);
      const [name = ''] = names(place);
      const report = await verifyLayer(join(root, place, 'data', name));
      expect(report).toMatchObject({ findings: [], entries: 1 });
    }
  });

  test('abandoning a layer does not delete a file of another owner', async () => {
    const first = await deltaWriter(1);
    go('two');
    const second = await deltaWriter(2);
    await first.abandon();
    expect(names('one')).toEqual([]);
    await second.finish();
    expect(names('two')).toHaveLength(1);
  });

  test('an ephemeral layer is written out where it was made, or where it is requested', async () => {
    const layers = [];
    for (const directory of [undefined, 'data']) {
      go('one');
      const layer = await EphemeralLayer.create({
        directory: 'data',
        ...IDS,
        startLsn: LSN_RANGE.start,
      });
      await layer.put(blockKey(1), LSN_RANGE.start, { type: 'image', bytes: new Uint8Array(9) });
      await layer.freeze(LSN_RANGE.end);
      go('two');
      const writing = layer.writeDelta({ directory });
      go('one');
      layers.push((await writing).name);
      await layer.close();
    }
    expect(names('one')).toEqual([layers[0]]);
    expect(names('two')).toEqual([layers[1]]);
  });

  test('a file is read on where it was opened, also from another descriptor', async () => {
    const openFiles = new OpenFiles({ capacity: 1 });
    writeFileSync('data/file', 'one');
    writeFileSync(join(root, 'two/data/file'), 'two');
    const file = await VirtualFile.open('data/file', { read: true, openFiles });
    go('two');
    const other = await VirtualFile.open('data/file', { read: true, openFiles });
    for (const [expected, opened] of [
      ['one', file],
      ['two', other],
      ['one', file],
    ] as const) {
      const content = await opened.readToEnd({ maximumLength: 9 });
      expect(new TextDecoder().decode(content)).toBe(expected);
    }
    await Promise.all([file.close(), other.close()]);
  });

  test('errors name the path as it was given', async () => {
    expect(await storageErrorOf(VirtualFile.open('data/missing', { read: true }))).toMatchObject({
      code: 'not-found',
      path: 'data/missing',
    });
    writeFileSync('data/file', 'one');
    const file = await VirtualFile.open('data/file', { read: true });
    const tooLong = file.readExactAt(new Uint8Array(9), 0);
    expect(await storageErrorOf(tooLong)).toMatchObject({ code: 'truncated', path: 'data/file' });
    await file.close();
    const writer = await deltaWriter(1);
    const { path } = await writer.finish();
    expect(await storageErrorOf(DeltaLayerWriter.create(DELTA))).toMatchObject({
      code: 'exists',
      path,
    });
  });

  test.each([
    ['a durable rename', durableRename],
    ['publishing', publishNew],
  ] as const)(
    '%s after the process has changed its directory ends where it was to',
    async (_, publish) => {
      const temporary = await TemporaryFile.create('data/temporary');
      const publishing = publish(temporary, 'data/file');
      go('two');
      await publishing;
      await temporary.abandon();
      expect(names('one')).toEqual(['file']);
    },
  );

  test('a temporary file deletes itself and no other', async () => {
    writeFileSync(join(root, 'two/data/temporary'), 'two');
    const temporary = await TemporaryFile.create('data/temporary');
    go('two');
    await temporary.abandon();
    expect([names('one'), names('two')]).toEqual([[], ['temporary']]);
  });

  test('an overwrite stays where it began', async () => {
    const overwriting = overwriteFile('data/file', 'one');
    go('two');
    await overwriting;
    expect([names('one'), names('two')]).toEqual([['file'], []]);
    expect(readFileSync(join(root, 'one/data/file'), 'utf8')).toBe('one');
  });

  test('the removal of leftovers stays where it began', async () => {
    for (const place of ['one', 'two']) writeFileSync(join(root, place, 'data/a.___temp'), '');
    const removing = removeLeftovers('data');
    go('two');
    expect(await removing).toEqual(['data/a.___temp']);
    expect([names('one'), names('two')]).toEqual([[], ['a.___temp']]);
  });
});

describe('a path through a symbolic link and back means what the system says', () => {
  let elsewhere = '';

  beforeEach(() => {
    elsewhere = temporaryDirectory();
    mkdirSync(join(elsewhere, 'inner'));
    symlinkSync(join(elsewhere, 'inner'), 'link');
  });

  test('a path through a symbolic link and back means what the system says when a file is opened', async () => {
    writeFileSync(join(elsewhere, 'file'), 'elsewhere');
    writeFileSync('file', 'here');
    const file = await VirtualFile.open('link/../file', { read: true });
    expect(new TextDecoder().decode(await file.readToEnd({ maximumLength: 99 }))).toBe('elsewhere');
    await file.close();
  });

  test('a path through a symbolic link and back means what the system says when one is overwritten', async () => {
    writeFileSync('file', 'here');
    await overwriteFile('link/../file', 'elsewhere');
    expect(readFileSync('file', 'utf8')).toBe('here');
    expect(readFileSync(join(elsewhere, 'file'), 'utf8')).toBe('elsewhere');
  });

  test('a path through a symbolic link and back means what the system says when leftovers are removed', async () => {
    for (const directory of ['.', elsewhere]) writeFileSync(join(directory, 'a.___temp'), '');
    expect(await removeLeftovers('link/..')).toEqual(['link/../a.___temp']);
    expect(readdirSync('.')).toContain('a.___temp');
    expect(readdirSync(elsewhere)).toEqual(['inner']);
  });

  test('a path through a symbolic link and back means what the system says when layers are written', async () => {
    const writer = await DeltaLayerWriter.create({ ...DELTA, directory: 'link/..' });
    await writer.put(blockKey(1), LSN_RANGE.start, { type: 'image', bytes: new Uint8Array(9) });
    const { name, path } = await writer.finish();
    expect(path).toBe(`link/../${name}`);
    const layer = await EphemeralLayer.create({
      directory: 'link/..',
      ...IDS,
      startLsn: LSN_RANGE.start,
    });
    expect(readdirSync(elsewhere).sort()).toEqual([
      name,
      expect.stringMatching(/^ephemeral-/),
      'inner',
    ]);
    await layer.close();
  });
});

test('without a working directory a relative path is not-found', async () => {
  const gone = temporaryDirectory();
  process.chdir(gone);
  rmSync(gone, { recursive: true });
  const missing = { code: 'not-found', errno: 'ENOENT' };
  expect(await storageErrorOf(VirtualFile.open('file', { read: true }))).toMatchObject(missing);
  const openFiles = new OpenFiles({ fileSystem: new MemoryFileSystem() });
  const temporary = await TemporaryFile.create('/temporary', { openFiles });
  for (const refused of [
    overwriteFile('file', 'x'),
    durableRename(temporary, 'file'),
    publishNew(temporary, 'file'),
  ]) {
    const error = await storageErrorOf(refused);
    expect(error).toMatchObject({ ...missing, outcome: 'not-applied' });
  }
});
