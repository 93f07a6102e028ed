/** Blobs written for a test, and sources that tell how they were read. */
import {
  encodeZstdBlobHeader,
  MAXIMUM_BLOB_HEADER_SIZE,
} from '../../src/blob-writer/blob-format.ts';
import { BlobWriter } from '../../src/blob-writer/blob-writer.ts';
import { BufferedWriter } from '../../src/blob-writer/buffered-writer.ts';
import { type ByteSource, bytesSource } from '../../src/blob-writer/byte-source.ts';
import { StorageError } from '../../src/errors.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';

export interface BlobSpec {
  readonly content: Uint8Array;
  readonly compressed: boolean;
}

export interface WrittenBlobs {
  /** The whole file. */
  readonly file: Uint8Array;
  readonly offsets: number[];
  /** Where the last blob ends. */
  readonly end: number;
}

/** A blob that holds a zstd frame. */
export function zstdBlob(frame: Uint8Array): Uint8Array {
  const blob = new Uint8Array(MAXIMUM_BLOB_HEADER_SIZE + frame.length);
  encodeZstdBlobHeader(blob, 0, frame.length);
  blob.set(frame, MAXIMUM_BLOB_HEADER_SIZE);
  return blob;
}

/** Writes the blobs through a writer, from `startOffset` on. */
export async function writeBlobs(
  blobs: readonly BlobSpec[],
  { startOffset = 0, bufferSize = 1000 } = {},
): Promise<WrittenBlobs> {
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const file = await VirtualFile.open('/blobs', { write: true, createNew: true, openFiles });
  const out = new BufferedWriter(file, { bufferSize, startOffset });
  const writer = new BlobWriter(out);
  const compressor = await loadCompressor(1, 'wasm');
  const offsets: number[] = [];
  for (const { content, compressed } of blobs) {
    offsets.push(writer.offset);
    const frame = compressed ? await compressor.compress(content) : content;
    if (content.length < 128 || frame.length >= content.length) await writer.append(content);
    else await writer.appendEncoded(zstdBlob(frame));
  }
  const end = writer.offset;
  await out.finish({ kind: 'zero-pad', multiple: 1 });
  return { file: fileSystem.contentOf('/blobs'), offsets, end };
}

export interface CountingSource extends ByteSource {
  readonly reads: { readonly offset: number; readonly length: number }[];
}

/** Counts its reads; each gives at most `limit` bytes. */
export function countingSource(
  bytes: Uint8Array,
  { limit = Number.POSITIVE_INFINITY, path }: { limit?: number; path?: string } = {},
): CountingSource {
  const inner = bytesSource(bytes, path);
  const reads: { offset: number; length: number }[] = [];
  return {
    size: inner.size,
    path,
    reads,
    read: async (target, offset) => {
      reads.push({ offset, length: target.length });
      return inner.read(target.subarray(0, limit), offset);
    },
  };
}

/** A source of the bytes that can be made to fail. */
export interface FailingSource extends ByteSource {
  /** Whether reads that begin now reject with `io` and EIO. */
  fails: boolean;
}

export function failingSource(bytes: Uint8Array): FailingSource {
  const inner = bytesSource(bytes, 'name');
  const source: FailingSource = {
    ...inner,
    fails: false,
    read: async (target, offset) => {
      if (source.fails) {
        throw new StorageError('io', { what: 'broken', path: 'name', errno: 'EIO' });
      }
      return inner.read(target, offset);
    },
  };
  return source;
}

/** The same bytes for the same seed; every other third can be compressed. */
export function bytesOf(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed + 1) >>> 0;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = index % 300 < 100 ? state >>> 24 : seed;
  }
  return bytes;
}
