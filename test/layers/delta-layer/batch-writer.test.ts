/** Batches that found no free buffer, and what happens to them before there is one. */
import { describe, expect, it } from 'vitest';
import type { ValueBatch } from '../../../src/layers/delta-layer/value-batch.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { type Gate, gate, idle, isPending } from '../../support/gate.ts';
import {
  blockKey,
  deltaOptions,
  drain,
  IMAGE_LSN,
  type MemoryDisk,
  memoryDisk,
} from '../../support/layers.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';

const MIB = 1024 * 1024;

/** A disk that writes nothing before its gate is opened, and a writer with small buffers. */
async function prepare(
  bufferSize = 64,
): Promise<{ disk: MemoryDisk; writer: DeltaLayerWriter; writes: Gate }> {
  const disk = memoryDisk();
  const writes = gate();
  const writer = await DeltaLayerWriter.create(deltaOptions(disk, { bufferSize }));
  disk.fileSystem.intercept = ({ kind }) =>
    kind === 'write' ? { delay: writes.opened } : undefined;
  return { disk, writer, writes };
}

/** Values for the blocks from 1 on, all of them out of the same bytes. */
function batchOf(
  lengths: readonly number[],
  values = new Uint8Array(Math.max(...lengths)),
): ValueBatch {
  const count = lengths.length;
  return {
    count,
    keys: Buffer.concat(lengths.map((_, row) => blockKey(row + 1))),
    lsns: new BigUint64Array(count).fill(IMAGE_LSN),
    willInit: new Uint8Array(count).fill(1),
    values,
    starts: new Uint32Array(count),
    lengths: Uint32Array.from(lengths),
  };
}

async function lengthsIn({ openFiles }: MemoryDisk, writer: DeltaLayerWriter): Promise<number[]> {
  const { path } = await writer.finish();
  await using reader = await openLayer(path, { openFiles });
  return (await drain(reader.entries())).map(({ bytes }) => bytes.length);
}

function put(writer: DeltaLayerWriter, block: number): void | Promise<void> {
  return writer.putSerialized(blockKey(block), IMAGE_LSN, Uint8Array.of(block), true);
}

describe('a batch that waits', () => {
  it('a batch that waits is counted, and is complete once its promise resolves', async () => {
    const { disk, writer, writes } = await prepare();
    const batch = writer.putBatch(batchOf([200, 10, 20, 30]));
    expect(writer.entryCount).toBe(4);
    expect(await isPending(Promise.resolve(batch))).toBe(true);
    writes.open();
    await batch;
    expect(writer.entryCount).toBe(4);
    expect(await lengthsIn(disk, writer)).toEqual([200, 10, 20, 30]);
  });

  it('a batch that waits goes before a later put, and its arrays are free then', async () => {
    const { disk, writer, writes } = await prepare();
    const arrays = batchOf([200, 10, 20, 30]);
    const batch = writer.putBatch(arrays);
    const later = put(writer, 9);
    expect(writer.entryCount).toBe(5);
    arrays.keys.fill(0);
    arrays.lengths.fill(1);
    writes.open();
    await Promise.all([batch, later]);
    expect(await lengthsIn(disk, writer)).toEqual([200, 10, 20, 30, 1]);
  });

  it('a batch that waits does not let a put before it in', async () => {
    const { disk, writer, writes } = await prepare();
    void writer.putBatch(batchOf([200, 10, 20, 30]));
    for (const block of [1, 3, 4]) {
      expect(storageErrorThrownBy(() => put(writer, block)).code).toBe('out-of-order');
    }
    writes.open();
    expect(await lengthsIn(disk, writer)).toEqual([200, 10, 20, 30]);
  });

  it.each([0, 1, 2, 3])(
    'a batch that waits refuses value %i beyond its bytes synchronously, with the values before it in',
    async (row) => {
      const { disk, writer, writes } = await prepare();
      const batch = batchOf([200, 10, 20, 30], new Uint8Array(200));
      batch.starts[row] = 200 - (batch.lengths[row] ?? 0);
      void writer.putBatch({ ...batch, count: row });
      void put(writer, 50);
      const next = { ...batch, keys: Buffer.concat([60, 61, 62, 63].map(blockKey)) };
      next.starts[row] = (next.starts[row] ?? 0) + 1;
      const error = storageErrorThrownBy(() => writer.putBatch(next));
      expect(error).toMatchObject({ code: 'out-of-range', actual: '201' });
      expect(writer.entryCount).toBe(row + 1 + row);
      writes.open();
      const before = [200, 10, 20, 30].slice(0, row);
      expect(await lengthsIn(disk, writer)).toEqual([...before, 1, ...before]);
    },
  );

  // Rows that wait are checked in runs of 512, from the second row on.
  it.each([2, 511, 512, 513, 514, 1023, 1024, 1025, 1199])(
    'a batch of 1,200 values that waits refuses row %i, whose key equals the one before, with the rows before it in',
    async (row) => {
      const { disk, writer, writes } = await prepare();
      const batch = batchOf(Array.from({ length: 1200 }, (_, at) => (at === 0 ? 200 : 1)));
      batch.keys.copyWithin(row * 18, (row - 1) * 18, row * 18);
      expect(storageErrorThrownBy(() => writer.putBatch(batch)).code).toBe('out-of-order');
      expect(writer.entryCount).toBe(row);
      writes.open();
      expect(await lengthsIn(disk, writer)).toHaveLength(row);
    },
  );

  it.each([2, 513, 1199])(
    'a batch of 1,200 values that waits refuses row %i, whose key is below the one before, with the rows before it in',
    async (row) => {
      const { disk, writer, writes } = await prepare();
      const batch = batchOf(Array.from({ length: 1200 }, (_, at) => (at === 0 ? 200 : 1)));
      batch.keys.set(blockKey(1), row * 18);
      expect(storageErrorThrownBy(() => writer.putBatch(batch)).code).toBe('out-of-order');
      expect(writer.entryCount).toBe(row);
      writes.open();
      expect(await lengthsIn(disk, writer)).toHaveLength(row);
    },
  );

  it('a batch that waits refuses a value one byte beyond its bytes also where there is room', async () => {
    const disk = memoryDisk();
    const writer = await DeltaLayerWriter.create(deltaOptions(disk));
    const batch = batchOf([5, 5, 5]);
    batch.starts[1] = 1;
    expect(storageErrorThrownBy(() => writer.putBatch(batch)).code).toBe('out-of-range');
    expect(await lengthsIn(disk, writer)).toEqual([5]);
  });

  it.each([
    ['32 MiB of it are copied', MIB - 4, true],
    ['32 MiB and a byte are too large, and change nothing', MIB - 3, false],
  ])(
    'a batch that waits and a put that comes meanwhile: %s',
    async (_, last, isAccepted) => {
      const { disk, writer, writes } = await prepare(0x10_000);
      const lengths = [0x40_000, ...new Array<number>(31).fill(MIB - 4), last];
      const batch = writer.putBatch(batchOf(lengths));
      if (isAccepted) void put(writer, 99);
      else expect(storageErrorThrownBy(() => put(writer, 99)).code).toBe('too-large');
      expect(writer.entryCount).toBe(isAccepted ? 34 : 33);
      writes.open();
      await batch;
      expect(await lengthsIn(disk, writer)).toEqual(isAccepted ? [...lengths, 1] : lengths);
    },
    60_000,
  );

  it('a batch that waits and is too large to be copied for a refusal ends before the rows that wait', async () => {
    const { disk, writer, writes } = await prepare(0x10_000);
    void writer.putSerialized(blockKey(0), IMAGE_LSN, new Uint8Array(40 * MIB), true);
    const batch = batchOf([30 * MIB, 5, 5]);
    batch.starts[2] = 30 * MIB;
    expect(storageErrorThrownBy(() => writer.putBatch(batch)).code).toBe('too-large');
    expect(writer.entryCount).toBe(2);
    // The caller has no promise to wait for.
    batch.lengths.fill(7);
    writes.open();
    expect(await lengthsIn(disk, writer)).toEqual([40 * MIB, 30 * MIB]);
  }, 60_000);

  it('a batch that waits and has more than 32 MiB before a refused value ends before the rows that wait', async () => {
    const { disk, writer, writes } = await prepare(0x10_000);
    const batch = batchOf([0x40_000, 20 * MIB, 20 * MIB, 5]);
    batch.starts[3] = 20 * MIB;
    expect(storageErrorThrownBy(() => writer.putBatch(batch)).code).toBe('too-large');
    expect(writer.entryCount).toBe(1);
    writes.open();
    expect(await lengthsIn(disk, writer)).toEqual([0x40_000]);
  });

  it('a batch that waits and whose arrays are changed meanwhile fails the next put, and the end', async () => {
    const { disk, writer, writes } = await prepare();
    const arrays = batchOf([200, 10, 20, 30]);
    const batch = writer.putBatch(arrays);
    arrays.keys.fill(0, 18 * 3);
    const error = storageErrorThrownBy(() => put(writer, 9));
    expect(error.code).toBe('invalid-input');
    arrays.keys.set(blockKey(4), 18 * 3);
    expect(storageErrorThrownBy(() => put(writer, 9))).toBe(error);
    writes.open();
    expect(await storageErrorOf(Promise.resolve(batch))).toBe(error);
    expect(await storageErrorOf(writer.finish())).toMatchObject({
      code: 'invalid-input',
      outcome: 'not-applied',
    });
    expect(disk.fileSystem.paths()).toEqual([]);
  });

  it('a batch that waits and whose arrays are changed until there is room fails all that comes', async () => {
    const { disk, writer, writes } = await prepare();
    const arrays = batchOf([200, 10, 20, 30]);
    void writer.putBatch(arrays);
    arrays.keys.fill(0, 18 * 3);
    writes.open();
    await idle();
    arrays.keys.set(blockKey(4), 18 * 3);
    expect(storageErrorThrownBy(() => put(writer, 9)).code).toBe('out-of-order');
    expect((await storageErrorOf(writer.finish())).code).toBe('out-of-order');
    expect(disk.fileSystem.paths()).toEqual([]);
  });

  it('a batch that waits is rejected when the writer is abandoned', async () => {
    const { disk, writer, writes } = await prepare();
    const batch = Promise.resolve(writer.putBatch(batchOf([200, 10, 20, 30])));
    const abandoning = writer.abandon();
    expect(storageErrorThrownBy(() => put(writer, 9)).code).toBe('closed');
    writes.open();
    await abandoning;
    expect((await storageErrorOf(batch)).code).toBe('closed');
    expect(disk.fileSystem.paths()).toEqual([]);
  });
});
