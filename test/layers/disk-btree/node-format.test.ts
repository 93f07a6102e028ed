/** One block of the index: literal bytes both ways, and every field that can be wrong. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeChildValue,
  encodeLeafValue,
  encodeNode,
  MAXIMUM_LEAF_VALUE,
} from '../../../src/layers/disk-btree/node-format.ts';
import { BLOCK, nodeBlock } from '../../support/hand-made.ts';
import { decodedNode } from '../../support/index-nodes.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

const FILE_OFFSET = 5 * BLOCK;

// biome-ignore format: one field a line
const LEAF = blockOf([
  0x00, 0x03,                   // entries
  0x00,                         // level: leaf
  0x02,                         // prefix length
  0x03,                         // suffix length
  0xab, 0xcd,                   // prefix
  0x00, 0x00, 0x01,             // suffix 0
  0x00, 0x00, 0xff,             // suffix 1
  0xff, 0x00, 0x00,             // suffix 2
  0x00, 0x00, 0x00, 0x40, 0x01, // value 0: offset 8192, willInit in a delta
  0x00, 0x80, 0x00, 0x00, 0x00, // value 1: bit 31
  0x7f, 0xff, 0xff, 0xff, 0xff, // value 2: the largest
]);

// biome-ignore format: one field a line
const INNER = blockOf([
  0x00, 0x02,                   // entries
  0x02,                         // level
  0x00,                         // prefix length
  0x01,                         // suffix length
  0x05,                         // suffix 0
  0x09,                         // suffix 1
  0x80, 0x00, 0x00, 0x00, 0x07, // child 0: block 7
  0x80, 0xff, 0xff, 0xff, 0xff, // child 1: the largest block
]);

describe('a leaf', () => {
  it('a leaf has these bytes', () => {
    const values = new Uint8Array(15);
    encodeLeafValue(values, 0, 0x4001);
    encodeLeafValue(values, 5, 0x8000_0000);
    encodeLeafValue(values, 10, MAXIMUM_LEAF_VALUE);
    const block = new Uint8Array(BLOCK);
    encodeNode(
      {
        entryCount: 3,
        level: 0,
        prefix: Uint8Array.of(0xab, 0xcd),
        suffixLength: 3,
        suffixes: Uint8Array.of(0, 0, 1, 0, 0, 0xff, 0xff, 0, 0),
        values,
      },
      block,
    );
    expect(Buffer.compare(block, LEAF)).toBe(0);
  });

  it('a leaf is read', () => {
    const node = decodedNode(LEAF, 4, 5, FILE_OFFSET);
    expect(node).toMatchObject({ block: 4, level: 0, entryCount: 3, usedSize: 31, keySize: 5 });
    expect([...node.key(1)]).toEqual([0xab, 0xcd, 0, 0, 0xff]);
    expect([0, 1, 2].map((index) => node.leafValue(index))).toEqual([
      0x4001, 0x8000_0000, 0x7f_ffff_ffff,
    ]);
  });

  it('a leaf gives its values together, with and without their last bit', () => {
    const node = decodedNode(LEAF, 4, 5, FILE_OFFSET);
    const values = new Float64Array(4).fill(-1);
    node.copyLeafValues({ from: 0, to: 3, shift: 0 }, values);
    expect([...values]).toEqual([0x4001, 0x8000_0000, 0x7f_ffff_ffff, -1]);
    values.fill(-1);
    node.copyLeafValues({ from: 1, to: 3, shift: 1 }, values);
    expect([...values]).toEqual([-1, 0x4000_0000, 0x3f_ffff_ffff, -1]);
  });
});

describe('an inner node', () => {
  it('an inner node has these bytes', () => {
    const values = new Uint8Array(10);
    encodeChildValue(values, 0, 7);
    encodeChildValue(values, 5, 0xffff_ffff);
    const block = new Uint8Array(BLOCK);
    encodeNode(
      {
        entryCount: 2,
        level: 2,
        prefix: new Uint8Array(0),
        suffixLength: 1,
        suffixes: Uint8Array.of(5, 9),
        values,
      },
      block,
    );
    expect(Buffer.compare(block, INNER)).toBe(0);
  });

  it('an inner node is read', () => {
    const node = decodedNode(INNER, 9, 1, FILE_OFFSET);
    expect(node).toMatchObject({ level: 2, entryCount: 2, usedSize: 17 });
    expect([node.childBlock(0), node.childBlock(1)]).toEqual([7, 0xffff_ffff]);
  });
});

describe('a damaged node is refused, with the place:', () => {
  it.each<[string, Uint8Array, number, RegExp]>([
    // what, block, offset in the block, message
    ['no entries', patched(LEAF, 0, 0, 0), 0, /entry count/],
    ['more entries than fit', patched(LEAF, 0, 0xff, 0xff), 0, /entry count/],
    ['one entry more than fits', patched(LEAF, 0, ...u16(1024)), 0, /entry count/],
    ['a longer prefix', patched(LEAF, 3, 3), 3, /prefix and suffix length/],
    ['a shorter prefix', patched(LEAF, 3, 0), 3, /prefix and suffix length/],
    ['a longer suffix', patched(LEAF, 4, 4), 3, /prefix and suffix length/],
    ['a shorter suffix', patched(LEAF, 4, 2), 3, /prefix and suffix length/],
    ['lengths of 510', patched(LEAF, 3, 0xff, 0xff), 3, /prefix and suffix length/],
    ['no suffix', patched(LEAF, 3, 5, 0), 4, /suffix length/],
    ['a child in a leaf', patched(LEAF, 21, 0x80), 21, /entry 1/],
    ['a value of 40 bits', patched(LEAF, 26, 0xff), 26, /entry 2/],
    ['a leaf that calls itself inner', patched(LEAF, 2, 1), 16, /entry 0/],
  ])('a damaged node is refused with its place: %s', (_, block, offset, message) => {
    const error = storageErrorThrownBy(() => decodedNode(block, 4, 5, FILE_OFFSET));
    expect(error).toMatchObject({ code: 'corrupt', offset: FILE_OFFSET + offset });
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/block 4/);
  });

  it.each<[string, Uint8Array, number]>([
    ['a value in an inner node', patched(INNER, 7, 0x00), 7],
    ['a child with another mark', patched(INNER, 12, 0x81), 12],
    ['an inner node that calls itself a leaf', patched(INNER, 2, 0), 7],
  ])('a value of another kind of node is refused with its place: %s', (_, block, offset) => {
    const error = storageErrorThrownBy(() => decodedNode(block, 4, 1, FILE_OFFSET));
    expect(error).toMatchObject({ code: 'corrupt', offset: FILE_OFFSET + offset });
  });

  it('a node that fills its block to the last byte is never written, but can be read', () => {
    // 5 + 909 * 9 = 8186, so that 6 bytes of prefix fill it.
    const keys = Array.from({ length: 909 }, (_, index) =>
      Uint8Array.of(1, 2, 3, 4, 5, 6, 0, 0, index >> 8, index & 0xff),
    );
    const block = nodeBlock({ keys, prefixLength: 6, values: keys.map((_, index) => index) });
    expect(decodedNode(block, 0, 10, 0).usedSize).toBe(BLOCK);
  });

  it('a node that needs one byte more than its block is refused', () => {
    const block = blockOf([...u16(909), 0, 7, 4]);
    const error = storageErrorThrownBy(() => decodedNode(block, 0, 11, 0));
    expect(error).toMatchObject({ code: 'corrupt', offset: 0 });
    expect(error.message).toMatch(/entry count/);
  });

  it('a single entry without a suffix has its complete key in the prefix', () => {
    const block = nodeBlock({ keys: [Uint8Array.of(1, 2, 3)], prefixLength: 3, values: [8192] });
    expect([...decodedNode(block, 0, 3, 0).key(0)]).toEqual([1, 2, 3]);
  });
});

describe('searching a node', () => {
  it('searching a node finds what a search one by one finds', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 0xffff }), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 0, max: 2 }),
        fc.tuple(fc.constantFrom(6, 7, 8), fc.integer({ min: 0, max: 0xffff })),
        (numbers, prefixLength, [probePrefix, probeNumber]) => {
          const sorted = [...numbers].sort((left, right) => left - right);
          const keys = sorted.map((number) => Uint8Array.of(7, 7, ...u16(number)));
          const block = nodeBlock({ keys, prefixLength, values: keys.map(() => BLOCK) });
          const node = decodedNode(block, 0, 4, 0);
          const probe = Uint8Array.of(7, probePrefix, ...u16(probeNumber));
          const below = keys.filter((key) => Buffer.compare(key, probe) < 0).length;
          const atMost = keys.filter((key) => Buffer.compare(key, probe) <= 0).length;
          expect(node.floor(probe)).toBe(atMost - 1);
          expect(node.ceiling(probe)).toBe(below);
          const sharesPrefix = prefixLength < 2 || probePrefix === 7;
          if (sharesPrefix) expect(node.floor(probe, 'shared')).toBe(atMost - 1);
          for (const [index, key] of keys.entries()) {
            expect(Math.sign(node.compareKey(index, probe))).toBe(Buffer.compare(key, probe));
            expect(Math.sign(node.compareEntries(index, 0))).toBe(Math.sign(index));
            for (const length of [0, 1, 2, 3, 4]) {
              const isPrefix =
                Buffer.compare(key.subarray(0, length), probe.subarray(0, length)) === 0;
              expect(node.hasPrefix(index, probe, length)).toBe(isPrefix);
              if (!sharesPrefix) continue;
              expect(node.hasPrefix(index, probe, length, 'shared')).toBe(isPrefix);
            }
          }
        },
      ),
    );
  });
});

describe('the keys of a node', () => {
  const KEY = fc.uint8Array({ minLength: 12, maxLength: 12 });

  it('the keys of a node are seen by words as they are byte by byte, wherever the prefix ends', () => {
    fc.assert(
      fc.property(
        fc.array(KEY, { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 0, max: 11 }),
        (others, prefixLength) => {
          const [first = new Uint8Array(12)] = others;
          const prefix = first.subarray(0, prefixLength);
          const keys = others.map((key) =>
            Uint8Array.from([...prefix, ...key.slice(prefixLength)]),
          );
          const node = decodedNode(
            nodeBlock({ keys, prefixLength, values: keys.map(() => BLOCK) }),
            0,
            12,
            0,
          );
          const unordered = keys.findIndex(
            (key, index) => index > 0 && Buffer.compare(key, keys[index - 1] ?? key) <= 0,
          );
          expect(node.firstOutOfOrder()).toBe(unordered);
          for (const [index, key] of keys.entries()) {
            expect([node.keyWord(index, 8), node.keyWord(index, 4)]).toEqual([
              Buffer.from(key).readUInt32BE(4),
              Buffer.from(key).readUInt32BE(8),
            ]);
            for (const length of [0, 5, 12]) {
              expect([...node.keyBegin(index, length)]).toEqual([...key.subarray(0, length)]);
            }
          }
        },
      ),
    );
  });

  it.each([
    // the key after 00000000 11111111 22222222, whether it is above it
    ['000000001111111122222221', false],
    ['000000001111111122222222', false],
    ['000000001111111122222223', true],
    ['000000001111111022222223', false],
    ['000000001111111200000000', true],
    ['000000010000000000000000', true],
  ])('whether the keys of a node ascend to %s is told: %s', (hex, isAbove) => {
    const keys = ['000000001111111122222222', hex].map((key) => Buffer.from(key, 'hex'));
    for (const prefixLength of [0, 3]) {
      const block = nodeBlock({ keys, prefixLength, values: [BLOCK, BLOCK] });
      const node = decodedNode(block, 0, 12, 0);
      expect(node.firstOutOfOrder()).toBe(isAbove ? -1 : 1);
    }
  });
});

function blockOf(bytes: readonly number[]): Uint8Array {
  const block = new Uint8Array(BLOCK);
  block.set(bytes);
  return block;
}

function patched(block: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const copy = block.slice();
  copy.set(bytes, at);
  return copy;
}

function u16(value: number): [number, number] {
  return [value >> 8, value & 0xff];
}
