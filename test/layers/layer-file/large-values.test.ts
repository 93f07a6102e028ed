/** Contents above 1 MiB, which scans may return to be streamed: the same, piece by piece. */
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { StorageError } from '../../../src/errors.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import { readLargeValue } from '../../../src/layers/layer-file/large-value.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { encodeValue, type Value, valueWillInit } from '../../../src/layers/value-format.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { blockKey, LSN_RANGE, noise, writeDelta, writeImages } from '../../support/layers.ts';

const MEBIBYTE = 1024 * 1024;
const LSN = LSN_RANGE.start;

/** What compresses to little, and not at all. */
const ZEROS = new Uint8Array(3 * MEBIBYTE);
const NOISE = noise(2 * MEBIBYTE, 1);
const XIDS = Array.from({ length: 400_000 }, (_, index) => index);

const VALUES: readonly Value[] = [
  { type: 'image', bytes: NOISE },
  { type: 'wal', willInit: true, bytes: ZEROS },
  { type: 'wal', willInit: false, bytes: NOISE },
  { type: 'clog_set_committed', xids: XIDS, timestamp: -1n },
  { type: 'clog_set_aborted', xids: XIDS },
  {
    type: 'multixact_members_create',
    multixactOffset: 3,
    members: XIDS.slice(0, 200_000).map((xid) => ({ xid, status: 1 })),
  },
  { type: 'aux_file', path: 'p'.repeat(100), content: NOISE },
  { type: 'aux_file', path: 'é'.repeat(MEBIBYTE), content: null },
];

const AROUND = [-1, 0, 1].map((difference): Value => {
  const bytes = noise(MEBIBYTE - 12 + difference, 2);
  return { type: 'image', bytes };
});

const DELTA = await writeDelta(
  [...VALUES, ...AROUND].map((value, block) => ({ key: blockKey(block), lsn: LSN, value })),
);

describe('a large value', () => {
  it('a large value is the same when it is streamed and when it is read completely', async () => {
    const reader = await DeltaLayerReader.open(bytesSource(DELTA.bytes));
    let large = 0;
    for await (const item of reader.salvageStreamed()) {
      if (item.kind === 'batch') continue;
      if (item.kind !== 'large-entry') throw new Error(`no damage expected: ${item.kind}`);
      const value = [...VALUES, ...AROUND][item.key[17] ?? -1];
      const pieces: Buffer[] = [];
      const read = await readLargeValue(item, (piece) => {
        expect(piece.length).toBeLessThanOrEqual(MEBIBYTE);
        pieces.push(Buffer.from(piece));
      });
      if (read.kind !== 'value' || value === undefined) throw new Error('a value was put');
      const bytes = encodeValue(value);
      expect(Buffer.compare(Buffer.concat(pieces), bytes)).toBe(0);
      expect(read).toMatchObject({
        length: bytes.length,
        outline: { type: value.type, willInit: valueWillInit(value) },
      });
      large += 1;
    }
    expect(large).toBeGreaterThanOrEqual(VALUES.length);
  });

  it('a large value verifies', async () => {
    expect(await verifyLayer(bytesSource(DELTA.bytes))).toMatchObject({
      ok: true,
      findings: [],
      entries: VALUES.length + AROUND.length,
    });
  });

  it('a large value is a warning where the index says otherwise about it', async () => {
    const bytes = DELTA.bytes.slice();
    const node = bytes.length - 8192;
    // The values of the leaf lie after its 11 keys of 26 bytes.
    const value = node + 5 + 11 * 26 + 4;
    bytes[value] = (bytes[value] ?? 0) ^ 1;
    const report = await verifyLayer(bytesSource(bytes));
    expect(report).toMatchObject({ ok: true, warnings: 1 });
    expect(report.findings[0]?.message).toContain('willInit is false in the index');
  });

  it.each<[string, number, number, RegExp]>([
    // what, entry, byte of the value to change, message
    ['a variant', 0, 3, /variant 0 or 1/],
    ['a record', 2, 7, /variant 0 to 7/],
    ['a flag', 1, 8, /willInit/],
    ['the length of its data', 0, 10, /length of image|bytes after the value/],
    ['the count of its items', 4, 14, /length of xids|bytes after the value/],
    ['a byte of its path', 7, 100, /path/],
  ])('a large value is an error where %s is wrong', async (_, index, at, message) => {
    const { bytes, offset } = await damagedAt(index, at);
    const report = await verifyLayer(bytesSource(bytes));
    expect(report).toMatchObject({ ok: false, errors: 1, warnings: 0 });
    const [finding] = report.findings;
    expect(finding?.message).toMatch(message);
    expect(finding?.offset).toBeGreaterThan(offset);
    expect(finding?.offset).toBeLessThanOrEqual(offset + 4 + at + 1);
    const reader = await DeltaLayerReader.open(bytesSource(bytes));
    let damaged = 0;
    for await (const item of reader.salvage()) {
      if (item.kind === 'damaged-entry') damaged += 1;
    }
    expect(damaged).toBe(1);
  });
});

describe('a large image', () => {
  it.each([{ kind: 'none' }, { kind: 'zstd', level: 1 }, { kind: 'zstd', level: 22 }] as const)(
    'a large image is streamed as it is read whole, with $kind $level',
    async (compression) => {
      const images = [ZEROS, NOISE, noise(10, 1), ZEROS.subarray(0, MEBIBYTE + 1)];
      const { bytes } = await writeImages(
        images.map((image, block) => ({ key: blockKey(block), image })),
        { compression },
      );
      const reader = await ImageLayerReader.open(bytesSource(bytes));
      for await (const item of reader.salvageStreamed()) {
        if (item.kind === 'batch') continue;
        if (item.kind !== 'large-entry') throw new Error(`no damage expected: ${item.kind}`);
        const pieces: Buffer[] = [];
        const length = await item.stream((piece) => pieces.push(Buffer.from(piece)));
        const image = images[item.key[17] ?? -1] ?? new Uint8Array(0);
        expect(length).toBe(image.length);
        expect(Buffer.compare(Buffer.concat(pieces), image)).toBe(0);
      }
      expect(await verifyLayer(bytesSource(bytes))).toMatchObject({ ok: true, findings: [] });
      for (const [block, image] of images.entries()) {
        const entry = await reader.get(blockKey(block));
        expect(Buffer.compare(entry?.bytes ?? new Uint8Array(1), image)).toBe(0);
      }
    },
  );

  it('a damaged large image is an error, and the other images are read', async () => {
    const { bytes } = await writeImages(
      [ZEROS, NOISE, noise(500, 3)].map((image, block) => ({ key: blockKey(block), image })),
      { compression: { kind: 'zstd', level: 1 } },
    );
    const damaged = bytes.slice();
    // In the first frame: after the blob's header and the frame's.
    damaged.fill(0xff, 8192 + 4 + 6, 8192 + 4 + 12);
    const report = await verifyLayer(bytesSource(damaged));
    expect(report).toMatchObject({ ok: false, errors: 1, entries: 2 });
    const reader = await openLayer(bytesSource(damaged));
    await expect(reader.get(blockKey(0))).rejects.toBeInstanceOf(StorageError);
    expect((await reader.get(blockKey(1)))?.bytes.length).toBe(NOISE.length);
  });
});

async function damagedAt(index: number, at: number) {
  const reader = await DeltaLayerReader.open(bytesSource(DELTA.bytes));
  const entry = await reader.get(blockKey(index));
  const offset = entry?.offset ?? 0;
  const bytes = DELTA.bytes.slice();
  bytes[offset + 4 + at] = 0xff;
  return { bytes, offset };
}
