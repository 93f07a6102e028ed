/** Layers without their data: a marker that is in every value of the original is nowhere in the copy. */
import { describe, expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import { formatKey, type Key, keyFromFields, nextKey } from '../../../src/layers/key.ts';
import type { LayerEntry } from '../../../src/layers/layer-file/entry-batch.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { decodeValue, encodeValue, type Value } from '../../../src/layers/value-format.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import {
  relationBlockKey,
  relationMapKey,
  relationSizeKey,
  slruSizeKey,
} from '../../../src/postgres/key-mapping.ts';
import { checkPageChecksum, decodePageHeader, pageChecksum } from '../../../src/postgres/page.ts';
import { redactLayer } from '../../../src/reshape/redact/redact-layer.ts';
import { decodeWalRecord } from '../../../src/wal/record-format.ts';
import { loadCompressor } from '../../../src/zstd/compression.ts';
import { zstdBlob } from '../../support/blobs.ts';
import { DIRECTORY, IDS, memoryDisk, noise } from '../../support/layers.ts';
import { EVERYTHING } from '../../support/random-layers.ts';
import { walRecord } from '../../support/wal-records.ts';

const MARKER = Buffer.from('SECRET-MARKER');
const RELATION = { spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' } as const;
const LSN = 0x2000n;

function blockKey(blkno: number): Key {
  return relationBlockKey({ ...RELATION, blkno });
}

/** The marker again and again; shifted, so that each place has each of its bytes somewhere. */
function marked(length: number, shift = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) bytes[at] = MARKER[(at + shift) % MARKER.length] ?? 0;
  return bytes;
}

/** A page with a valid header and checksum, full of the marker. */
function page(blkno: number): Uint8Array {
  const bytes = marked(8192, blkno);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0);
  view.setUint32(4, 0x1800, true);
  const words = [0, 1, 100, 200, 8192, 8192 + 4];
  for (const [index, word] of words.entries()) view.setUint16(8 + index * 2, word, true);
  view.setUint32(20, 777, true);
  view.setUint16(8, pageChecksum(bytes, blkno), true);
  return bytes;
}

const COMPRESSOR = await loadCompressor(1);

async function redacted(
  path: string,
  openFiles: ReturnType<typeof memoryDisk>['openFiles'],
  seed = 0,
) {
  await using reader = await openLayer(path, { openFiles });
  const target = memoryDisk();
  const layer = await redactLayer(reader, {
    ...{ directory: DIRECTORY, openFiles: target.openFiles, seed },
  });
  expect((await verifyLayer(layer.path, { openFiles: target.openFiles })).findings).toEqual([]);
  await using copy = await openLayer(layer.path, { openFiles: target.openFiles });
  const [before, after]: [LayerEntry[], LayerEntry[]] = [[], []];
  for await (const entry of reader.entries()) before.push(entry);
  for await (const entry of copy.entries()) after.push(entry);
  return { layer, before, after, bytes: target.fileSystem.contentOf(layer.path) };
}

/** Any four bytes of the marker in a row give it away. */
function hasMarker(bytes: Uint8Array): boolean {
  const twice = Buffer.concat([MARKER, MARKER]);
  return Array.from(MARKER, (_, at) => twice.subarray(at, at + 4)).some((part) =>
    Buffer.from(bytes).includes(part),
  );
}

function shapeOf({ key, lsn, willInit, compressed, bytes }: LayerEntry) {
  return [formatKey(key), lsn, willInit, compressed, bytes.length];
}

describe('a redacted image layer', () => {
  async function write() {
    const { openFiles } = memoryDisk();
    const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange: EVERYTHING, lsn: LSN };
    await using writer = await ImageLayerWriter.create(options);
    const images: [Key, Uint8Array][] = [
      [relationMapKey({ spcnode: 1663, dbnode: 5 }), marked(512)],
      [blockKey(0), page(0)],
      [blockKey(1), new Uint8Array(8192)],
      [blockKey(2), marked(8192, 2)],
      [blockKey(3), Buffer.concat([page(3).subarray(0, 4096), noise(4096, 9)])],
      [blockKey(4), marked(100)],
      [blockKey(5), new Uint8Array(0)],
      [relationSizeKey(RELATION), Uint8Array.of(6, 0, 0, 0)],
    ];
    for (const [key, image] of images) await writer.put(key, image);
    return { path: (await writer.finish()).path, openFiles };
  }

  test('a redacted image layer has the same shape, and does not contain the marker', async () => {
    const { path, openFiles } = await write();
    const { before, after, layer, bytes } = await redacted(path, openFiles);
    expect(after.map(shapeOf)).toEqual(before.map(shapeOf));
    expect(before.filter((entry) => hasMarker(entry.bytes)).length).toBe(5);
    expect(after.filter((entry) => hasMarker(entry.bytes))).toEqual([]);
    expect(hasMarker(bytes)).toBe(false);
    expect(path.endsWith(layer.name)).toBe(true);
    for (const [index, entry] of after.entries()) {
      const size = before[index]?.storedLength ?? 0;
      expect(Math.abs(entry.storedLength - size)).toBeLessThan(120);
    }
  });

  test('a redacted image layer keeps headers of pages, with a checksum that fits, and sizes', async () => {
    const { path, openFiles } = await write();
    const { before, after } = await redacted(path, openFiles);
    const [, old, , unlike] = before;
    const [, copy, zeros, other] = after;
    const header = decodePageHeader(old?.bytes ?? new Uint8Array(8192));
    const checksum = expect.any(Number);
    expect(decodePageHeader(copy?.bytes ?? new Uint8Array(8192))).toEqual({ ...header, checksum });
    expect(checkPageChecksum(copy?.bytes ?? new Uint8Array(8192), 0)).toBe('good');
    expect(zeros?.bytes.every((byte) => byte === 0)).toBe(true);
    // No page has such a header.
    expect(other?.bytes.subarray(0, 8)).not.toEqual(unlike?.bytes.subarray(0, 8));
    expect(after.at(-1)?.bytes).toEqual(Uint8Array.of(6, 0, 0, 0));
  });

  test('a redacted image layer keeps sizes of 8 bytes and marks of relations, but no data in their place', async () => {
    const { openFiles } = memoryDisk();
    const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange: EVERYTHING, lsn: LSN };
    await using writer = await ImageLayerWriter.create(options);
    const moved = keyFromFields({
      ...{ field1: 0x65, field2: 1663, field3: 5, field4: 16384, field5: 0, field6: 1 },
    });
    const images: readonly [Key, Uint8Array, 'kept' | 'replaced'][] = [
      [relationSizeKey(RELATION), Uint8Array.of(6, 1, 0, 0, 0, 0, 0, 0), 'kept'],
      [relationSizeKey({ ...RELATION, relnode: 16385 }), marked(8), 'replaced'],
      [slruSizeKey({ slru: 'clog', segno: 0 }), Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0), 'kept'],
      [moved, Buffer.from('r'), 'kept'],
      [nextKey(moved), Buffer.from('s'), 'replaced'],
    ];
    for (const [key, image] of images) await writer.put(key, image);
    const { before, after } = await redacted((await writer.finish()).path, openFiles);
    const kept = after.map(({ bytes }, at) =>
      Buffer.compare(bytes, before[at]?.bytes ?? bytes) === 0 ? 'kept' : 'replaced',
    );
    expect(kept).toEqual(images.map(([, , what]) => what));
  });

  test('a redacted image layer keeps no header with flags that Postgres does not know: they may be data', async () => {
    const { openFiles } = memoryDisk();
    const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange: EVERYTHING, lsn: LSN };
    await using writer = await ImageLayerWriter.create(options);
    const unlike = page(0);
    unlike[11] = 0x80;
    await writer.put(blockKey(0), unlike);
    const { path } = await writer.finish();
    const { after } = await redacted(path, openFiles);
    expect(after[0]?.bytes.subarray(12, 20)).not.toEqual(unlike.subarray(12, 20));
  });

  test('a redacted image layer is the same for the same seed, and another for another', async () => {
    const { path, openFiles } = await write();
    const [one, same, other] = [
      await redacted(path, openFiles, 7),
      await redacted(path, openFiles, 7),
      await redacted(path, openFiles, 8),
    ];
    expect(Buffer.compare(one.bytes, same.bytes)).toBe(0);
    expect(Buffer.compare(one.bytes, other.bytes)).not.toBe(0);
  });
});

describe('a redacted delta layer', () => {
  const record = walRecord({
    ...{ resourceManager: 10, info: 0x20, xid: 4711 },
    blocks: [
      { blkno: 3, data: marked(40) },
      { blkno: 9, image: { page: page(9), hole: [100, 100] } },
    ],
    mainData: marked(300),
  });
  const values: readonly Value[] = [
    { type: 'image', bytes: page(3) },
    { type: 'wal', willInit: true, bytes: record },
    { type: 'wal', willInit: false, bytes: marked(90) },
    { type: 'aux_file', path: `pg_logical/${MARKER}`, content: marked(200) },
    { type: 'clog_set_committed', xids: [5, 6], timestamp: 99n },
    { type: 'truncate_vm', truncByte: 1n, truncOffset: 2n },
  ];

  test('a redacted delta layer keeps what reveals no data, and does not contain the marker', async () => {
    const { openFiles } = memoryDisk();
    const lsnRange = { start: 0x2000n, end: 0x3000n };
    const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange: EVERYTHING, lsnRange };
    await using writer = await DeltaLayerWriter.create(options);
    for (const [index, value] of values.entries()) {
      await writer.put(blockKey(3), LSN + BigInt(index), value);
    }
    const compressed = encodeValue({ type: 'image', bytes: page(4) });
    await writer.putBlob(blockKey(4), LSN, zstdBlob(COMPRESSOR.compressSync(compressed)), true);
    const { path } = await writer.finish();
    const { before, after, bytes } = await redacted(path, openFiles);
    expect(after.map(shapeOf)).toEqual(before.map(shapeOf));
    expect(after.filter((entry) => hasMarker(entry.bytes))).toEqual([]);
    expect(hasMarker(bytes)).toBe(false);
    const copies = after.map((entry) => decodeValue(entry.bytes));
    expect(copies.map(({ type }) => type)).toEqual([...values.map(({ type }) => type), 'image']);
    const copy = copies[1] as Value & { readonly type: 'wal' };
    const blockOf = ({ id, blkno, relnode }: { id: number; blkno: number; relnode: number }) => [
      ...[id, blkno, relnode],
    ];
    const [old, now] = [decodeWalRecord(record, 17), decodeWalRecord(copy.bytes, 17)];
    expect(now.blocks.map(blockOf)).toEqual(old.blocks.map(blockOf));
    expect(now).toMatchObject({ xid: 4711, info: 0x20, resourceManager: 10 });
    expect(now.mainData.length).toBe(300);
    expect(copies.slice(4, 6)).toEqual(values.slice(4));
  });
});
