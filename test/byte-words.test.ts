import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, copyBytes, copyWords, sharedBytes, ViewedBytes } from '../src/byte-words.ts';
import { rounds } from './support/rounds.ts';

/** Lengths around a word, four words, and where copying changes its way. */
const LENGTHS = [0, 1, 3, 4, 5, 15, 16, 17, 26, 100, 223, 224, 225, 1000];

describe('a copy of a run of bytes', () => {
  it.each(LENGTHS)('a copy of a run of bytes of %d bytes takes them and no others', (length) => {
    const source = new ViewedBytes(bytesFrom(1, length + 7));
    for (const copy of [
      (target: ViewedBytes) => copyBytes(source, 3, target, 5, length),
      (target: ViewedBytes) => copyWords(source.view, 3, target.view, 5, length),
    ]) {
      const target = new ViewedBytes(new Uint8Array(length + 9).fill(0xee));
      copy(target);
      expect([...target.bytes.subarray(0, 5)]).toEqual(Array(5).fill(0xee));
      expect(target.bytes.subarray(5, 5 + length)).toEqual(source.bytes.slice(3, 3 + length));
      expect([...target.bytes.subarray(5 + length)]).toEqual(Array(4).fill(0xee));
    }
  });

  it('a copy of a run of bytes out of a part of a larger buffer counts from the part', () => {
    const source = new ViewedBytes(Buffer.from('..abcdef..').subarray(2, 8));
    const target = new ViewedBytes(new Uint8Array(4));
    copyBytes(source, 1, target, 0, 4);
    expect(Buffer.from(target.bytes).toString()).toBe('bcde');
  });
});

describe('two runs of bytes', () => {
  it('two runs of bytes share what a comparison byte by byte says, and are in the order of Buffer.compare', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        (length, seed, place, other) => {
          const left = bytesFrom(seed, length);
          const right = left.slice();
          right[place % length] = other;
          const leftView = new ViewedBytes(left).view;
          const rightView = new ViewedBytes(right).view;
          const difference = left.findIndex((byte, at) => byte !== right[at]);
          const shared = difference < 0 ? length : difference;
          expect(sharedBytes(leftView, 0, rightView, 0, length)).toBe(shared);
          const behind = new ViewedBytes(Uint8Array.of(1, 2, 3, ...left)).view;
          expect(sharedBytes(behind, 3, rightView, 0, length)).toBe(shared);
          expect(sharedBytes(rightView, 0, behind, 3, length)).toBe(shared);
          const order = Math.sign(compareBytes(leftView, 0, rightView));
          expect(order).toBe(Buffer.compare(left, right));
        },
      ),
      { numRuns: rounds(500) },
    );
  });

  it('two runs of bytes are compared from a place on', () => {
    const view = new ViewedBytes(Uint8Array.of(9, 9, 1, 2, 3)).view;
    expect(compareBytes(view, 2, new ViewedBytes(Uint8Array.of(1, 2, 3)).view)).toBe(0);
    expect(compareBytes(view, 2, new ViewedBytes(Uint8Array.of(1, 2, 4)).view)).toBeLessThan(0);
  });
});

function bytesFrom(seed: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (Math.imul(seed + at, 0x9e3779b1) >>> 13) & 0xff);
}
