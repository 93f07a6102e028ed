/** A directory of many image layers, and a list of their paths. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { START_LSN } from '../inputs/keys.mjs';
import { writeImage } from './image.mjs';

export const IMAGE_LAYER_COUNT = 1000;

/** 512 KiB of pages. */
const PAGE_COUNT = 64;

/** Returns: the path of the list. */
export async function writeImages(directory, { pages, count }) {
  const compression = { kind: 'zstd', level: 1 };
  const paths = [];
  for (let at = 0; at < count; at += 1) {
    const lsn = START_LSN + BigInt(at);
    const { path } = await writeImage(directory, { pages, count: PAGE_COUNT, compression, lsn });
    paths.push(path);
  }
  const list = join(directory, 'list');
  writeFileSync(list, `${paths.join('\n')}\n`);
  return list;
}
