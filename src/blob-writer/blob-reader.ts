/**
 * Reads blobs at known offsets, one or many, out of the part of a source that holds blobs. Nothing
 * in it is trusted: a blob must lie within that part before a byte is allocated for it.
 */
import { assert } from '../assert.ts';
import { StorageError, withPath } from '../errors.ts';
import {
  type BlobHeader,
  blobHeaderSizeOfFirstByte,
  decodeBlobHeader,
  MAXIMUM_BLOB_HEADER_SIZE,
} from './blob-format.ts';
import { streamBlobContent } from './blob-stream.ts';
import { type ByteSource, readExactly } from './byte-source.ts';
import {
  type DecompressionLimits,
  Decompressor,
  fitsInOneCall,
  type OnPiece,
  scanWithinLimits,
} from './decompression.ts';
import { runSteps, type Steps } from './steps.ts';

/** Where blobs may lie: from `start` to `end`, exclusive, in bytes from the start of the source. */
export interface BlobRegion {
  readonly start: number;
  readonly end: number;
}

export interface Blob {
  readonly offset: number;
  /** Bytes in the source, header included. */
  readonly storedLength: number;
  readonly compressed: boolean;
  /** Content after decompression. */
  readonly bytes: Uint8Array;
}

/** A blob to read; `end` is where it should end, if known: it saves a second read. */
export interface BlobRequest {
  readonly offset: number;
  readonly end?: number | undefined;
  /** Where it must have ended; else it is refused before it is read. */
  readonly limit?: number | undefined;
}

/** A blob as it lies in the source, with its header checked. */
export interface StoredBlob {
  readonly offset: number;
  readonly header: BlobHeader;
  /** Stored bytes behind the header; may be a view of an array that nobody changes. */
  readonly payload: Uint8Array;
}

export interface ReadManyOptions {
  /** Neighbours are read together up to this many bytes; default 128 KiB. */
  readonly maximumReadSize?: number | undefined;
}

/** First read where the end of a blob is unknown: a page with its header fits. */
const FIRST_READ_SIZE = 8192 + 64;
const DEFAULT_MAXIMUM_READ_SIZE = 128 * 1024;

export class BlobReader {
  readonly source: ByteSource;
  readonly region: BlobRegion;
  readonly #limits: DecompressionLimits;

  constructor(source: ByteSource, region: BlobRegion, limits: DecompressionLimits) {
    this.source = source;
    this.region = { start: region.start, end: Math.min(region.end, source.size) };
    this.#limits = limits;
  }

  /**
   * Reads one blob.
   *
   * Returns: its content; a fresh array.
   * Throws: `out-of-range`, `corrupt`, `truncated`, `too-large`, `io`, with path and offset.
   */
  read(request: BlobRequest): Promise<Blob> {
    return runSteps(this.source, this.readSteps(request));
  }

  /** As `read`, step by step. */
  *readSteps(request: BlobRequest): Steps<Blob> {
    const { offset } = request;
    this.checkOffset(offset);
    const length = Math.min(estimatedEnd(request), this.region.end) - offset;
    const bytes = new Uint8Array(length);
    yield { target: bytes, offset };
    return yield* this.#blobOf(yield* this.#storedAt(bytes, 0, request));
  }

  /**
   * Reads many blobs, in any order, with few reads.
   *
   * Returns: for each request its blob or the error that it met, in the order of the requests;
   * plain contents are views of shared arrays that nobody changes.
   * Throws: `io` when the source itself fails, `truncated` when it ends before its size.
   */
  async readMany(
    requests: readonly BlobRequest[],
    options: ReadManyOptions = {},
  ): Promise<(Blob | StorageError)[]> {
    const blobs: (Blob | StorageError)[] = [];
    for (const stored of await this.readManyStored(requests, options)) {
      const blob =
        stored instanceof StorageError ? stored : await this.#errorOr(this.#blobOf(stored));
      blobs.push(blob);
    }
    return blobs;
  }

  /** As `readMany`, but what is compressed stays so. */
  async readManyStored(
    requests: readonly BlobRequest[],
    options: ReadManyOptions = {},
  ): Promise<(StoredBlob | StorageError)[]> {
    const results: (StoredBlob | StorageError)[] = new Array(requests.length);
    const readable: IndexedRequest[] = [];
    for (const [index, request] of requests.entries()) {
      const error = this.#offsetError(request.offset);
      if (error === undefined) readable.push({ index, request });
      else results[index] = error;
    }
    const maximumReadSize = options.maximumReadSize ?? DEFAULT_MAXIMUM_READ_SIZE;
    for (const run of coalesce(readable, maximumReadSize)) {
      const bytes = new Uint8Array(Math.min(run.end, this.region.end) - run.start);
      await readExactly(this.source, bytes, run.start);
      for (const { index, request } of run.requests) {
        const at = request.offset - run.start;
        results[index] = await this.#errorOr(this.#storedAt(bytes, at, request));
      }
    }
    return results;
  }

  /** Throws `out-of-range` unless a blob may start there. */
  checkOffset(offset: number): void {
    const error = this.#offsetError(offset);
    if (error !== undefined) throw error;
  }

  /**
   * Checks that a header of this size lies within the region.
   * Throws `truncated`.
   */
  checkHeaderExtent(offset: number, size: number): void {
    const end = offset + size;
    if (end <= this.region.end) return;
    throw new StorageError('truncated', {
      what: 'blob header reaches beyond the values',
      path: this.source.path,
      offset,
      expected: `an end at or before ${this.region.end}`,
      actual: `${end}`,
    });
  }

  /**
   * Checks that the blob with this header lies within the region, and is not above the limit where
   * it is plain; what a compressed one expands to is for the decompressor to check.
   * Throws `truncated`, `too-large`.
   */
  checkExtent(offset: number, { headerSize, storedLength, compressed }: BlobHeader): void {
    const end = offset + headerSize + storedLength;
    if (end > this.region.end) {
      throw new StorageError('truncated', {
        what: 'blob reaches beyond the values',
        path: this.source.path,
        offset,
        expected: `an end at or before ${this.region.end}`,
        actual: `${end}`,
      });
    }
    const { maximumLength } = this.#limits;
    if (!compressed && storedLength > maximumLength) {
      throw new StorageError('too-large', {
        what: 'blob',
        path: this.source.path,
        offset,
        expected: `at most ${maximumLength} bytes`,
        actual: `${storedLength}`,
      });
    }
  }

  /** The content behind a decoded and checked header; fresh where compressed, else the payload itself. */
  async content(header: BlobHeader, payload: Uint8Array, offset: number): Promise<Uint8Array> {
    if (!header.compressed) return payload;
    return this.#decompress(await Decompressor.load(), header, payload, offset);
  }

  /**
   * Decompresses what is small, without a wait or a copy.
   *
   * Returns: a view that is valid until the decompressor is called again; undefined where the
   * content may have more than 256 KiB.
   * Throws: as `content`.
   */
  smallContent(
    decompressor: Decompressor,
    { header, payload, offset }: { header: BlobHeader; payload: Uint8Array; offset: number },
  ): Uint8Array | undefined {
    try {
      const frame = scanWithinLimits(payload, this.#limits);
      if (!fitsInOneCall(payload.length, frame)) return undefined;
      return decompressor.decompressScanned(payload, frame, this.#limits);
    } catch (error) {
      throw this.#located(error, offset + header.headerSize);
    }
  }

  /**
   * Hands the content of a blob over in pieces of at most 256 KiB, each a view that is valid until
   * the function returns.
   *
   * Requires: `checkExtent` let the blob through.
   * Returns: the length of the content.
   * Throws: as `content`, and `io`; pieces may have been handed over before.
   */
  async stream(offset: number, header: BlobHeader, onPiece: OnPiece): Promise<number> {
    try {
      return await streamBlobContent(
        { source: this.source, offset, header },
        this.#limits,
        onPiece,
      );
    } catch (error) {
      throw this.#located(error, offset + header.headerSize);
    }
  }

  /** What is wrong with a blob is a result; a source that fails is not. */
  async #errorOr<T>(steps: Steps<T>): Promise<T | StorageError> {
    try {
      return await runSteps(this.source, steps);
    } catch (error) {
      if (error instanceof StorageError && error.code !== 'io') return error;
      throw error;
    }
  }

  *#blobOf({ offset, header, payload }: StoredBlob): Steps<Blob> {
    const { headerSize, storedLength, compressed } = header;
    const blob = { offset, storedLength: headerSize + storedLength, compressed };
    if (!compressed) return { ...blob, bytes: payload };
    if (Decompressor.loaded === undefined) yield Decompressor.load();
    return { ...blob, bytes: this.#decompress(Decompressor.loaded, header, payload, offset) };
  }

  /** The blob at `at`; reads the rest of it where `bytes` ends too early. */
  *#storedAt(bytes: Uint8Array, at: number, { offset, limit }: BlobRequest): Steps<StoredBlob> {
    const header = yield* this.#header(bytes, at, offset);
    this.checkExtent(offset, header);
    if (limit !== undefined) this.#checkLimit(offset, header, limit);
    const start = at + header.headerSize;
    const end = start + header.storedLength;
    if (end <= bytes.length) return { offset, header, payload: bytes.subarray(start, end) };
    const payload = new Uint8Array(header.storedLength);
    const begin = bytes.subarray(Math.min(start, bytes.length));
    payload.set(begin);
    yield {
      target: payload.subarray(begin.length),
      offset: offset + header.headerSize + begin.length,
    };
    return { offset, header, payload };
  }

  #decompress(
    decompressor: Decompressor | undefined,
    header: BlobHeader,
    payload: Uint8Array,
    offset: number,
  ): Uint8Array {
    assert(decompressor !== undefined, 'a loaded decompressor stays');
    try {
      return decompressor.decompress(payload, this.#limits);
    } catch (error) {
      throw this.#located(error, offset + header.headerSize);
    }
  }

  #checkLimit(offset: number, { headerSize, storedLength }: BlobHeader, limit: number): void {
    const end = offset + headerSize + storedLength;
    if (end <= limit) return;
    throw new StorageError('corrupt', {
      what: 'blob reaches into the one behind it',
      path: this.source.path,
      offset,
      expected: `an end at or before ${limit}`,
      actual: `${end}`,
    });
  }

  *#header(bytes: Uint8Array, at: number, offset: number): Steps<BlobHeader> {
    const size = blobHeaderSizeOfFirstByte(bytes[at] ?? 0);
    this.checkHeaderExtent(offset, size);
    let header = bytes;
    let headerAt = at;
    if (at + size > bytes.length) {
      header = new Uint8Array(MAXIMUM_BLOB_HEADER_SIZE);
      headerAt = 0;
      yield { target: header.subarray(0, size), offset };
    }
    try {
      return decodeBlobHeader(header, headerAt, offset);
    } catch (error) {
      throw withPath(error, this.source.path);
    }
  }

  #offsetError(offset: number): StorageError | undefined {
    const { start, end } = this.region;
    if (Number.isSafeInteger(offset) && offset >= start && offset < end) return undefined;
    return new StorageError('out-of-range', {
      what: 'blob offset outside the values',
      path: this.source.path,
      offset,
      expected: `${start} to ${end}`,
      actual: `${offset}`,
    });
  }

  /** The decompressor counts offsets from the start of the frame. */
  #located(error: unknown, frameOffset: number): unknown {
    // There is a path if the source itself failed.
    if (!(error instanceof StorageError) || error.path !== undefined) return error;
    return error.with({ path: this.source.path, offset: frameOffset + (error.offset ?? 0) });
  }
}

interface IndexedRequest {
  readonly index: number;
  readonly request: BlobRequest;
}

interface Run {
  readonly start: number;
  end: number;
  readonly requests: IndexedRequest[];
}

/** Requests in the order of their offsets, neighbours joined up to the maximum read size. */
function coalesce(requests: readonly IndexedRequest[], maximumReadSize: number): Run[] {
  const sorted = [...requests].sort((left, right) => left.request.offset - right.request.offset);
  const runs: Run[] = [];
  let run: Run | undefined;
  for (const indexed of sorted) {
    const start = indexed.request.offset;
    const end = estimatedEnd(indexed.request);
    if (
      run !== undefined &&
      start <= run.end &&
      Math.max(end, run.end) - run.start <= maximumReadSize
    ) {
      run.end = Math.max(end, run.end);
      run.requests.push(indexed);
    } else {
      run = { start, end, requests: [indexed] };
      runs.push(run);
    }
  }
  return runs;
}

/** Never less than a header, never more than one first read unless the end is known. */
function estimatedEnd({ offset, end }: BlobRequest): number {
  if (end === undefined || !(end > offset)) return offset + FIRST_READ_SIZE;
  return Math.min(Math.ceil(end), offset + DEFAULT_MAXIMUM_READ_SIZE);
}
