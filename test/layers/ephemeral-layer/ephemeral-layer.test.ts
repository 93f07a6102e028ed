import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAXIMUM_BLOB_LENGTH } from '../../../src/blob-writer/blob-format.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import type { ValueBatch } from '../../../src/layers/delta-layer/value-batch.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { formatKey, type Key, maximumKey } from '../../../src/layers/key.ts';
import { MAXIMUM_LSN } from '../../../src/layers/lsn.ts';
import type { FileSystem } from '../../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { delegatingFile } from '../../support/delegating-file.ts';
import { idle } from '../../support/gate.ts';
import { blockKey, DIRECTORY, memoryDisk } from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

/** LAYERFILE_LAYER_RUNS takes more of them. */
const RUNS = Number(process.env['LAYERFILE_LAYER_RUNS'] ?? rounds(15));

const IDS = { tenantId: '00'.repeat(16), timelineId: '11'.repeat(16) };
const START_LSN = 0x1000n;
const END_LSN = 0x2000n;

describe('an ephemeral layer', () => {
  it('an ephemeral layer reads back what was put, whatever is flushed, in flight or in the tail', async () => {
    const directory = temporaryDirectory();
    await fc.assert(
      fc.asyncProperty(puts(), fc.integer({ min: 1, max: 300 }), async (entries, bufferSize) => {
        await using layer = await createLayer(directory, bufferSize);
        const model = new Map<string, Uint8Array>();
        for (const { key, lsn, bytes } of entries) {
          await layer.putSerialized(key, lsn, bytes, true);
          model.set(modelKey(key, lsn), bytes);
          const found = await layer.get(key, lsn);
          expect(found?.lsn).toBe(lsn);
          expect(Buffer.from(found?.bytes ?? [])).toEqual(Buffer.from(bytes));
        }
        expect(layer.entryCount).toBe(model.size);
        for (const { key } of entries) {
          const versions = [];
          for await (const { lsn, bytes } of layer.versions(key)) versions.push({ lsn, bytes });
          const expected = [...model]
            .filter(([name]) => name.startsWith(formatKey(key)))
            .map(([name, bytes]) => ({ lsn: BigInt(`0x${name.slice(37)}`), bytes }))
            .sort((left, right) => (left.lsn < right.lsn ? 1 : -1));
          expect(versions.map(({ lsn }) => lsn)).toEqual(expected.map(({ lsn }) => lsn));
          expect(versions.map(({ bytes }) => Buffer.from(bytes))).toEqual(
            expected.map(({ bytes }) => Buffer.from(bytes)),
          );
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('an ephemeral layer writes out the last value of each key and LSN, in order', async () => {
    const directory = temporaryDirectory();
    await fc.assert(
      fc.asyncProperty(puts(), async (entries) => {
        await using layer = await createLayer(directory, 64);
        const model = new Map<string, Uint8Array>();
        for (const { key, lsn, bytes } of entries) {
          await layer.putSerialized(key, lsn, bytes, false);
          model.set(modelKey(key, lsn), bytes);
        }
        await layer.freeze(END_LSN);
        const finished = await layer.writeDelta({ generation: newGeneration() });
        await using reader = await DeltaLayerReader.open(finished.path);
        const read = [];
        for await (const { key, lsn, bytes } of reader.entries()) {
          read.push([modelKey(key, lsn), Buffer.from(bytes).toString('hex')]);
        }
        expect(read).toEqual(
          [...model]
            .map(([name, bytes]) => [name, Buffer.from(bytes).toString('hex')])
            .sort(([left = ''], [right = '']) => (left < right ? -1 : 1)),
        );
        expect(reader.summary.lsnRange).toEqual({ start: START_LSN, end: END_LSN });
      }),
      { numRuns: RUNS },
    );
  });

  it('an ephemeral layer writes out an empty value at the place of one that comes before it', async () => {
    await using layer = await createLayer(temporaryDirectory());
    await layer.putSerialized(blockKey(1), START_LSN + 1n, new Uint8Array(0), false);
    await layer.putSerialized(blockKey(1), START_LSN, Uint8Array.of(7), false);
    await layer.freeze(END_LSN);
    const { path } = await layer.writeDelta();
    await using reader = await DeltaLayerReader.open(path);
    const read = [];
    for await (const { lsn, bytes } of reader.entries()) read.push([lsn, [...bytes]]);
    expect(read).toEqual([
      [START_LSN, [7]],
      [START_LSN + 1n, []],
    ]);
  });

  it('an ephemeral layer writes out a range of keys under its name, and nothing with a key outside of it', async () => {
    const directory = temporaryDirectory();
    await using layer = await createLayer(directory);
    for (const block of [3, 5])
      await layer.putSerialized(blockKey(block), START_LSN, Uint8Array.of(7), true);
    await layer.freeze(END_LSN);
    const start = blockKey(3);
    const tooShort = { start, end: blockKey(5) };
    await expect(layer.writeDelta({ keyRange: tooShort })).rejects.toEqual(outOfRange());
    const { name } = await layer.writeDelta({ keyRange: { start, end: blockKey(6) } });
    expect(name.split('__')[0]).toBe(`${formatKey(start)}-${formatKey(blockKey(6))}`);
    expect(readdirSync(directory).filter((file) => file.includes('__'))).toEqual([name]);
  });

  it('an ephemeral layer keeps the order of unawaited puts', async () => {
    await using layer = await createLayer(temporaryDirectory(), 16);
    const key = blockKey(1);
    for (let index = 0; index < 500; index += 1) {
      void layer.putSerialized(key, START_LSN, Uint8Array.of(index & 0xff, index >> 8), true);
    }
    await layer.freeze(END_LSN);
    expect(layer.entryCount).toBe(1);
    expect((await layer.get(key))?.bytes).toEqual(Uint8Array.of(499 & 0xff, 499 >> 8));
  });

  it('an ephemeral layer accepts a complete batch in any order, or nothing of it', async () => {
    await using layer = await createLayer(temporaryDirectory(), 32);
    const keys = Buffer.concat([blockKey(7), blockKey(3), blockKey(5)]);
    const batch = {
      count: 3,
      keys,
      lsns: BigUint64Array.of(0x1008n, 0x1004n, 0x1006n),
      willInit: Uint8Array.of(1, 0, 1),
      values: Uint8Array.from({ length: 100 }, (_, index) => index),
      starts: Uint32Array.of(40, 10, 90),
      lengths: Uint32Array.of(5, 0, 10),
    };
    await layer.putBatch(batch);
    expect((await layer.get(blockKey(7)))?.bytes).toEqual(Uint8Array.of(40, 41, 42, 43, 44));
    expect(await layer.get(blockKey(3))).toMatchObject({ willInit: false, lsn: 0x1004n });
    const bad = { ...batch, lsns: BigUint64Array.of(0x1008n, 0x1004n, 0xfffn) };
    expect(() => layer.putBatch(bad)).toThrowError(
      expect.objectContaining({ code: 'out-of-range' }),
    );
    const beyond = { ...batch, starts: Uint32Array.of(40, 10, 91) };
    expect(() => layer.putBatch(beyond)).toThrowError(
      expect.objectContaining({ code: 'out-of-range' }),
    );
    expect(() => layer.putBatch({ ...batch, count: 4 })).toThrowError(
      expect.objectContaining({ code: 'invalid-input' }),
    );
    expect(layer.entryCount).toBe(3);
  });

  it.each([
    ['at both ends of 64 MiB', [0, 64 * 1024 * 1024 - 10], 20],
    ['far from each other, not in order', [1000, 0, 2000], 30],
    ['that are neighbours', [10, 20, 30], 30],
    ['with a gap that is smaller than they are', [10, 30], 30],
    ['with a gap of their size', [0, 30], 40],
    ['with a gap that is one byte larger', [0, 31], 20],
    ['that overlap', [5, 7, 5], 12],
    ['far from each other, each twice', [0, 0, 5000, 5000], 40],
  ])('an ephemeral layer writes only the values of a batch: %s', async (_, places, size) => {
    await using layer = await createLayer(temporaryDirectory());
    await layer.putSerialized(blockKey(99), START_LSN, Uint8Array.of(1, 2, 3), true);
    const values = new Uint8Array(Math.max(...places) + 10);
    for (const [row, start] of places.entries()) values.fill(row + 1, start, start + 10);
    const read = places.map((start) => values.slice(start, start + 10));
    await layer.putBatch({
      count: places.length,
      keys: Buffer.concat(places.map((__, row) => blockKey(row))),
      lsns: new BigUint64Array(places.length).fill(START_LSN),
      willInit: new Uint8Array(places.length).fill(1),
      values,
      starts: Uint32Array.from(places),
      lengths: new Uint32Array(places.length).fill(10),
    });
    expect(layer.size).toBe(3 + size);
    values.fill(0);
    for (const [row, bytes] of read.entries()) {
      expect((await layer.get(blockKey(row)))?.bytes).toEqual(bytes);
    }
    expect((await layer.get(blockKey(99)))?.bytes).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('a second write-out of an ephemeral layer reports the outcome of the first', async () => {
    const directory = temporaryDirectory();
    await using layer = await createLayer(directory);
    await layer.putSerialized(blockKey(1), START_LSN, Uint8Array.of(1), true);
    const frozen = layer.freeze(END_LSN);
    await expect(Promise.all([frozen, layer.freeze(END_LSN)])).rejects.toMatchObject({
      code: 'closed',
    });
    const durable = { code: 'exists', outcome: 'durable' };
    const writing = layer.writeDelta();
    const beside = layer.writeDelta().catch((error: unknown) => error);
    const ended = AbortSignal.abort();
    const aborted = layer.writeDelta({ signal: ended }).catch((error: unknown) => error);
    expect(await aborted).toMatchObject({ code: 'aborted', outcome: 'in-doubt' });
    const { name } = await writing;
    expect(await beside).toMatchObject(durable);
    await expect(layer.writeDelta()).rejects.toMatchObject(durable);
    await expect(layer.writeDelta({ signal: ended })).rejects.toMatchObject({
      code: 'aborted',
      outcome: 'durable',
    });
    expect((await layer.writeDelta({ generation: '00000001' })).name).toBe(`${name}-v1-00000001`);
    await layer.close();
    await expect(layer.writeDelta()).rejects.toMatchObject({ code: 'closed', outcome: 'durable' });
    await expect(layer.writeDelta({ generation: '00000002' })).rejects.toMatchObject({
      code: 'closed',
      outcome: 'not-applied',
    });
    expect(readdirSync(directory).sort()).toEqual([name, `${name}-v1-00000001`].sort());
  });

  it('an ephemeral layer can be written out again after that has failed', async () => {
    const disk = memoryDisk();
    const { openFiles, fileSystem } = disk;
    await using layer = await EphemeralLayer.create({
      ...{ directory: DIRECTORY, ...IDS, startLsn: START_LSN, openFiles },
    });
    await layer.putSerialized(blockKey(1), START_LSN, Uint8Array.of(1), true);
    await layer.freeze(END_LSN);
    for (const [failing, outcome] of [
      ['sync', 'not-applied'],
      ['sync-directory', 'in-doubt'],
    ] as const) {
      fileSystem.intercept = ({ kind }) => (kind === failing ? { fail: 'EIO' } : undefined);
      await expect(layer.writeDelta()).rejects.toMatchObject({ outcome });
    }
    fileSystem.intercept = undefined;
    await expect(layer.writeDelta()).rejects.toMatchObject({ code: 'exists', outcome: 'in-doubt' });
    // A directory whose sync has failed takes no more names; another one does.
    await expect(layer.writeDelta({ generation: '00000001' })).rejects.toMatchObject({
      ...{ code: 'sync-failed', outcome: 'not-applied' },
    });
    fileSystem.createDirectory('/elsewhere');
    await layer.writeDelta({ directory: '/elsewhere' });
  });

  it('an ephemeral layer is not frozen once it is aborted, or a write of it has failed', async () => {
    for (const code of ['aborted', 'io']) {
      const { fileSystem, openFiles } = memoryDisk();
      const abort = new AbortController();
      const { signal } = abort;
      await using layer = await EphemeralLayer.create({
        ...{ directory: DIRECTORY, ...IDS, startLsn: START_LSN, openFiles, signal, bufferSize: 16 },
      });
      fileSystem.intercept = ({ kind }) => (kind === 'write' ? { fail: 'ENOSPC' } : undefined);
      if (code === 'aborted') abort.abort();
      else layer.putSerialized(blockKey(1), START_LSN, new Uint8Array(17), true);
      await idle();
      await expect(layer.freeze(END_LSN)).rejects.toMatchObject({ code });
    }
  });

  it('an ephemeral layer refuses what no delta layer can hold', async () => {
    await using layer = await createLayer(temporaryDirectory());
    const put = (key: Key, lsn: bigint) => () => layer.putSerialized(key, lsn, key, true);
    expect(put(blockKey(1), START_LSN - 1n)).toThrowError(outOfRange());
    expect(put(maximumKey(), START_LSN)).toThrowError(outOfRange());
    expect(put(new Uint8Array(17), START_LSN)).toThrowError(
      expect.objectContaining({ code: 'invalid-input' }),
    );
    await layer.putSerialized(blockKey(1), 0x1fffn, Uint8Array.of(1), true);
    await expect(layer.freeze(0x1fffn)).rejects.toMatchObject({ code: 'out-of-range' });
    await layer.freeze(END_LSN);
    expect(put(blockKey(2), START_LSN)).toThrowError(expect.objectContaining({ code: 'closed' }));
  });

  it('an ephemeral layer refuses to write out before it is frozen, without entries, and after it is closed', async () => {
    const layer = await createLayer(temporaryDirectory());
    await expect(layer.writeDelta()).rejects.toMatchObject({ code: 'closed' });
    await layer.freeze(END_LSN);
    await expect(layer.writeDelta()).rejects.toMatchObject({ code: 'empty' });
    await layer.close();
    await layer.close();
    await expect(layer.writeDelta()).rejects.toMatchObject({ code: 'closed' });
    await expect(layer.get(blockKey(1))).rejects.toMatchObject({ code: 'closed' });
  });

  it.each(['in order', 'out of order'])(
    'an ephemeral layer gives no versions of an empty range, %s',
    async (order) => {
      await using layer = await createLayer(temporaryDirectory());
      const lsns = order === 'in order' ? [START_LSN, END_LSN - 1n] : [END_LSN - 1n, START_LSN];
      for (const lsn of lsns) await layer.putSerialized(blockKey(1), lsn, Uint8Array.of(1), true);
      const countIn = async (start: bigint, end: bigint): Promise<number> => {
        let count = 0;
        for await (const _ of layer.versions(blockKey(1), { start, end })) count += 1;
        return count;
      };
      expect(await countIn(0n, 0n)).toBe(0);
      expect(await countIn(START_LSN, START_LSN)).toBe(0);
      expect(await countIn(END_LSN, 0n)).toBe(0);
      expect(await countIn(START_LSN, START_LSN + 1n)).toBe(1);
      expect(await countIn(0n, MAXIMUM_LSN + 1n)).toBe(2);
      await expect(countIn(-1n, END_LSN)).rejects.toMatchObject({ code: 'out-of-range' });
      await expect(countIn(0n, MAXIMUM_LSN + 2n)).rejects.toMatchObject({ code: 'out-of-range' });
    },
  );

  it('an ephemeral layer freezes with all puts in it, those that came while it waited for others included', async () => {
    await using layer = await createLayer(temporaryDirectory(), 16);
    const put = (lsn: bigint): void | Promise<void> =>
      layer.putSerialized(blockKey(1), lsn, new Uint8Array(100), true);
    const first = put(START_LSN);
    const freezing = layer.freeze(END_LSN);
    const second = put(END_LSN);
    await expect(freezing).rejects.toMatchObject({ code: 'out-of-range' });
    await Promise.all([first, second]);
    expect(layer.entryCount).toBe(2);
  });

  it('an ephemeral layer leaves nothing but the delta layer', async () => {
    const directory = temporaryDirectory();
    const layer = await createLayer(directory);
    await layer.put(blockKey(1), START_LSN, { type: 'image', bytes: Uint8Array.of(1, 2, 3) });
    await layer.freeze(END_LSN);
    const { name } = await layer.writeDelta();
    await layer.close();
    expect(readdirSync(directory)).toEqual([name]);
  });

  it('an ephemeral layer reads while it is written', async () => {
    await using layer = await createLayer(temporaryDirectory(), 4096);
    const reads: Promise<void>[] = [];
    for (let index = 0; index < 2000; index += 1) {
      const bytes = new Uint8Array(64).fill(index);
      await layer.putSerialized(blockKey(index), START_LSN, bytes, true);
      const wanted = (index * 7919) % (index + 1);
      reads.push(
        layer.get(blockKey(wanted)).then((entry) => {
          expect(entry?.bytes).toEqual(new Uint8Array(64).fill(wanted));
        }),
      );
    }
    await Promise.all(reads);
  });

  it('an ephemeral layer accepts 32 GiB, refuses the next value, and can then be frozen', async () => {
    await using layer = await EphemeralLayer.create({
      ...{ directory: temporaryDirectory(), ...IDS, startLsn: START_LSN },
      openFiles: new OpenFiles({ fileSystem: forgetful }),
    });
    const bytes = new Uint8Array(MAXIMUM_BLOB_LENGTH);
    for (let count = 0; count < 128; count += 1) {
      await layer.putSerialized(blockKey(count), START_LSN, bytes, true);
    }
    const { size } = layer;
    expect(() => layer.putSerialized(blockKey(0), START_LSN, bytes, true)).toThrow(tooLarge());
    expect(() => layer.putBatch(batchOf(blockKey(0), bytes))).toThrow(tooLarge());
    expect(layer.size).toBe(size);
    await layer.freeze(END_LSN);
    expect(layer.entryCount).toBe(128);
  });
});

/** Files that forget what is written to them. */
const forgetful: FileSystem = {
  ...nodeFileSystem,
  async open(path, options) {
    const file = await nodeFileSystem.open(path, options);
    return delegatingFile(file, { write: (source) => Promise.resolve(source.length) });
  },
};

function batchOf(key: Key, values: Uint8Array): ValueBatch {
  return {
    count: 1,
    keys: key,
    lsns: BigUint64Array.of(START_LSN),
    values,
    starts: Uint32Array.of(0),
    lengths: Uint32Array.of(values.length),
    willInit: Uint8Array.of(1),
  };
}

function tooLarge() {
  return expect.objectContaining({ code: 'too-large' });
}

function puts() {
  return fc.array(
    fc.record({
      key: fc.integer({ min: 0, max: 12 }).map((block) => blockKey(block * 0x10101)),
      lsn: fc.bigInt({ min: START_LSN, max: START_LSN + 6n }),
      bytes: fc.uint8Array({ maxLength: 150 }),
    }),
    { minLength: 1, maxLength: 60 },
  );
}

let generations = 0;
function newGeneration(): string {
  generations += 1;
  return generations.toString(16).padStart(8, '0');
}

function createLayer(directory: string, bufferSize?: number): Promise<EphemeralLayer> {
  return EphemeralLayer.create({ directory, ...IDS, startLsn: START_LSN, bufferSize });
}

function modelKey(key: Key, lsn: bigint): string {
  return `${formatKey(key)}@${lsn.toString(16).padStart(16, '0')}`;
}

function outOfRange() {
  return expect.objectContaining({ code: 'out-of-range' });
}
