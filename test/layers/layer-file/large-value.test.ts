/** An auxiliary file that passes by in pieces is judged as one that is at hand, and is not held. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StorageError } from '../../../src/errors.ts';
import type { LargeEntry } from '../../../src/layers/layer-file/entry-scan.ts';
import { readLargeValue } from '../../../src/layers/layer-file/large-value.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { outlineOfValue, type ValueOutline } from '../../../src/layers/value-outline.ts';
import { rounds } from '../../support/rounds.ts';

const MEBIBYTE = 1024 * 1024;

/** Hands out the bytes in pieces of that size. */
function entryOf(bytes: Uint8Array, pieceSize: number): LargeEntry {
  return {
    kind: 'large-entry',
    key: new Uint8Array(18),
    lsn: 1n,
    willInit: false,
    offset: 8192,
    storedLength: bytes.length + 4,
    headerSize: 4,
    compressed: false,
    stream: async (onPiece) => {
      for (let at = 0; at < bytes.length; at += pieceSize) {
        onPiece(bytes.subarray(at, at + pieceSize));
      }
      return bytes.length;
    },
  };
}

function outlineOrError(bytes: Uint8Array): ValueOutline | StorageError {
  try {
    return outlineOfValue(bytes);
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
}

function auxFiles(): fc.Arbitrary<Uint8Array> {
  const content = fc.option(fc.uint8Array({ maxLength: 40 }));
  const path = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.constant('\ufeffé€😀'));
  return fc.record({ path, content }).map((file) => encodeValue({ type: 'aux_file', ...file }));
}

describe('an auxiliary file in pieces', () => {
  it('an auxiliary file in pieces is the same as in one piece, whatever is wrong with it and wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        auxFiles(),
        fc.array(fc.record({ at: fc.nat(120), byte: fc.integer({ min: 0, max: 255 }) }), {
          maxLength: 3,
        }),
        fc.integer({ min: -3, max: 3 }),
        fc.integer({ min: 1, max: 50 }),
        async (valid, changes, longer, pieceSize) => {
          const bytes = new Uint8Array(Math.max(1, valid.length + longer));
          bytes.set(valid.subarray(0, bytes.length));
          for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
          const read = await readLargeValue(entryOf(bytes, pieceSize));
          if (read.kind !== 'value') throw new Error('the stream has no damage');
          const expected = outlineOrError(bytes);
          expect(read.outline).toEqual(expected);
          if (!(expected instanceof StorageError && read.outline instanceof StorageError)) return;
          const { code, offset, message } = expected;
          expect(read.outline).toMatchObject({ code, offset, message });
        },
      ),
      { numRuns: rounds(3000) },
    );
  });

  it('an auxiliary file in pieces is not held, neither its content nor its path', async () => {
    const content = new Uint8Array(64 * MEBIBYTE);
    const path = 'é'.repeat(32 * MEBIBYTE);
    for (const file of [
      { path: 'p', content },
      { path, content: null },
    ]) {
      const bytes = encodeValue({ type: 'aux_file', ...file });
      const before = process.memoryUsage().arrayBuffers;
      let peak = 0;
      const entry = entryOf(bytes, MEBIBYTE);
      const watched: LargeEntry = {
        ...entry,
        stream: (onPiece) =>
          entry.stream((piece) => {
            onPiece(piece);
            peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
          }),
      };
      const read = await readLargeValue(watched);
      expect(read).toMatchObject({ outline: { type: 'aux_file', willInit: false } });
      expect(peak).toBeLessThan(16 * MEBIBYTE);
    }
  });
});
