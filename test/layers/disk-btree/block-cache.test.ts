/** The cache of index nodes: bounded, fair, and never mixing the blocks of two readers. */
import { describe, expect, it } from 'vitest';
import { type ByteSource, bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { CacheOwner } from '../../../src/blob-writer/value-cache.ts';
import { BlockCache, CachedNode } from '../../../src/layers/disk-btree/block-cache.ts';
import { IndexNode } from '../../../src/layers/disk-btree/index-node.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import { gate } from '../../support/gate.ts';
import { BLOCK, nodeBlock } from '../../support/hand-made.ts';
import { blockKey, writeImages } from '../../support/layers.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

describe('a cache of index blocks', () => {
  it('a cache of index blocks returns the node that was put, only to its owner', () => {
    const cache = new BlockCache(10);
    const [left, right] = [cache.addOwner(), cache.addOwner()];
    const node = nodeOf(3);
    cache.put(left, node);
    expect(cache.find(left, 3)?.node).toBe(node);
    expect(cache.find(right, 3)?.node).toBeUndefined();
    expect(cache.find(left, 4)?.node).toBeUndefined();
  });

  it('a cache of index blocks never holds more than its capacity', () => {
    const cache = new BlockCache(3);
    const owner = cache.addOwner();
    for (let block = 0; block < 20; block += 1) {
      cache.put(owner, nodeOf(block));
      cache.find(owner, block);
      cache.put(owner, nodeOf(block));
      expect(cache.size).toBeLessThanOrEqual(3);
    }
    expect(cache.size).toBe(3);
  });

  it('a cache of index blocks drops the oldest, but gives what was used since a second chance', () => {
    const cache = new BlockCache(3);
    const owner = cache.addOwner();
    for (const block of [0, 1, 2]) cache.put(owner, nodeOf(block));
    cache.find(owner, 0);
    cache.put(owner, nodeOf(3));
    expect(held(cache, owner, 4)).toEqual([0, 2, 3]);
  });

  it('a node that was used once gets a second chance, but no third', () => {
    const cache = new BlockCache(2);
    const owner = cache.addOwner();
    cache.put(owner, nodeOf(0));
    cache.find(owner, 0);
    for (const block of [1, 2, 3]) cache.put(owner, nodeOf(block));
    expect(cache.find(owner, 0)?.node).toBeUndefined();
  });

  it('a cache of index blocks drops something even when all were used', () => {
    const cache = new BlockCache(4);
    const owner = cache.addOwner();
    for (const block of [0, 1, 2, 3]) cache.put(owner, nodeOf(block));
    for (const block of [0, 1, 2, 3]) cache.find(owner, block);
    cache.put(owner, nodeOf(4));
    expect(cache.size).toBe(4);
    expect(cache.find(owner, 4)?.node?.block).toBe(4);
  });

  it('a cache of index blocks marks a node that is still in use as evicted, and reuses its memory', () => {
    const cache = new BlockCache(1);
    const owner = cache.addOwner();
    const parent = cache.put(owner, nodeOf(0));
    parent.children.push(new CachedNode(owner, nodeOf(7)));
    const child = cache.put(owner, nodeOf(1));
    expect(parent).toMatchObject({ node: undefined, children: [] });
    expect(child.node?.block).toBe(1);
    const again = cache.put(owner, nodeOf(1));
    expect([child.node, again.node?.block, cache.size]).toEqual([undefined, 1, 1]);
    cache.clear();
    expect([again.node, cache.find(owner, 1)]).toEqual([undefined, undefined]);
  });

  it('a cache of index blocks of no capacity holds nothing', () => {
    const cache = new BlockCache(0);
    const owner = cache.addOwner();
    cache.put(owner, nodeOf(1));
    expect(cache.find(owner, 1)?.node).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  it.each([[-1], [1.5], [Number.NaN], [Number.POSITIVE_INFINITY]])(
    'a cache of index blocks of the capacity %d is refused',
    (capacity) => {
      expect(storageErrorThrownBy(() => new BlockCache(capacity)).code).toBe('invalid-input');
    },
  );

  it('a cache of index blocks of more blocks of values than it could count is refused', () => {
    const make = () => new BlockCache(1, { valueCapacity: 2 ** 40 });
    expect(storageErrorThrownBy(make).code).toBe('invalid-input');
  });

  it('a cache of index blocks is empty after it was cleared', () => {
    const cache = new BlockCache(4);
    const owner = cache.addOwner();
    cache.put(owner, nodeOf(1));
    cache.clear();
    expect(cache.size).toBe(0);
    expect(cache.find(owner, 1)?.node).toBeUndefined();
  });

  it('a cache of index blocks keeps blocks apart after millions of readers', () => {
    const cache = new BlockCache(10);
    for (let index = 0; index < 2 ** 21 + 7; index += 1) cache.addOwner();
    const [left, right] = [cache.addOwner(), cache.addOwner()];
    for (const block of [0, 1, 2, 0xffff_ffff]) {
      cache.put(left, nodeOf(block));
      expect(cache.find(left, block)?.node?.block).toBe(block);
    }
    for (const owner of [left, right]) {
      for (const block of [0, 1, 2, 3, 0xffff_fffe, 0xffff_ffff]) {
        expect([undefined, block]).toContain(cache.find(owner, block)?.node?.block);
        if (owner === right) expect(cache.find(owner, block)?.node).toBeUndefined();
      }
    }
  });
});

describe('keys that are searched for together', () => {
  it('keys that are searched for together read each block that they lack once, however small the cache is', async () => {
    const bytes = await imagesOf(1);
    const keys = Array.from({ length: 500 }, (_, index) => blockKey((index * 37) % 2100));
    for (const blockCache of [null, new BlockCache(0), new BlockCache(1), new BlockCache(100)]) {
      const offsets: number[] = [];
      const source = {
        size: bytes.length,
        read: async (target: Uint8Array, offset: number) => {
          if (offset === 0 || offset >= 2 * BLOCK) offsets.push(offset);
          return bytesSource(bytes).read(target, offset);
        },
      };
      const reader = await ImageLayerReader.open(source, { blockCache });
      const found = await reader.getMany(keys);
      expect(found.map((entry) => entry?.key)).toEqual(
        keys.map((key, index) => ((index * 37) % 2100 < 2000 ? key : undefined)),
      );
      expect(offsets.length).toBe(1 + reader.summary.indexRootBlock + 1);
    }
  });
});

describe('readers that share a cache', () => {
  it('readers that share a cache read their own layer each, however small the cache is', async () => {
    const layers = await Promise.all([imagesOf(1), imagesOf(2), imagesOf(3)]);
    for (const capacity of [0, 1, 2, 100]) {
      const blockCache = new BlockCache(capacity);
      const readers = await Promise.all(
        layers.map((bytes) => ImageLayerReader.open(bytesSource(bytes), { blockCache })),
      );
      for (let block = 0; block < 2000; block += 97) {
        for (const [index, reader] of readers.entries()) {
          const entry = await reader.get(blockKey(block));
          expect([...(entry?.bytes ?? [])]).toEqual([index + 1, block & 0xff, block >> 8]);
        }
      }
      expect(blockCache.size).toBeLessThanOrEqual(capacity);
    }
  });

  it('readers that share a cache read no block twice', async () => {
    const bytes = await imagesOf(1);
    const offsets: number[] = [];
    const source = {
      size: bytes.length,
      read: async (target: Uint8Array, offset: number) => {
        // The values lie in the block between the summary and the index.
        if (offset === 0 || offset >= 2 * BLOCK) offsets.push(offset);
        return bytesSource(bytes).read(target, offset);
      },
    };
    const reader = await ImageLayerReader.open(source, { blockCache: new BlockCache(100) });
    for (let block = 0; block < 2000; block += 7) await reader.get(blockKey(block));
    expect(offsets.length).toBe(new Set(offsets).size);
    expect(offsets.length).toBe(1 + reader.summary.indexRootBlock + 1);
  });
});

function nodeOf(block: number): IndexNode {
  return new IndexNode(nodeBlock({ keys: [Uint8Array.of(1)], values: [BLOCK] }), block);
}

function held(cache: BlockCache, owner: CacheOwner, count: number): number[] {
  return Array.from({ length: count }, (_, block) => block).filter(
    (block) => cache.find(owner, block) !== undefined,
  );
}

/** 2,000 images of three bytes that tell whose they are. */
async function imagesOf(seed: number): Promise<Uint8Array> {
  const entries = Array.from({ length: 2000 }, (_, block) => ({
    key: blockKey(block),
    image: Uint8Array.of(seed, block & 0xff, block >> 8),
  }));
  return (await writeImages(entries)).bytes;
}

describe('a reader that is closed', () => {
  it('a reader that is closed leaves none of its blocks in the cache', () => {
    const cache = new BlockCache(8);
    const [first, second] = [cache.addOwner(), cache.addOwner()];
    for (let block = 0; block < 3; block += 1) {
      cache.put(first, new IndexNode(new Uint8Array(8192), block));
      cache.put(second, new IndexNode(new Uint8Array(8192), block));
    }
    cache.removeOwner(first);
    expect(cache.size).toBe(3);
    expect(cache.find(first, 1)?.node).toBeUndefined();
    expect(cache.find(second, 1)?.node?.block).toBe(1);
  });

  it('a reader that is closed leaves no blocks in the cache by a lookup that is in flight meanwhile, of the index or of values', async () => {
    const bytes = await imagesOf(1);
    // The root, the leaf, and the value: a read of each is in flight when the reader is closed.
    for (const held of [1, 2, 3]) {
      const { opened, open } = gate();
      const started = gate();
      let reads = 0;
      const source: ByteSource = {
        size: bytes.length,
        read: async (target, offset) => {
          // The first is of the summary.
          if (reads === held) {
            started.open();
            await opened;
          }
          reads += 1;
          return bytesSource(bytes).read(target, offset);
        },
      };
      const blockCache = new BlockCache(100);
      const reader = await ImageLayerReader.open(source, { blockCache });
      const lookup = reader.get(blockKey(7));
      await started.opened;
      await reader.close();
      open();
      expect((await lookup)?.bytes[0]).toBe(1);
      expect(reads).toBe(4);
      expect(blockCache.size).toBe(0);
      // The first owner's number is 1.
      expect(blockCache.values.find(new CacheOwner(1), BLOCK, 1)).toBeUndefined();
    }
  });
});
