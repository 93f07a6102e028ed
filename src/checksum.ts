/** CRC-32C (Castagnoli), the only checksum in these formats. */
import crc32c from 'crc-32/crc32c.js';

/**
 * Returns the CRC-32C of the bytes as an unsigned 32-bit number; that of the package is signed. A running
 * checksum continues from that of the bytes before.
 */
export function crc32cOf(bytes: Uint8Array, before = 0): number {
  return crc32c.buf(bytes, before | 0) >>> 0;
}
