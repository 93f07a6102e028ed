/**
 * Value of a size key (relation fork or SLRU segment): page count, u32 little-endian. The fast import of a
 * pageserver writes a u64.
 */
import { checkBytes } from '../check-options.ts';
import { corrupt, StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';

const RELATION_SIZE_LENGTH = 4;
const LONG_SIZE_LENGTH = 8;

/**
 * Encodes the value of a size key.
 *
 * @param pageCount 0 to 0xffff_ffff.
 * @throws `out-of-range`.
 */
export function encodeRelationSize(pageCount: number): Uint8Array {
  if (!Number.isInteger(pageCount) || pageCount < 0 || pageCount > 0xffff_ffff) {
    throw new StorageError('out-of-range', {
      what: 'page count',
      expected: '0 to 4294967295',
      actual: valueText(pageCount),
    });
  }
  const bytes = new Uint8Array(RELATION_SIZE_LENGTH);
  new DataView(bytes.buffer).setUint32(0, pageCount, true);
  return bytes;
}

/**
 * Decodes the value of a size key.
 *
 * @returns Number of pages.
 * @throws `corrupt` unless there are 4 bytes, or 8 whose number fits into 4.
 */
export function decodeRelationSize(bytes: Uint8Array): number {
  checkBytes(bytes, 'relation size');
  const { byteOffset, length } = bytes;
  if (length !== RELATION_SIZE_LENGTH && length !== LONG_SIZE_LENGTH) {
    throw corruptSize(`${RELATION_SIZE_LENGTH} bytes`, `${length}`);
  }
  const view = new DataView(bytes.buffer, byteOffset, length);
  if (length === LONG_SIZE_LENGTH && view.getUint32(RELATION_SIZE_LENGTH, true) !== 0) {
    throw corruptSize('at most 4294967295 pages', `${view.getBigUint64(0, true)}`);
  }
  return view.getUint32(0, true);
}

function corruptSize(expected: string, actual: string): StorageError {
  return corrupt('relation size', undefined, expected, actual);
}
