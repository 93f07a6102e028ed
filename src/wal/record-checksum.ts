/** The checksum of a WAL record: CRC-32C of the bytes after the header, then of the first 20. */
import { type ChecksummedBytes, crc32cOfRange } from '../checksum.ts';
import { WAL_RECORD_HEADER_SIZE } from './record-scanner.ts';

/** Where a record holds its checksum. */
export const CRC_OFFSET = 20;

/** The checksum of the record at `offset`. Requires: it lies within the bytes, and is not shorter than a header. */
export function recordChecksumIn(bytes: ChecksummedBytes, offset: number, length: number): number {
  const body = bytes.crc32c(offset + WAL_RECORD_HEADER_SIZE, offset + length);
  return bytes.crc32c(offset, offset + CRC_OFFSET, body);
}

/** As `recordChecksumIn`, for a record that fills a view. */
export function recordChecksumOf(view: DataView): number {
  const body = crc32cOfRange(view, {
    from: WAL_RECORD_HEADER_SIZE,
    to: view.byteLength,
    before: 0,
  });
  return crc32cOfRange(view, { from: 0, to: CRC_OFFSET, before: body });
}

/** A checksum, as shown in messages. */
export function checksumText(checksum: number): string {
  return checksum.toString(16).padStart(8, '0');
}
