/** What a source far away is asked for: few requests, and little more than what is wanted. */
import { describe, expect, it } from 'vitest';
import {
  type ByteSource,
  bytesSource,
  type ReadRangesOptions,
} from '../../../src/blob-writer/byte-source.ts';
import type { ReadRange } from '../../../src/blob-writer/read-range.ts';
import { BlockCache } from '../../../src/layers/disk-btree/block-cache.ts';
import type { ReadOptions } from '../../../src/layers/layer-file/open-file.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { bytesOf } from '../../support/blobs.ts';
import { blockKey, drain, writeImages } from '../../support/layers.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

const COUNT = 10_000;
const STEP = 20;
const LENGTH = 264;
const KEYS = Array.from({ length: COUNT / STEP }, (_, index) => blockKey(index * STEP));
const LAYER = (
  await writeImages(
    Array.from({ length: COUNT }, (_, block) => ({
      key: blockKey(block),
      image: bytesOf(LENGTH, block),
    })),
  )
).bytes;

class RemoteSource implements ByteSource {
  readonly size: number;
  readonly maximumGap: number | undefined;
  readonly readRanges: ByteSource['readRanges'];
  requests = 0;
  bytes = 0;
  readonly #inner: ByteSource;

  constructor(layer: Uint8Array, takes: 'ranges' | 'one range', maximumGap?: number) {
    this.#inner = bytesSource(layer);
    this.size = layer.length;
    this.maximumGap = maximumGap;
    if (takes === 'ranges') this.readRanges = (ranges) => this.#fill(ranges);
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    this.requests += 1;
    this.bytes += target.length;
    return this.#inner.read(target, offset);
  }

  async #fill(ranges: readonly ReadRange[]): Promise<void> {
    this.requests += 1;
    for (const { target, offset } of ranges) {
      this.bytes += target.length;
      await this.#inner.read(target, offset);
    }
  }
}

async function lookUp(source: RemoteSource, options: ReadOptions = {}) {
  await using reader = await openLayer(source, { blockCache: new BlockCache(), ...options });
  const found = await reader.getMany(KEYS);
  for (const [index, entry] of found.entries()) {
    expect(Buffer.compare(entry?.bytes ?? Buffer.of(), bytesOf(LENGTH, index * STEP))).toBe(0);
  }
  const indexSize = (reader.summary.indexRootBlock + 1) * 8192;
  return { wantedBytes: KEYS.length * LENGTH, indexSize };
}

describe('500 values of every 20th block', () => {
  it('500 values of every 20th block take at most 8 requests of a source that takes many ranges, and twice their bytes', async () => {
    for (const blockCache of [new BlockCache(), null]) {
      const source = new RemoteSource(LAYER, 'ranges');
      const { wantedBytes } = await lookUp(source, { blockCache });
      expect(source.requests).toBeLessThanOrEqual(8);
      expect(source.bytes).toBeLessThanOrEqual(2 * wantedBytes);
    }
  });

  it('500 values of every 20th block take at most 8 requests of a source that reads on over gaps', async () => {
    const source = new RemoteSource(LAYER, 'one range', 256 * 1024);
    await lookUp(source);
    expect(source.requests).toBeLessThanOrEqual(8);
    expect(source.bytes).toBeLessThanOrEqual(LAYER.length);
  });
});

describe('the index of a source that reads on over a gap as large', () => {
  it('the index of a source that reads on over a gap as large comes in one request, and once for all lookups', async () => {
    const source = new RemoteSource(LAYER, 'one range', 1024 * 1024);
    await using reader = await openLayer(source, { blockCache: new BlockCache() });
    await reader.get(blockKey(3));
    // The summary, the index, and the value.
    expect(source.requests).toBe(3);
    for (const block of [4000, 8000, 9999]) await reader.get(blockKey(block));
    expect(source.requests).toBe(6);
  });

  it('the index of a source that reads on over a gap as large comes block by block where the cache has no room for it, or the gap is smaller', async () => {
    const { indexSize } = await lookUp(new RemoteSource(LAYER, 'ranges'));
    const gap = indexSize - 8192;
    for (const [maximumGap, capacity, requests] of [
      [gap, indexSize / 8192, 3],
      [gap - 1, indexSize / 8192, 4],
      [gap, indexSize / 8192 - 1, 4],
    ] as const) {
      const source = new RemoteSource(LAYER, 'one range', maximumGap);
      const blockCache = new BlockCache(capacity);
      await using reader = await openLayer(source, { blockCache });
      await reader.get(blockKey(3));
      expect(source.requests).toBe(requests);
      expect(source.bytes >= indexSize).toBe(requests === 3);
    }
  });

  it('the index of a source that reads on over a gap as large hides no value by the damage of a block that its key does not need', async () => {
    const layer = LAYER.slice();
    await using valid = await openLayer(bytesSource(layer));
    const { indexStartBlock } = valid.summary;
    const [, second] = await drain(valid.indexBlocks());
    if (second?.kind !== 'node') throw new Error('the index has several leaves');
    layer.fill(0xff, (indexStartBlock + 1) * 8192, (indexStartBlock + 2) * 8192);
    const source = new RemoteSource(layer, 'one range', 1024 * 1024);
    await using reader = await openLayer(source, { blockCache: new BlockCache() });
    expect((await reader.get(blockKey(3)))?.bytes).toHaveLength(LENGTH);
    expect((await storageErrorOf(reader.get(second.firstKey))).code).toBe('corrupt');
  });
});

it('scans pass their signal to the source', async () => {
  const { signal } = new AbortController();
  const inner = bytesSource(LAYER);
  const seen: (ReadRangesOptions | undefined)[] = [];
  const source: ByteSource = {
    size: inner.size,
    read: inner.read,
    readRanges: async (ranges, options) => {
      seen.push(options);
      for (const { target, offset } of ranges) await inner.read(target, offset);
    },
  };
  await using reader = await openLayer(source, { blockCache: null });
  seen.length = 0;
  expect(await drain(reader.entries({ signal }))).toHaveLength(COUNT);
  expect(seen.filter((options) => options?.signal === signal).length).toBeGreaterThan(0);
  seen.length = 0;
  expect(await drain(reader.entries({ signal, reverse: true }))).toHaveLength(COUNT);
  expect(seen.filter((options) => options?.signal === signal).length).toBeGreaterThan(0);
});
