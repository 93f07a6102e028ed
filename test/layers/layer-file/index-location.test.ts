/** Where an index starts, as its leaves and inner nodes tell. */
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { findIndex } from '../../../src/layers/layer-file/index-location.ts';
import { sampleLayer } from '../../support/damaged-layers.ts';
import {
  BLOCK,
  deltaKey,
  layerBytes,
  nodeBlock,
  offsetsOf,
  shortBlob,
} from '../../support/hand-made.ts';
import { blockKey, LSN_RANGE } from '../../support/layers.ts';

const sample = await sampleLayer('delta', 3);
const first = sample.indexStart / BLOCK;

/** The start that is found after the blocks of the index with these numbers were zeroed or swapped. */
async function startAfter(change: (block: (number: number) => Buffer) => void) {
  const bytes = Buffer.from(sample.bytes);
  change((number) => bytes.subarray((first + number) * BLOCK, (first + number + 1) * BLOCK));
  const found = await findIndex(bytesSource(bytes, 'layer'), ['delta', 'image']);
  expect(found?.kind).toBe('delta');
  return found?.location.startBlock;
}

describe('the start of an index', () => {
  it('the start of an index is that of its first leaf', async () => {
    expect(await startAfter(() => {})).toBe(first);
  });

  it('the start of an index whose first leaf is lost is proven by its inner nodes', async () => {
    expect(await startAfter((block) => block(0).fill(0))).toBe(first);
    const firstThree = (block: (number: number) => Buffer) => {
      for (const number of [0, 1, 2]) block(number).fill(0xee);
    };
    expect(await startAfter(firstThree)).toBe(first);
  });

  it('the start of an index without its first leaf and inner nodes is the first leaf that is left', async () => {
    const only = (block: (number: number) => Buffer) => {
      block(0).fill(0);
      for (const number of [3, 7, 11, 12]) block(number).fill(0);
    };
    expect(await startAfter(only)).toBe(first + 1);
  });

  it('the start of an index is proven where the last child lies two blocks before its parent, as a writer puts it', async () => {
    const blobs = Array.from({ length: 6 }, () => shortBlob(Uint8Array.of(0x90, 1)));
    const offsets = offsetsOf(blobs);
    const keyOf = (entry: number) => deltaKey(blockKey(entry), LSN_RANGE.start);
    const leaf = (entry: number) =>
      nodeBlock({ keys: [keyOf(entry)], values: [(offsets[entry] as number) * 2] });
    const inner = (entries: number[], children: number[]) =>
      nodeBlock({ level: 1, keys: entries.map(keyOf), children });
    const blocks = [leaf(0), leaf(1), leaf(2), inner([0, 1], [0, 1])];
    blocks.push(leaf(3), leaf(4), inner([2, 3], [2, 4]), leaf(5));
    const bytes = layerBytes({ kind: 'delta', blobs, blocks });
    const start = bytes.length / BLOCK - blocks.length;
    bytes.fill(0, start * BLOCK, (start + 1) * BLOCK);
    const found = await findIndex(bytesSource(bytes, 'layer'), ['delta']);
    expect(found?.location.startBlock).toBe(start);
  });

  it('the start of an index is the one that most inner nodes prove', async () => {
    const moved = (block: (number: number) => Buffer) => {
      block(0).fill(0);
      // An inner node and its last child, both moved by four blocks.
      for (const number of [2, 3]) block(number + 4).set(Buffer.from(block(number)));
    };
    expect(await startAfter(moved)).toBe(first);
  });
});
