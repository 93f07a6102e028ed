/** WAL of Postgres 14 to 17: records, blocks and page images. */
export { restoreBlockImage } from '../wal/block-image.ts';
export {
  type BlockImage,
  type BlockImageCompression,
  type BlockReference,
  decodeWalRecord,
  recordChecksum,
  WAL_RECORD_HEADER_SIZE,
  type WalRecord,
} from '../wal/record-format.ts';
