/**
 * Several operations at the same time, each step of which may take its own time: two writers that finish the
 * same name, and overwrites of the same file, of another, and by another path.
 */
import { overwriteFile } from '../../../src/write-once/overwrite.ts';
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
import { ALIAS, createBystanders, DATA } from './bystanders.ts';
import { deltaWrite, finishing, type Layer, readLayer, type Write, written } from './layers.ts';

/** Overwrites of files of one directory, to which two paths lead, in step with each other. */
export const twoPaths: MakeScenario = async (random) => {
  const overwrites = Array.from({ length: between(random, 2, 4) }, (_, number) => ({
    name: `file-${number % 3}`,
    directory: number % 2 === 0 ? DATA : ALIAS,
    content: randomBytes(random, between(random, 0, 9000)),
  }));
  const seed = drawSeed(random);
  return {
    kind: 'two-paths',
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      fileSystem.createSymbolicLink(ALIAS, DATA);
    },
    run: async ({ ledger, openFiles, signal }) => {
      await Promise.all(
        overwrites.map(({ name, directory, content }) =>
          ledger.attempt(`${DATA}/${name}`, content, () =>
            overwriteFile(`${directory}/${name}`, content, { openFiles, signal }),
          ),
        ),
      );
    },
    read: async () => {},
    intercept: seed % 2 === 0 ? undefined : () => randomDelays(seed),
  };
};

export const sideBySide: MakeScenario = async (random) => {
  const writes = [deltaWrite(random), deltaWrite(random)];
  const layers: { readonly write: Write; readonly layer: Layer }[] = [];
  for (const write of writes) layers.push({ write, layer: await written(write) });
  const [path = ''] = layers.map(({ layer }) => layer.path);
  const overwrites = ['file', 'file', 'file', 'other'].map((name) => ({
    path: `${DATA}/${name}`,
    content: randomBytes(random, between(random, 0, 9000)),
  }));
  const hasLinks = random(3) > 0;
  const seed = drawSeed(random);

  const writeLayer = (disk: Disk, { write, layer }: { write: Write; layer: Layer }) =>
    succeeds(async () => {
      const unfinished = await write(disk);
      await finishing(disk, layer, unfinished);
      await unfinished.close();
    });
  const overwrite = ({ ledger, openFiles, signal }: Disk, file: (typeof overwrites)[number]) =>
    ledger.attempt(file.path, file.content, () =>
      overwriteFile(file.path, file.content, { openFiles, signal }),
    );

  return {
    kind: 'side-by-side',
    directories: [DATA],
    raced: { path, contents: layers.map(({ layer }) => layer.content) },
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      ledger.settle(path, undefined);
    },
    run: async (disk) => {
      await Promise.all([
        ...layers.map((layer) => writeLayer(disk, layer)),
        ...overwrites.map((file) => overwrite(disk, file)),
      ]);
    },
    read: async (name, openFiles) => {
      if (name === path) await readLayer(name, openFiles);
    },
    intercept: () => firstOf(hasLinks ? undefined : LINK_UNSUPPORTED, randomDelays(seed)),
  };
};
