/** Layers whose rows are ordered by their keys alone, against a writer that gets the same values in order. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { BufferedWriter } from '../../../src/blob-writer/buffered-writer.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { KeyRuns } from '../../../src/layers/ephemeral-layer/key-runs.ts';
import { MemoryIndex } from '../../../src/layers/ephemeral-layer/memory-index.ts';
import { SingleRow } from '../../../src/layers/ephemeral-layer/rows.ts';
import { writeOut } from '../../../src/layers/ephemeral-layer/write-out.ts';
import {
  formatKey,
  type Key,
  keyFromFields,
  maximumKey,
  minimumKey,
} from '../../../src/layers/key.ts';
import type { Lsn } from '../../../src/layers/lsn.ts';
import { VirtualFile } from '../../../src/virtual-file/virtual-file.ts';
import { blockKey } from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

interface Put {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly bytes: Uint8Array;
  readonly willInit: boolean;
  /** Where the bytes are in the file already, if another value has them. */
  readonly position?: number;
}

const SIZES = { group: 1e9, piece: 64, window: 64, runs: 1 };
const MEBIBYTE = 1024 * 1024;

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('rows of few keys, in the order of their LSNs', () => {
  it('rows of few keys make the layer that their values make in order, whatever the size of a group', async () => {
    const put = fc.record({
      key: fc.tuple(
        fc.constantFrom(1, 0x100, 0xffff_ffff),
        fc.constantFrom(0, 1, 0x8000, 0xff_0000),
      ),
      step: fc.constantFrom(0, 0, 1, 0x1_0000_0000),
      length: fc.constantFrom(0, 1, 15, 16, 17, 31, 127, 128, 300, 511, 512, 513, 4000),
      willInit: fc.boolean(),
    });
    const groups = fc.constantFrom(1, 500, 4000, 1e9);
    await fc.assert(
      fc.asyncProperty(
        fc.array(put, { minLength: 1, maxLength: 200 }),
        groups,
        async (some, group) => {
          let lsn = 0x10n;
          const puts = some.map(({ key: [field4, field6], step, length, willInit }, at) => {
            lsn += BigInt(step);
            const key = keyFromFields({ ...NO_FIELDS, field4, field6 });
            return { key, lsn, bytes: filled(length, at), willInit };
          });
          await expectSameLayer(puts, { ...SIZES, group });
        },
      ),
      { numRuns: rounds(60) },
    );
  });

  it('rows of few keys over several segments, with replaced ones, make the layer that their values make in order', async () => {
    // Every third value has the LSN of the one before, and every ninth its key, too.
    const puts = Array.from({ length: 40_000 }, (_, at) => ({
      key: blockKey((Math.floor(at / (at % 9 === 1 ? 2 : 1)) * 7919) % 997),
      lsn: BigInt(at - (at % 3 === 1 ? 1 : 0)) + 0x10n,
      bytes: filled(1 + (at % 40), at),
      willInit: at % 5 === 0,
    }));
    await expectSameLayer(puts, { ...SIZES, group: 300_000 });
  });

  it('rows that are replaced in another order than they came are left out', async () => {
    const blocks = [1, 2, 3, 3, 2, 1, 2];
    const puts = blocks.map((block, at) => ({
      key: blockKey(block),
      lsn: 5n,
      bytes: filled(at + 1, at),
      willInit: false,
    }));
    await expectSameLayer(puts, SIZES);
  });

  it('an empty value at the start of the file, in a separate group, is moved', async () => {
    const puts = [0, 0, 3].map((length, at) => ({
      key: blockKey(1),
      lsn: BigInt(at) + 1n,
      bytes: filled(length, at),
      willInit: false,
    }));
    await expectSameLayer(puts, { ...SIZES, group: 1 });
  });

  it('more values than are moved at a time are all moved', async () => {
    const puts = Array.from({ length: 70_000 }, (_, at) => ({
      key: blockKey(at % 3),
      lsn: BigInt(at) + 1n,
      bytes: filled(at % 2, at),
      willInit: false,
    }));
    await expectSameLayer(puts, SIZES);
  });

  it('values that are as long as a window, and longer, have their places', async () => {
    const lengths = [
      5,
      MEBIBYTE,
      7,
      MEBIBYTE + 1,
      0,
      3 * MEBIBYTE,
      9,
      MEBIBYTE - 1,
      MEBIBYTE - 2,
      3,
    ];
    const puts = lengths.map((length, at) => ({
      key: blockKey(at % 3),
      lsn: BigInt(at) + 1n,
      bytes: filled(length, at),
      willInit: false,
    }));
    for (const group of [1, 2 * MEBIBYTE, 1e9]) await expectSameLayer(puts, { ...SIZES, group });
  });

  it('a value that ends after values that start later is complete', async () => {
    const whole = filled(300, 1);
    const parts = [
      [0, 300],
      [0, 0],
      [10, 250],
      [20, 17],
    ] as const;
    const puts = parts.map(([position, length], at) => ({
      ...{ key: blockKey(2 - (at % 2)), lsn: BigInt(at) + 1n, willInit: false },
      bytes: whole.subarray(position, position + length),
      ...(at === 0 ? {} : { position }),
    }));
    await expectSameLayer(puts, SIZES);
  });

  it('layers that are written at the same time do not share memory', async () => {
    const putsOf = (seed: number) =>
      Array.from({ length: 300 }, (_, at) => ({
        key: blockKey(at % 7),
        lsn: BigInt(at) + 1n,
        bytes: filled(500, at + seed),
        willInit: false,
      }));
    const sizes = { ...SIZES, group: 2000 };
    await Promise.all([1, 2, 3].map((seed) => expectSameLayer(putsOf(seed), sizes)));
  });

  it('a layer without memory in WebAssembly for its blobs is the same', async () => {
    // More than the memory that another test may have left.
    const puts = Array.from({ length: 3000 }, (_, at) => ({
      key: blockKey(at % 7),
      lsn: BigInt(at) + 1n,
      bytes: at < 40 ? new Uint8Array(500_000).fill(at) : filled(at % 700, at),
      willInit: false,
    }));
    const { WebAssembly: real } = globalThis as unknown as { WebAssembly: RealWebAssembly };
    // That of the blobs is the only one of more than ten megabytes.
    let refused = 0;
    const small = class {
      constructor(size: { initial: number }) {
        if (size.initial * 65_536 > 10 * MEBIBYTE) {
          refused += 1;
          throw new RangeError('no address space');
        }
        // biome-ignore lint/correctness/noConstructorReturn: it stands for the real one
        return new real.Memory(size);
      }
    };
    vi.stubGlobal('WebAssembly', { Module: real.Module, Instance: real.Instance, Memory: small });
    await expectSameLayer(puts, SIZES);
    expect(refused).toBe(1);
  });
});

describe('rows that are not ordered by their keys alone', () => {
  it('rows with an LSN below that of the one before are not', () => {
    expect(
      KeyRuns.of(
        rowsOf([
          [1, 5n],
          [1, 4n],
          [1, 6n],
        ]),
      ),
    ).toBeUndefined();
    expect(
      KeyRuns.of(
        rowsOf([
          [1, 4n],
          [1, 4n],
          [1, 6n],
        ]),
      )?.count,
    ).toBe(2);
  });

  it('rows whose values are not in the order of the rows are not', () => {
    const index = new MemoryIndex();
    const row = new SingleRow();
    index.add(row.set({ key: blockKey(1), lsn: 1n, length: 1, willInit: false }), 10);
    index.add(row.set({ key: blockKey(1), lsn: 2n, length: 1, willInit: false }), 9);
    expect(KeyRuns.of(index.rows)).toBeUndefined();
  });

  it('rows with a key for each eight of them, and 1,024 more, are; with one more key they are not', () => {
    const rowsOfKeys = (keys: number, rows: number) =>
      KeyRuns.of(rowsOf(Array.from({ length: rows }, (_, at) => [at % keys, BigInt(at) + 1n])));
    expect(rowsOfKeys(1024 + 2048, 16_384)?.count).toBe(16_384);
    expect(rowsOfKeys(1024 + 2049, 16_384)).toBeUndefined();
    expect(rowsOfKeys(1024, 1024)?.count).toBe(1024);
    expect(rowsOfKeys(1171, 1171)).toBeUndefined();
  });

  it('rows of which more than 65,536 are replaced are not', () => {
    const replacing = (count: number) =>
      KeyRuns.of(rowsOf(Array.from({ length: count + 1 }, () => [1, 5n])));
    expect(replacing(65_536)?.count).toBe(1);
    expect(replacing(65_537)).toBeUndefined();
  });

  it('rows whose blobs take 4 GiB are not', () => {
    const largest = 0x0fff_ffff;
    const blobs = (count: number, rest: number) => {
      const index = new MemoryIndex();
      const row = new SingleRow();
      const lengths = [...new Array<number>(count).fill(largest), rest];
      for (const [at, length] of lengths.entries()) {
        index.add(
          row.set({ key: blockKey(1), lsn: BigInt(at) + 1n, length, willInit: false }),
          at * largest,
        );
      }
      return KeyRuns.of(index.rows);
    };
    const left = 2 ** 32 - 15 * (largest + 4);
    expect(blobs(15, left - 4 - 2)?.count).toBe(16);
    expect(blobs(15, left - 4 - 1)).toBeUndefined();
  });

  it('rows are not without WebAssembly', () => {
    vi.stubGlobal('WebAssembly', undefined);
    expect(KeyRuns.of(rowsOf([[1, 5n]]))).toBeUndefined();
  });
});

interface RealWebAssembly {
  readonly Module: unknown;
  readonly Instance: unknown;
  readonly Memory: new (size: { initial: number }) => object;
}

const NO_FIELDS = { field1: 0, field2: 1663, field3: 5, field4: 0, field5: 0, field6: 0 };

function filled(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => seed * 31 + at);
}

function rowsOf(rows: readonly (readonly [block: number, lsn: Lsn])[]) {
  const index = new MemoryIndex();
  const row = new SingleRow();
  for (const [block, lsn] of rows) {
    index.add(row.set({ key: blockKey(block), lsn, length: 0, willInit: false }), 0);
  }
  return index.rows;
}

/** Writes the values by way of an open layer, and in order; the files must be the same. */
async function expectSameLayer(puts: readonly Put[], sizes: typeof SIZES): Promise<void> {
  const directory = temporaryDirectory();
  const index = new MemoryIndex();
  const path = join(directory, 'scratch');
  const flags = { read: true, write: true, create: true, durability: 'scratch' } as const;
  await using file = await VirtualFile.open(path, flags);
  const scratch = new BufferedWriter(file, { bufferSize: 64 * 1024 });
  const row = new SingleRow();
  for (const { bytes, position, ...put } of puts) {
    index.add(row.set({ ...put, length: bytes.length }), position ?? scratch.offset);
    if (position === undefined) await scratch.append(bytes);
  }
  expect(KeyRuns.of(index.rows)?.count).toBe(inOrder(puts).length);
  const highest = puts.at(-1)?.lsn ?? 0n;
  const layer = {
    tenantId: '00'.repeat(16),
    timelineId: '00'.repeat(16),
    lsnRange: { start: 1n, end: highest + 1n },
  };
  const found = join(directory, 'found');
  const wanted = join(directory, 'wanted');
  for (const made of [found, wanted]) mkdirSync(made);
  const written = await writeOut(index, scratch, { ...layer, directory: found }, sizes);
  const keyRange = { start: minimumKey(), end: maximumKey() };
  await using writer = await DeltaLayerWriter.create({ ...layer, keyRange, directory: wanted });
  for (const { key, lsn, bytes, willInit } of inOrder(puts)) {
    await writer.putSerialized(key, lsn, bytes, willInit);
  }
  const expected = await writer.finish();
  expect(written.entryCount).toBe(expected.entryCount);
  expect(readFileSync(written.path).equals(readFileSync(expected.path))).toBe(true);
}

/** The last value of each key and LSN. */
function inOrder(puts: readonly Put[]): Put[] {
  const last = new Map(
    puts.map((put) => [`${formatKey(put.key)} ${put.lsn.toString(16).padStart(16, '0')}`, put]),
  );
  return [...last].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, put]) => put);
}
