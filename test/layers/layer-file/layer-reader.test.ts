/** Readers of valid layers: where bytes come from, names, and files that are cut meanwhile. */
import { truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type ByteSource,
  bytesSource,
  handleSource,
} from '../../../src/blob-writer/byte-source.ts';
import type { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { BlockCache } from '../../../src/layers/disk-btree/block-cache.ts';
import type { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import { formatKey } from '../../../src/layers/key.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import {
  blockKey,
  drain,
  entryName,
  hex,
  IMAGE_LSN,
  LSN_RANGE,
  writeDelta,
  writeImages,
} from '../../support/layers.ts';
import { COUNT, DELTA, IMAGES } from '../../support/sample-layers.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

type Reader = DeltaLayerReader | ImageLayerReader;

describe('a layer is the same', () => {
  it('a layer is the same from a path, bytes, a handle and a source that reads little at a time', async () => {
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

  it('a layer is the same to many concurrent readers', async () => {
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

describe('a file that is cut while it is read', () => {
  it('a file that is cut while it is read is truncated, in values and index alike', async () => {
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

  it('a file that is cut while it is read is salvaged as far as it goes, with an error for the rest', async () => {
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

describe('a key that is not there', () => {
  /** Every third block, in more entries than a leaf has. */
  const PRESENT = Array.from({ length: 1500 }, (_, index) => 3 * index);

  async function absentIn(bytes: Uint8Array): Promise<void> {
    await using reader = await openLayer(bytesSource(bytes), { blockCache: new BlockCache() });
    const { levelCount } = await reader.statistics();
    expect(levelCount).toBeGreaterThan(1);
    // The second time, all blocks of the index come from the cache.
    for (const _ of [1, 2]) {
      for (const block of PRESENT) {
        expect((await reader.get(blockKey(block)))?.key).toEqual(blockKey(block));
        for (const absent of [block + 1, block + 2]) {
          expect(reader.getSync(blockKey(absent))).toBeUndefined();
        }
      }
      const keys = PRESENT.flatMap((block) => [blockKey(block + 1), blockKey(block)]);
      const found = await reader.getMany(keys);
      expect(found.map((entry) => hex(entry?.key))).toEqual(
        keys.map((key, at) => (at % 2 === 0 ? undefined : hex(key))),
      );
    }
  }

  it('a key that is not there between others of a delta layer is reported as absent by every kind of read', async () => {
    const { bytes } = await writeDelta(
      PRESENT.map((block) => ({
        key: blockKey(block),
        lsn: LSN_RANGE.start,
        value: { type: 'image', bytes: Uint8Array.of(block & 0xff) } as const,
      })),
    );
    await absentIn(bytes);
  });

  it('a key that is not there between others of an image layer is reported as absent by every kind of read', async () => {
    const { bytes } = await writeImages(
      PRESENT.map((block) => ({ key: blockKey(block), image: Uint8Array.of(block & 0xff) })),
    );
    await absentIn(bytes);
  });
});

it('a damaged value that is in the cache is reported with its key, as when it was read', async () => {
  const bytes = Buffer.from(DELTA.bytes);
  const source = bytesSource(bytes);
  await using reader = await openLayer(source, { blockCache: new BlockCache(16) });
  const key = blockKey(7);
  const offset = (await reader.get(key))?.offset ?? 0;
  bytes[offset] = 0xf0;
  await using other = await openLayer(source, { blockCache: new BlockCache(16) });
  for (const _time of ['read', 'cached']) {
    const error = await storageErrorOf(other.getMany([key]));
    expect(error).toMatchObject({ code: 'corrupt', offset, key: formatKey(key) });
  }
});

describe('a layer that is read synchronously', () => {
  it('a layer that is read synchronously returns what asynchronous reads return', async () => {
    const path = join(temporaryDirectory(), 'layer');
    writeFileSync(path, DELTA.bytes);
    await using waiting = await openLayer(path);
    await using reader = await openLayer(path, { readMode: 'sync', blockCache: new BlockCache(2) });
    for (let block = 0; block < 520; block += 13) {
      const expected = await waiting.get(blockKey(block));
      expect(reader.getSync(blockKey(block))).toEqual(expected);
      expect(await reader.get(blockKey(block))).toEqual(expected);
    }
  });

  it('a layer that is read synchronously refuses without the option, once it is closed, and where the file ends early', async () => {
    const path = join(temporaryDirectory(), 'layer');
    writeFileSync(path, DELTA.bytes);
    await using waiting = await openLayer(path, { blockCache: null });
    expect(() => waiting.getSync(blockKey(1))).toThrowError(
      expect.objectContaining({ code: 'invalid-input', path }),
    );
    const reader = await openLayer(path, { readMode: 'sync', blockCache: null });
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
