/**
 * Restores a page from the image of a block in a WAL record: decompresses it, and fills the hole with zeros.
 * Its LSN is older than the record, and its checksum is stale.
 */
import { checkBytes, checkCount, checkObject, checkOneOf } from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { PAGE_SIZE } from '../postgres/page.ts';
import { Decompressor } from '../zstd/decompression.ts';
import { decompressLz4 } from './lz4.ts';
import { decompressPglz } from './pglz.ts';
import type { BlockImage } from './record-format.ts';
import { IMAGE_COMPRESSIONS } from './record-scanner.ts';

/** Postgres compresses a page with the default level, whose window is far smaller. */
const MAXIMUM_WINDOW = 8 * 1024 * 1024;

/**
 * Restores the page of an image, as it was stored.
 *
 * @returns 8,192 bytes; a new array.
 * @throws `corrupt`, `truncated`, `too-large`; `io` if there is no decoder of zstd.
 */
export async function restoreBlockImage(image: BlockImage): Promise<Uint8Array> {
  checkImage(image);
  const zstd = image.compression === 'zstd' ? await Decompressor.load() : undefined;
  return restored(image, zstd);
}

/**
 * As `restoreBlockImage`, synchronously.
 *
 * @param zstd From `Decompressor.load()`; only needed for images that zstd compressed.
 * @returns 8,192 bytes; a new array.
 * @throws `corrupt`, `truncated`, `too-large`; `invalid-input` if the decompressor is needed and missing.
 */
export function restoreBlockImageSync(
  image: BlockImage,
  zstd: Decompressor | undefined,
): Uint8Array {
  checkImage(image);
  return restored(image, zstd);
}

function restored(image: BlockImage, zstd: Decompressor | undefined): Uint8Array {
  const { holeOffset, holeLength } = image;
  const raw = decompressed(image, PAGE_SIZE - holeLength, zstd);
  const page = new Uint8Array(PAGE_SIZE);
  page.set(raw.subarray(0, holeOffset));
  page.set(raw.subarray(holeOffset), holeOffset + holeLength);
  return page;
}

/** Images from a record decoder are consistent; those made by callers may not be. */
function checkImage(image: BlockImage): void {
  checkObject('image', image);
  checkBytes(image.bytes, 'image');
  checkCount('hole of the image', image.holeOffset, { to: PAGE_SIZE });
  checkCount('length of the hole', image.holeLength, { to: PAGE_SIZE - image.holeOffset });
  checkOneOf('compression of the image', image.compression, IMAGE_COMPRESSIONS);
}

/** A decoder does not know what it decodes: its errors are amended to name a page image. */
function decompressed(
  image: BlockImage,
  length: number,
  zstd: Decompressor | undefined,
): Uint8Array {
  try {
    return decoded(image, length, zstd);
  } catch (error) {
    if (!isStorageError(error, 'corrupt', 'truncated', 'too-large')) throw error;
    const { what } = error.toPlain().details;
    throw error.with({ what: `${image.compression} page image: ${what}` });
  }
}

function decoded(image: BlockImage, length: number, zstd: Decompressor | undefined): Uint8Array {
  switch (image.compression) {
    case 'none':
      return checkLength(image.bytes, length);
    case 'pglz':
      return decompressPglz(image.bytes, length);
    case 'lz4':
      return decompressLz4(image.bytes, length);
    case 'zstd': {
      if (zstd === undefined) throw noDecompressor();
      const limits = { maximumLength: length, maximumWindowSize: MAXIMUM_WINDOW };
      return checkLength(zstd.decompress(image.bytes, limits), length);
    }
  }
}

function noDecompressor(): StorageError {
  const what = 'image compressed by zstd';
  return new StorageError('invalid-input', { what, expected: 'a loaded Decompressor' });
}

function checkLength(raw: Uint8Array, length: number): Uint8Array {
  if (raw.length === length) return raw;
  throw new StorageError('corrupt', {
    what: 'length',
    expected: `${length} bytes`,
    actual: `${raw.length}`,
  });
}
