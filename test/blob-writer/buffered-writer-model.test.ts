import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BufferedWriter } from '../../src/blob-writer/buffered-writer.ts';
import type { WriterEnd } from '../../src/blob-writer/buffered-writer-options.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { turns } from '../support/gate.ts';
import { rounds } from '../support/rounds.ts';

const bytes = fc.uint8Array({ maxLength: 40 });

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('append' as const), bytes }) },
  fc.record({ kind: fc.constant('append-unawaited' as const), bytes }),
  fc.record({ kind: fc.constant('pair' as const), bytes, second: bytes }),
  fc.record({ kind: fc.constant('claim' as const), bytes }),
  fc.record({ kind: fc.constant('pad' as const), multiple: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ kind: fc.constant('flush' as const) }),
  fc.record({ kind: fc.constant('read' as const), from: fc.nat(1000), length: fc.nat(60) }),
  fc.record({ kind: fc.constant('pause' as const), steps: fc.nat(20) }),
);

const end: fc.Arbitrary<WriterEnd> = fc.oneof(
  fc.constant({ kind: 'exact' as const }),
  fc.record({
    kind: fc.constantFrom('zero-pad' as const, 'pad-then-truncate' as const),
    multiple: fc.integer({ min: 1, max: 40 }),
  }),
);

test('any appends, pads, claims and reads give the concatenation, in complete buffers', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      end,
      fc.record({
        bufferSize: fc.integer({ min: 1, max: 16 }),
        bufferCount: fc.integer({ min: 2, max: 4 }),
        startOffset: fc.nat(20),
        head: fc.boolean(),
        seed: fc.integer(),
      }),
      async (steps, how, { bufferSize, bufferCount, startOffset, head, seed }) => {
        const choose = seededChoices(seed);
        const writes: { offset: number; length: number }[] = [];
        const fileSystem = new MemoryFileSystem();
        const openFiles = new OpenFiles({ fileSystem });
        const file = await VirtualFile.open('/file', {
          read: true,
          write: true,
          create: true,
          openFiles,
        });
        fileSystem.intercept = ({ kind, offset = 0, length = 0 }) => {
          if (kind === 'write') writes.push({ offset, length });
          return { delay: delayOf(choose) };
        };
        const writer = new BufferedWriter(file, { bufferSize, bufferCount, startOffset });
        let model: number[] = [];
        const reads: (() => Promise<void>)[] = [];
        for (const one of steps) {
          expect(writer.offset).toBe(startOffset + model.length);
          if (one.kind === 'append') {
            model = model.concat(...one.bytes);
            await writer.append(one.bytes);
          } else if (one.kind === 'append-unawaited') {
            model = model.concat(...one.bytes);
            void writer.append(one.bytes);
          } else if (one.kind === 'pair') {
            model = model.concat(...one.bytes, ...one.second);
            await writer.appendPair(one.bytes, one.second);
          } else if (one.kind === 'claim') {
            const at = writer.claim(one.bytes.length);
            if (at < 0) continue;
            writer.buffer.bytes.set(one.bytes, at);
            model = model.concat(...one.bytes);
          } else if (one.kind === 'pad') {
            while ((startOffset + model.length) % one.multiple > 0) model.push(0);
            await writer.pad(one.multiple);
          } else if (one.kind === 'flush') {
            await writer.flushed();
          } else if (one.kind === 'read') {
            reads.push(await startRead(writer, model, startOffset, one));
          } else {
            await turns(one.steps);
          }
        }
        const size = await writer.finish(
          how,
          head ? new Uint8Array(startOffset).fill(7) : undefined,
        );

        for (const check of reads) await check();

        const wholeLength = model.length - (model.length % bufferSize);
        const contentEnd = startOffset + model.length;
        const expectedSize =
          how.kind === 'zero-pad'
            ? Math.ceil(contentEnd / how.multiple) * how.multiple
            : contentEnd;
        expect(size).toBe(expectedSize);
        const expected = new Uint8Array(expectedSize);
        expected.set(model.slice(0, expectedSize - startOffset), startOffset);
        if (head) expected.fill(7, 0, startOffset);
        const content = fileSystem.contentOf('/file');
        // A file that nothing was written to after the start has no bytes before it either.
        const written = content.length === 0 && wholeLength === 0 ? new Uint8Array(0) : expected;
        expect([...content]).toEqual([...written]);
        const whole = writes.slice(0, wholeLength / bufferSize);
        expect(whole).toEqual(
          whole.map((_, k) => ({ offset: startOffset + k * bufferSize, length: bufferSize })),
        );
      },
    ),
    { numRuns: rounds(400) },
  );
});

/** A failure at any write: what was not refused before it is on disk as a prefix, and nothing else. */
test('a failed write leaves complete buffers before it, and one error for all later calls', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(bytes, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 16 }),
      fc.nat(20),
      fc.integer(),
      async (pieces, bufferSize, failing, seed) => {
        const choose = seededChoices(seed);
        const fileSystem = new MemoryFileSystem();
        const openFiles = new OpenFiles({ fileSystem });
        const file = await VirtualFile.open('/file', { write: true, create: true, openFiles });
        let writes = 0;
        fileSystem.intercept = ({ kind }) => {
          if (kind !== 'write') return undefined;
          writes += 1;
          const fail = writes === failing + 1 ? 'ENOSPC' : undefined;
          return { delay: delayOf(choose), fail };
        };
        const writer = new BufferedWriter(file, { bufferSize });
        const errors: unknown[] = [];
        for (const piece of pieces) {
          try {
            if (choose(2) === 0) await writer.append(piece);
            else void writer.append(piece);
          } catch (error) {
            errors.push(error);
          }
        }
        await writer.finish({ kind: 'zero-pad', multiple: 1 }).catch((error: unknown) => {
          errors.push(error);
        });
        const all = pieces.flatMap((piece) => [...piece]);
        const content = [...fileSystem.contentOf('/file')];
        if (writes > failing) {
          expect(new Set(errors).size).toBe(1);
          expect(errors[0]).toMatchObject({ code: 'io', errno: 'ENOSPC' });
          expect(writes).toBe(failing + 1);
          expect(content).toEqual(all.slice(0, failing * bufferSize));
        } else {
          expect(errors).toEqual([]);
          expect(content).toEqual(all);
        }
      },
    ),
    { numRuns: rounds(200) },
  );
});

function delayOf(choose: (n: number) => number): Promise<unknown> | undefined {
  const kind = choose(3);
  if (kind === 0) return undefined;
  return kind === 1 ? Promise.resolve() : new Promise(setImmediate);
}

/** Begins to read a part of what was appended; what comes back is checked later. */
async function startRead(
  writer: BufferedWriter,
  model: readonly number[],
  startOffset: number,
  { from, length }: { readonly from: number; readonly length: number },
): Promise<() => Promise<void>> {
  const start = model.length === 0 ? 0 : from % model.length;
  const target = new Uint8Array(Math.min(length, model.length - start));
  const expected = model.slice(start, start + target.length);
  // Appends that nobody awaited may wait still.
  await writer.flushed();
  const reading = writer.readExactAt(target, startOffset + start);
  return async () => {
    await reading;
    expect([...target]).toEqual(expected);
  };
}
