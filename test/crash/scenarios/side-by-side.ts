/**
 * Several operations at once, each step of which takes its own time: two writers that finish the
 * same name, and overwrites of the same file and of another.
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
import { createBystanders, DATA } from './bystanders.ts';
import { deltaWrite, finishing, type Layer, readLayer, type Write, written } from './layers.ts';

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
