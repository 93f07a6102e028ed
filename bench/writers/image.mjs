/** Image layers of ascending keys. */
import { ImageLayerWriter, maximumKey, minimumKey } from '../../dist/layers.js';
import { IDS, newKeys, START_LSN, setBlock } from '../inputs/keys.mjs';

/** Returns: the finished layer. */
export async function writeImage(directory, { pages, count, compression, lsn = START_LSN }) {
  const writer = await ImageLayerWriter.create({
    ...IDS,
    directory,
    keyRange: { start: minimumKey(), end: maximumKey() },
    lsn,
    compression,
  });
  const key = newKeys();
  for (let index = 0; index < count; index += 1) {
    setBlock(key, 0, index);
    const buffered = writer.put(key, pages[index % pages.length]);
    if (buffered !== undefined) await buffered;
  }
  return await writer.finish();
}
