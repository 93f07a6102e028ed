/**
 * Processes over one disk, each step of which takes its own time: none is refused because another one
 * is at work, and none takes away what another one is writing.
 */
import { describe, expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { loseEverything } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { blockKey, DIRECTORY, deltaOptions, IDS, LSN_RANGE } from '../support/layers.ts';
import { leftoverName, ownerThat } from '../support/leftovers.ts';
import { rounds } from '../support/rounds.ts';
import { randomDelays } from './scenario.ts';
import { diskOf } from './scenarios/two-processes.ts';

const SEEDS = Array.from({ length: rounds(100) }, (_, seed) => seed + 1);
const PATH = `${DIRECTORY}/file`;

function machine(seed: number) {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory(DIRECTORY);
  fileSystem.intercept = randomDelays(seed);
  return { fileSystem, processes: [1, 2, 3].map((number) => diskOf({ fileSystem }, number)) };
}

function textOf(fileSystem: MemoryFileSystem): string {
  return new TextDecoder().decode(fileSystem.contentOf(PATH));
}

describe('processes that overwrite one file', () => {
  test('all succeed; the file has one complete content at any time, and nothing is left over', async () => {
    const last = new Set<string>();
    for (const seed of SEEDS) {
      const { fileSystem, processes } = machine(seed);
      const seen = new Set<string>();
      await Promise.all(
        processes.map(async ({ openFiles }, process) => {
          for (let version = 0; version < 3; version += 1) {
            await overwriteFile(PATH, `${process}${version}`.repeat(1000), { openFiles });
            seen.add(textOf(fileSystem));
          }
        }),
      );
      for (const text of seen) expect(text, `seed ${seed}`).toMatch(/^(\d\d)\1{999}$/);
      expect(fileSystem.paths(), `seed ${seed}`).toEqual([PATH]);
      const durable = textOf(fileSystem.crash(loseEverything));
      expect(durable).toBe(textOf(fileSystem));
      last.add(durable.slice(0, 1));
    }
    expect(last.size).toBe(3);
  });

  test('a process whose temporary file is removed gets an error, and has changed nothing', async () => {
    let told = 0;
    for (const seed of SEEDS) {
      const { fileSystem, processes } = machine(seed);
      const [one, two] = processes;
      await overwriteFile(PATH, 'old', { openFiles: one?.openFiles });
      // As another container does that can tell nothing of this one.
      const stateOf = (): 'unknown' => 'unknown';
      Object.assign(two?.fileSystem.owners ?? {}, { stateOf });
      let isOver = false;
      const overwriting = overwriteFile(PATH, 'new', { openFiles: one?.openFiles }).finally(() => {
        isOver = true;
      });
      const removing = (async () => {
        while (!isOver) await removeLeftovers(DIRECTORY, { openFiles: two?.openFiles });
      })();
      const error = await overwriting.then(
        () => undefined,
        (reason) => reason,
      );
      await removing;
      if (error === undefined) expect(textOf(fileSystem)).toBe('new');
      else {
        told += 1;
        expect(error, `seed ${seed}`).toMatchObject({ code: 'not-found', outcome: 'not-applied' });
        expect(textOf(fileSystem)).toBe('old');
      }
      const durable = textOf(fileSystem.crash(loseEverything));
      expect(durable).toBe(textOf(fileSystem));
    }
    expect(told).toBeGreaterThan(0);
  });
});

test('removing leftovers during writes removes no file of the writer', async () => {
  for (const seed of SEEDS) {
    const { fileSystem, processes } = machine(seed);
    const [one, two, three] = processes;
    if (one === undefined || two === undefined) throw new Error('there are three processes');
    const left = `${DIRECTORY}/${leftoverName('x', ownerThat('ended', fileSystem))}`;
    fileSystem.createFile(left, new Uint8Array(9));
    const disk = { fileSystem, openFiles: one.openFiles };
    const removals = async () => {
      for (let round = 0; round < 6; round += 1)
        await removeLeftovers(DIRECTORY, { openFiles: two.openFiles });
    };
    const scratch = await EphemeralLayer.create({
      directory: DIRECTORY,
      ...IDS,
      startLsn: LSN_RANGE.start,
      openFiles: three?.openFiles,
    });
    const value = { type: 'image', bytes: new Uint8Array(9000) } as const;
    await scratch.put(blockKey(1), LSN_RANGE.start, value);
    const writing = async () => {
      const writer = await DeltaLayerWriter.create(deltaOptions(disk, { bufferSize: 2000 }));
      for (let n = 1; n < 4; n += 1) await writer.put(blockKey(n), LSN_RANGE.start, value);
      return writer.finish();
    };
    const [{ path }] = await Promise.all([
      writing(),
      removals(),
      overwriteFile(PATH, 'new', { openFiles: one?.openFiles }),
    ]);
    expect(fileSystem.paths(), `seed ${seed}`).toEqual([
      path,
      expect.stringMatching(/\/ephemeral-/),
      PATH,
    ]);
    await scratch.close();
  }
});
