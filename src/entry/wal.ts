/** WAL of Postgres 14 to 17: segments, records, blocks and page images. */

export type { ByteSource, ReadRangesOptions } from '../blob-writer/byte-source.ts';
export type { ReadRange } from '../blob-writer/read-range.ts';
export type { ViewedBytes } from '../byte-words.ts';
export type { Outcome, StorageError, StorageErrorCode, StorageErrorDetails } from '../errors.ts';
export { STORAGE_ERROR_CODES } from '../errors.ts';
export type { Lsn } from '../layers/lsn.ts';
export type {
  CommonPrefix,
  ObjectInfo,
  ObjectListOptions,
  ObjectPutOptions,
  ObjectReadOptions,
  ObjectRequestOptions,
  ObjectStart,
  ObjectStore,
} from '../object-store/object-store.ts';
export type {
  DirectoryEntry,
  FileKind,
  FileStat,
  FileSystem,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from '../virtual-file/file-system.ts';
export type { OpenFiles, OpenFilesOptions } from '../virtual-file/open-files.ts';
export { restoreBlockImage, restoreBlockImageSync } from '../wal/block-image.ts';
export {
  type DescribeOptions,
  describeWalRecord,
  type RecordDescription,
} from '../wal/describe/describe.ts';
export type { TimeStyle } from '../wal/describe/time.ts';
export { formatWaldumpLine, type RecordPlace } from '../wal/describe/waldump-line.ts';
export type { HeapRecord } from '../wal/heap-dialect.ts';
export {
  type DetectedDialect,
  HEAP_DIALECTS,
  type HeapDialect,
  heapDialectOf,
} from '../wal/heap-dialect.ts';
export {
  decodeWalPageHeader,
  LONG_PAGE_HEADER_SIZE,
  SHORT_PAGE_HEADER_SIZE,
  WAL_PAGE_SIZE,
  type WalPageHeader,
  type WalSegmentHeader,
} from '../wal/page-format.ts';
export type { WalRecordBatch } from '../wal/record-batch.ts';
export {
  type BlockImage,
  type BlockReference,
  decodeWalRecord,
  recordChecksum,
  scannedImage,
  type WalRecord,
} from '../wal/record-format.ts';
export {
  type BlockImageCompression,
  IMAGE_COMPRESSIONS,
  RecordScanner,
  WAL_RECORD_HEADER_SIZE,
} from '../wal/record-scanner.ts';
export {
  type RecordKind,
  recordTypeOf,
  resourceManagerName,
  resourceManagers,
} from '../wal/resource-managers.ts';
export {
  formatTimelineHistoryName,
  formatWalSegmentName,
  parseWalFileName,
  startOfWalSegment,
  type WalFileName,
  type WalSegmentName,
} from '../wal/segment-name.ts';
export { decodeTimelineHistory, type TimelineAncestor } from '../wal/timeline-history.ts';
export type { WalEnd, WalSkip } from '../wal/wal-end.ts';
export {
  MAXIMUM_WAL_RECORD_LENGTH,
  openWal,
  type WalReader,
  type WalReadOptions,
} from '../wal/wal-reader.ts';
export {
  type OpenWalFile,
  type WalBytes,
  type WalFile,
  type WalSource,
  type WalSourceOptions,
  walBytes,
  walDirectory,
  walFiles,
  walObjects,
} from '../wal/wal-source.ts';
export type { DecompressionLimits, Decompressor, OnPiece } from '../zstd/decompression.ts';
