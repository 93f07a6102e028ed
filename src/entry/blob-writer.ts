/**
 * `layerfile/blob-writer`: length-prefixed blobs, appended through fixed buffers and read back from
 * any source of bytes.
 */
export {
  BlobEntries,
  type BlobEntry,
  type BlobsFromOptions,
  blobsFrom,
} from '../blob-writer/blob-entries.ts';
export {
  type BlobHeader,
  blobHeaderSize,
  decodeBlobHeader,
  encodePlainBlobHeader,
  encodeZstdBlobHeader,
  MAXIMUM_BLOB_LENGTH,
} from '../blob-writer/blob-format.ts';
export type { Blob, BlobRegion, BlobRequest } from '../blob-writer/blob-location.ts';
export { BlobReader, type ReadManyOptions } from '../blob-writer/blob-reader.ts';
export { BlobScanner, type BlobScannerOptions } from '../blob-writer/blob-scanner.ts';
export { BlobWriter } from '../blob-writer/blob-writer.ts';
export { BufferedWriter } from '../blob-writer/buffered-writer.ts';
export type { BufferedWriterOptions, WriterEnd } from '../blob-writer/buffered-writer-options.ts';
export {
  type ByteSource,
  bytesSource,
  fileSource,
  handleSource,
  type ReadableHandle,
  type ReadRangesOptions,
} from '../blob-writer/byte-source.ts';
export { CompressionPool, type CompressionPoolOptions } from '../blob-writer/compression-pool.ts';
export type { ReadRange } from '../blob-writer/read-range.ts';
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
export type {
  DirectoryEntry,
  FileKind,
  FileStat,
  FileSystem,
  IoMode,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from '../virtual-file/file-system.ts';
export type { OpenFiles, OpenFilesOptions } from '../virtual-file/open-files.ts';
export type { OwnerState, Owners } from '../virtual-file/owners.ts';
export type { VirtualFile } from '../virtual-file/virtual-file.ts';
export type { VirtualFileOptions } from '../virtual-file/virtual-file-options.ts';
export {
  type Compression,
  type Compressor,
  type CompressorName,
  DEFAULT_COMPRESSION,
  loadCompressor,
} from '../zstd/compression.ts';
export {
  DEFAULT_DECOMPRESSION_LIMITS,
  type DecompressionLimits,
  Decompressor,
  type OnPiece,
} from '../zstd/decompression.ts';
