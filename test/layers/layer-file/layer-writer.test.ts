/** How writers end: finished, abandoned, aborted, beaten to the name, each with nothing left over. */
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../../src/errors.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import type { FinishedLayer, WriteOptions } from '../../../src/layers/layer-file/layer-writer.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { loseEverything, seededChoices } from '../../../src/testing/choices.ts';
import {
  blockKey,
  DIRECTORY,
  deltaOptions,
  drain,
  IMAGE_LSN,
  imageOptions,
  type MemoryDisk,
  memoryDisk,
  namesOn,
  noise,
} from '../../support/layers.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';

/** What the three kinds of writers have in common. */
interface Writer extends AsyncDisposable {
  put(block: number): void | Promise<void>;
  finish(): Promise<FinishedLayer>;
  abandon(): Promise<void>;
}

interface Kind {
  readonly name: string;
  readonly create: (disk: MemoryDisk, options?: Partial<WriteOptions>) => Promise<Writer>;
}

const KINDS: readonly Kind[] = [
  {
    name: 'a delta',
    create: async (disk, options) => {
      const writer = await DeltaLayerWriter.create(deltaOptions(disk, options));
      return around(writer, (block) =>
        writer.put(blockKey(block), IMAGE_LSN, { type: 'image', bytes: noise(500, block) }),
      );
    },
  },
  {
    name: 'a plain image',
    create: async (disk, options) => {
      const writer = await ImageLayerWriter.create(imageOptions(disk, options));
      return around(writer, (block) => writer.put(blockKey(block), noise(500, block)));
    },
  },
  {
    name: 'a compressed image',
    create: async (disk, options) => {
      const compression = { kind: 'zstd', level: 1 } as const;
      const writer = await ImageLayerWriter.create(imageOptions(disk, { compression, ...options }));
      return around(writer, (block) => writer.put(blockKey(block), noise(500, block).fill(1, 100)));
    },
  },
];

function around(
  writer: DeltaLayerWriter | ImageLayerWriter,
  put: (block: number) => void | Promise<void>,
): Writer {
  return {
    put,
    finish: () => writer.finish(),
    abandon: () => writer.abandon(),
    [Symbol.asyncDispose]: () => writer[Symbol.asyncDispose](),
  };
}

describe.each(KINDS)('the writer of $name layer', ({ create }) => {
  it('the writer of a layer has one temporary file, and then one layer', async () => {
    const disk = memoryDisk();
    await using writer = await create(disk);
    await writer.put(1);
    expect(namesOn(disk)).toEqual([expect.stringMatching(/\.[\da-f]{36}\.___temp$/)]);
    const { name, path, size, entryCount } = await writer.finish();
    expect(namesOn(disk)).toEqual([name]);
    expect({ path, entryCount }).toEqual({ path: `${DIRECTORY}/${name}`, entryCount: 1 });
    expect(size).toBe(disk.fileSystem.contentOf(path).length);
    expect(disk.fileSystem.openCount).toBe(0);
  });

  it('the writer of a layer carries the generation in its name', async () => {
    const disk = memoryDisk();
    await using writer = await create(disk, { generation: '0000ABCD' });
    await writer.put(1);
    expect((await writer.finish()).name).toMatch(/-v1-0000abcd$/);
  });

  it('the writer of a layer refuses to finish without entries, and leaves nothing', async () => {
    const disk = memoryDisk();
    await using writer = await create(disk);
    expect(await storageErrorOf(writer.finish())).toMatchObject({
      code: 'empty',
      outcome: 'not-applied',
    });
    expectNothing(disk);
    expect((await storageErrorOf(writer.finish())).code).toBe('closed');
  });

  it.each<[string, (writer: Writer) => Promise<unknown>]>([
    ['finish', (writer) => writer.finish()],
    ['abandon', (writer) => writer.abandon()],
    ['dispose', async (writer) => writer[Symbol.asyncDispose]()],
  ])('the writer of a layer is closed after %s, which may be called again', async (end, action) => {
    const disk = memoryDisk();
    const writer = await create(disk);
    await writer.put(1);
    await action(writer);
    const names = namesOn(disk);
    expect(names.length).toBe(end === 'finish' ? 1 : 0);
    expect(storageErrorThrownBy(() => writer.put(2)).code).toBe('closed');
    expect((await storageErrorOf(writer.finish())).code).toBe('closed');
    await writer.abandon();
    await writer[Symbol.asyncDispose]();
    expect(namesOn(disk)).toEqual(names);
    expect(disk.fileSystem.openCount).toBe(0);
  });

  it('the error of a second finish has the outcome of the first one', async () => {
    const disk = memoryDisk();
    await using writer = await create(disk);
    await writer.put(1);
    const finishing = writer.finish();
    const beside = storageErrorOf(writer.finish());
    const { path } = await finishing;
    const after = await storageErrorOf(writer.finish());
    for (const error of [await beside, after]) {
      expect(error).toMatchObject({ code: 'closed', path, outcome: 'durable' });
    }
  });

  it.each<[string, string, Outcome]>([
    ['a sync that failed', 'sync', 'not-applied'],
    ['a name that may be lost', 'sync-directory', 'in-doubt'],
    ['a temporary name that stays', 'unlink', 'durable'],
  ])(
    'the writer of a layer tells by the error of a second finish that the first one met %s',
    async (_, failing, outcome) => {
      const disk = memoryDisk();
      await using writer = await create(disk);
      await writer.put(1);
      disk.fileSystem.intercept = ({ kind }) => (kind === failing ? { fail: 'EIO' } : undefined);
      const finishing = storageErrorOf(writer.finish());
      const beside = storageErrorOf(writer.finish());
      expect(await finishing).toMatchObject({ outcome });
      const after = await storageErrorOf(writer.finish());
      for (const error of [await beside, after])
        expect(error).toMatchObject({ code: 'closed', outcome });
    },
  );

  it('the writer of a layer accepts no put once finish is called, and reports the abort if nothing was put', async () => {
    const disk = memoryDisk();
    const abort = new AbortController();
    await using writer = await create(disk, { signal: abort.signal });
    abort.abort();
    expect(storageErrorThrownBy(() => writer.put(1)).code).toBe('aborted');
    const finishing = storageErrorOf(writer.finish());
    expect(storageErrorThrownBy(() => writer.put(1)).code).toBe('closed');
    expect(await finishing).toMatchObject({ code: 'aborted', outcome: 'not-applied' });
    expectNothing(disk);
  });

  it('the writer of a layer is abandoned by an error in the block that uses it', async () => {
    const disk = memoryDisk();
    const use = async () => {
      await using writer = await create(disk, { bufferSize: 64 });
      for (let block = 0; block < 50; block += 1) await writer.put(block);
      throw new TypeError('not of ours');
    };
    await expect(use()).rejects.toThrow(TypeError);
    expectNothing(disk);
  });

  it('the writer of a layer refuses a taken name on creation', async () => {
    const disk = memoryDisk();
    const first = await create(disk);
    await first.put(1);
    const { path } = await first.finish();
    const before = disk.fileSystem.contentOf(path);
    expect(await storageErrorOf(create(disk))).toMatchObject({ code: 'exists', path });
    expect(disk.fileSystem.contentOf(path)).toEqual(before);
  });

  it.each(['file', 'link', 'directory'])(
    'the writer of a layer refuses a name that a %s takes meanwhile, and leaves that alone',
    async (taker) => {
      const disk = memoryDisk();
      const probe = await create(memoryDisk());
      await probe.put(1);
      const { path, name } = await probe.finish();
      await using writer = await create(disk);
      await writer.put(1);
      if (taker === 'file') disk.fileSystem.createFile(path, Uint8Array.of(7));
      if (taker === 'link') disk.fileSystem.createSymbolicLink(path, '/nowhere');
      if (taker === 'directory') disk.fileSystem.createDirectory(path);
      const error = await storageErrorOf(writer.finish());
      expect(error).toMatchObject({ code: 'exists', outcome: 'not-applied' });
      expect(namesOn(disk)).toEqual(taker === 'directory' ? [] : [name]);
      if (taker === 'file') expect(disk.fileSystem.contentOf(path)).toEqual(Uint8Array.of(7));
      expect(disk.fileSystem.openCount).toBe(0);
    },
  );

  it('of two writers of a layer, one publishes it complete, the other finds the name taken', async () => {
    for (const delay of [0, 1, 3, 10]) {
      const disk = memoryDisk();
      const writers = await Promise.all([create(disk), create(disk)]);
      expect(namesOn(disk).length).toBe(2);
      for (const [index, writer] of writers.entries()) {
        for (let block = 0; block <= index; block += 1) await writer.put(block);
      }
      const [first, second] = writers;
      const finishing = first?.finish();
      for (let turn = 0; turn < delay; turn += 1) await Promise.resolve();
      const results = await Promise.allSettled([finishing, second?.finish()]);
      const won = results.filter((result) => result.status === 'fulfilled');
      const lost = results.filter((result) => result.status === 'rejected');
      expect(lost.map(({ reason }) => reason.code)).toEqual(['exists']);
      const winner = won[0]?.value;
      expect(namesOn(disk)).toEqual([winner?.name]);
      const reader = await openLayer(winner?.path ?? '', { openFiles: disk.openFiles });
      expect((await drain(reader.entries())).length).toBe(winner?.entryCount);
      await reader.close();
      expect(disk.fileSystem.openCount).toBe(0);
    }
  });

  it('two writers of a layer have different temporary names', async () => {
    const disk = memoryDisk();
    const other = await create(disk);
    const [temporary = ''] = namesOn(disk);
    await using writer = await create(disk);
    expect(new Set(namesOn(disk)).size).toBe(2);
    await writer.put(1);
    const { name } = await writer.finish();
    expect(namesOn(disk).sort()).toEqual([temporary, name].sort());
    await other.abandon();
  });

  it('the writer of a layer finishes if its temporary name was removed once the layer has its final name', async () => {
    const disk = memoryDisk();
    await using writer = await create(disk);
    await writer.put(1);
    const [temporary = ''] = namesOn(disk);
    disk.fileSystem.intercept = ({ kind }) =>
      kind === 'sync-directory'
        ? { delay: disk.fileSystem.unlink(`${DIRECTORY}/${temporary}`) }
        : undefined;
    const { name } = await writer.finish();
    disk.fileSystem.intercept = undefined;
    expect(namesOn(disk)).toEqual([name]);
    expect(disk.fileSystem.crash(loseEverything).paths()).toContain(`${DIRECTORY}/${name}`);
  });

  it('the writer of a layer whose temporary file was removed before fails, and has changed nothing', async () => {
    const disk = memoryDisk();
    await using writer = await create(disk);
    await writer.put(1);
    const [temporary = ''] = namesOn(disk);
    await disk.fileSystem.unlink(`${DIRECTORY}/${temporary}`);
    expect(await storageErrorOf(writer.finish())).toMatchObject({
      code: 'not-found',
      outcome: 'not-applied',
    });
    expect(namesOn(disk)).toEqual([]);
  });

  it('the writer of a layer is aborted at any point by its signal, with nothing left', async () => {
    for (let seed = 0; seed < 25; seed += 1) {
      const disk = memoryDisk();
      const controller = new AbortController();
      const choose = seededChoices(seed);
      let operationsLeft = choose(60);
      disk.fileSystem.intercept = () => {
        operationsLeft -= 1;
        if (operationsLeft < 0) controller.abort(new Error('enough'));
        return undefined;
      };
      const result = await writeAll(disk, { signal: controller.signal, bufferSize: 1000 });
      if (result instanceof Error) {
        expect(result).toMatchObject({ code: 'aborted' });
        expectNothing(disk);
      } else {
        await expectWhole(disk, result);
      }
    }
  });

  it('the writer of a layer that is aborted rejects every call with aborted', async () => {
    const disk = memoryDisk();
    const controller = new AbortController();
    await using writer = await create(disk, { signal: controller.signal });
    await writer.put(1);
    controller.abort();
    expect(storageErrorThrownBy(() => writer.put(2)).code).toBe('aborted');
    expect(await storageErrorOf(writer.finish())).toMatchObject({
      code: 'aborted',
      outcome: 'not-applied',
    });
    expectNothing(disk);
  });

  it('the writer of a layer accepts no put while it finishes, and finishes once', async () => {
    for (let turns = 0; turns < 12; turns += 1) {
      const disk = memoryDisk();
      await using writer = await create(disk, { bufferSize: 300 });
      for (let block = 0; block < 20; block += 1) void writer.put(block);
      const finishing = writer.finish();
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
      expect(storageErrorThrownBy(() => writer.put(100)).code).toBe('closed');
      expect((await storageErrorOf(writer.finish())).code).toBe('closed');
      const finished = await finishing;
      expect(finished.entryCount).toBe(20);
      await expectWhole(disk, finished);
    }
  });

  it('the writer of a layer that is abandoned while it finishes leaves a complete layer or none', async () => {
    for (let turns = 0; turns < 80; turns += 3) {
      const disk = memoryDisk();
      const writer = await create(disk, { bufferSize: 3000 });
      for (let block = 0; block < 20; block += 1) await writer.put(block);
      const finishing = writer.finish().catch((error: unknown) => error);
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
      await writer.abandon();
      const result = await finishing;
      expect(namesOn(disk).filter((name) => name.endsWith('.___temp'))).toEqual([]);
      expect(disk.fileSystem.openCount).toBe(0);
      if (result instanceof Error) {
        expect(result).toMatchObject({ name: 'StorageError' });
        const { outcome } = result as { outcome?: string };
        if (outcome === 'not-applied') expect(namesOn(disk)).toEqual([]);
        else expect(['durable', 'in-doubt']).toContain(outcome);
      } else {
        await expectWhole(disk, result as FinishedLayer);
      }
    }
  });

  async function writeAll(
    disk: MemoryDisk,
    options: Partial<WriteOptions>,
  ): Promise<FinishedLayer | Error> {
    try {
      await using writer = await create(disk, options);
      for (let block = 0; block < 30; block += 1) await writer.put(block);
      return await writer.finish();
    } catch (error) {
      if (error instanceof Error) return error;
      throw error;
    }
  }
});

function expectNothing(disk: MemoryDisk): void {
  expect(namesOn(disk)).toEqual([]);
  expect(disk.fileSystem.openCount).toBe(0);
}

async function expectWhole(disk: MemoryDisk, { name, path, entryCount }: FinishedLayer) {
  disk.fileSystem.intercept = undefined;
  expect(namesOn(disk)).toEqual([name]);
  const report = await verifyLayer(path, { openFiles: disk.openFiles });
  expect(report).toMatchObject({ ok: true, findings: [], entries: entryCount });
  expect(disk.fileSystem.openCount).toBe(0);
}
