/** Layers that are written and scanned past the system's cache. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import { formatKey } from '../../../src/layers/key.ts';
import type { LayerEntry } from '../../../src/layers/layer-file/entry-batch.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import type { MemoryFileSystemOptions } from '../../../src/testing/memory-options.ts';
import type { IoMode } from '../../../src/virtual-file/file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import {
  blockKey,
  DIRECTORY,
  deltaOptions,
  drain,
  IDS,
  IMAGE_LSN,
  imageOptions,
  LSN_RANGE,
  type MemoryDisk,
  noise,
} from '../../support/layers.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

interface Place extends Partial<MemoryDisk> {
  readonly ioMode: IoMode;
  readonly directory?: string;
  readonly bufferSize: number;
}

const ENTRIES = 300;

/** By name: writes a layer, and returns its path. */
const WRITES: Record<string, (place: Place) => Promise<string>> = {
  'a delta layer': async ({ fileSystem: _, ...place }) => {
    await using writer = await DeltaLayerWriter.create({ ...deltaOptions(disk()), ...place });
    for (let block = 0; block < ENTRIES; block += 1) {
      const value = { type: 'image', bytes: noise(block * 10, block) } as const;
      await writer.put(blockKey(block), IMAGE_LSN, value);
    }
    return (await writer.finish()).path;
  },
  'an image layer': async ({ fileSystem: _, ...place }) => {
    await using writer = await ImageLayerWriter.create({
      ...imageOptions(disk(), { compression: { kind: 'zstd', level: 1 } }),
      ...place,
    });
    for (let block = 0; block < ENTRIES; block += 1) {
      await writer.put(blockKey(block), noise(3000, block).fill(1, 1000 + block));
    }
    return (await writer.finish()).path;
  },
  'an ephemeral layer': async ({ fileSystem: _, directory = DIRECTORY, ...place }) => {
    const { start: startLsn, end } = LSN_RANGE;
    await using layer = await EphemeralLayer.create({ ...IDS, directory, startLsn, ...place });
    for (let block = 0; block < ENTRIES; block += 1) {
      const value = { type: 'image', bytes: noise(2000, block) } as const;
      await layer.put(blockKey((block * 7) % ENTRIES), startLsn, value);
    }
    await layer.freeze(end);
    return (await layer.writeDelta()).path;
  },
};

const SUPPORT = ['supported', 'refused-at-open', 'refused-at-transfer'] as const;

describe.each(Object.entries(WRITES))('%s', (_, write) => {
  test.each(SUPPORT)(
    'a layer that is written directly is the same, where that is %s',
    async (directTransfers) => {
      const buffered = disk();
      const path = await write({ ...buffered, ioMode: 'buffered', bufferSize: 8192 });
      const direct = disk({ directTransfers });
      let directWrites = 0;
      direct.fileSystem.intercept = ({ kind, direct: isDirect }) => {
        if (kind === 'write' && isDirect) directWrites += 1;
        return undefined;
      };
      expect(await write({ ...direct, ioMode: 'direct', bufferSize: 8192 })).toBe(path);
      const [one, other] = [buffered, direct].map((each) => each.fileSystem.contentOf(path));
      expect(Buffer.compare(one ?? Buffer.of(1), other ?? Buffer.of(2))).toBe(0);
      expect(direct.fileSystem.openCount).toBe(0);
      expect(direct.fileSystem.paths()).toEqual([path]);
      if (directTransfers === 'supported') expect(directWrites).toBeGreaterThan(10);
      if (directTransfers === 'refused-at-open') expect(directWrites).toBe(0);
    },
  );

  test('that is written to the real disk directly is the same', async () => {
    const [one, other] = await Promise.all(
      (['buffered', 'direct'] as const).map(async (ioMode) => {
        const directory = temporaryDirectory();
        const openFiles = OpenFiles.shared();
        return readFileSync(await write({ openFiles, directory, ioMode, bufferSize: 65_536 }));
      }),
    );
    expect(Buffer.compare(one ?? Buffer.of(1), other ?? Buffer.of(2))).toBe(0);
  });

  test.each(SUPPORT)(
    'a layer that is scanned directly has the same entries, where that is %s',
    async (directTransfers) => {
      const written = disk();
      const path = await write({ ...written, ioMode: 'buffered', bufferSize: 8192 });
      const { fileSystem, openFiles } = disk({ directTransfers });
      fileSystem.createFile(path, written.fileSystem.contentOf(path));
      let directReads = 0;
      fileSystem.intercept = ({ kind, direct }) => {
        if (kind === 'read' && direct) directReads += 1;
        return undefined;
      };
      const buffered = await openLayer(path, { openFiles });
      const expected = await contentsOf(buffered.entries());
      await buffered.close();
      expect(directReads).toBe(0);
      const reader = await openLayer(path, { openFiles, ioMode: 'direct' });
      expect(await contentsOf(reader.entries())).toEqual(expected);
      const reverse = reader.entries({ reverse: true });
      expect(await contentsOf(reverse)).toEqual(expected.toReversed());
      expect(await reader.get(blockKey(7), IMAGE_LSN)).toBeDefined();
      await reader.close();
      expect(fileSystem.openCount).toBe(0);
      expect(directReads > 0).toBe(directTransfers !== 'refused-at-open');
    },
  );
});

/** Each entry as one line. */
async function contentsOf(entries: AsyncIterable<LayerEntry>): Promise<string[]> {
  const all = await drain(entries);
  return all.map(({ key, lsn, bytes }) => {
    const content = createHash('sha256').update(bytes).digest('hex');
    return `${formatKey(key)} ${lsn} ${content}`;
  });
}

function disk(options: MemoryFileSystemOptions = {}): MemoryDisk {
  const fileSystem = new MemoryFileSystem(options);
  fileSystem.createDirectory(DIRECTORY);
  return { fileSystem, openFiles: new OpenFiles({ fileSystem }) };
}
