/** Value of a size key (relation fork or SLRU segment): page count, u32 little-endian. */
import { checkBytes } from '../check-options.ts';
import { StorageError } from '../errors.ts';

export const RELATION_SIZE_LENGTH = 4;

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
      actual: String(pageCount),
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
 * @throws `corrupt` unless there are 4 bytes.
 */
export function decodeRelationSize(bytes: Uint8Array): number {
  checkBytes(bytes, 'relation size');
  if (bytes.length !== RELATION_SIZE_LENGTH) {
    throw new StorageError('corrupt', {
      what: 'relation size',
      expected: `${RELATION_SIZE_LENGTH} bytes`,
      actual: `${bytes.length}`,
    });
  }
  return new DataView(bytes.buffer, bytes.byteOffset, RELATION_SIZE_LENGTH).getUint32(0, true);
}
