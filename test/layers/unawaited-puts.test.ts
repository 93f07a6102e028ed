/**
 * Whatever a writer does not refuse is in the layer, in the order of the calls, or its end rejects:
 * random calls, each awaited or not, on slow disks and with small buffers, against a plain list.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blobHeaderSize, encodePlainBlobHeader } from '../../src/blob-writer/blob-format.ts';
import { isStorageError } from '../../src/errors.ts';
import type { ValueBatch } from '../../src/layers/delta-layer/value-batch.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../src/layers/image-layer/writer.ts';
import { formatKey, KEY_SIZE, type Key, maximumKey } from '../../src/layers/key.ts';
import type { FinishedLayer } from '../../src/layers/layer-file/layer-writer.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import type { FaultAction } from '../../src/testing/faults.ts';
import {
  blockKey,
  DIRECTORY,
  deltaOptions,
  drain,
  hex,
  IDS,
  IMAGE_LSN,
  imageOptions,
  type MemoryDisk,
  memoryDisk,
  noise,
} from '../support/layers.ts';
import { rounds } from '../support/rounds.ts';

interface Row {
  readonly key: Key;
  readonly bytes: Uint8Array;
}

const FORMS = ['one', 'encoded', 'batch', 'entries'] as const;
type Form = (typeof FORMS)[number];

interface Writer {
  readonly forms: readonly Form[];
  /** Puts all rows by one call. */
  readonly put: (form: Form, rows: readonly Row[]) => void | Promise<void>;
  readonly end: () => Promise<FinishedLayer>;
  readonly abandon: () => Promise<void>;
  /** The rows before one that is refused are in. */
  readonly keepsThoseBefore: boolean;
  /** Keys must ascend. */
  readonly isOrdered: boolean;
}

interface Kind {
  readonly name: string;
  readonly create: (disk: MemoryDisk, bufferSize: number, signal?: AbortSignal) => Promise<Writer>;
}

function batchOf(rows: readonly Row[]): ValueBatch {
  const lengths = Uint32Array.from(rows, ({ bytes }) => bytes.length);
  const starts = new Uint32Array(rows.length);
  for (let row = 1; row < rows.length; row += 1) {
    starts[row] = (starts[row - 1] ?? 0) + (lengths[row - 1] ?? 0);
  }
  return {
    count: rows.length,
    keys: Buffer.concat(rows.map(({ key }) => key)),
    lsns: new BigUint64Array(rows.length).fill(IMAGE_LSN),
    willInit: new Uint8Array(rows.length).fill(1),
    values: Buffer.concat(rows.map(({ bytes }) => bytes)),
    starts,
    lengths,
  };
}

function entryKeysOf({ count, keys, lsns }: ValueBatch): Uint8Array {
  const entryKeys = Buffer.alloc(count * (KEY_SIZE + 8));
  for (let row = 0; row < count; row += 1) {
    const at = row * (KEY_SIZE + 8);
    entryKeys.set(keys.subarray(row * KEY_SIZE, (row + 1) * KEY_SIZE), at);
    entryKeys.writeBigUInt64BE(lsns[row] ?? 0n, at + KEY_SIZE);
  }
  return entryKeys;
}

function encoded(bytes: Uint8Array): Uint8Array {
  const blob = new Uint8Array(blobHeaderSize(bytes.length) + bytes.length);
  blob.set(bytes, encodePlainBlobHeader(blob, 0, bytes.length));
  return blob;
}

const NO_ROW: Row = { key: blockKey(0), bytes: new Uint8Array(0) };

const KINDS: readonly Kind[] = [
  {
    name: 'a delta layer',
    create: async (disk, bufferSize, signal) => {
      const writer = await DeltaLayerWriter.create(deltaOptions(disk, { bufferSize, signal }));
      return {
        forms: FORMS,
        keepsThoseBefore: true,
        isOrdered: true,
        put: (form, rows) => {
          const [{ key, bytes } = NO_ROW] = rows;
          if (form === 'one') return writer.putSerialized(key, IMAGE_LSN, bytes, true);
          if (form === 'encoded') {
            return writer.putBlob(key, IMAGE_LSN, encoded(bytes), true);
          }
          const batch = batchOf(rows);
          if (form === 'batch') return writer.putBatch(batch);
          return writer.putEntries({ ...batch, entryKeys: entryKeysOf(batch) });
        },
        end: () => writer.finish(),
        abandon: () => writer.abandon(),
      };
    },
  },
  ...(['none', 'zstd'] as const).map(
    (kind): Kind => ({
      name: `an image layer, compression ${kind}`,
      create: async (disk, bufferSize, signal) => {
        const compression = kind === 'none' ? { kind } : { kind, level: 1 };
        const options = { bufferSize, compression, signal };
        const writer = await ImageLayerWriter.create(imageOptions(disk, options));
        return {
          forms: ['one', 'encoded'],
          keepsThoseBefore: false,
          isOrdered: true,
          put: (form, [{ key, bytes } = NO_ROW]) =>
            form === 'one' ? writer.put(key, bytes) : writer.putBlob(key, encoded(bytes)),
          end: () => writer.finish(),
          abandon: () => writer.abandon(),
        };
      },
    }),
  ),
  {
    name: 'an ephemeral layer',
    create: async (disk, bufferSize, signal) => {
      const layer = await EphemeralLayer.create({
        directory: DIRECTORY,
        ...IDS,
        startLsn: 0x1000n,
        openFiles: disk.openFiles,
        bufferSize,
        signal,
      });
      return {
        forms: ['one', 'batch'],
        keepsThoseBefore: false,
        isOrdered: false,
        put: (form, rows) => {
          const [{ key, bytes } = NO_ROW] = rows;
          if (form === 'one') return layer.putSerialized(key, IMAGE_LSN, bytes, true);
          return layer.putBatch(batchOf(rows));
        },
        end: async () => {
          try {
            await layer.freeze(0x2000n);
            return await layer.writeDelta();
          } finally {
            await layer.close();
          }
        },
        abandon: () => layer.close(),
      };
    },
  },
];

const call = fc.record({
  form: fc.constantFrom(...FORMS),
  lengths: fc.array(fc.oneof(fc.nat(20), fc.nat(400)), { minLength: 1, maxLength: 40 }),
  isAwaited: fc.boolean(),
  /** The row that is to be refused, if there are that many. */
  spoiled: fc.option(fc.nat(50), { nil: undefined }),
  pause: fc.nat(3),
});

const setting = fc.record({ bufferSize: fc.integer({ min: 16, max: 600 }), seed: fc.integer() });

interface Call {
  readonly form: Form;
  readonly lengths: readonly number[];
  readonly isAwaited: boolean;
  readonly spoiled: number | undefined;
  readonly pause: number;
}

interface Calls {
  /** What the writer has accepted. */
  readonly accepted: Row[];
  /** What the calls have returned. */
  readonly promises: Promise<void>[];
}

/** Stops at the first call that throws what is not a refusal. */
async function makeCalls(writer: Writer, calls: readonly Call[]): Promise<Calls> {
  const accepted: Row[] = [];
  const promises: Promise<void>[] = [];
  let block = 0;
  for (const { form: wanted, lengths, isAwaited, spoiled, pause } of calls) {
    const form = writer.forms.includes(wanted) ? wanted : 'one';
    const isSingle = form === 'one' || form === 'encoded';
    const rows = lengths.slice(0, isSingle ? 1 : undefined).map((length): Row => {
      block += 1;
      return { key: blockKey(block), bytes: noise(length, block).fill(7, 0, length >> 1) };
    });
    const refused = spoiled !== undefined && spoiled < rows.length ? spoiled : rows.length;
    if (refused < rows.length) {
      const before = rows[refused - 1] ?? accepted.at(-1);
      const isRepeated = before !== undefined && writer.isOrdered && block % 2 === 0;
      rows[refused] = { key: isRepeated ? before.key : maximumKey(), bytes: noise(5, 0) };
    }
    const room = putUnlessRefused(writer, form, rows);
    const isRefused = room === 'refused';
    expect(isRefused).toBe(refused < rows.length);
    if (!isRefused) accepted.push(...rows);
    else if (writer.keepsThoseBefore) accepted.push(...rows.slice(0, refused));
    if (isRefused) continue;
    if (room !== undefined) promises.push(room);
    if (isAwaited) await room;
    for (let turn = 0; turn < pause; turn += 1) await new Promise(setImmediate);
  }
  return { accepted, promises };
}

/** What else it throws than a refusal is thrown. */
function putUnlessRefused(
  writer: Writer,
  form: Form,
  rows: readonly Row[],
): void | Promise<void> | 'refused' {
  try {
    return writer.put(form, rows);
  } catch (error) {
    if (isStorageError(error, 'out-of-order', 'out-of-range')) return 'refused';
    throw error;
  }
}

async function expectContent(
  { openFiles }: MemoryDisk,
  { path, entryCount }: FinishedLayer,
  accepted: readonly Row[],
): Promise<void> {
  await using reader = await openLayer(path, { openFiles });
  const entries = await drain(reader.entries());
  expect(entries.map(({ key, bytes }) => [formatKey(key), hex(bytes)])).toEqual(
    accepted.map(({ key, bytes }) => [formatKey(key), hex(bytes)]),
  );
  expect(entryCount).toBe(accepted.length);
}

/** Each operation on the disk takes a while, sometimes. */
function slowly(disk: MemoryDisk, seed: number, answer?: () => FaultAction | undefined): void {
  const choose = seededChoices(seed);
  disk.fileSystem.intercept = ({ kind }) => {
    const fault = kind === 'write' ? answer?.() : undefined;
    const delay = choose(2) === 0 ? undefined : new Promise(setImmediate);
    return { ...fault, delay };
  };
}

describe.each(KINDS)('$name', ({ create }) => {
  test('a finished layer has what its calls accepted, awaited or not, and no promise rejects', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 12 }), setting, async (calls, how) => {
        const disk = memoryDisk();
        slowly(disk, how.seed);
        const writer = await create(disk, how.bufferSize);
        const { accepted, promises } = await makeCalls(writer, calls);
        if (accepted.length === 0) {
          await expect(writer.end()).rejects.toMatchObject({ code: 'empty' });
          return;
        }
        const finished = await writer.end();
        await Promise.all(promises);
        await expectContent(disk, finished, accepted);
        expect(disk.fileSystem.openCount).toBe(0);
      }),
      { numRuns: rounds(60) },
    );
  });

  test('a layer has all that was accepted or its end rejects, where a write fails or the signal fires on the way', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { minLength: 1, maxLength: 12 }),
        setting,
        fc.nat(12),
        fc.constantFrom('fail' as const, 'abort' as const),
        async (calls, { bufferSize, seed }, failing, how) => {
          const disk = memoryDisk();
          const abort = new AbortController();
          let writes = 0;
          const fault = (): FaultAction | undefined => {
            writes += 1;
            if (writes !== failing + 1) return undefined;
            if (how === 'fail') return { fail: 'ENOSPC' };
            abort.abort();
            return undefined;
          };
          slowly(disk, seed, fault);
          const writer = await create(disk, bufferSize, abort.signal);
          const error = { code: how === 'fail' ? 'io' : 'aborted' };
          const made = await makeCalls(writer, calls).catch((thrown: unknown) => thrown);
          if (made instanceof Error) expect(made).toMatchObject(error);
          const ended = await writer.end().catch((thrown: unknown) => thrown);
          if (ended instanceof Error) {
            if (writes > failing) expect(ended).toMatchObject(error);
            else expect(ended).toMatchObject({ code: 'empty' });
          } else {
            expect(made).not.toBeInstanceOf(Error);
            await expectContent(disk, ended as FinishedLayer, (made as Calls).accepted);
          }
          await writer.abandon();
          expect(disk.fileSystem.openCount).toBe(0);
        },
      ),
      { numRuns: rounds(60) },
    );
  });
});
