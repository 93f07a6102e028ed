/**
 * What only reads, and files that are used directly. They change nothing that a ledger would know;
 * what they return is either right or an error.
 */

import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { decodeValue } from '../../../src/layers/value-format.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { TemporaryFile } from '../../../src/virtual-file/temporary-file.ts';
import { VirtualFile } from '../../../src/virtual-file/virtual-file.ts';
import { blockKey, LSN_RANGE } from '../../support/layers.ts';
import {
  closing,
  type Disk,
  type MakeScenario,
  randomBytes,
  type Scenario,
  succeeds,
} from '../scenario.ts';
import { createBystanders, DATA } from './bystanders.ts';
import { deltaWrite, imageWrite, type Layer, randomEntries, written } from './layers.ts';

export const readDelta: MakeScenario = async (random) => {
  const entries = randomEntries(random);
  const layer = await written(deltaWrite(random, entries));
  return onFile('read-delta', layer, async ({ openFiles }) => {
    const opened = await DeltaLayerReader.open(layer.path, { openFiles, blockCache: null });
    await closing(opened, async (reader) => {
      let row = 0;
      for await (const { bytes } of reader.entries()) {
        expectSame(imageOf(bytes), entries[row]?.bytes);
        row += 1;
      }
      expectEqual(row, entries.length);
      for (const { block, bytes } of entries) {
        const found = await reader.get(blockKey(block), LSN_RANGE.end);
        expectSame(found && imageOf(found.bytes), bytes);
      }
    });
  });
};

function imageOf(bytes: Uint8Array): Uint8Array | undefined {
  const value = decodeValue(bytes);
  return value.type === 'image' ? value.bytes : undefined;
}

export const readImages: MakeScenario = async (random) => {
  const entries = randomEntries(random);
  const layer = await written(imageWrite(random, entries));
  return onFile('read-image', layer, async ({ openFiles }) => {
    const opened = await openLayer(layer.path, { openFiles, blockCache: null });
    await closing(opened, async (reader) => {
      const found = await reader.getMany(entries.map(({ block }) => blockKey(block)));
      for (const [row, { bytes }] of entries.entries()) expectSame(found[row]?.bytes, bytes);
      const images: Uint8Array[] = [];
      for await (const { bytes } of reader.entries({ reverse: true })) images.push(bytes);
      expectEqual(images.length, entries.length);
      for (const [row, image] of images.reverse().entries()) expectSame(image, entries[row]?.bytes);
    });
  });
};

/** A disk that fails is no damage of the layer: nothing is said about the layer then. */
export const verifyDelta: MakeScenario = async (random) => {
  const entries = randomEntries(random);
  const layer = await written(deltaWrite(random, entries));
  return onFile('verify', layer, async ({ openFiles, signal }) => {
    const report = await verifyLayer(layer.path, { openFiles, blockCache: null, signal });
    expectEqual(JSON.stringify(report.findings), '[]');
    expectEqual(report.entries, entries.length);
    const opened = await openLayer(layer.path, { openFiles, blockCache: null });
    await closing(opened, async (reader) => {
      let salvaged = 0;
      for await (const item of reader.salvage()) {
        expectEqual(item.kind, 'entry');
        salvaged += 1;
      }
      expectEqual(salvaged, entries.length);
    });
  });
};

/** Uses a file, or none, that nobody changes. */
export function onFile(
  kind: string,
  file: Layer | undefined,
  use: (disk: Pick<Disk, 'openFiles' | 'signal'>) => Promise<void>,
): Scenario {
  return {
    kind,
    directories: [DATA],
    prepare: (fileSystem, ledger) => {
      createBystanders(fileSystem, ledger);
      if (file === undefined) return;
      fileSystem.createFile(file.path, file.content);
      ledger.settle(file.path, file.content);
    },
    run: async (disk) => {
      const succeeded = await succeeds(() => use(disk));
      if (disk.mustSucceed && !succeeded) throw new Error('nothing failed, and yet it did');
    },
    read: async () => {},
  };
}

/** More files than the table has places, so that they are evicted, synced and opened again. */
export const manyFiles: MakeScenario = async (random) => {
  const contents = Array.from({ length: 4 }, (_, number) => ({
    path: `${DATA}/${number}.___temp`,
    content: randomBytes(random, 5000),
  }));
  return {
    kind: 'many-files',
    directories: [DATA],
    prepare: createBystanders,
    run: async ({ openFiles }) => {
      const table = new OpenFiles({
        capacity: 2,
        fileSystem: openFiles.fileSystem,
        onFatalError: (error) => openFiles.noteError(error),
      });
      const files: TemporaryFile[] = [];
      await succeeds(() => useAll(contents, files, table));
      for (const file of files) await succeeds(() => file.abandon());
    },
    read: async () => {},
  };
};

async function useAll(
  contents: readonly { readonly path: string; readonly content: Uint8Array }[],
  files: TemporaryFile[],
  openFiles: OpenFiles,
): Promise<void> {
  for (const { path } of contents) files.push(await TemporaryFile.create(path, { openFiles }));
  for (const half of [0, 2500]) {
    for (const [number, { content }] of contents.entries()) {
      await files[number]?.file.writeAllAt(content.subarray(half, half + 2500), half);
    }
  }
  for (const [number, { path, content }] of contents.entries()) {
    await files[number]?.file.syncData();
    await closing(await VirtualFile.open(path, { read: true, openFiles }), async (again) => {
      expectSame(await again.readToEnd({ maximumLength: 9000 }), content);
      await files[number]?.file.setLength(100);
      await files[number]?.file.sync();
      expectEqual((await again.stat()).size, 100);
    });
  }
}

export function expectSame(actual: Uint8Array | undefined, expected: Uint8Array | undefined): void {
  const isSame = actual !== undefined && expected !== undefined;
  if (!isSame || Buffer.compare(actual, expected) !== 0) throw new Error('other bytes');
}

export function expectEqual<T>(actual: T, expected: T): void {
  if (actual !== expected) throw new Error(`${actual} instead of ${expected}`);
}
