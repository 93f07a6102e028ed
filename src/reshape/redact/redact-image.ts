/**
 * An image without its data. These parts stay:
 *
 *   zeros       an image that is all zero, as a new page is
 *   size        of a relation or a segment: 4 bytes that count blocks, or 8 as an import writes them
 *   mark        that a relation exists: the letter `r` under a separate key
 *   header      of a relation's page, if it is one: 24 bytes, whose checksum is recomputed, if there was one.
 *               Its LSN stays up to the LSN of the image
 *
 * The rest is noise, and zeros at the end as far as the original could be compressed.
 */
import type { Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { describeKey, type KeyMeaning } from '../../postgres/key-mapping.ts';
import {
  decodePageHeader,
  PAGE_HEADER_SIZE,
  PAGE_SIZE,
  pageChecksum,
} from '../../postgres/page.ts';
import type { Filler } from './filler.ts';

/** Constants of a page header; see `postgres/page.ts`. */
const CHECKSUM_OFFSET = 8;
const LAYOUT_VERSION = 4;
const KNOWN_FLAGS = 0b111;
/** A pageserver writes sizes of 4 bytes; an import writes 8, of which 4 are read and 4 are zero. */
const SIZE_LENGTH = 4;
const IMPORTED_SIZE_LENGTH = 8;
/** First byte of the keys that relations have once they have moved out of their directory. */
const MOVED_RELATIONS = 0x65;
/** The only value of such a key, apart from an empty one. */
const EXISTS = 'r'.charCodeAt(0);

export interface RedactedPlace {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly filler: Filler;
}

/** Overwrites an image in place. `noiseLength`: bytes that do not compress. */
export function redactImage(
  image: Uint8Array,
  { key, lsn, filler }: RedactedPlace,
  noiseLength = image.length,
): void {
  if (image.every((byte) => byte === 0)) return;
  const meaning = describeKey(key);
  if (isSize(meaning, image) || isMark(key, image)) return;
  const hasHeader = meaning.kind === 'rel_block' && isPage(image, lsn);
  const header = hasHeader ? PAGE_HEADER_SIZE : 0;
  const noiseEnd = Math.min(image.length, Math.max(header, noiseLength));
  filler.noise(image.subarray(header, noiseEnd));
  image.fill(0, noiseEnd);
  if (hasHeader) setChecksum(image, meaning.blkno);
}

function isSize({ kind }: KeyMeaning, image: Uint8Array): boolean {
  if (kind !== 'rel_size' && kind !== 'slru_size') return false;
  if (image.length === SIZE_LENGTH) return true;
  const rest = image.subarray(SIZE_LENGTH);
  return image.length === IMPORTED_SIZE_LENGTH && rest.every((byte) => byte === 0);
}

function isMark([field1]: Key, image: Uint8Array): boolean {
  return field1 === MOVED_RELATIONS && image.length === 1 && image[0] === EXISTS;
}

/** Whether the header is one that Postgres writes, so that data is not mistaken for a header. */
function isPage(image: Uint8Array, lsn: Lsn): boolean {
  if (image.length !== PAGE_SIZE) return false;
  const header = decodePageHeader(image);
  const { lower, upper, special, pageSize, layoutVersion, flags } = header;
  return (
    pageSize === PAGE_SIZE &&
    layoutVersion === LAYOUT_VERSION &&
    (flags & ~KNOWN_FLAGS) === 0 &&
    lower >= PAGE_HEADER_SIZE &&
    lower <= upper &&
    upper <= special &&
    special <= PAGE_SIZE &&
    header.lsn <= lsn
  );
}

function setChecksum(page: Uint8Array, blkno: number): void {
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  if (view.getUint16(CHECKSUM_OFFSET, true) === 0) return;
  view.setUint16(CHECKSUM_OFFSET, pageChecksum(page, blkno), true);
}
