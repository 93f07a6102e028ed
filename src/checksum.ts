/** CRC-32C (Castagnoli), the only checksum in these formats. */
import crc32c from 'crc-32/crc32c.js';

/** Returns the CRC-32C of the bytes as an unsigned 32-bit number; that of the package is signed. */
export function crc32cOf(bytes: Uint8Array): number {
  return crc32c.buf(bytes) >>> 0;
}
