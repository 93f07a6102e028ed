/**
 * Whatever a writer does not refuse is in the file, in the order of the calls, or `finish` rejects:
 * random calls, each awaited or not, on slow disks and with small buffers, against a plain list.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blobHeaderSize, encodePlainBlobHeader } from '../../src/blob-writer/blob-format.ts';
import { BlobWriter } from '../../src/blob-writer/blob-writer.ts';
import { BufferedWriter } from '../../src/blob-writer/buffered-writer.ts';
import { ViewedBytes } from '../../src/byte-words.ts';
import { isStorageError, type StorageError } from '../../src/errors.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { rounds } from '../support/rounds.ts';

const FORMS = ['append', 'pair', 'pad', 'blob', 'encoded', 'copies'] as const;
type Form = (typeof FORMS)[number];

interface Call {
  readonly form: Form;
  readonly bytes: Uint8Array;
  readonly isAwaited: boolean;
  readonly pause: number;
}

const calls = fc.array(
  fc.record({
    form: fc.constantFrom(...FORMS),
    bytes: fc.uint8Array({ maxLength: 300 }),
    isAwaited: fc.boolean(),
    pause: fc.nat(2),
  }),
  { minLength: 1, maxLength: 25 },
);

const setting = fc.record({ bufferSize: fc.integer({ min: 1, max: 300 }), seed: fc.integer() });

function encoded(bytes: Uint8Array): Uint8Array {
  const blob = new Uint8Array(blobHeaderSize(bytes.length) + bytes.length);
  blob.set(bytes, encodePlainBlobHeader(blob, 0, bytes.length));
  return blob;
}

/** Three parts out of the bytes, the last one first. */
function partsOf(bytes: Uint8Array) {
  const third = Math.floor(bytes.length / 3);
  const starts = Uint32Array.of(2 * third, third, 0);
  const lengths = Uint32Array.of(third, third, third);
  const blobs = [...starts].map((start) => encoded(bytes.subarray(start, start + third)));
  return { parts: { values: new ViewedBytes(bytes), starts, lengths }, all: Buffer.concat(blobs) };
}

/** Returns the promise of the call, and what it has appended at `offset`. */
function make(
  out: BufferedWriter,
  { form, bytes }: Call,
): { readonly room: void | Promise<void>; readonly added: Uint8Array } {
  const blobs = new BlobWriter(out);
  if (form === 'append') return { room: out.append(bytes), added: bytes };
  if (form === 'pair') {
    return { room: out.appendPair(bytes, bytes), added: Buffer.concat([bytes, bytes]) };
  }
  if (form === 'pad') {
    const added = new Uint8Array((64 - (out.offset % 64)) % 64);
    return { room: out.pad(64), added };
  }
  if (form === 'blob') return { room: blobs.append(bytes), added: encoded(bytes) };
  if (form === 'encoded')
    return { room: blobs.appendEncoded(encoded(bytes)), added: encoded(bytes) };
  const { parts, all } = partsOf(bytes);
  const copy = Uint8Array.from(bytes);
  const room = blobs.appendCopies({ ...parts, values: new ViewedBytes(copy) }, 0, 3, all.length);
  // They are copies: what becomes of the values does not matter.
  copy.fill(0xee);
  return { room, added: all };
}

async function write(list: readonly Call[], bufferSize: number, seed: number, failing: number) {
  const choose = seededChoices(seed);
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const file = await VirtualFile.open('/file', { write: true, create: true, openFiles });
  let writes = 0;
  fileSystem.intercept = ({ kind }) => {
    if (kind === 'write') writes += 1;
    const fail = kind === 'write' && writes === failing ? 'ENOSPC' : undefined;
    return { fail, delay: choose(2) === 0 ? undefined : new Promise(setImmediate) };
  };
  const out = new BufferedWriter(file, { bufferSize });
  const accepted: Uint8Array[] = [];
  const rejections: StorageError[] = [];
  const note = (error: unknown): void => {
    if (!isStorageError(error)) throw error;
    rejections.push(error);
  };
  const promises: Promise<void>[] = [];
  for (const call of list) {
    try {
      const { room, added } = make(out, call);
      accepted.push(added);
      if (room !== undefined) promises.push(room.catch(note));
      if (call.isAwaited) await promises.at(-1);
    } catch (error) {
      note(error);
    }
    for (let turn = 0; turn < call.pause; turn += 1) await new Promise(setImmediate);
  }
  const size = await out.finish().catch(note);
  await Promise.all(promises);
  return { size, rejections, accepted, content: fileSystem.contentOf('/file'), writes };
}

describe('a writer', () => {
  test('a blob writer has all that its calls accepted, awaited or not', async () => {
    await fc.assert(
      fc.asyncProperty(calls, setting, async (list, { bufferSize, seed }) => {
        const { size, rejections, accepted, content } = await write(list, bufferSize, seed, 0);
        expect(rejections).toEqual([]);
        expect(Buffer.compare(content, Buffer.concat(accepted))).toBe(0);
        expect(size).toBe(content.length);
      }),
      { numRuns: rounds(300) },
    );
  });

  test('a blob writer rejects when it ends if a write has failed, even if the failure was reported before', async () => {
    await fc.assert(
      fc.asyncProperty(
        calls,
        setting,
        fc.integer({ min: 1, max: 8 }),
        async (list, how, failing) => {
          const { bufferSize, seed } = how;
          const result = await write(list, bufferSize, seed, failing);
          if (result.writes < failing) {
            expect(result.rejections).toEqual([]);
            expect(Buffer.compare(result.content, Buffer.concat(result.accepted))).toBe(0);
          } else {
            expect(result.size).toBeUndefined();
            expect(new Set(result.rejections).size).toBe(1);
            expect(result.rejections[0]).toMatchObject({ code: 'io', errno: 'ENOSPC' });
          }
        },
      ),
      { numRuns: rounds(200) },
    );
  });

  test.each([
    ['a text', 'text'],
    ['numbers', [1, 2, 3]],
    ['nothing', undefined],
    ['null', null],
  ])('a writer refuses %s as the content of a blob, and continues', async (_, value) => {
    const fileSystem = new MemoryFileSystem();
    const openFiles = new OpenFiles({ fileSystem });
    const file = await VirtualFile.open('/file', { write: true, create: true, openFiles });
    const out = new BufferedWriter(file);
    const blobs = new BlobWriter(out);
    const wrong = value as unknown as Uint8Array;
    const refused = expect.objectContaining({ code: 'invalid-input' });
    for (const act of [
      () => out.append(wrong),
      () => out.appendPair(Uint8Array.of(1), wrong),
      () => out.appendPair(wrong, Uint8Array.of(1)),
      () => blobs.append(wrong),
      () => blobs.appendEncoded(wrong),
    ]) {
      expect(act).toThrowError(refused);
    }
    if (value !== undefined) await expect(out.finish(undefined, wrong)).rejects.toEqual(refused);
    out.append(Uint8Array.of(7));
    await out.finish();
    expect([...fileSystem.contentOf('/file')]).toEqual([7]);
  });
});
