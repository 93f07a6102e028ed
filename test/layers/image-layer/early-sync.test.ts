/** While pages are compressed, the device has time: what is written is synced sooner. */
import { expect, test } from 'vitest';
import {
  ImageLayerWriter,
  type ImageWriteOptions,
} from '../../../src/layers/image-layer/writer.ts';
import { blockKey, imageOptions, memoryDisk, noise } from '../../support/layers.ts';

const MIB = 1024 * 1024;

test.each<[string, Partial<ImageWriteOptions>, number]>([
  ['every 8 MiB where images are compressed', { compression: { kind: 'zstd', level: 1 } }, 2],
  ['every 16 MiB where they are not', { compression: { kind: 'none' } }, 1],
  ['as often as it is told to', { syncEvery: 4 * MIB }, 4],
  ['not by itself where transfers are direct', { ioMode: 'direct' }, 0],
])('18 MiB are synced beside the writing: %s', async (_, options, expected) => {
  const disk = memoryDisk();
  let syncs = 0;
  disk.fileSystem.intercept = ({ kind }) => {
    if (kind === 'sync-data') syncs += 1;
    return undefined;
  };
  await using writer = await ImageLayerWriter.create(imageOptions(disk, options));
  for (let block = 0; block < 18; block += 1) {
    await writer.put(blockKey(block), noise(MIB - 8, block));
  }
  await writer.finish();
  expect(syncs).toBe(expected);
});
