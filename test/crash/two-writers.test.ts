/**
 * Writers that finish the same name concurrently, each step of which takes its own time: one of them gets
 * the name for its whole layer, the others are told `exists`, and nothing of what is there is lost.
 */
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { loseEverything, seededChoices } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { turns } from '../support/gate.ts';
import { blockKey, DIRECTORY, deltaOptions, writeDelta } from '../support/layers.ts';
import { firstOf, LINK_UNSUPPORTED, randomDelays } from './scenario.ts';

/** All of them with LAYERFILE_FAULTS=all. */
const SEED_COUNT = process.env['LAYERFILE_FAULTS'] === 'all' ? 200 : 40;
const SEEDS = Array.from({ length: SEED_COUNT }, (_, seed) => seed + 1);
const WRITERS = [1, 2, 3];

const entriesOf = (writer: number) => [
  {
    key: blockKey(writer),
    lsn: 0x1000n,
    value: { type: 'image', bytes: new Uint8Array(5000).fill(writer) } as const,
  },
];

async function write(fileSystem: MemoryFileSystem, writer: number): Promise<string> {
  // A table each: what keeps them apart is the file system, or the process.
  const disk = { fileSystem, openFiles: new OpenFiles({ fileSystem }) };
  await using layer = await DeltaLayerWriter.create(deltaOptions(disk, { bufferSize: 2000 }));
  for (const { key, lsn, value } of entriesOf(writer)) await layer.put(key, lsn, value);
  return (await layer.finish()).path;
}

describe.each([
  ['with links', undefined],
  ['where there are no links', LINK_UNSUPPORTED],
])('writers of one name, %s', (_, answers) => {
  test('one writer wins with a complete layer, the others get errors', async () => {
    const layers = await Promise.all(WRITERS.map((writer) => writeDelta(entriesOf(writer))));
    const winners = new Set<number>();
    for (const seed of SEEDS) {
      const random = seededChoices(seed);
      const fileSystem = new MemoryFileSystem();
      fileSystem.createDirectory(DIRECTORY);
      fileSystem.intercept = firstOf(answers, randomDelays(seed));
      const settled = await Promise.allSettled(
        WRITERS.map(async (writer) => {
          await turns(random(40));
          return write(fileSystem, writer);
        }),
      );
      fileSystem.intercept = undefined;

      const winner = settled.findIndex(({ status }) => status === 'fulfilled');
      const path = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      expect(path, `seed ${seed}`).toHaveLength(1);
      for (const one of settled) {
        if (one.status === 'fulfilled') continue;
        expect(one.reason, `seed ${seed}`).toBeInstanceOf(StorageError);
        expect(one.reason.code, `seed ${seed}`).toBe('exists');
        expect(one.reason.outcome ?? 'not-applied').toBe('not-applied');
      }
      for (const disk of [fileSystem, fileSystem.crash(loseEverything)]) {
        const { bytes = new Uint8Array() } = layers[winner] ?? {};
        expect(Buffer.compare(disk.contentOf(path[0] ?? ''), bytes), `seed ${seed}`).toBe(0);
      }
      expect(fileSystem.paths(), `seed ${seed}`).toEqual(path);
      expect(fileSystem.openCount).toBe(0);
      winners.add(winner);
    }
    expect(winners.size).toBe(WRITERS.length);
  });
});
