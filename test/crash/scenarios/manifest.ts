/** A layer that is written with its manifest: the manifest is there only if the layer is. */
import { isStorageError } from '../../../src/errors.ts';
import { checkManifest } from '../../../src/manifest/check-manifest.ts';
import { readManifest } from '../../../src/manifest/sidecar.ts';
import { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import {
  type Disk,
  drawSeed,
  firstOf,
  LINK_UNSUPPORTED,
  type MakeScenario,
  shortWrites,
  succeeds,
} from '../scenario.ts';
import { createBystanders, createLeftovers, DATA } from './bystanders.ts';
import { deltaWrite, type Layer, randomEntries, readLayer, type Unfinished } from './layers.ts';

export const deltaWithManifest: MakeScenario = async (random) => {
  const write = deltaWrite(random, randomEntries(random), { manifest: true });
  const { layer, manifest } = await writtenPair(write);
  const end = random(8) === 0 ? 'abandon' : 'finish';
  const hasLinks = random(5) > 0;
  const hasLeftovers = random(4) === 0;
  const writesShort = random(3) === 0;
  const seed = drawSeed(random);
  return {
    kind: 'delta-with-manifest',
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      ledger.settle(layer.path, undefined);
      ledger.settle(manifest.path, undefined);
      if (hasLeftovers) createLeftovers(fileSystem, seed);
    },
    run: async (disk) => {
      await succeeds(async () => {
        const unfinished = await write(disk);
        if (end === 'finish') await finishingBoth(disk, { layer, manifest }, unfinished);
        await unfinished.close();
      });
    },
    read: async (path, openFiles) => {
      if (path === layer.path) await readLayer(path, openFiles);
      if (path !== manifest.path) return;
      // Throws if the layer is not there.
      const report = await checkManifest(layer.path, await readManifest(path, { openFiles }), {
        openFiles,
      });
      if (!report.ok) throw new Error(`${path}: ${JSON.stringify(report.findings)}`);
    },
    readsEveryState: true,
    intercept: () =>
      firstOf(hasLinks ? undefined : LINK_UNSUPPORTED, writesShort ? shortWrites(seed) : undefined),
  };
};

interface Pair {
  readonly layer: Layer;
  readonly manifest: Layer;
}

/** Both as they are written when nothing happens. */
async function writtenPair(
  write: (disk: Pick<Disk, 'openFiles' | 'signal'>) => Promise<Unfinished>,
): Promise<Pair> {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory(DATA);
  const unfinished = await write({ openFiles: new OpenFiles({ fileSystem }) });
  const { path, manifestPath = '' } = await unfinished.finish();
  await unfinished.close();
  const fileAt = (name: string): Layer => ({ path: name, content: fileSystem.contentOf(name) });
  return { layer: fileAt(path), manifest: fileAt(manifestPath) };
}

/** The outcome of the error is that of the layer; once that is durable, the manifest is in doubt. */
async function finishingBoth(
  { ledger }: Disk,
  { layer, manifest }: Pair,
  unfinished: Pick<Unfinished, 'finish'>,
): Promise<void> {
  const finish = async (): Promise<void> => {
    let failure: unknown;
    await ledger.attempt(
      manifest.path,
      manifest.content,
      async () => {
        try {
          await unfinished.finish();
        } catch (error) {
          failure = error;
          if (!isStorageError(error)) throw error;
          throw error.with({ outcome: error.outcome === 'durable' ? 'in-doubt' : 'not-applied' });
        }
      },
      { creates: true },
    );
    if (failure !== undefined) throw failure;
  };
  await ledger.attempt(layer.path, layer.content, finish, { creates: true });
}
