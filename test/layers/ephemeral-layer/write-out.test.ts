import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BufferedWriter } from '../../../src/blob-writer/buffered-writer.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { MemoryIndex } from '../../../src/layers/ephemeral-layer/memory-index.ts';
import { SingleRow } from '../../../src/layers/ephemeral-layer/rows.ts';
import { writeOut } from '../../../src/layers/ephemeral-layer/write-out.ts';
import { formatKey } from '../../../src/layers/key.ts';
import { VirtualFile } from '../../../src/virtual-file/virtual-file.ts';
import { blockKey } from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

describe('writing out', () => {
  it.each([
    ['in file order', (at: number) => at, { group: 1, piece: 64, window: 16, runs: 1e9 }],
    ['whole', (at: number) => (at * 7919) % 997, { group: 1e9, piece: 64, window: 100, runs: 1e9 }],
    [
      'gathered in groups',
      (at: number) => (at * 7919) % 997,
      { group: 500, piece: 64, window: 96, runs: 1e9 },
    ],
  ])('writing out %s gives every value its place', async (_, keyOf, sizes) => {
    const directory = temporaryDirectory();
    let round = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 80 }),
        async (lengths) => {
          round += 1;
          const target = join(directory, String(round));
          mkdirSync(target);
          const model = new Map<string, string>();
          const index = new MemoryIndex();
          await using file = await VirtualFile.open(join(target, 'scratch'), {
            read: true,
            write: true,
            create: true,
            durability: 'scratch',
          });
          const scratch = new BufferedWriter(file, { bufferSize: 128 });
          for (const [at, length] of lengths.entries()) {
            const key = blockKey(keyOf(at));
            const bytes = new Uint8Array(length).fill(at);
            const row = new SingleRow().set({ key, lsn: 0x10n, length, willInit: true });
            index.add(row, scratch.offset);
            await scratch.append(bytes);
            model.set(formatKey(key), Buffer.from(bytes).toString('hex'));
          }
          const options = {
            directory: target,
            tenantId: '00'.repeat(16),
            timelineId: '00'.repeat(16),
            lsnRange: { start: 1n, end: 0x20n },
          };
          const { path, entryCount } = await writeOut(index, scratch, options, sizes);
          expect(entryCount).toBe(model.size);
          await using reader = await DeltaLayerReader.open(path);
          const read = new Map<string, string>();
          for await (const { key, bytes } of reader.entries()) {
            read.set(formatKey(key), Buffer.from(bytes).toString('hex'));
          }
          expect(read).toEqual(model);
        },
      ),
      { numRuns: rounds(30) },
    );
  });
});
