/**
 * `layerfile/blob-writer`: length-prefixed blobs, appended through fixed buffers and read back from
 * any source of bytes.
 */
export type { Blob } from '../blob-writer/blob.ts';
export {
  type BlobHeader,
  blobHeaderSize,
  decodeBlobHeader,
  encodePlainBlobHeader,
  encodeZstdBlobHeader,
  MAXIMUM_BLOB_LENGTH,
} from '../blob-writer/blob-format.ts';
export { BlobReader, type BlobRegion, type ReadManyOptions } from '../blob-writer/blob-reader.ts';
export type { BlobRequest } from '../blob-writer/blob-runs.ts';
export { BlobScanner } from '../blob-writer/blob-scanner.ts';
export { BlobWriter } from '../blob-writer/blob-writer.ts';
export {
  BufferedWriter,
  type BufferedWriterOptions,
  type WriterEnd,
} from '../blob-writer/buffered-writer.ts';
export {
  type ByteSource,
  bytesSource,
  fileSource,
  handleSource,
  type ReadableHandle,
} from '../blob-writer/byte-source.ts';
export { CompressionPool, type CompressionPoolOptions } from '../blob-writer/compression-pool.ts';
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
} from '../zstd/decompression.ts';
