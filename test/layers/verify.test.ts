/** Each kind of finding, from a layer with exactly that damage. */
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
import type { LayerReport } from '../../src/layers/findings.ts';
import { formatKey, maximumKey, minimumKey, parseKey } from '../../src/layers/key.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { encodeValue } from '../../src/layers/value-format.ts';
import { type VerifyOptions, verifyLayer } from '../../src/layers/verify.ts';
import {
  deltaKey,
  type LayerSpec,
  layerBytes,
  type NodeSpec,
  nodeBlock,
  offsetsOf,
  shortBlob,
} from '../support/hand-made.ts';
import {
  blockKey,
  DIRECTORY,
  diskWith,
  LSN_RANGE,
  noise,
  writeDelta,
  writeImages,
} from '../support/layers.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { encodeFrame } from '../support/zstd-frames.ts';

const LSN = LSN_RANGE.start;
const VALUES = [1, 2, 3].map((xid) => encodeValue({ type: 'clog_set_aborted', xids: [xid] }));
const BLOBS = VALUES.map(shortBlob);
const OFFSETS = offsetsOf(BLOBS);
const BLOB_LENGTH = BLOBS[0]?.length ?? 0;
const VALUES_END = 8192 + 3 * BLOB_LENGTH;
const INDEX_START = 2 * 8192;

interface Damage {
  readonly blobs?: readonly Uint8Array[];
  /** Index entries; where a blob starts, and the lowest bit of the value. */
  readonly offsets?: readonly number[];
  readonly willInit?: number;
  readonly node?: Partial<NodeSpec>;
  readonly spec?: Partial<LayerSpec>;
  /** Bytes to set in the file, by offset. */
  readonly patch?: Readonly<Record<number, readonly number[]>>;
}

describe('a warning', () => {
  it.each<[string, Damage, string, number]>([
    [
      'a gap between blobs',
      gapBefore(2),
      'gap of 5 bytes before the blob',
      8192 + 2 * BLOB_LENGTH + 5,
    ],
    [
      'a gap of one byte',
      gapBefore(2, 1),
      'gap of 1 bytes before the blob',
      8192 + 2 * BLOB_LENGTH + 1,
    ],
    [
      'one byte behind the index',
      { patch: { [INDEX_START + 8192]: [0] } },
      '1 bytes after the last index block',
      INDEX_START + 8192,
    ],
    [
      'a whole block of padding',
      { blobs: fullBlock() },
      'gap of 8192 bytes before the index',
      16384,
    ],
    ['a gap before the first blob', gapBefore(0), 'gap of 5 bytes before the blob', 8192 + 5],
    [
      'a gap before the index',
      { spec: { indexStartBlock: 3 }, blobs: [...BLOBS, new Uint8Array(8192)] },
      `gap of ${16384 - 3 * BLOB_LENGTH} bytes before the index`,
      VALUES_END,
    ],
    [
      'padding behind the values',
      { patch: { [VALUES_END + 7]: [1] } },
      'padding of the values is not zero',
      VALUES_END + 7,
    ],
    [
      'the last byte of that padding',
      { patch: { [INDEX_START - 1]: [1] } },
      'padding of the values is not zero',
      INDEX_START - 1,
    ],
    [
      'padding behind the summary',
      { patch: { 96: [1] } },
      'padding of the summary block is not zero',
      96,
    ],
    [
      'the last byte of the summary block',
      { patch: { 8191: [9] } },
      'padding of the summary block is not zero',
      8191,
    ],
    [
      'padding behind an index node',
      { patch: { [INDEX_START + 5 + 3 * 31]: [1] } },
      'padding of an index block is not zero',
      INDEX_START + 5 + 3 * 31,
    ],
    [
      'bytes after the index',
      { patch: { [INDEX_START + 8192]: [0, 0] } },
      '2 bytes after the last index block',
      INDEX_START + 8192,
    ],
    [
      'a long header of a short blob',
      {
        blobs: [
          ...BLOBS.slice(0, 2),
          Buffer.concat([
            Uint8Array.of(0x80, 0, 0, VALUES[2]?.length ?? 0),
            VALUES[2] ?? new Uint8Array(0),
          ]),
        ],
      },
      `4-byte header of a blob of ${BLOB_LENGTH - 1} bytes`,
      8192 + 2 * BLOB_LENGTH,
    ],
    [
      'a mark of the index',
      { willInit: 1 },
      'willInit is true in the index, false in the value',
      8192,
    ],
  ])('verify reports a warning for %s', async (_, damage, message, offset) => {
    const report = await verify(damage);
    expect(report).toMatchObject({ ok: true, errors: 0, warnings: 1, entries: 3 });
    expect(report.findings).toEqual([
      expect.objectContaining({ severity: 'warning', code: 'corrupt', offset }),
    ]);
    expect(report.findings[0]?.message).toContain(message);
  });

  it('about an entry names its key and LSN', async () => {
    const { findings } = await verify(gapBefore(1));
    expect(findings[0]).toMatchObject({
      key: '000000067F00000005000040000000000001',
      lsn: '0000000000001000',
    });
    expect(findings[0]?.message).toContain('key 000000067F00000005000040000000000001');
  });

  it('a warning is given for a short content that was compressed, whatever it takes in the file', async () => {
    const frame = encodeFrame({ blocks: [{ kind: 'raw', bytes: noise(127, 1) }] });
    expect(frame.length).toBeGreaterThan(128);
    const blob = Buffer.concat([Uint8Array.of(0x90, 0, 0, frame.length), frame]);
    const blocks = [nodeBlock({ keys: [blockKey(0)], values: [8192] })];
    const report = await verifyBytes(layerBytes({ kind: 'image', blobs: [blob], blocks }));
    expect(report).toMatchObject({ ok: true, warnings: 1, entries: 1 });
    expect(report.findings[0]?.message).toContain('4-byte header of a blob of 127 bytes');
  });

  it('a warning is not given for 128 bytes that were compressed', async () => {
    const images = [{ key: blockKey(0), image: new Uint8Array(128) }];
    const { bytes } = await writeImages(images, { compression: { kind: 'zstd', level: 1 } });
    expect((await (await openLayer(bytesSource(bytes))).get(blockKey(0)))?.compressed).toBe(true);
    expect(await verifyBytes(bytes)).toMatchObject({ ok: true, warnings: 0, entries: 1 });
  });

  it('a warning is given where an image says less than its value', async () => {
    const value = shortBlob(encodeValue({ type: 'image', bytes: Uint8Array.of(1) }));
    const { findings } = await verify({ blobs: [value, ...BLOBS.slice(1)] });
    expect(findings.map(({ message }) => message)).toEqual([
      expect.stringContaining('willInit is false in the index, true in the value'),
    ]);
  });
});

describe('an error', () => {
  it.each<[string, Damage, string, RegExp, number]>([
    ['an invalid value', { patch: { [8192 + 1 + 3]: [2] } }, 'corrupt', /variant 0 or 1/, 8193],
    [
      'a value with bytes left over',
      valueOfLength(1),
      'corrupt',
      /bytes after the value/,
      8192 + 1 + BLOB_LENGTH - 1,
    ],
    ['a value that is cut', valueOfLength(-1), 'corrupt', /length of xids/, 8192 + 1 + 8],
    [
      'a blob without bytes',
      { blobs: [Uint8Array.of(0), ...BLOBS.slice(1)] },
      'truncated',
      /value is truncated in its value tag/,
      8193,
    ],
    ['reserved bits in a blob header', { patch: { 8192: [0xf0] } }, 'corrupt', /blob header/, 8192],
    [
      'a blob beyond the values',
      { patch: { [8192 + 2 * BLOB_LENGTH]: [0x8f, 0xff, 0xff, 0xff] } },
      'truncated',
      /reaches beyond/,
      8192 + 2 * BLOB_LENGTH,
    ],
    [
      'an offset in the summary',
      { offsets: [0, ...OFFSETS.slice(1)] },
      'out-of-range',
      /offset outside the values/,
      0,
    ],
    [
      'an offset in the index',
      { offsets: [...OFFSETS.slice(0, 2), INDEX_START] },
      'out-of-range',
      /offset outside the values/,
      INDEX_START,
    ],
    [
      'two keys that are equal',
      { node: { keys: [0, 1, 1].map(entryKey) } },
      'out-of-order',
      /entry 2 of index block 0/,
      INDEX_START,
    ],
    [
      'a key outside the range',
      { node: { keys: [0, 1, 0xff_ffff].map(entryKey) } },
      'out-of-range',
      /entry 2 of index block 0/,
      INDEX_START,
    ],
    [
      'no entries',
      { patch: { [INDEX_START]: [0, 0] } },
      'corrupt',
      /entry count of index block 0/,
      INDEX_START,
    ],
    [
      'an index beyond the file',
      { spec: { indexRootBlock: 1 } },
      'truncated',
      /before its index/,
      INDEX_START + 8192,
    ],
    [
      'an index in the summary',
      { spec: { indexStartBlock: 0 } },
      'out-of-range',
      /start block of the index/,
      0,
    ],
    ['another magic', { patch: { 0: [0x5a, 0x62] } }, 'corrupt', /magic/, 0],
    ['another version', { patch: { 2: [0, 4] } }, 'unsupported-version', /version/, 2],
    ['reversed LSNs', { patch: { 80: [0, 0, 0, 0, 0, 0, 0, 0] } }, 'corrupt', /LSN range/, 72],
    ['reversed keys', { patch: { 54: new Array(18).fill(0) } }, 'corrupt', /key range/, 36],
  ])('verify reports an error for %s', async (_, damage, code, message, offset) => {
    const report = await verify(damage);
    expect(report).toMatchObject({ ok: false, errors: 1 });
    const [error] = report.findings.filter(({ severity }) => severity === 'error');
    expect(error).toMatchObject({ code, offset });
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain(DIRECTORY);
  });

  it.each([
    ['80000000000000000000000000000000000000', false],
    ['7F0000FFFF0000000000000000000000000000', true],
    ['0000010000000000000000000000000000', false],
    ['00FFFFFFFF00000000000000000000000000', true],
    ['00FFFFFFFE00000000000000000000000000', false],
    ['0022222222000000000000000000000000', true],
    ['0022222223000000000000000000000000', false],
  ])('an error is reported for a key that a pageserver cannot hold: %s', async (digits, fits) => {
    const key = parseKey(digits.padEnd(36, '0').slice(0, 36));
    const bytes = layerBytes({
      kind: 'delta',
      keyRange: { start: minimumKey(), end: maximumKey() },
      blobs: BLOBS.slice(0, 1),
      blocks: [nodeBlock({ keys: [deltaKey(key, LSN)], values: [2 * 8192] })],
    });
    const report = await verifyBytes(bytes);
    expect(report).toMatchObject({ ok: fits, errors: fits ? 0 : 1, entries: 1 });
    const found = fits ? [] : [{ code: 'out-of-range', offset: 8192, key: formatKey(key) }];
    expect(report.findings).toMatchObject(found);
    // Whoever looks for it still reads it.
    await using reader = await openLayer(bytesSource(bytes));
    expect((await reader.get(key))?.bytes).toEqual(VALUES[0]);
  });

  it('an error is given for each damaged entry, with its key and LSN', async () => {
    const report = await verify({
      patch: { [8192 + 4]: [9], [8192 + 2 * BLOB_LENGTH + 4]: [9] },
    });
    expect(report).toMatchObject({ errors: 2, warnings: 0 });
    expect(report.findings.map(({ key, lsn }) => [key?.at(-1), lsn])).toEqual([
      ['0', '0000000000001000'],
      ['2', '0000000000001000'],
    ]);
  });

  it('an error hides no warning about what lies before it', async () => {
    const report = await verify({
      patch: { 96: [1], [8192 + 2 * BLOB_LENGTH]: [0xf0], [VALUES_END + 7]: [1] },
    });
    // Where the last blob ends is unknown: what lies after it may be its own.
    expect(report).toMatchObject({ errors: 1, warnings: 1 });
  });

  it('an error is given for the name of another layer', async () => {
    const { finished, bytes } = await writeImages([{ key: blockKey(1), image: noise(5, 1) }]);
    const path = `${DIRECTORY}/${finished.name.replace(/1800$/, '1801')}`;
    const { openFiles } = diskWith(path, bytes);
    const report = await verifyLayer(path, { openFiles });
    expect(report).toMatchObject({ ok: false, errors: 1, entries: 1 });
    expect(report.findings[0]).toMatchObject({ code: 'corrupt', offset: 0 });
  });

  it('an error is given for every prefix of a layer', async () => {
    const bytes = fileWith({});
    for (let length = 0; length < bytes.length; length += 97) {
      const report = await verifyBytes(bytes.subarray(0, length));
      expect(report).toMatchObject({ ok: false, errors: 1 });
      expect(report.findings[0]).toMatchObject({ code: 'truncated', offset: length });
    }
  });
});

describe('a report', () => {
  it('a report of a valid layer is empty', async () => {
    expect(await verify({})).toEqual({
      path: `${DIRECTORY}/layer`,
      ok: true,
      entries: 3,
      bytes: INDEX_START + 8192,
      codes: [],
      findings: [],
      errors: 0,
      warnings: 0,
    });
  });

  it.each([-1, Number.NaN])(
    'a report of %d findings at most is invalid-input',
    async (maximumFindings) => {
      const verifying = verifyLayer(bytesSource(new Uint8Array(0)), { maximumFindings });
      await expect(verifying).rejects.toMatchObject({ code: 'invalid-input' });
    },
  );

  it.each([0, 1, 2])(
    'a report lists at most %d findings, but counts all',
    async (maximumFindings) => {
      const report = await verify(
        { patch: { 96: [1], [8192 + 4]: [9], [8192 + BLOB_LENGTH + 4]: [9] } },
        { maximumFindings },
      );
      expect(report.findings.length).toBe(maximumFindings);
      expect(report).toMatchObject({ ok: false, errors: 2, warnings: 1 });
    },
  );

  it('a report of bytes in memory is the same', async () => {
    const damage = { patch: { 96: [1], [8192 + 4]: [9] } };
    const fromFile = await verify(damage);
    const source = bytesSource(fileWith(damage), `${DIRECTORY}/layer`);
    expect(await verifyLayer(source)).toEqual(fromFile);
  });

  it('a report counts progress up to the size of the file', async () => {
    const { bytes } = await writeDelta(
      Array.from({ length: 2000 }, (_, block) => ({
        key: blockKey(block),
        lsn: LSN,
        value: { type: 'image', bytes: noise(50, block) } as const,
      })),
    );
    const seen: [number, number][] = [];
    await verifyBytes(bytes, { onProgress: (done, total) => seen.push([done, total]) });
    const done = seen.map(([bytesDone]) => bytesDone);
    expect(done).toEqual([...done].sort((left, right) => left - right));
    expect(seen.length).toBeGreaterThan(2);
    expect(seen.every(([, total]) => total === bytes.length)).toBe(true);
    expect(done.at(-1)).toBe(bytes.length);
  });
});

describe('one row among many without a finding', () => {
  const ODD = 7;
  const COUNT = 20;

  interface OddRow {
    readonly blob?: (value: Uint8Array) => Uint8Array;
    readonly gap?: number;
    readonly flipsMark?: true;
    /** What the index says instead of where the blob is. */
    readonly saidOffset?: number;
  }

  /** Images and WAL records in turn, the latter with and without willInit. */
  function fileWithOddRow({ blob = shortBlob, gap = 0, flipsMark, saidOffset }: OddRow) {
    const blobs: Uint8Array[] = [];
    const values: number[] = [];
    let offset = 8192;
    for (let index = 0; index < COUNT; index += 1) {
      const bytes = noise(20 + index, index);
      const isOdd = index === ODD;
      const willInit = index % 3 < 2;
      const value = encodeValue(
        index % 3 === 0 ? { type: 'image', bytes } : { type: 'wal', willInit, bytes },
      );
      const added = isOdd ? blob(value) : shortBlob(value);
      if (isOdd) {
        blobs.push(new Uint8Array(gap));
        offset += gap;
      }
      blobs.push(added);
      const said = isOdd ? (saidOffset ?? offset) : offset;
      values.push(2 * said + (willInit !== (isOdd && flipsMark === true) ? 1 : 0));
      offset += added.length;
    }
    const keys = values.map((_, index) => entryKey(index));
    return layerBytes({ kind: 'delta', blobs, blocks: [nodeBlock({ keys, values })] });
  }

  it('a missing row among many: no finding', async () => {
    const report = await verifyBytes(fileWithOddRow({}));
    expect(report).toMatchObject({ ok: true, warnings: 0, entries: COUNT });
  });

  it.each<[string, OddRow, string]>([
    ['a gap', { gap: 3 }, 'gap of 3 bytes before the blob'],
    ['a mark', { flipsMark: true }, 'willInit is false in the index, true in the value'],
    [
      'a long header',
      { blob: (value) => Buffer.concat([Uint8Array.of(0x80, 0, 0, value.length), value]) },
      '4-byte header of a blob of 44 bytes',
    ],
  ])(
    'a row among many that has %s gets a warning, and no other row does',
    async (_, row, message) => {
      const report = await verifyBytes(fileWithOddRow(row));
      expect(report).toMatchObject({ ok: true, errors: 0, warnings: 1, entries: COUNT });
      expect(report.findings[0]?.key?.endsWith('0007')).toBe(true);
      expect(report.findings[0]?.message).toContain(message);
    },
  );

  it.each<[string, (value: Uint8Array) => Uint8Array]>([
    ['one byte less than it says', (value) => shortBlob(value.subarray(0, -1))],
    ['an unknown type', (value) => shortBlob(Uint8Array.of(0, 0, 0, 2, ...value.slice(4)))],
    ['a willInit of 2', (value) => shortBlob(value.map((byte, at) => (at === 8 ? 2 : byte)))],
  ])('a row among many that has %s gets an error, and no other row does', async (_, blob) => {
    const report = await verifyBytes(fileWithOddRow({ blob }));
    expect(report).toMatchObject({ ok: false, errors: 1, warnings: 0, entries: COUNT });
    expect(report.findings[0]?.key?.endsWith('0007')).toBe(true);
  });

  it('a damaged row among many: no finding for the gap that it leaves', async () => {
    const report = await verifyBytes(
      fileWithOddRow({ blob: (value) => Buffer.concat([Uint8Array.of(0xa0, 0, 0, 0), value]) }),
    );
    expect(report).toMatchObject({ ok: false, errors: 1, warnings: 0, entries: COUNT - 1 });
  });

  it('a row among many without a blob: padding after the following rows is checked again', async () => {
    const file = fileWithOddRow({ blob: () => new Uint8Array(0), saidOffset: 0 });
    file[INDEX_START - 1] = 1;
    const report = await verifyBytes(file);
    expect(report).toMatchObject({ ok: false, errors: 1, warnings: 1, entries: COUNT - 1 });
    expect(report.findings[1]?.message).toContain('padding of the values is not zero');
  });
});

describe('verifying', () => {
  it('verifying ends immediately when it is aborted before, and soon when it is aborted later', async () => {
    const { bytes } = await writeDelta(
      Array.from({ length: 3000 }, (_, block) => ({
        key: blockKey(block),
        lsn: LSN,
        value: { type: 'image', bytes: noise(20, block) } as const,
      })),
    );
    const before = verifyBytes(bytes, { signal: AbortSignal.abort() });
    expect((await storageErrorOf(before)).code).toBe('aborted');
    const controller = new AbortController();
    let calls = 0;
    const onProgress = () => {
      calls += 1;
      controller.abort();
    };
    const during = verifyBytes(bytes, { signal: controller.signal, onProgress });
    expect((await storageErrorOf(during)).code).toBe('aborted');
    expect(calls).toBe(1);
  });

  it('verifying ends between the values of one leaf when it is aborted', async () => {
    const { bytes } = await writeDelta(
      [1, 2, 3].map((block) => ({
        key: blockKey(block),
        lsn: LSN,
        value: { type: 'image', bytes: noise(600_000, block) } as const,
      })),
    );
    const controller = new AbortController();
    let calls = 0;
    const onProgress = () => {
      calls += 1;
      controller.abort();
    };
    const verifying = verifyBytes(bytes, { signal: controller.signal, onProgress });
    expect((await storageErrorOf(verifying)).code).toBe('aborted');
    expect(calls).toBe(1);
  });

  it('verifying rejects if there is no file', async () => {
    const { openFiles } = diskWith(`${DIRECTORY}/layer`, fileWith({}));
    for (const [path, code] of [
      [`${DIRECTORY}/missing`, 'not-found'],
      [DIRECTORY, 'io'],
    ] as const) {
      expect((await storageErrorOf(verifyLayer(path, { openFiles }))).code).toBe(code);
    }
  });

  it('verifying ends with io for what its listener throws', async () => {
    const cause = new RangeError('mine');
    const onProgress = () => {
      throw cause;
    };
    await expect(verify({}, { onProgress })).rejects.toMatchObject({ code: 'io', cause });
  });
});

function verify(damage: Damage, options: VerifyOptions = {}): Promise<LayerReport> {
  return verifyBytes(fileWith(damage), options);
}

async function verifyBytes(bytes: Uint8Array, options: VerifyOptions = {}): Promise<LayerReport> {
  const path = `${DIRECTORY}/layer`;
  const { fileSystem, openFiles } = diskWith(path, bytes);
  try {
    return await verifyLayer(path, { ...options, openFiles });
  } finally {
    expect(fileSystem.openCount).toBe(0);
  }
}

/** Three records in one leaf, with some damage. */
function fileWith({ blobs = BLOBS, offsets, willInit = 0, node, spec, patch = {} }: Damage) {
  const places = offsets ?? offsetsOf(blobs).slice(0, 3);
  const values = places.map((offset, index) => offset * 2 + (index === 0 ? willInit : 0));
  const keys = [0, 1, 2].map(entryKey);
  const bytes = layerBytes({
    kind: 'delta',
    blobs,
    blocks: [nodeBlock({ keys, values, ...node })],
    ...spec,
  });
  const end = Math.max(
    bytes.length,
    ...Object.entries(patch).map(([offset, part]) => Number(offset) + part.length),
  );
  const patched = new Uint8Array(end);
  patched.set(bytes);
  for (const [offset, part] of Object.entries(patch)) patched.set(part, Number(offset));
  return patched;
}

function entryKey(block: number): Uint8Array {
  return deltaKey(blockKey(block), LSN);
}

function gapBefore(index: number, length = 5): Damage {
  const blobs = BLOBS.flatMap((blob, at) =>
    at === index ? [new Uint8Array(length), blob] : [blob],
  );
  const offsets = OFFSETS.map((offset, at) => (at >= index ? offset + length : offset));
  return { blobs, offsets };
}

/** Values that end with their block, and a block of zeros after them. */
function fullBlock(): Uint8Array[] {
  const length = 8192 - 2 * BLOB_LENGTH - 4;
  const value = encodeValue({ type: 'wal', willInit: false, bytes: noise(length - 17, 1) });
  const header = Uint8Array.of(0x80, 0, length >>> 8, length & 0xff);
  return [...BLOBS.slice(0, 2), Buffer.concat([header, value]), new Uint8Array(8192)];
}

/** The first value with more or fewer bytes than it should have. */
function valueOfLength(difference: number): Damage {
  const value = Buffer.alloc((VALUES[0]?.length ?? 0) + difference);
  value.set((VALUES[0] ?? new Uint8Array(0)).subarray(0, value.length));
  return { blobs: [shortBlob(value), ...BLOBS.slice(1)] };
}
