import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import type { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { BlockCache } from '../../../src/layers/disk-btree/block-cache.ts';
import type { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import { MAXIMUM_LSN } from '../../../src/layers/lsn.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import {
  blockKey,
  DIRECTORY,
  diskWith,
  drain,
  LSN_RANGE,
  noise,
  writeImages,
} from '../../support/layers.ts';
import { COUNT, DELTA, IMAGES } from '../../support/sample-layers.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

type Reader = DeltaLayerReader | ImageLayerReader;

describe('limits', () => {
  it('the limit of a blob holds for plain and compressed contents, whichever way they are read', async () => {
    const layers: [Uint8Array, number, number][] = [
      [(await writeImages([{ key: blockKey(1), image: noise(400, 1) }])).bytes, 400, 1],
      [
        (
          await writeImages([{ key: blockKey(1), image: new Uint8Array(4000) }], {
            compression: { kind: 'zstd', level: 1 },
          })
        ).bytes,
        4000,
        1,
      ],
    ];
    for (const [bytes, length, count] of layers) {
      const path = join(DIRECTORY, 'layer');
      const { openFiles } = diskWith(path, bytes);
      const exact = await openLayer(path, { openFiles, maximumBlobLength: length });
      expect((await drain(exact.entries())).length).toBe(count);
      const options = { openFiles, maximumBlobLength: length - 1 };
      const reader = await openLayer(path, options);
      for (const read of [
        () => reader.get(blockKey(1)),
        () => reader.getMany([blockKey(1)]),
        () => drain(reader.versions(blockKey(1))),
        () => drain(reader.entries()),
        () => drain(reader.entries({ reverse: true })),
        () => drain(reader.batches()),
      ]) {
        expect(await storageErrorOf(read())).toMatchObject({ code: 'too-large', path });
      }
      const [item] = await drain(reader.salvage());
      expect(item).toMatchObject({ kind: 'damaged-entry', error: { code: 'too-large' } });
      const report = await verifyLayer(path, options);
      expect(report).toMatchObject({ ok: false, errors: 1, entries: 0 });
      expect(report.findings[0]?.code).toBe('too-large');
    }
  });

  it('the limit of the window holds', async () => {
    const reader = await openLayer(bytesSource(IMAGES.bytes), { maximumWindowSize: 1024 });
    expect((await storageErrorOf(reader.get(blockKey(0)))).code).toBe('too-large');
    expect((await reader.get(blockKey(1)))?.compressed).toBe(false);
  });
});

describe('the range of wanted LSNs includes its first and excludes its last', () => {
  const lsnRange = { start: LSN_RANGE.start + 1n, end: LSN_RANGE.start + 2n };
  const ways: [string, (layer: Reader) => AsyncIterable<{ lsn: bigint }>][] = [
    ['entries', (layer) => layer.entries({ lsnRange })],
    ['entries in reverse', (layer) => layer.entries({ lsnRange, reverse: true })],
    ['keys', (layer) => layer.keys({ lsnRange })],
    ['keys in reverse', (layer) => layer.keys({ lsnRange, reverse: true })],
  ];
  it.each(ways)(
    'the first of the wanted LSNs is included, and the last is not, in %s',
    async (_, read) => {
      const layer = await openLayer(bytesSource(DELTA.bytes));
      const lsns = (await drain(read(layer))).map(({ lsn }) => lsn);
      expect(lsns).toEqual(new Array(COUNT / 3).fill(lsnRange.start));
    },
  );

  it('the first of the wanted LSNs is included, and the last is not, in versions of a key', async () => {
    const layer = await openLayer(bytesSource(DELTA.bytes));
    const versions = await drain(layer.versions(blockKey(0), lsnRange));
    expect(versions.map(({ lsn }) => lsn)).toEqual([lsnRange.start]);
  });

  it('the first of the wanted LSNs is included, and the last is not, in what is salvaged', async () => {
    const layer = await openLayer(bytesSource(DELTA.bytes));
    const items = await drain(layer.salvage({ lsnRange }));
    expect(items.map((item) => item.kind === 'entry' && item.entry.lsn)).toEqual(
      new Array(COUNT / 3).fill(lsnRange.start),
    );
  });
});

describe('arguments', () => {
  const reader = async () => openLayer(bytesSource(DELTA.bytes));

  it('arguments that are not keys are refused', async () => {
    const short = new Uint8Array(17);
    const layer = await reader();
    for (const read of [
      async () => layer.get(short),
      async () => layer.getMany([blockKey(0), short]),
      async () => drain(layer.versions(short)),
      async () => drain(layer.entries({ keyRange: { start: short, end: blockKey(1) } })),
      async () => drain(layer.keys({ keyRange: { start: blockKey(1), end: short } })),
    ]) {
      expect((await storageErrorOf(read())).code).toBe('invalid-input');
    }
  });

  it('arguments that are not LSNs are refused', async () => {
    const layer = await reader();
    for (const lsn of [-1n, MAXIMUM_LSN + 1n]) {
      expect((await storageErrorOf(layer.get(blockKey(0), lsn))).code).toBe('out-of-range');
      expect((await storageErrorOf(layer.getMany([blockKey(0)], lsn))).code).toBe('out-of-range');
    }
    for (const lsnRange of [
      { start: -1n, end: 5n },
      { start: 0n, end: MAXIMUM_LSN + 2n },
    ]) {
      for (const read of [
        async () => drain(layer.versions(blockKey(0), lsnRange)),
        async () => drain(layer.entries({ lsnRange })),
        async () => drain(layer.entries({ lsnRange, reverse: true })),
        async () => drain(layer.keys({ lsnRange })),
      ]) {
        expect((await storageErrorOf(read())).code).toBe('out-of-range');
      }
    }
  });

  it('arguments may change while they are used, and are never changed', async () => {
    const image = await openLayer(bytesSource(IMAGES.bytes), { blockCache: null });
    for (const layer of [await reader(), image]) {
      const key = Buffer.alloc(18);
      const read = (block: number, start: () => Promise<unknown>) => {
        key.set(blockKey(block));
        const started = start();
        expect(Buffer.compare(key, blockKey(block))).toBe(0);
        key.fill(0);
        return started;
      };
      const expected = { key: blockKey(7) };
      expect(await read(7, () => layer.get(key))).toMatchObject(expected);
      expect(await read(7, () => layer.getMany([key]))).toMatchObject([expected]);
      expect(await read(7, () => layer.versions(key).next())).toMatchObject({ value: expected });
      const keyRange = { start: key, end: blockKey(8) };
      for (const reverse of [false, true]) {
        const first = read(7, () => layer.entries({ keyRange, reverse }).next());
        expect(await first).toMatchObject({ value: expected });
      }
    }
  });

  it('arguments of all LSNs, the last one included, give everything', async () => {
    const lsnRange = { start: 0n, end: MAXIMUM_LSN + 1n };
    const layer = await reader();
    expect((await drain(layer.keys({ lsnRange }))).length).toBe(COUNT);
    expect((await drain(layer.versions(blockKey(0), lsnRange))).length).toBe(3);
  });

  it('arguments of an empty or reversed range give nothing', async () => {
    const layer = await reader();
    for (const range of [
      { keyRange: { start: blockKey(5), end: blockKey(5) } },
      { keyRange: { start: blockKey(9), end: blockKey(5) } },
      { lsnRange: { start: 5n, end: 5n } },
      { lsnRange: { start: MAXIMUM_LSN, end: 0n } },
    ]) {
      expect(await drain(layer.entries(range))).toEqual([]);
      expect(await drain(layer.entries({ ...range, reverse: true }))).toEqual([]);
      expect(await drain(layer.keys(range))).toEqual([]);
      expect(await drain(layer.salvage(range))).toEqual([]);
    }
  });
});

describe('a signal', () => {
  it('a signal ends every scan', async () => {
    const reader = await openLayer(bytesSource(DELTA.bytes));
    const signal = AbortSignal.abort();
    for (const scan of [
      reader.entries({ signal }),
      reader.entries({ signal, reverse: true }),
      reader.keys({ signal }),
      reader.keys({ signal, reverse: true }),
      reader.batches({ signal }),
      reader.salvage({ signal }),
    ]) {
      expect((await storageErrorOf(drain<unknown>(scan))).code).toBe('aborted');
    }
  });

  it('a signal ends a scan that is under way', async () => {
    const reader = await openLayer(bytesSource(DELTA.bytes));
    for (const reverse of [false, true]) {
      const controller = new AbortController();
      let seen = 0;
      const scan = (async () => {
        for await (const _ of reader.entries({ signal: controller.signal, reverse })) {
          seen += 1;
          if (seen === 10) controller.abort();
        }
      })();
      expect((await storageErrorOf(scan)).code).toBe('aborted');
      expect(seen).toBeLessThan(COUNT);
    }
  });
});

describe('a reader that is closed', () => {
  it.each<[string, (reader: Reader) => Promise<unknown>]>([
    ['get of what is there', (reader) => reader.get(blockKey(0))],
    ['get of what is not there', (reader) => reader.get(blockKey(0xf_ffff))],
    ['get of many', (reader) => reader.getMany([blockKey(0)])],
    ['get of none', (reader) => reader.getMany([])],
    ['versions', (reader) => drain(reader.versions(blockKey(0)))],
    ['entries', (reader) => drain(reader.entries())],
    ['entries backwards', (reader) => drain(reader.entries({ reverse: true }))],
    ['keys', (reader) => drain(reader.keys())],
    ['keys backwards', (reader) => drain(reader.keys({ reverse: true }))],
    ['batches', (reader) => drain(reader.batches())],
    ['salvage', (reader) => drain(reader.salvage())],
    ['index blocks', (reader) => drain(reader.indexBlocks())],
    ['statistics', (reader) => reader.statistics()],
  ])('a reader that is closed throws for %s', async (_, read) => {
    const path = join(DIRECTORY, DELTA.finished.name);
    const { fileSystem, openFiles } = diskWith(path, DELTA.bytes);
    const reader = await openLayer(path, { openFiles, blockCache: new BlockCache(100) });
    await read(reader);
    await reader.close();
    await reader.close();
    expect(await storageErrorOf(read(reader))).toMatchObject({ code: 'closed', path });
    expect(fileSystem.openCount).toBe(0);
    const inMemory = await openLayer(bytesSource(DELTA.bytes));
    await inMemory.close();
    expect((await storageErrorOf(read(inMemory))).code).toBe('closed');
  });

  it('a reader that is closed ends a scan that is under way, without a report of damage', async () => {
    const path = join(DIRECTORY, DELTA.finished.name);
    const { openFiles } = diskWith(path, DELTA.bytes);
    for (const scan of ['entries', 'keys', 'salvage', 'indexBlocks'] as const) {
      const reader = await openLayer(path, { openFiles, blockCache: null });
      const items = reader[scan]();
      await items.next();
      await reader.close();
      const rest = drain<unknown>(items);
      const error = await rest.then(
        (all) => all.filter((item) => JSON.stringify(item, withoutBigint).includes('damaged')),
        (thrown: unknown) => thrown,
      );
      expect([[], expect.objectContaining({ code: 'closed' })]).toContainEqual(error);
    }
  });
});

function withoutBigint(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
