/** A delta and an image layer of a few blocks, written once for the tests of readers. */
import type { Value } from '../../src/layers/value-format.ts';
import { blockKey, LSN_RANGE, noise, writeDelta, writeImages } from './layers.ts';

/** Entries of the delta layer: 500 keys with three LSNs each. */
export const COUNT = 1500;

/** Of two levels. */
export const DELTA = await writeDelta(
  Array.from({ length: COUNT }, (_, index) => ({
    key: blockKey(Math.floor(index / 3)),
    lsn: LSN_RANGE.start + BigInt(index % 3),
    value: image(noise(index % 200, index)),
  })),
);
/** 300 images, every other of them compressed. */
export const IMAGES = await writeImages(
  Array.from({ length: 300 }, (_, block) => ({
    key: blockKey(block),
    image: block % 2 === 0 ? new Uint8Array(5000).fill(block) : noise(300, block),
  })),
  { compression: { kind: 'zstd', level: 1 } },
);

function image(bytes: Uint8Array): Value {
  return { type: 'image', bytes };
}
