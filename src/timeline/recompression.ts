/** The space that images would take at other levels of compression, measured on a sample of them. */
import { blobHeaderSize } from '../blob-writer/blob-format.ts';
import { type Compressor, loadCompressor } from '../zstd/compression.ts';

/** How images are stored: a level of zstd, or not compressed. */
export type CompressionChoice = number | 'none';

/** The size of the sample with one choice. */
export interface Recompressed {
  readonly choice: CompressionChoice;
  readonly entries: number;
  readonly bytes: number;
  /** With the headers of the blobs. */
  readonly storedBytes: number;
  /** Compression alone, on one thread. */
  readonly milliseconds: number;
}

const MAXIMUM_IMAGES = 1024;
const MAXIMUM_BYTES = 32 * 1024 * 1024;

/**
 * A sample of images at equal distances: whenever there are too many, every second one is dropped, and from then on
 * only half as many are added.
 */
export class ImageSample {
  #images: Uint8Array[] = [];
  #bytes = 0;
  #distance = 1;
  #seen = 0;

  /** Copies the image if it belongs to the sample. */
  add(bytes: Uint8Array): void {
    const isTaken = this.#seen % this.#distance === 0;
    this.#seen += 1;
    if (!isTaken || bytes.length > MAXIMUM_BYTES) return;
    this.#images.push(bytes.slice());
    this.#bytes += bytes.length;
    while (this.#images.length > MAXIMUM_IMAGES || this.#bytes > MAXIMUM_BYTES) this.#thin();
  }

  get images(): readonly Uint8Array[] {
    return this.#images;
  }

  #thin(): void {
    this.#images = this.#images.filter((_, index) => index % 2 === 0);
    this.#bytes = this.#images.reduce((sum, image) => sum + image.length, 0);
    this.#distance *= 2;
  }
}

/** Compresses the images as a writer does: one that does not become smaller stays uncompressed. */
export async function recompress(
  images: readonly Uint8Array[],
  choice: CompressionChoice,
): Promise<Recompressed> {
  const compressor = choice === 'none' ? undefined : await loadCompressor(choice);
  const start = performance.now();
  let bytes = 0;
  let storedBytes = 0;
  for (const image of images) {
    bytes += image.length;
    storedBytes += blobHeaderSize(image.length) + storedLength(image, compressor);
  }
  const milliseconds = performance.now() - start;
  return { choice, entries: images.length, bytes, storedBytes, milliseconds };
}

function storedLength(image: Uint8Array, compressor: Compressor | undefined): number {
  if (compressor === undefined) return image.length;
  return Math.min(compressor.compressSync(image).length, image.length);
}
