import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import type { FinishedLayer } from '../../../src/layers/layer-file/layer-writer.ts';
import { makeManifest, readManifest } from '../../../src/manifest/sidecar.ts';
import {
  blockKey,
  type DeltaEntry,
  DIRECTORY,
  deltaOptions,
  imageOptions,
  LSN_RANGE,
  type MemoryDisk,
  memoryDisk,
  namesOn,
  noise,
} from '../../support/layers.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

const BLOCKS = Array.from({ length: 40 }, (_, block) => block);

async function writeDelta(disk: MemoryDisk, bufferSize?: number): Promise<FinishedLayer> {
  await using writer = await DeltaLayerWriter.create(
    deltaOptions(disk, { manifest: true, bufferSize }),
  );
  for (const block of BLOCKS) {
    const value: DeltaEntry['value'] = { type: 'image', bytes: noise(900, block) };
    await writer.put(blockKey(block), LSN_RANGE.start, value);
  }
  return writer.finish();
}

describe('a layer that is written with its manifest', () => {
  test.each([100, 8192, 10_000, undefined])(
    'a layer that is written with its manifest in buffers of %s bytes has the one that is made of it',
    async (size) => {
      const disk = memoryDisk();
      const { path, name, manifestPath } = await writeDelta(disk, size);
      expect(manifestPath).toBe(`${DIRECTORY}/manifest-${name}`);
      const { openFiles } = disk;
      const manifest = await readManifest(manifestPath ?? '', { openFiles });
      expect(manifest).toEqual(await makeManifest(path, { openFiles }));
      const content = disk.fileSystem.contentOf(path);
      expect(manifest.sha256).toBe(createHash('sha256').update(content).digest('hex'));
      expect(namesOn(disk).sort()).toEqual([name, `manifest-${name}`]);
    },
  );

  test('a layer that is written with its manifest is the same as without, also compressed and written directly', async () => {
    const contents: Uint8Array[] = [];
    for (const manifest of [true, false]) {
      const disk = memoryDisk();
      const compression = { kind: 'zstd', level: 1 } as const;
      const options = { compression, manifest, ioMode: 'direct' } as const;
      await using writer = await ImageLayerWriter.create(imageOptions(disk, options));
      for (const block of BLOCKS) await writer.put(blockKey(block), noise(900, block).fill(1, 100));
      const { path, manifestPath } = await writer.finish();
      expect(manifestPath === undefined).toBe(!manifest);
      contents.push(disk.fileSystem.contentOf(path));
      const { openFiles } = disk;
      if (manifestPath === undefined) continue;
      expect(await readManifest(manifestPath, { openFiles })).toEqual(
        await makeManifest(path, { openFiles }),
      );
    }
    expect(contents[0]).toEqual(contents[1]);
  });

  test('a layer that is written with its manifest is refused before anything is written if there is a manifest of that name', async () => {
    const disk = memoryDisk();
    const { name } = await writeDelta(memoryDisk());
    const path = `${DIRECTORY}/manifest-${name}`;
    disk.fileSystem.createFile(path, Uint8Array.of(1));
    const error = await storageErrorOf(
      DeltaLayerWriter.create(deltaOptions(disk, { manifest: true })),
    );
    expect(error).toMatchObject({ code: 'exists', path });
    expect(namesOn(disk)).toEqual([`manifest-${name}`]);
  });

  test('a layer that is written with its manifest takes no name if a manifest appears meanwhile', async () => {
    const disk = memoryDisk();
    await using writer = await DeltaLayerWriter.create(deltaOptions(disk, { manifest: true }));
    await writer.put(blockKey(1), LSN_RANGE.start, { type: 'image', bytes: noise(9, 1) });
    const { name } = await writeDelta(memoryDisk());
    disk.fileSystem.createFile(`${DIRECTORY}/manifest-${name}`, Uint8Array.of(1));
    const error = await storageErrorOf(writer.finish());
    expect(error).toMatchObject({ code: 'exists', outcome: 'not-applied' });
    expect(namesOn(disk)).toEqual([`manifest-${name}`]);
  });

  test('a layer that is written with its manifest is refused if it is not what was written', async () => {
    const disk = memoryDisk();
    await using writer = await DeltaLayerWriter.create(
      deltaOptions(disk, { manifest: true, bufferSize: 8192 }),
    );
    for (const block of BLOCKS) {
      await writer.put(blockKey(block), LSN_RANGE.start, {
        type: 'image',
        bytes: noise(900, block),
      });
    }
    const [temporary = ''] = disk.fileSystem.paths();
    const content = Uint8Array.from(disk.fileSystem.contentOf(temporary));
    expect(content.length).toBeGreaterThan(3 * 8192);
    const file = await disk.openFiles.fileSystem.open(temporary, { read: true, write: true });
    await file.write(Uint8Array.of((content[9000] ?? 0) ^ 1), 9000);
    await file.close();
    const error = await storageErrorOf(writer.finish());
    expect(error).toMatchObject({ code: 'corrupt', offset: 8192, outcome: 'not-applied' });
    expect(namesOn(disk)).toEqual([]);
  });

  test('a layer that is written with its manifest needs a flag that is true or false', async () => {
    const options = JSON.parse('{"manifest":"yes"}');
    const refused = DeltaLayerWriter.create(deltaOptions(memoryDisk(), options));
    expect((await storageErrorOf(refused)).code).toBe('invalid-input');
  });
});
