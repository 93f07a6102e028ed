import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { formatPgLsn, type Lsn } from '../../src/layers/lsn.ts';
import { directoryStore } from '../../src/object-store/directory-store.ts';
import { openWal, type WalReadOptions } from '../../src/wal/wal-reader.ts';
import {
  type WalFile,
  type WalSource,
  walBytes,
  walDirectory,
  walFiles,
  walObjects,
} from '../../src/wal/wal-source.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { walRecord } from '../support/wal-records.ts';
import { type BuiltRecord, SEGMENT_SIZE, WalBuilder } from '../support/wal-segments.ts';

const START = BigInt(SEGMENT_SIZE);
const PAGE = 8192;

const message = (length: number, fill = 7): Uint8Array =>
  walRecord({ resourceManager: 21, info: 0, mainData: new Uint8Array(length).fill(fill) });

const switchRecord = (): Uint8Array => walRecord({ resourceManager: 0, info: 0x40 });

/** Some records, among them one over two page borders. */
function built(options: { majorVersion?: number; start?: bigint } = {}): WalBuilder {
  const builder = new WalBuilder(options);
  for (const length of [10, 300, 2 * PAGE, 0, 5000, 5000, 40]) builder.append(message(length));
  return builder;
}

interface Found {
  readonly lsns: readonly Lsn[];
  readonly bytes: readonly Uint8Array[];
  readonly skips: readonly string[];
  readonly end: string;
}

/** Reads everything; `end` is `kind at LSN: message`. */
async function read(source: WalSource, options: WalReadOptions = {}): Promise<Found> {
  const lsns: Lsn[] = [];
  const bytes: Uint8Array[] = [];
  const skips: string[] = [];
  const wal = await openWal(source, options);
  for await (const batch of wal) {
    const { skipped } = batch;
    if (skipped !== undefined) {
      skips.push(`${formatPgLsn(skipped.lsn)}-${formatPgLsn(skipped.resumesAt)}`);
    }
    for (let index = 0; index < batch.length; index += 1) {
      lsns.push(batch.startLsn(index));
      bytes.push(batch.bytes(index).slice());
    }
  }
  const { kind, lsn, error } = wal.end ?? { kind: 'none', lsn: 0n, error: undefined };
  return { lsns, bytes, skips, end: `${kind} at ${formatPgLsn(lsn)}: ${error?.message ?? ''}` };
}

const startsOf = (records: readonly BuiltRecord[]): Lsn[] =>
  records.map(({ startLsn }) => startLsn);

describe('records', () => {
  test.each([14, 15, 16, 17])(
    'records of version %i come back as they were written',
    async (version) => {
      const builder = built({ majorVersion: version });
      const found = await read(walBytes(builder.files));
      expect(found.lsns).toEqual(startsOf(builder.records));
      expect(found.bytes).toEqual(builder.records.map(({ bytes }) => bytes));
      expect(found.end).toContain(`end-of-wal at ${formatPgLsn(builder.lsn)}`);
    },
  );

  test('records end at the padded end, and at a page border at the border itself', async () => {
    const builder = new WalBuilder();
    const first = builder.append(message(10));
    const left = PAGE - (Number(builder.lsn) % PAGE);
    const second = builder.append(message(left - 24 - 5));
    builder.append(message(1));
    expect(second.endLsn % BigInt(PAGE)).toBe(0n);
    const wal = await openWal(walBytes(builder.files));
    for await (const batch of wal) {
      expect(batch.endLsn(0)).toBe(first.endLsn);
      expect(batch.endLsn(1)).toBe(second.endLsn);
      expect(batch.startLsn(2)).toBe(second.endLsn + 24n);
      expect(batch.timelineId(1)).toBe(1);
      expect(storageErrorThrownBy(() => batch.bytes(3)).code).toBe('out-of-range');
    }
  });

  test('records inside a page are views of what was read', async () => {
    const wal = await openWal(walBytes(built().files));
    for await (const batch of wal) expect(batch.bytes(0).buffer).toBe(batch.memory.bytes.buffer);
  });

  test('records longer than one read, over segments, have separate memory', async () => {
    const builder = new WalBuilder();
    builder.append(message(10));
    builder.append(message(3 * SEGMENT_SIZE));
    builder.append(message(20));
    const found = await read(walBytes(builder.files));
    expect(found.lsns).toEqual(startsOf(builder.records));
    const [, long = new Uint8Array(0)] = found.bytes;
    expect(Buffer.compare(long, builder.records[1]?.bytes ?? long)).toBe(0);
    expect(long).toHaveLength(3 * SEGMENT_SIZE + 29);
  });

  test('records above the maximum length are damage', async () => {
    const found = await read(walBytes(built().files), { maximumRecordLength: 10_000 });
    expect(found.lsns).toHaveLength(2);
    expect(found.end).toMatch(/corrupt at .*length of the WAL record.*24 to 10000, found 16413/);
  });

  test('records over the border of the LSN halves are read', async () => {
    const builder = built({ start: 2n ** 32n - BigInt(SEGMENT_SIZE) });
    builder.append(message(2 * SEGMENT_SIZE));
    builder.append(message(5));
    const found = await read(walBytes(builder.files));
    expect(found.lsns).toEqual(startsOf(builder.records));
  });
});

describe('the range', () => {
  test('the range begins with the first record at or after any LSN, and has none that ends after its end', async () => {
    const builder = built();
    for (const [index, { startLsn }] of builder.records.entries()) {
      for (const start of [startLsn, startLsn - 1n]) {
        const found = await read(walBytes(builder.files), { start });
        expect(found.lsns).toEqual(startsOf(builder.records.slice(index)));
      }
      const end = builder.records[index]?.endLsn ?? 0n;
      const upTo = await read(walBytes(builder.files), { end });
      expect(upTo.lsns).toEqual(startsOf(builder.records.slice(0, index + 1)));
      expect(upTo.end).toContain('end-of-range');
      const before = await read(walBytes(builder.files), { end: end - 1n });
      expect(before.lsns).toEqual(startsOf(builder.records.slice(0, index)));
    }
  });

  test('the range that starts before the WAL has a gap', async () => {
    const found = await read(walBytes(built({ start: 3n * START }).files), { start: START });
    expect(found).toMatchObject({ lsns: [] });
    expect(found.end).toMatch(/gap at 0\/100000: .*000000010000000000000001/);
  });

  test('the range that starts where records are lost says so', async () => {
    const builder = built();
    const [{ bytes }] = builder.files as [{ bytes: Uint8Array }];
    const start = builder.records[3]?.startLsn ?? 0n;
    const page = Number(start - START) - (Number(start) % PAGE);
    bytes.fill(0, page, page + PAGE);
    builder.append(message(10));
    const found = await read(walBytes([{ bytes, name: '000000010000000000000001' }]), { start });
    expect(found.lsns).toEqual([]);
    expect(found.end).toMatch(/corrupt at .*: expected a record at .*, found the first one at/);
  });

  test('the range that ends inside a record, where the file is cut, is complete', async () => {
    const builder = built();
    const bytes = builder.bytes.subarray(0, 2 * PAGE);
    const source = walBytes([{ name: '000000010000000000000001', bytes }]);
    const found = await read(source, { end: START + 2n * BigInt(PAGE) });
    expect(found.lsns).toEqual(startsOf(builder.records.slice(0, 2)));
    expect(found.end).toContain('end-of-range');
  });

  test('a range that starts in damage reports it once', async () => {
    const builder = built();
    for (let index = 0; index < 5; index += 1) builder.append(message(5000));
    const [{ bytes }] = builder.files as [{ bytes: Uint8Array }];
    const start = builder.records[4]?.startLsn ?? 0n;
    const page = Number(start - START) - (Number(start) % PAGE);
    bytes.fill(0xee, page, page + PAGE);
    const source = walBytes([{ bytes, name: '000000010000000000000001' }]);
    const found = await read(source, { start, skipCorrupt: true });
    expect(found.skips).toHaveLength(1);
    expect(found.lsns.length).toBeGreaterThan(0);
  });

  test('the range that ends before it starts is refused', async () => {
    const error = await storageErrorOf(openWal(walBytes(built().files), { start: 9n, end: 8n }));
    expect(error.code).toBe('out-of-range');
  });
});

describe('the end', () => {
  const name = '000000010000000000000001';

  test('the end of the WAL is where old pages of a recycled segment begin', async () => {
    const old = built({ start: START });
    for (let index = 0; index < 20; index += 1) old.append(message(3000));
    const builder = built({ start: 2n * START });
    const bytes = (old.files[0] as { bytes: Uint8Array }).bytes.slice();
    bytes.set(builder.bytes);
    const found = await read(walBytes([{ name: '000000010000000000000002', bytes }]));
    expect(found.lsns).toEqual(startsOf(builder.records));
    expect(found.end).toContain('end-of-wal');
  });

  test('the end of the WAL is where an old record with a right checksum does not link to the one before', async () => {
    const builder = built();
    const { lsn } = builder;
    builder.previous = START + 40n;
    builder.append(message(8));
    const found = await read(walBytes(builder.files));
    expect(found.lsns).toEqual(startsOf(builder.records.slice(0, -1)));
    expect(found.end).toMatch(
      new RegExp(`^end-of-wal at ${formatPgLsn(lsn)}: ${name}: link to the record before`),
    );
  });

  test.each([
    ['the length', 0, 'length of the WAL record'],
    ['the resource manager', 17, 'resource manager of the WAL record'],
    ['the link', 8, 'link to the record before'],
    ['the checksum', 20, 'checksum of the WAL record'],
    ['the data', 40, 'checksum of the WAL record'],
  ])(
    'WAL is corrupt where %s of a record is wrong and valid pages follow',
    async (_, byte, what) => {
      const builder = built();
      const bad = builder.records[1] as BuiltRecord;
      const [{ bytes }] = builder.files as [{ bytes: Uint8Array }];
      const at = Number(bad.startLsn - START) + byte;
      bytes[at] = byte === 0 ? 3 : 0x55;
      if (byte === 0) bytes.fill(0, at + 1, at + 4);
      const stopped = await read(walBytes([{ name, bytes }]));
      expect(stopped.lsns).toEqual(startsOf(builder.records.slice(0, 1)));
      expect(stopped.end).toContain(`corrupt at ${formatPgLsn(bad.startLsn)}: ${name}: ${what}`);
      const skipping = await read(walBytes([{ name, bytes }]), { skipCorrupt: true });
      expect(skipping.lsns).toEqual(
        startsOf([...builder.records.slice(0, 1), ...builder.records.slice(3)]),
      );
      expect(skipping.skips).toEqual([`${formatPgLsn(bad.startLsn)}-0/102000`]);
      expect(skipping.end).toContain('end-of-wal');
    },
  );

  /** Records of these lengths, and one bit of the data of one of them is wrong. */
  function damaged(lengths: readonly number[], index: number) {
    const builder = new WalBuilder();
    for (const length of lengths) builder.append(message(length));
    const bad = builder.records[index] as BuiltRecord;
    const [{ bytes }] = builder.files as [{ bytes: Uint8Array }];
    const at = Number(bad.startLsn - START) + 40;
    bytes[at] = (bytes[at] as number) ^ 1;
    const source = walBytes([{ name, bytes }]);
    const next = builder.records[index + 1]?.startLsn ?? 0n;
    return { builder, source, place: formatPgLsn(bad.startLsn), next: formatPgLsn(next) };
  }

  test.each([
    ['on the last page', [100, 200, 300, 400], 1],
    ['of which the rest is on the last page', [100, PAGE, 300, 400], 1],
    ['of which the rest is on a later page', [100, 5 * PAGE, 300, 3 * PAGE, 400], 1],
    ['before which nothing is read', [100, 200, 300], 0],
  ])(
    'WAL is corrupt at a record %s if a valid one follows, and continues with that one',
    async (_, lengths, index) => {
      const { builder, source, place, next } = damaged(lengths, index);
      const stopped = await read(source);
      expect(stopped.lsns).toEqual(startsOf(builder.records.slice(0, index)));
      expect(stopped.end).toContain(`corrupt at ${place}: ${name}: checksum of the WAL record`);
      const skipping = await read(source, { skipCorrupt: true });
      expect(skipping.skips).toEqual([`${place}-${next}`]);
      expect(skipping.lsns).toEqual(startsOf(builder.records.toSpliced(index, 1)));
      expect(skipping.end).toContain('end-of-wal');
    },
  );

  test('WAL ends at a damaged record if the record after it is damaged too, and no page follows', async () => {
    const { builder, source, place } = damaged([100, 200, 300], 1);
    const last = builder.records[2] as BuiltRecord;
    const [file] = await source.list(undefined);
    const bytes = new Uint8Array(SEGMENT_SIZE);
    await (await file?.open(undefined))?.source.read(bytes, 0);
    bytes[Number(last.startLsn - START) + 40] = 1;
    expect((await read(walBytes([{ name, bytes }]))).end).toContain(`end-of-wal at ${place}`);
  });

  test('WAL of another cluster is skipped as a whole segment, and none of it is read from inside', async () => {
    const builder = new WalBuilder();
    for (let index = 0; index < 300; index += 1) builder.append(message(9000));
    const files = builder.files;
    files[1]?.bytes.fill(9, 24, 25);
    const second = 2n * START;
    const third = 3n * START;
    const skipping = await read(walBytes(files), { skipCorrupt: true });
    expect(skipping.skips).toHaveLength(1);
    expect(skipping.skips[0]).toMatch(/-0\/300000$/);
    const isOurs = (lsn: Lsn) => lsn < second || lsn >= third;
    expect(skipping.lsns.every(isOurs)).toBe(true);
    expect(skipping.lsns.length).toBeGreaterThan(180);
    const start = second + BigInt(40 * PAGE);
    const inside = await read(walBytes(files), { start });
    expect(inside.lsns).toEqual([]);
    expect(inside.end).toMatch(/^corrupt at .*000000010000000000000002: system identifier of/);
    const end = second + BigInt(60 * PAGE);
    expect((await read(walBytes(files), { start, end, skipCorrupt: true })).lsns).toEqual([]);
    files[1]?.bytes.fill(0x88, 24, 25);
    expect((await read(walBytes(files), { start, end })).lsns).not.toEqual([]);
  });

  test('the end of the WAL is a gap where a segment is missing', async () => {
    const builder = new WalBuilder();
    for (let index = 0; index < 300; index += 1) builder.append(message(9000));
    const [first, , third] = builder.files;
    const files = [first, third].filter((file) => file !== undefined);
    const found = await read(walBytes(files));
    expect(found.end).toMatch(/^gap at 0\/1[0-9A-F]+: WAL has a gap .*000000010000000000000002/);
    const skipping = await read(walBytes(files), { skipCorrupt: true });
    expect(skipping.skips).toHaveLength(1);
    expect(skipping.lsns.at(-1)).toBe(builder.records.at(-1)?.startLsn);
  });

  test('the end of the WAL is truncated where a file ends inside a record, and not where it ends after one', async () => {
    const builder = built();
    const { bytes } = builder;
    const inside = await read(walBytes([{ name, bytes: bytes.subarray(0, bytes.length - 9) }]));
    expect(inside.lsns).toEqual(startsOf(builder.records.slice(0, -1)));
    expect(inside.end).toMatch(/^truncated at .*WAL segment is truncated at offset/);
    const after = await read(walBytes([{ name, bytes }]));
    expect(after.lsns).toEqual(startsOf(builder.records));
    expect(after.end).toContain('end-of-wal');
  });

  test('the end of the WAL is truncated where a file ends inside the rest of a record that began before the start', async () => {
    const builder = built();
    const [, , long] = builder.records as [BuiltRecord, BuiltRecord, BuiltRecord];
    const { bytes } = builder;
    const start = long.startLsn + 8n;
    // A page border inside the record, and inside a page.
    for (const length of [PAGE, 2 * PAGE, 2 * PAGE + 100]) {
      const found = await read(walBytes([{ name, bytes: bytes.subarray(0, length) }]), { start });
      expect(found.lsns).toEqual([]);
      expect(found.end).toMatch(/^truncated at .*WAL segment is truncated at offset/);
    }
    // Nothing of a record is missing.
    const length = Number(long.endLsn - START);
    const after = await read(walBytes([{ name, bytes: bytes.subarray(0, length) }]), { start });
    expect(after.lsns).toEqual([]);
    expect(after.end).toContain('end-of-wal');
  });

  test('a record that is cut at any byte never gives another record', async () => {
    const builder = built();
    const { bytes } = builder;
    for (let length = 0; length <= bytes.length; length += 499) {
      const file = { name, bytes: bytes.subarray(0, length) };
      if (length < 40) {
        expect((await storageErrorOf(openWal(walBytes([file])))).code).toBe('truncated');
        continue;
      }
      const { lsns } = await read(walBytes([file]));
      expect(lsns).toEqual(startsOf(builder.records).slice(0, lsns.length));
    }
  });

  test('the end of the WAL continues after a segment switch, over zeros without page headers', async () => {
    const builder = built();
    const last = builder.append(switchRecord());
    builder.fillSegment();
    builder.append(message(20));
    const { files, records } = builder;
    const found = await read(walBytes(files));
    expect(found.lsns).toEqual(startsOf(records));
    const wal = await openWal(walBytes(files), { end: 2n * START });
    for await (const batch of wal) expect(batch.endLsn(batch.length - 1)).toBe(2n * START);
    expect(wal.end).toMatchObject({ kind: 'end-of-range', lsn: 2n * START });
    const before = await read(walBytes(files), { end: 2n * START - 1n });
    expect(before.lsns).toEqual(startsOf(records.slice(0, -2)));
    expect(before.end).toContain(`end-of-range at ${formatPgLsn(last.startLsn)}`);
    const after = await read(walBytes(files), { start: last.endLsn + 20_000n });
    expect(after.lsns).toEqual(startsOf(records.slice(-1)));
    const without = await read(
      walBytes([
        { name, bytes: (files[0] as { bytes: Uint8Array }).bytes.subarray(0, 5 * PAGE) },
        ...files.slice(1),
      ]),
    );
    expect(without.lsns).toEqual(startsOf(records));
  });

  test.each([
    ['of another cluster', (bytes: Uint8Array) => bytes.fill(9, 24, 25), 'system identifier'],
    ['of another segment size', (bytes: Uint8Array) => bytes.fill(0x20, 34, 35), 'segment size'],
    [
      'of another version',
      (bytes: Uint8Array) => bytes.fill(0x13, 0, 1),
      'version of the WAL page',
    ],
    ['at another address', (bytes: Uint8Array) => bytes.fill(9, 13, 14), 'address of the WAL page'],
    ['of a lower timeline', (bytes: Uint8Array) => bytes.fill(0, 4, 5), 'timeline of the WAL page'],
    ['without a long header', (bytes: Uint8Array) => bytes.fill(1, 2, 3), 'header of the WAL page'],
    [
      'of an unknown version',
      (bytes: Uint8Array) => bytes.fill(0x7f, 0, 1),
      'expected D116, found D17F',
    ],
    ['of zeros', (bytes: Uint8Array) => bytes.fill(0, 0, PAGE), 'expected D116, found 0000'],
    ['with unknown flags', (bytes: Uint8Array) => bytes.fill(0x33, 2, 3), 'flags of the WAL page'],
    [
      'of another page size',
      (bytes: Uint8Array) => bytes.fill(0x40, 37, 38),
      'size of the WAL page',
    ],
  ])('WAL is corrupt at a segment %s, and the error names its page', async (_, change, what) => {
    const builder = new WalBuilder();
    for (let index = 0; index < 200; index += 1) builder.append(message(7000));
    const { files } = builder;
    change((files[1] as { bytes: Uint8Array }).bytes);
    const wal = await openWal(walBytes(files));
    for await (const batch of wal) expect(batch.length).toBeGreaterThan(0);
    const error = { code: 'corrupt', offset: undefined };
    expect(wal.end).toMatchObject({ kind: 'corrupt', error });
    expect(wal.end?.error?.message).toContain(what);
    expect(wal.end?.error?.path).toBe(files[1]?.name);
    expect(wal.end?.error?.message).toContain(
      ` of the WAL page at ${formatPgLsn(2n * START)} (lsn`,
    );
  });

  test('the end of the WAL is corrupt at a page that both continues a record and gives it up', async () => {
    const builder = built();
    const [{ bytes }] = builder.files as [{ bytes: Uint8Array }];
    bytes[PAGE + 2] = 1 | 8;
    const found = await read(walBytes([{ name, bytes }]));
    expect(found.lsns).toEqual(startsOf(builder.records.slice(0, 2)));
    const third = builder.records[2] as BuiltRecord;
    expect(found.end).toContain(`corrupt at ${formatPgLsn(third.startLsn)}: ${name}: WAL page`);
  });

  test('the end of the WAL is corrupt where the rest of a record is shorter than the page says', async () => {
    const builder = built();
    const [{ bytes }] = builder.files as [{ bytes: Uint8Array }];
    bytes[PAGE + 16] = 1;
    const found = await read(walBytes([{ name, bytes }]));
    expect(found.end).toMatch(/corrupt at .*rest of the record/);
  });

  test('the end of the WAL of custom resource managers is damage in version 14 only', async () => {
    for (const [majorVersion, count] of [
      [14, 0],
      [15, 1],
    ] as const) {
      const builder = new WalBuilder({ majorVersion });
      builder.append(walRecord({ resourceManager: 134, info: 0 }));
      expect((await read(walBytes(builder.files))).lsns).toHaveLength(count);
    }
  });
});

describe('a source', () => {
  async function filesIn(directory: string): Promise<WalBuilder> {
    const builder = new WalBuilder();
    for (let index = 0; index < 200; index += 1) builder.append(message(7000));
    for (const { name = '', bytes } of builder.files) await writeFile(join(directory, name), bytes);
    return builder;
  }

  test('a source of a directory, a data directory, files and objects has the same WAL', async () => {
    const directory = await temporaryDirectory();
    const folder = join(directory, 'pg_wal');
    await mkdir(folder);
    const builder = await filesIn(folder);
    await writeFile(join(folder, 'archive_status'), 'not WAL');
    const { files } = builder;
    const paths = files.map(({ name = '' }) => join(folder, name));
    const sources = [
      walDirectory(folder),
      walDirectory(directory),
      walFiles(paths.toReversed()),
      walObjects(directoryStore(directory), 'pg_wal'),
      walBytes(files.map(({ bytes }) => ({ bytes }))),
    ];
    for (const source of sources) {
      expect((await read(source)).lsns).toEqual(startsOf(builder.records));
    }
  });

  test('a source prefers a complete segment to a partial one, and reads the partial one alone', async () => {
    const directory = await temporaryDirectory();
    const builder = await filesIn(directory);
    const last = join(directory, '000000010000000000000002');
    await writeFile(`${last}.partial`, new Uint8Array(SEGMENT_SIZE));
    expect((await read(walDirectory(directory))).lsns).toHaveLength(builder.records.length);
    await rename(last, `${last}.partial`);
    expect((await read(walDirectory(directory))).lsns).toHaveLength(builder.records.length);
  });

  test('a source that grows is read on when the caller says so', async () => {
    const builder = new WalBuilder();
    let files = builder.files;
    const source: WalSource = { path: 'growing', list: (signal) => walBytes(files).list(signal) };
    const expected: Lsn[] = [];
    let rounds = 0;
    builder.append(message(100));
    files = builder.files;
    const found = await read(source, {
      waitForMore: async (lsn) => {
        rounds += 1;
        expect(lsn).toBe(builder.records.at(-1)?.endLsn);
        if (rounds > 60) return false;
        builder.append(message(rounds * 997, rounds));
        files = builder.files;
        return true;
      },
    });
    expected.push(...startsOf(builder.records));
    expect(found.lsns).toEqual(expected);
    expect(found.end).toContain('end-of-wal');
  });

  /** WAL of a server that is promoted after its first records, and one record after that. */
  function promotion(): {
    source: WalSource;
    promote: () => void;
    writeHistory: (switchLsn: Lsn) => void;
    builder: WalBuilder;
  } {
    const builder = new WalBuilder();
    for (let index = 0; index < 5; index += 1) builder.append(message(3000));
    let files = builder.files;
    const source: WalSource = { path: 'promoted', list: (signal) => walBytes(files).list(signal) };
    const promote = (): void => {
      builder.timelineId = 2;
      for (let index = 0; index < 5; index += 1) builder.append(message(3000));
      files = [...files, ...builder.files];
    };
    const writeHistory = (switchLsn: Lsn): void => {
      const history = Buffer.from(`1\t${formatPgLsn(switchLsn)}\tno reason\n`);
      files = [...files, { name: '00000002.history', bytes: history }];
    };
    return { source, promote, writeHistory, builder };
  }

  test('a source that grows continues with the timeline of a promoted server, once its history follows its segment', async () => {
    const { source, promote, writeHistory, builder } = promotion();
    const steps = [promote, writeHistory];
    const found = await read(source, {
      waitForMore: async (lsn) => {
        const step = steps.shift();
        step?.(lsn);
        return step !== undefined;
      },
    });
    expect(builder.records).toHaveLength(10);
    expect(found.lsns).toEqual(startsOf(builder.records));
  });

  test('pages of the old timeline end the WAL after the switch that the history names, though the pages before are alike', async () => {
    const builder = new WalBuilder();
    for (let index = 0; index < 200; index += 1) builder.append(message(300));
    const switchLsn = builder.records[60]?.startLsn ?? 0n;
    const page = (switchLsn / BigInt(PAGE) + 1n) * BigInt(PAGE);
    const [segment] = builder.files as [WalFile & { bytes: Uint8Array }];
    const history = Buffer.from(`1\t${formatPgLsn(switchLsn)}\tno reason\n`);
    const found = await read(
      walBytes([
        { name: segment.name.replace(/^00000001/, '00000002'), bytes: segment.bytes },
        { name: '00000002.history', bytes: history },
      ]),
    );
    const whole = builder.records.filter(({ endLsn }) => endLsn <= page);
    expect(found.lsns).toEqual(startsOf(whole));
    expect(found.end).toMatch(/^end-of-wal at .*timeline of the WAL page .*expected 2, found 1/);
  });

  test('a source that grows does not continue with a timeline that left it before its end', async () => {
    const { source, promote, writeHistory } = promotion();
    const reading = read(source, {
      waitForMore: async (lsn) => {
        promote();
        writeHistory(lsn - 64n);
        return true;
      },
    });
    const error = await storageErrorOf(reading);
    expect(error.code).toBe('changed');
    expect(error.message).toContain('expected timeline 1, found timeline 2');
  });

  test('a source of which a later segment cannot be opened is given up to there', async () => {
    const builder = new WalBuilder();
    for (let index = 0; index < 200; index += 1) builder.append(message(7000));
    const [first, second] = await walBytes(builder.files).list(undefined);
    const refused = new StorageError('denied', { what: 'the second segment' });
    const files = [first, { ...second, open: () => Promise.reject(refused) }] as WalFile[];
    const lsns: Lsn[] = [];
    const reading = (async () => {
      for await (const batch of await openWal({ path: 'denied', list: async () => files })) {
        for (let index = 0; index < batch.length; index += 1) lsns.push(batch.startLsn(index));
      }
    })();
    await expect(reading).rejects.toBe(refused);
    const border = 2n * BigInt(SEGMENT_SIZE);
    const whole = builder.records.filter(({ endLsn }) => endLsn <= border);
    expect(lsns).toEqual(startsOf(whole));
  });

  /** Of growing WAL, the piece that is read first has not yet what the server writes before the next is read. */
  function sourceThatGrowsAmidReading(builder: WalBuilder, staleReads: number): WalSource {
    const [{ bytes, name }] = builder.files as [{ bytes: Uint8Array; name: string }];
    let reads = 0;
    const read = async (target: Uint8Array, offset: number): Promise<number> => {
      const part = bytes.subarray(offset, offset + target.length);
      target.set(part);
      const isEndOfPiece = offset + target.length === 64 * PAGE;
      if (isEndOfPiece && reads < staleReads) target.fill(0, -PAGE);
      if (isEndOfPiece) reads += 1;
      return part.length;
    };
    const opened = { source: { size: bytes.length, read }, close: async () => {} };
    return { path: name, list: async () => [{ name, path: name, open: async () => opened }] };
  }

  test.each([
    ['looks damaged once and is read again', 1, 'end-of-wal'],
    ['is damaged if it looks so again', 2, 'corrupt'],
  ])('a source that grows between two reads %s', async (_, staleReads, end) => {
    const builder = new WalBuilder();
    for (let index = 0; index < 100; index += 1) builder.append(message(7000));
    const source = sourceThatGrowsAmidReading(builder, staleReads);
    const found = await read(source, { waitForMore: async () => false });
    expect(found.end).toMatch(new RegExp(`^${end} at`));
    const expected = startsOf(builder.records);
    expect(found.lsns).toEqual(end === 'corrupt' ? expected.slice(0, found.lsns.length) : expected);
  });

  test('a source whose only page is not the first of a segment is refused', async () => {
    const bytes = built().bytes.slice(PAGE, 2 * PAGE);
    const source = walBytes([{ name: '000000010000000000000001', bytes }]);
    const error = await storageErrorOf(openWal(source));
    expect(error.message).toContain('expected the header of a segment');
    expect(error.code).toBe('corrupt');
  });

  test('a source without segments, or without the timeline, is not found', async () => {
    const directory = await temporaryDirectory();
    expect((await storageErrorOf(openWal(walDirectory(directory)))).code).toBe('not-found');
    const wanted = openWal(walBytes(built().files), { timeline: 7 });
    expect((await storageErrorOf(wanted)).code).toBe('not-found');
  });

  test('a source of no WAL is refused with what was found', async () => {
    const bytes = new Uint8Array(SEGMENT_SIZE).fill(0x41);
    const error = await storageErrorOf(openWal(walBytes([{ bytes }])));
    expect(error.code).toBe('corrupt');
    expect(error.actual).toBe('4141');
  });

  test('a source ends with aborted once the signal fires', async () => {
    const abort = new AbortController();
    const builder = new WalBuilder();
    for (let index = 0; index < 500; index += 1) builder.append(message(7000));
    const wal = await openWal(walBytes(builder.files), { signal: abort.signal });
    const reading = (async () => {
      for await (const batch of wal) if (batch.length > 0) abort.abort();
    })();
    expect((await storageErrorOf(reading)).code).toBe('aborted');
  });

  test('a source is read once', async () => {
    const wal = await openWal(walBytes(built().files));
    for await (const batch of wal) expect(batch.length).toBeGreaterThan(0);
    const again = wal[Symbol.asyncIterator]().next();
    expect((await storageErrorOf(again)).code).toBe('invalid-input');
  });

  test('a source of a safekeeper begins without a page header', async () => {
    const builder = built();
    const [{ bytes }] = builder.files as [{ bytes: Uint8Array }];
    const second = builder.records[1] as BuiltRecord;
    bytes.fill(0, 0, Number(second.startLsn - START));
    const source = walBytes([{ name: '000000010000000000000001', bytes }]);
    const found = await read(source, { start: second.startLsn });
    expect(found.lsns).toEqual(startsOf(builder.records.slice(1)));
  });

  test('a source that begins with zeros lacks records, unless it is read from the first one on', async () => {
    const builder = built();
    const [{ bytes }] = builder.files as [{ bytes: Uint8Array }];
    const [, second, third, fourth] = builder.records as BuiltRecord[];
    bytes.fill(0, 0, Number((second as BuiltRecord).startLsn - START));
    const source = walBytes([{ name: '000000010000000000000001', bytes }]);
    const found = await read(source);
    const [expected, actual] = [third, fourth].map((record) => formatPgLsn(record?.startLsn ?? 0n));
    expect(found.lsns).toEqual([]);
    expect(found.end).toContain(
      `corrupt at ${formatPgLsn(START)}: 000000010000000000000001: WAL (lsn`,
    );
    expect(found.end).toContain(
      `expected a record at ${expected}, found the first one at ${actual}`,
    );
    const skipping = await read(source, { skipCorrupt: true });
    expect(skipping.skips).toEqual([`${formatPgLsn(START)}-${actual}`]);
    expect(skipping.lsns).toEqual(startsOf(builder.records.slice(3)));
  });
});
