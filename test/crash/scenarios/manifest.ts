/**
 * A layer that is written with its manifest: the manifest is there only if the layer is. The manifest of a file alone, and
 * a mended copy of a file.
 */
import { basename } from 'node:path';
import { isStorageError } from '../../../src/errors.ts';
import { checkManifest } from '../../../src/manifest/check-manifest.ts';
import { encodeManifest, formatManifestName } from '../../../src/manifest/manifest-format.ts';
import { mendFile } from '../../../src/manifest/mend.ts';
import { makeManifest, readManifest, writeManifest } from '../../../src/manifest/sidecar.ts';
import { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import type { Ledger } from '../ledger.ts';
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
import {
  deltaWrite,
  type Layer,
  randomEntries,
  readLayer,
  type Unfinished,
  type Write,
  writing,
  written,
} from './layers.ts';

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

const ELSEWHERE = '/elsewhere';

/** Puts a file into a directory of its own, where it is only read. */
function creating(path: string, content: Uint8Array) {
  return (fileSystem: MemoryFileSystem, ledger: Ledger): void => {
    fileSystem.createDirectory(ELSEWHERE);
    fileSystem.createFile(path, content);
    ledger.settle(path, content);
  };
}

export const manifestAlone: MakeScenario = async (random) => {
  const { path: layerPath, content } = await written(deltaWrite(random));
  const path = `${ELSEWHERE}/${basename(layerPath)}`;
  const create = creating(path, content);
  const target = `${DATA}/${formatManifestName(basename(path))}`;
  const write: Write = async ({ openFiles, signal }) => {
    const manifest = await makeManifest(path, { openFiles, signal });
    const { length: size } = Buffer.concat([...encodeManifest(manifest)]);
    return {
      finish: async () => {
        await writeManifest(target, manifest, { openFiles, signal });
        return { path: target, size };
      },
      close: async () => {},
    };
  };
  const sidecar = await written(write, create);
  return {
    ...writing('manifest', random, write, sidecar, { create }),
    read: async (found, openFiles) => {
      if (found !== target) return;
      const manifest = await readManifest(found, { openFiles });
      if (!(await checkManifest(path, manifest, { openFiles })).ok) throw new Error(found);
    },
  };
};

export const mended: MakeScenario = async (random) => {
  const { path: layerPath, content } = await written(deltaWrite(random));
  const path = `${ELSEWHERE}/${basename(layerPath)}`;
  const target = `${DATA}/${basename(path)}`;
  const damaged = Uint8Array.from(content);
  const at = random(damaged.length);
  damaged[at] = (damaged[at] ?? 0) ^ (1 << random(8));
  const create = creating(path, damaged);
  const manifest = await manifestOf(target, content);
  const write: Write = async ({ openFiles, signal }) => ({
    finish: () => mendFile(path, manifest, target, { openFiles, signal }),
    close: async () => {},
  });
  const file = await written(write, create);
  return writing('mended', random, write, file, { create, end: 'finish' });
};

async function manifestOf(path: string, content: Uint8Array) {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createDirectory(DATA);
  fileSystem.createFile(path, content);
  return makeManifest(path, { openFiles: new OpenFiles({ fileSystem }) });
}

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
