/** Readers of sound layers: where bytes come from, limits, signals, names, closing. */
import { truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type ByteSource,
  bytesSource,
  handleSource,
} from '../../../src/blob-writer/byte-source.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { BlockCache } from '../../../src/layers/disk-btree/block-cache.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import type { ReadOptions } from '../../../src/layers/layer-file/open-file.ts';
import { MAXIMUM_LSN } from '../../../src/layers/lsn.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import type { Value } from '../../../src/layers/value-format.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import {
  blockKey,
  DIRECTORY,
  diskWith,
  drain,
  entryName,
  hex,
  IMAGE_LSN,
  LSN_RANGE,
  noise,
  writeDelta,
  writeImages,
} from '../../support/layers.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

type Reader = DeltaLayerReader | ImageLayerReader;

const COUNT = 1500;
const DELTA = await writeDelta(
  Array.from({ length: COUNT }, (_, index) => ({
    key: blockKey(Math.floor(index / 3)),
    lsn: LSN_RANGE.start + BigInt(index % 3),
    value: image(noise(index % 200, index)),
  })),
);
const IMAGES = await writeImages(
  Array.from({ length: 300 }, (_, block) => ({
    key: blockKey(block),
    image: block % 2 === 0 ? new Uint8Array(5000).fill(block) : noise(300, block),
  })),
  { compression: { kind: 'zstd', level: 1 } },
);

describe('a layer is the same', () => {
  it('from a path, bytes, a handle and a source that reads little at a time', async () => {
    for (const { bytes, finished } of [DELTA, IMAGES]) {
      const path = join(temporaryDirectory(), finished.name);
      writeFileSync(path, bytes);
      const handle = await open(path, 'r');
      const readers = [
        await openLayer(path),
        await openLayer(bytesSource(bytes, path)),
        await openLayer(await handleSource(handle, path)),
        await openLayer(shortSource(bytes)),
      ];
      const contents = [];
      for (const reader of readers) {
        contents.push(await everything(reader));
        await reader.close();
      }
      await handle.close();
      for (const content of contents) expect(content).toEqual(contents[0]);
    }
  });

  it('to many readers at once', async () => {
    const reader = await openLayer(bytesSource(DELTA.bytes), { blockCache: new BlockCache(2) });
    const expected = await everything(reader);
    const all = await Promise.all([
      everything(reader),
      everything(reader),
      ...Array.from({ length: 20 }, async (_, index) => reader.get(blockKey(index * 7))),
    ]);
    expect(all[0]).toEqual(expected);
    expect(all[1]).toEqual(expected);
    for (const [index, entry] of all.slice(2).entries()) {
      expect(entry).toMatchObject({ key: blockKey(index * 7), lsn: LSN_RANGE.start + 2n });
    }
  });
});

describe('opening', () => {
  it('tells the kinds apart', async () => {
    expect((await openLayer(bytesSource(DELTA.bytes))).summary.kind).toBe('delta');
    expect((await openLayer(bytesSource(IMAGES.bytes))).summary.kind).toBe('image');
  });

  it('refuses the other kind, and leaves no file open', async () => {
    const path = join(DIRECTORY, 'layer');
    for (const [bytes, Kind] of [
      [DELTA.bytes, ImageLayerReader],
      [IMAGES.bytes, DeltaLayerReader],
    ] as const) {
      const { fileSystem, openFiles } = diskWith(path, bytes);
      const error = await storageErrorOf(Kind.open(path, { openFiles }));
      expect(error).toMatchObject({ code: 'corrupt', path, offset: 0 });
      expect(fileSystem.openCount).toBe(0);
    }
  });

  it('refuses what is no layer, and leaves no file open', async () => {
    const path = join(DIRECTORY, 'layer');
    const { fileSystem, openFiles } = diskWith(path, new Uint8Array(20_000));
    expect(await storageErrorOf(openLayer(path, { openFiles }))).toMatchObject({
      code: 'corrupt',
      path,
    });
    expect(fileSystem.openCount).toBe(0);
    const missing = join(DIRECTORY, 'missing');
    expect(await storageErrorOf(openLayer(missing, { openFiles }))).toMatchObject({
      code: 'not-found',
      path: missing,
    });
    expect((await storageErrorOf(openLayer(DIRECTORY, { openFiles }))).code).toBe('io');
  });

  it.each<[string, ReadOptions]>([
    ['a blob length that is no number', { maximumBlobLength: Number.NaN }],
    ['a negative blob length', { maximumBlobLength: -1 }],
    ['a window that is no number', { maximumWindowSize: Number.NaN }],
  ])('refuses %s as a limit, because it would be none', async (_, options) => {
    const path = join(DIRECTORY, 'layer');
    const { fileSystem, openFiles } = diskWith(path, IMAGES.bytes);
    for (const result of [
      openLayer(path, { ...options, openFiles }),
      verifyLayer(path, { ...options, openFiles }),
    ]) {
      expect((await storageErrorOf(result)).code).toBe('invalid-input');
    }
    expect(fileSystem.openCount).toBe(0);
  });
});

describe('the name of a file', () => {
  const other = DELTA.finished.name.replace(/-0000000000002000$/, '-0000000000003000');

  it('that is another layer’s is refused, unless names do not matter', async () => {
    const path = join(DIRECTORY, other);
    const { openFiles } = diskWith(path, DELTA.bytes);
    const error = await storageErrorOf(openLayer(path, { openFiles }));
    expect(error).toMatchObject({
      code: 'corrupt',
      offset: 0,
      expected: other,
      actual: DELTA.finished.name,
    });
    const reader = await openLayer(path, { openFiles, nameCheck: 'ignore' });
    expect((await drain(reader.keys())).length).toBe(COUNT);
    const named = await verifyLayer(path, { openFiles });
    expect(named).toMatchObject({ ok: false, errors: 1, entries: COUNT });
    const ignored = await verifyLayer(path, { openFiles, nameCheck: 'ignore' });
    expect(ignored).toMatchObject({ ok: true, findings: [] });
  });

  it.each([
    DELTA.finished.name,
    `${DELTA.finished.name}-v1-0000000a`,
    DELTA.finished.name.toLowerCase(),
    'anything else',
    IMAGES.finished.name.slice(1),
  ])('that is its own or none is taken: %s', async (name) => {
    const path = join(DIRECTORY, name);
    const { openFiles } = diskWith(path, DELTA.bytes);
    expect((await openLayer(path, { openFiles })).summary.kind).toBe('delta');
    expect((await openLayer(bytesSource(DELTA.bytes, path))).path).toBe(path);
  });
});

describe('limits', () => {
  it('of a blob hold for plain and compressed contents, whichever way they are read', async () => {
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
        reader.get(blockKey(1)),
        reader.getMany([blockKey(1)]),
        drain(reader.versions(blockKey(1))),
        drain(reader.entries()),
        drain(reader.entries({ reverse: true })),
        drain(reader.batches()),
      ]) {
        expect(await storageErrorOf(read)).toMatchObject({ code: 'too-large', path });
      }
      const [item] = await drain(reader.salvage());
      expect(item).toMatchObject({ kind: 'damaged-entry', error: { code: 'too-large' } });
      const report = await verifyLayer(path, options);
      expect(report).toMatchObject({ ok: false, errors: 1, entries: 0 });
      expect(report.findings[0]?.code).toBe('too-large');
    }
  });

  it('of the window hold', async () => {
    const reader = await openLayer(bytesSource(IMAGES.bytes), { maximumWindowSize: 1024 });
    expect((await storageErrorOf(reader.get(blockKey(0)))).code).toBe('too-large');
    expect((await reader.get(blockKey(1)))?.compressed).toBe(false);
  });
});

describe('arguments', () => {
  const reader = async () => openLayer(bytesSource(DELTA.bytes));

  it('that are no keys are refused', async () => {
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

  it('that are no LSNs are refused', async () => {
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

  it('may change while they are used, and are never changed', async () => {
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

  it('of all LSNs, the last one included, give everything', async () => {
    const lsnRange = { start: 0n, end: MAXIMUM_LSN + 1n };
    const layer = await reader();
    expect((await drain(layer.keys({ lsnRange }))).length).toBe(COUNT);
    expect((await drain(layer.versions(blockKey(0), lsnRange))).length).toBe(3);
  });

  it('of an empty or reversed range give nothing', async () => {
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
  it('ends every scan', async () => {
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

  it('ends a scan that is under way', async () => {
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
  ])('throws: %s', async (_, read) => {
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

  it('ends a scan that is under way, without a word of damage', async () => {
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

describe('a file that is cut while it is read', () => {
  it('is truncated, in values and index alike', async () => {
    for (const length of [8192, 9000, DELTA.bytes.length - 8192, DELTA.bytes.length - 1]) {
      const path = join(temporaryDirectory(), 'layer');
      writeFileSync(path, DELTA.bytes);
      await using reader = await openLayer(path, { blockCache: null });
      truncateSync(path, length);
      for (const read of [
        () => reader.get(blockKey(499)),
        () => drain(reader.entries()),
        () => drain(reader.entries({ reverse: true })),
      ]) {
        expect(await storageErrorOf(read())).toMatchObject({ code: 'truncated', path });
      }
    }
  });

  it('is salvaged as far as it goes, with an error for the rest', async () => {
    const path = join(temporaryDirectory(), 'layer');
    writeFileSync(path, DELTA.bytes);
    await using reader = await openLayer(path);
    const all = await drain(reader.entries());
    const cut = (all[100]?.offset ?? 0) + 1;
    const source: ByteSource = {
      size: DELTA.bytes.length,
      read: async (target, offset) => {
        const isIndex = offset >= reader.summary.indexStartBlock * 8192;
        const bytes = isIndex ? DELTA.bytes : DELTA.bytes.subarray(0, cut);
        return bytesSource(bytes).read(target, offset);
      },
    };
    const items = await drain((await openLayer(source)).salvage());
    expect(items.length).toBe(COUNT);
    for (const item of items) {
      if (item.kind === 'damaged-entry') expect(item.error.code).toBe('truncated');
    }
  });
});

describe('a layer that is read at once', () => {
  it('gives what it gives to those who wait', async () => {
    const path = join(temporaryDirectory(), 'layer');
    writeFileSync(path, DELTA.bytes);
    await using waiting = await openLayer(path);
    await using reader = await openLayer(path, { reads: 'sync', blockCache: new BlockCache(2) });
    for (let block = 0; block < 520; block += 13) {
      const expected = await waiting.get(blockKey(block));
      expect(reader.getSync(blockKey(block))).toEqual(expected);
      expect(await reader.get(blockKey(block))).toEqual(expected);
    }
  });

  it('refuses without the option, once it is closed, and where the file ends early', async () => {
    const path = join(temporaryDirectory(), 'layer');
    writeFileSync(path, DELTA.bytes);
    await using waiting = await openLayer(path, { blockCache: null });
    expect(() => waiting.getSync(blockKey(1))).toThrowError(
      expect.objectContaining({ code: 'invalid-input', path }),
    );
    const reader = await openLayer(path, { reads: 'sync', blockCache: null });
    truncateSync(path, 9000);
    expect(() => reader.getSync(blockKey(1))).toThrowError(
      expect.objectContaining({ code: 'truncated', path }),
    );
    await reader.close();
    expect(() => reader.getSync(blockKey(1))).toThrowError(
      expect.objectContaining({ code: 'closed' }),
    );
  });
});

function image(bytes: Uint8Array): Value {
  return { type: 'image', bytes };
}

function shortSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read: async (target, offset) => {
      const length = Math.min(target.length, 1 + (offset % 997));
      return bytesSource(bytes).read(target.subarray(0, length), offset);
    },
  };
}

async function everything(reader: Reader): Promise<unknown[]> {
  const entries = await drain(reader.entries());
  const reverse = await drain(reader.entries({ reverse: true }));
  const describe = (entry: (typeof entries)[number]) =>
    `${entryName(entry)} ${entry.offset} ${entry.storedLength} ${hex(entry.bytes)}`;
  const one = await reader.get(
    blockKey(17),
    reader.summary.kind === 'image' ? IMAGE_LSN : undefined,
  );
  return [
    entries.map(describe),
    reverse.map(describe).reverse(),
    one === undefined ? undefined : describe(one),
    await reader.statistics(),
  ];
}

function withoutBigint(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
