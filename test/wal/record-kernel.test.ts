/** The loops in WebAssembly, against the JavaScript that they stand for: what is read, counted and reported is the same. */
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WalChunk } from '../../src/wal/record-batch.ts';
import { recordChecksum } from '../../src/wal/record-format.ts';
import type { RecordKernel } from '../../src/wal/record-kernel.ts';
import { RecordScanner } from '../../src/wal/record-scanner.ts';
import { type RecordCounts, RecordTally } from '../../src/wal/record-tally.ts';
import { KIND_COUNT } from '../../src/wal/resource-managers.ts';
import { openWal } from '../../src/wal/wal-reader.ts';
import { type WalBytes, walBytes } from '../../src/wal/wal-source.ts';
import { SEGMENTS, segmentBytes } from '../cli/golden-wal.ts';
import { rounds } from '../support/rounds.ts';
import { type HandMadeRecord, walRecord } from '../support/wal-records.ts';
import { MAGICS, SEGMENT_SIZE, WalBuilder } from '../support/wal-segments.ts';

const RUNS = Number(process.env['LAYERFILE_KERNEL_RUNS'] ?? rounds(20));
const PAGE = 8192;
const VERSIONS = [14, 15, 17] as const;

afterEach(() => {
  vi.unstubAllGlobals();
});

interface Read {
  readonly records: readonly string[];
  readonly counts: RecordCounts;
  readonly damage: readonly string[];
  readonly end: readonly unknown[];
}

async function read(files: readonly WalBytes[], skipCorrupt: boolean): Promise<Read> {
  const reader = await openWal(walBytes(files), { skipCorrupt });
  const tally = new RecordTally(reader.majorVersion, {});
  const records: string[] = [];
  const damage: string[] = [];
  for await (const batch of reader) {
    if (batch.skipped !== undefined) damage.push(`${batch.skipped.lsn} ${batch.skipped.error}`);
    tally.add(batch, { onDamage: (index, error) => damage.push(`${index} ${error}`) });
    for (let index = 0; index < batch.length; index += 1) {
      const place = [batch.startLsn(index), batch.endLsn(index), batch.timelineId(index)];
      const sum = recordChecksum(batch.bytes(index));
      records.push([...place, batch.offset(index), batch.size(index), sum].join(' '));
    }
  }
  const { kind, lsn, error } = reader.end ?? {};
  return { records, counts: tally.counts(), damage, end: [kind, lsn, error?.message] };
}

/** Reads with and without WebAssembly. Returns: what was read, which is the same. */
async function readBoth(files: readonly WalBytes[], skipCorrupt = false): Promise<Read> {
  const byKernel = await read(files, skipCorrupt);
  vi.stubGlobal('WebAssembly', undefined);
  const byScript = await read(files, skipCorrupt);
  vi.unstubAllGlobals();
  expect(byKernel).toEqual(byScript);
  return byKernel;
}

const page = new Uint8Array(PAGE).map((_, index) => (index < 200 || index > 8000 ? index : 0));

const blocks = fc.array(
  fc.record({
    blkno: fc.nat(1000),
    data: fc.uint8Array({ maxLength: 40 }),
    image: fc.constantFrom(
      undefined,
      undefined,
      undefined,
      { page },
      { page, hole: [200, 7801] as const },
    ),
  }),
  { maxLength: 3 },
);

const records = fc.record({
  resourceManager: fc.constantFrom(0, 1, 9, 10, 11, 21, 134),
  info: fc.constantFrom(0, 0x10, 0x40, 0x80, 0xf0, 0x61),
  blocks,
  origin: fc.constantFrom(undefined, undefined, undefined, 3),
  mainData: fc.uint8Array({ maxLength: 300, size: 'max' }),
});

/** Bytes of the headers that are changed, while the checksum stays right. */
const headerChanges = fc.array(
  fc.record({ at: fc.nat(40), value: fc.constantFrom(0, 1, 2, 0x10, 0x30, 0x80, 0xa0, 254, 255) }),
  { maxLength: 2 },
);

function recordOf(
  record: HandMadeRecord,
  changes: readonly { readonly at: number; readonly value: number }[],
): Uint8Array {
  const bytes = walRecord(record);
  for (const { at, value } of changes) if (24 + at < bytes.length) bytes[24 + at] = value;
  return bytes;
}

const wholeWal = fc.record({
  majorVersion: fc.constantFrom(...VERSIONS),
  start: fc.constantFrom(BigInt(SEGMENT_SIZE), 2n ** 32n - BigInt(SEGMENT_SIZE)),
  parts: fc.array(
    fc.tuple(records, fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, headerChanges)),
    {
      minLength: 1,
      maxLength: 60,
      size: 'max',
    },
  ),
});

function builtWal({
  majorVersion,
  start,
  parts,
}: typeof wholeWal extends fc.Arbitrary<infer T> ? T : never) {
  const builder = new WalBuilder({ start, majorVersion });
  for (const [record, changes] of parts) {
    builder.append(recordOf({ ...record, majorVersion }, changes));
    const isSwitch = record.resourceManager === 0 && (record.info & 0xf0) === 0x40;
    if (isSwitch) builder.fillSegment();
  }
  return builder;
}

describe('with and without WebAssembly', () => {
  test('the same is read, counted and reported of any records', async () => {
    await fc.assert(
      fc.asyncProperty(wholeWal, async (wal) => {
        const builder = builtWal(wal);
        const { records: found } = await readBoth(builder.files);
        // An extension of version 14 is damage.
        if (wal.majorVersion > 14) expect(found.length).toBe(builder.records.length);
      }),
      { numRuns: RUNS },
    );
  });

  test('the same is read, counted and reported of damaged WAL', async () => {
    const changes = fc.array(
      fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), value: fc.nat(255) }),
      { minLength: 1, maxLength: 4 },
    );
    await fc.assert(
      fc.asyncProperty(wholeWal, changes, fc.boolean(), async (wal, changed, skipCorrupt) => {
        const builder = builtWal(wal);
        const { files } = builder;
        for (const { at, value } of changed) {
          const offset = 40 + Math.floor(at * (builder.bytes.length - 41));
          const { bytes } = files[Math.floor(offset / SEGMENT_SIZE)] as WalBytes;
          bytes[offset % SEGMENT_SIZE] = value;
        }
        await readBoth(files, skipCorrupt);
      }),
      { numRuns: RUNS },
    );
  });

  test('the same is read, counted and reported of the segments of a server', async () => {
    const files = SEGMENTS.slice(0, 2).map((name) => ({ name, bytes: segmentBytes(name) }));
    const { records: found, damage } = await readBoth(files);
    expect(found.length).toBeGreaterThan(1000);
    expect(damage).toEqual([]);
  });

  test('records up to the end of the low half of all LSNs have their LSNs', async () => {
    const border = 2n ** 32n;
    const builder = new WalBuilder({ start: border - BigInt(SEGMENT_SIZE) });
    const append = (length: number): void => {
      builder.append(walRecord({ resourceManager: 10, info: 0, mainData: new Uint8Array(length) }));
    };
    while (border - builder.lsn > 200n) append(38);
    append(Number(border - builder.lsn) - 26);
    expect(builder.lsn).toBe(border);
    for (let count = 0; count < 20; count += 1) append(38);
    const { records: found } = await readBoth(builder.files);
    const expected = builder.records.map(({ startLsn, endLsn }) => `${startLsn} ${endLsn}`);
    expect(found.map((text) => text.split(' ').slice(0, 2).join(' '))).toEqual(expected);
  });
});

/** WAL that has been built, in a chunk. */
function chunkWith(bytes: Uint8Array): {
  readonly chunk: WalChunk;
  readonly kernel: RecordKernel;
} {
  const chunk = new WalChunk(4 * PAGE);
  chunk.memory.bytes.set(bytes.subarray(0, 4 * PAGE));
  const { kernel } = chunk;
  if (kernel === undefined) throw new Error('there is no WebAssembly');
  return { chunk, kernel };
}

/** How many records of a segment's first pages are found, up to a limit. */
function findIn(kernel: RecordKernel, limit = PAGE + 1, majorVersion = 17): number {
  return kernel.findRecords(0, {
    ...{ at: 40, limit, previousHigh: 0, previousLow: SEGMENT_SIZE - 64 },
    ...{ high: 0, low: SEGMENT_SIZE, timelineId: 1, maximumLength: 2 ** 30 },
    magic: MAGICS[majorVersion] as number,
  });
}

/** The first page of WAL with the records, in a chunk. */
function chunkOf(
  majorVersion: number,
  ...made: readonly Uint8Array[]
): { readonly chunk: WalChunk; readonly kernel: RecordKernel; readonly length: number } {
  const builder = new WalBuilder({ majorVersion });
  for (const record of made) builder.append(record);
  const { chunk, kernel } = chunkWith(builder.bytes);
  return { chunk, kernel, length: findIn(kernel, PAGE + 1, majorVersion) };
}

/** What the kernel has counted, of the kinds of which there are any: records, their bytes and those of images. */
function countsOf(kernel: RecordKernel): readonly (readonly number[])[] {
  const sums = {
    records: new Float64Array(KIND_COUNT),
    recordBytes: new Float64Array(KIND_COUNT),
    imageBytes: new Float64Array(KIND_COUNT),
  };
  kernel.takeCounts(sums);
  return Array.from(sums.records.keys())
    .filter((kind) => sums.records[kind] !== 0)
    .map((kind) => [
      ...[kind, sums.records[kind] as number],
      ...[sums.recordBytes[kind] as number, sums.imageBytes[kind] as number],
    ]);
}

const plain = walRecord({
  ...{ resourceManager: 10, info: 0x80, mainData: Uint8Array.of(1, 0, 8) },
  blocks: [
    { blkno: 1, data: Uint8Array.of(1, 2, 3) },
    { blkno: 7, image: { page, hole: [200, 7801] } },
  ],
});

test('records in a page are found and counted without JavaScript', () => {
  const { chunk, kernel, length } = chunkOf(17, plain, plain, plain);
  const { rows } = chunk;
  expect(length).toBe(3);
  expect([rows.startLsn(0), rows.startLow(1)]).toEqual([0x10_0028n, Number(rows.endLsn(0))]);
  expect([rows.offset(0), rows.size(2), rows.timelineId(1)]).toEqual([40, plain.length, 1]);
  expect(kernel.countRows(0, 3, 17)).toBe(3);
  const image = PAGE - 7801;
  expect(countsOf(kernel)).toEqual([[0xa8, 3, 3 * (plain.length - image), 3 * image]]);
  expect(countsOf(kernel)).toEqual([]);
});

/** Three short records, one that goes on over two page borders, and three short ones. */
function crossingPages(): WalBuilder {
  const builder = new WalBuilder();
  const append = (count: number, record: Uint8Array): void => {
    for (let index = 0; index < count; index += 1) builder.append(record);
  };
  append(3, plain);
  append(1, walRecord({ resourceManager: 10, info: 0, mainData: page.slice(0, 255) }));
  append(1, walRecord({ resourceManager: 10, info: 0, mainData: new Uint8Array(16_500).fill(7) }));
  append(3, plain);
  return builder;
}

test('a record that crosses pages is put together apart from the others, and those after it are found', () => {
  const { records, bytes } = crossingPages();
  const { chunk, kernel } = chunkWith(bytes);
  expect(findIn(kernel, 4 * PAGE + 1)).toBe(8);
  const { rows, memory } = chunk;
  const found = records.map((_, index) => ({
    startLsn: rows.startLsn(index),
    endLsn: rows.endLsn(index),
    bytes: memory.bytes.slice(rows.offset(index), rows.offset(index) + rows.size(index)),
  }));
  expect(found).toEqual(records);
  const start = Number((records[4] as { startLsn: bigint }).startLsn) - SEGMENT_SIZE;
  expect(rows.offset(4)).toBe(start + chunk.crossing);
});

test('a record that ends where the page ends is followed by the first one of the next page', () => {
  const builder = new WalBuilder();
  builder.append(
    walRecord({ resourceManager: 10, info: 0, mainData: new Uint8Array(PAGE - 40 - 24 - 5) }),
  );
  builder.append(plain);
  const { chunk, kernel } = chunkWith(builder.bytes);
  expect(findIn(kernel, 4 * PAGE + 1)).toBe(2);
  expect(chunk.rows.endLsn(0)).toBe(BigInt(SEGMENT_SIZE + PAGE));
  expect(chunk.rows.startLsn(1)).toBe(BigInt(SEGMENT_SIZE + PAGE + 24));
});

describe('records are found up to one that continues in a page', () => {
  test.each<[string, (view: DataView) => void]>([
    ['of another version', (view) => view.setUint16(PAGE, MAGICS[16] as number, true)],
    ['that begins with a record', (view) => view.setUint16(PAGE + 2, 0, true)],
    ['with a long header', (view) => view.setUint16(PAGE + 2, 3, true)],
    ['of another timeline', (view) => view.setUint32(PAGE + 4, 2, true)],
    ['of another address', (view) => view.setUint32(PAGE + 8, SEGMENT_SIZE, true)],
    ['of another half of all LSNs', (view) => view.setUint32(PAGE + 12, 1, true)],
    ['with another rest', (view) => view.setUint32(PAGE + 16, 8000, true)],
    ['whose next page is damaged', (view) => view.setUint8(2 * PAGE, 0)],
    ['with a byte that was changed', (view) => view.setUint8(PAGE + 5000, 6)],
  ])('records are found up to one that continues in a page %s', (_, damage) => {
    const { chunk, kernel } = chunkWith(crossingPages().bytes);
    damage(chunk.memory.view);
    expect(findIn(kernel, 4 * PAGE + 1)).toBe(4);
  });

  test('records are found up to one that continues after the limit', () => {
    const { records, bytes } = crossingPages();
    const end = Number((records[4] as { endLsn: bigint }).endLsn) - SEGMENT_SIZE;
    for (const [limit, count] of [
      ...([PAGE + 1, 2 * PAGE, end - 8, end] as const).map((below) => [below, 4] as const),
      [end + 1, 5] as const,
    ]) {
      expect(findIn(chunkWith(bytes).kernel, limit), `limit ${limit}`).toBe(count);
    }
  });
});

test('the page after a record that ends with its page is checked', () => {
  const damages: readonly ((view: DataView) => void)[] = [
    (view) => view.setUint16(PAGE, MAGICS[16] as number, true),
    (view) => view.setUint16(PAGE + 2, 1, true),
    (view) => view.setUint32(PAGE + 4, 2, true),
    (view) => view.setUint32(PAGE + 8, SEGMENT_SIZE, true),
    (view) => view.setUint32(PAGE + 12, 1, true),
    (view) => view.setUint32(PAGE + 16, 8, true),
  ];
  const builder = new WalBuilder();
  builder.append(
    walRecord({ resourceManager: 10, info: 0, mainData: new Uint8Array(PAGE - 40 - 24 - 5) }),
  );
  builder.append(plain);
  for (const damage of damages) {
    const { chunk, kernel } = chunkWith(builder.bytes);
    damage(chunk.memory.view);
    expect(findIn(kernel, 4 * PAGE + 1)).toBe(1);
  }
});

describe('a run of records ends before one', () => {
  test.each<[string, Uint8Array]>([
    ['of an extension', walRecord({ resourceManager: 134, info: 0 })],
    ['that switches the segment', walRecord({ resourceManager: 0, info: 0x40 })],
    [
      'that goes on in the next page',
      walRecord({ resourceManager: 10, info: 0, mainData: new Uint8Array(8500) }),
    ],
  ])('a run of records ends before a record %s', (_, record) => {
    expect(chunkOf(17, plain, record, plain).length).toBe(1);
  });

  test.each<[string, (view: DataView, at: number) => void]>([
    ['with a wrong length', (view, at) => view.setUint32(at, 23, true)],
    ['with a wrong link', (view, at) => link(view, at, { low: 0, high: 0 })],
    [
      'with a link to another half',
      (view, at) => link(view, at, { low: view.getUint32(at + 8, true), high: 1 }),
    ],
    ['with a wrong checksum', (view, at) => view.setUint8(at + 30, 0xee)],
  ])('a run of records ends before a damaged record %s', (_, damage) => {
    const builder = new WalBuilder();
    for (let count = 0; count < 3; count += 1) builder.append(plain);
    const { chunk, kernel } = chunkWith(builder.bytes);
    const { startLsn } = builder.records[1] as { startLsn: bigint };
    damage(chunk.memory.view, Number(startLsn) - SEGMENT_SIZE);
    expect(findIn(kernel)).toBe(1);
  });
});

/** Links a record of a page to another one before it, with a right checksum. */
function link(
  view: DataView,
  at: number,
  { low, high }: { readonly low: number; readonly high: number },
): void {
  view.setUint32(at + 8, low, true);
  view.setUint32(at + 12, high, true);
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, view.getUint32(at, true));
  view.setUint32(at + 20, recordChecksum(bytes), true);
}

/** Changes one byte after the header of the record. */
const changed = (at: number, value: number, record = plain): Uint8Array => {
  const bytes = record.slice();
  bytes[24 + at] = value;
  return bytes;
};

describe('rows are counted up to a record', () => {
  test.each<[string, Uint8Array]>([
    ['with an origin', walRecord({ resourceManager: 10, info: 0, origin: 3 })],
    [
      'with long main data',
      walRecord({ resourceManager: 10, info: 0, mainData: page.slice(0, 256) }),
    ],
    ['with a compressed image', changed(20 + 8, 0x07)],
    ['whose first block has the relation of none', changed(1, 0x80 | 0x20)],
    ['with data that no flag announces', changed(1, 0)],
    ['with a flag and no data', changed(2, 0)],
    ['whose blocks do not ascend', changed(20, 0)],
    ['with an unknown header', changed(0, 33)],
    ['whose hole begins at 0', changed(20 + 6, 0)],
    ['whose hole is longer than the page', changed(20 + 7, 0xff)],
    ['with an image of a page and no hole, which is too short', changed(20 + 8, 0x02)],
    ['with more data than was announced', changed(2, 2)],
    ['with less data than was announced', changed(2, 4)],
  ])('rows are counted up to a record %s', (_, record) => {
    const { kernel, length } = chunkOf(17, plain, record, plain);
    expect(length).toBe(3);
    expect(kernel.countRows(0, 3, 17)).toBe(1);
    expect(kernel.countRows(2, 3, 17)).toBe(3);
  });

  test('of an extension, whose kind has no room among the counts', () => {
    const { chunk, kernel } = chunkOf(17, plain, plain);
    chunk.memory.view.setUint8(chunk.rows.offset(0) + 17, 22);
    expect(kernel.countRows(0, 2, 17)).toBe(0);
    chunk.memory.view.setUint8(chunk.rows.offset(0) + 17, 21);
    expect(kernel.countRows(0, 2, 17)).toBe(2);
  });

  test('rows of version 14, whose flags of images are others, are scanned as the scanner reads them', () => {
    const of14 = (apply: boolean): Uint8Array =>
      walRecord({
        ...{ resourceManager: 10, info: 0, majorVersion: 14 },
        blocks: [{ blkno: 7, image: { page, hole: [200, 7801], apply } }],
      });
    const compressed = changed(8, 0x03, of14(false));
    const { chunk, kernel, length } = chunkOf(14, of14(true), of14(false), compressed);
    expect(length).toBe(3);
    expect(kernel.countRows(0, 3, 14)).toBe(2);
    const scanner = new RecordScanner(14);
    scanner.scan(chunk.memory.view, chunk.rows.offset(0), chunk.rows.size(0));
    const [counted = []] = countsOf(kernel);
    expect(counted[3]).toBe(2 * (scanner.imageLengths[0] as number));
  });
});
