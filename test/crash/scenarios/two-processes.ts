/**
 * Processes that know nothing of each other, over one disk: both overwrite one file, or one removes
 * leftovers while the other writes.
 */
import type { StorageError } from '../../../src/errors.ts';
import type { FileSystem } from '../../../src/virtual-file/file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { removeLeftovers } from '../../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../../src/write-once/overwrite.ts';
import { leftoverName, ownerThat } from '../../support/leftovers.ts';
import { asProcess } from '../../support/processes.ts';
import {
  between,
  type Disk,
  drawSeed,
  firstOf,
  LINK_UNSUPPORTED,
  type MakeScenario,
  randomBytes,
  randomDelays,
  succeeds,
} from '../scenario.ts';
import { createBystanders, DATA } from './bystanders.ts';
import { deltaWrite, finishing, readLayer, written } from './layers.ts';

const PATH = `${DATA}/file`;

/** The disk as a process of its own has it. */
export function diskOf<
  D extends { readonly fileSystem: FileSystem; readonly openFiles?: OpenFiles },
>(disk: D, process: number): D & { readonly openFiles: OpenFiles } {
  const fileSystem = asProcess(disk.fileSystem, process);
  const onFatalError = (error: StorageError) => disk.openFiles?.noteError(error);
  return { ...disk, fileSystem, openFiles: new OpenFiles({ fileSystem, onFatalError }) };
}

export const twoProcesses: MakeScenario = async (random) => {
  const old = randomBytes(random, between(random, 0, 9000));
  const contents = Array.from({ length: 2 }, () =>
    Array.from({ length: between(random, 1, 2) }, () =>
      randomBytes(random, between(random, 0, 9000)),
    ),
  );
  const hasLeftover = random(2) === 0;
  const seed = drawSeed(random);
  return {
    kind: 'two-processes',
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      fileSystem.createFile(PATH, old);
      ledger.settle(PATH, old);
      const name = leftoverName('file', ownerThat('ended', fileSystem));
      if (hasLeftover) fileSystem.createFile(`${DATA}/${name}`, old);
    },
    run: async (disk) => {
      await Promise.all(
        contents.map(async (ofProcess, process) => {
          const { openFiles, ledger, signal } = diskOf(disk, process);
          for (const content of ofProcess) {
            await ledger.attempt(
              PATH,
              content,
              () => overwriteFile(PATH, content, { openFiles, signal }),
              { races: true },
            );
          }
        }),
      );
    },
    read: async () => {},
    intercept: () => randomDelays(seed),
  };
};

export const removalBesideWriter: MakeScenario = async (random) => {
  const write = deltaWrite(random);
  const layer = await written(write);
  const content = randomBytes(random, between(random, 0, 9000));
  const hasLinks = random(3) > 0;
  const seed = drawSeed(random);
  const writeLayer = (disk: Disk) =>
    succeeds(async () => {
      const unfinished = await write(disk);
      await finishing(disk, layer, unfinished);
      await unfinished.close();
    });
  return {
    kind: 'removal-beside-writer',
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      ledger.settle(layer.path, undefined);
      for (const owner of ['ended', 'unknown'] as const) {
        const name = leftoverName('file', ownerThat(owner, fileSystem));
        fileSystem.createFile(`${DATA}/${name}`, content);
      }
    },
    run: async (disk) => {
      const writer = diskOf(disk, 1);
      const { openFiles, signal } = diskOf(disk, 2);
      await Promise.all([
        writeLayer(writer),
        disk.ledger.attempt(PATH, content, () => overwriteFile(PATH, content, { ...writer })),
        succeeds(async () => {
          for (let round = 0; round < 3; round += 1) {
            await removeLeftovers(DATA, { openFiles, signal });
          }
        }),
      ]);
    },
    read: async (path, openFiles) => {
      if (path === layer.path) await readLayer(path, openFiles);
    },
    intercept: () => firstOf(hasLinks ? undefined : LINK_UNSUPPORTED, randomDelays(seed)),
  };
};
