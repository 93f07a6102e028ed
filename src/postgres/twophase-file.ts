/**
 * A file of pg_twophase: a prepared transaction, little-endian.
 *
 *   0   u32  magic, 0x57F94534
 *   4   u32  length of the file in bytes
 *   8        transaction, locks, and others
 *   -4  u32  CRC-32C of all bytes before it
 *
 * A timeline has it with its checksum if it was imported, and without if it is from WAL.
 * Source: Postgres src/backend/access/transam/twophase.c.
 */
import { checkBytes } from '../check-options.ts';
import { crc32cOf } from '../checksum.ts';
import { corrupt, StorageError } from '../errors.ts';

const MAGIC = 0x57f9_4534;
const HEADER_SIZE = 8;
const CHECKSUM_SIZE = 4;

/**
 * The file of a two-phase value: the value itself, or with the checksum that it lacks.
 *
 * @throws `truncated`, `corrupt` (magic, length, checksum).
 */
export function twophaseFileOf(value: Uint8Array): Uint8Array {
  checkBytes(value, 'two-phase value');
  if (value.length < HEADER_SIZE + CHECKSUM_SIZE) {
    throw new StorageError('truncated', {
      what: 'prepared transaction',
      expected: `${HEADER_SIZE + CHECKSUM_SIZE} bytes or more`,
      actual: `${value.length} bytes`,
    });
  }
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const magic = view.getUint32(0, true);
  if (magic !== MAGIC) {
    throw corrupt('magic number of the prepared transaction', 0, hex(MAGIC), hex(magic));
  }
  const length = view.getUint32(4, true);
  if (value.length === length - CHECKSUM_SIZE) return withChecksum(value);
  if (value.length !== length) {
    const expected = `${value.length}, or ${CHECKSUM_SIZE} more`;
    throw corrupt('length in the prepared transaction', 4, expected, `${length}`);
  }
  const end = length - CHECKSUM_SIZE;
  const stored = view.getUint32(end, true);
  const computed = crc32cOf(value.subarray(0, end));
  if (stored === computed) return value;
  throw corrupt('checksum of the prepared transaction', end, hex(computed), hex(stored));
}

/** Name of the file. */
export function twophaseFileName(xid: bigint, majorVersion: number): string {
  const digits = majorVersion < FULL_XIDS_FROM ? 8 : 16;
  return xid.toString(16).toUpperCase().padStart(digits, '0');
}

/** From here on, transactions are named with their epoch. */
const FULL_XIDS_FROM = 17;

function withChecksum(value: Uint8Array): Uint8Array {
  const file = new Uint8Array(value.length + CHECKSUM_SIZE);
  file.set(value);
  new DataView(file.buffer).setUint32(value.length, crc32cOf(value), true);
  return file;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
