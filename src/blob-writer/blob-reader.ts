/**
 * Reads blobs at known offsets, one or many, out of the part of a source that holds blobs. Nothing
 * in it is trusted: a blob must lie within that part before a byte is allocated for it.
 */
import { assert } from '../assert.ts';
import { checkLimit } from '../check-options.ts';
import { isStorageError, StorageError, withPath } from '../errors.ts';
import {
  type DecompressionLimits,
  Decompressor,
  fitsInOneCall,
  type OnPiece,
  scanWithinLimits,
} from '../zstd/decompression.ts';
import {
  type Blob,
  cachedPlainBlob,
  type PlainSearch,
  plainBlob,
  plainBlobIn,
  type StoredBlob,
} from './blob.ts';
import {
  type BlobHeader,
  blobHeaderSizeOfFirstByte,
  decodeBlobHeader,
  MAXIMUM_BLOB_HEADER_SIZE,
} from './blob-format.ts';
import {
  type BlobRequest,
  coalesce,
  DEFAULT_MAXIMUM_READ_SIZE,
  estimatedEnd,
  groupsOf,
  type IndexedRequest,
} from './blob-runs.ts';
import { streamBlobContent } from './blob-stream.ts';
import type { ByteSource } from './byte-source.ts';
import { newArray } from './slab.ts';
import { fillAtOnce, type ReadStep, runSteps, runStepsSync, type Steps } from './steps.ts';
import { CachedSource } from './value-cache.ts';

/** Where blobs may lie: from `start` to `end`, exclusive, in bytes from the start of the source. */
export interface BlobRegion {
  readonly start: number;
  readonly end: number;
}

export interface ReadManyOptions {
  /** Neighbours are read together up to this many bytes; default 128 KiB. */
  readonly maximumReadSize?: number | undefined;
}

export class BlobReader {
  readonly source: ByteSource;
  readonly region: BlobRegion;
  readonly #limits: DecompressionLimits;

  constructor(source: ByteSource, region: BlobRegion, limits: DecompressionLimits) {
    this.source = source;
    this.region = { start: region.start, end: Math.min(region.end, source.size) };
    this.#limits = limits;
  }

  /** Longest content that is let through. */
  get maximumLength(): number {
    return this.#limits.maximumLength;
  }

  /**
   * Reads one blob.
   *
   * Returns: its content, the caller's own; see `newArray` about the array that a small one lies in.
   * Throws: `out-of-range`, `corrupt`, `truncated`, `too-large`, `io`, with path and offset.
   */
  read(request: BlobRequest): Promise<Blob> {
    return runSteps(this.source, this.readSteps(request));
  }

  /** As `read`, step by step. */
  *readSteps(request: BlobRequest): Steps<Blob> {
    const first = this.#firstRead(request);
    yield first;
    return (
      plainBlobIn(first.target, this.#searchOf(request)) ??
      (yield* this.#blobSteps(first.target, request))
    );
  }

  /** As `read`, at once. Throws also: `invalid-input` where the source cannot. */
  readSync(request: BlobRequest): Blob {
    const first = this.#firstRead(request);
    fillAtOnce(this.source, first);
    const blob = plainBlobIn(first.target, this.#searchOf(request));
    return blob ?? runStepsSync(this.source, this.#blobSteps(first.target, request));
  }

  /**
   * The blob, if its bytes are in the cache of the source, and it is plain.
   * Returns: as `read`; undefined also if there is anything wrong with it, which `read` tells.
   */
  readCached(request: BlobRequest): Blob | undefined {
    const { source } = this;
    if (!CachedSource.is(source) || !this.#isInRegion(request.offset)) return undefined;
    return cachedPlainBlob(source, this.#searchOf(request));
  }

  /**
   * Reads many blobs, in any order, with few reads, side by side.
   *
   * Returns: for each request its blob or the error that it met, in the order of the requests;
   * plain contents are views of shared arrays that nobody changes.
   * Throws: `io`, `closed` when the source itself fails, `truncated` when it ends before its size.
   */
  readMany(
    requests: readonly BlobRequest[],
    options: ReadManyOptions = {},
  ): Promise<(Blob | StorageError)[]> {
    return runSteps(this.source, this.readManySteps(requests, options));
  }

  /** As `readMany`, step by step. */
  *readManySteps(
    requests: readonly BlobRequest[],
    options: ReadManyOptions = {},
  ): Steps<(Blob | StorageError)[]> {
    const blobs: (Blob | StorageError)[] = [];
    for (const stored of yield* this.#readManyStoredSteps(requests, options)) {
      if (isStorageError(stored)) blobs.push(stored);
      else if (!stored.header.compressed) blobs.push(plainBlobOf(stored));
      else blobs.push(yield* errorOr(this.#blobOf(stored)));
    }
    return blobs;
  }

  /** As `readMany`, but what is compressed stays so. */
  readManyStored(
    requests: readonly BlobRequest[],
    options: ReadManyOptions = {},
  ): Promise<(StoredBlob | StorageError)[]> {
    return runSteps(this.source, this.#readManyStoredSteps(requests, options));
  }

  *#readManyStoredSteps(
    requests: readonly BlobRequest[],
    options: ReadManyOptions,
  ): Steps<(StoredBlob | StorageError)[]> {
    const { maximumReadSize = DEFAULT_MAXIMUM_READ_SIZE } = options;
    checkLimit('limit: bytes of one read', maximumReadSize);
    const results: (StoredBlob | StorageError)[] = new Array(requests.length);
    const readable: IndexedRequest[] = [];
    for (const [index, request] of requests.entries()) {
      const error = this.#offsetError(request.offset);
      if (error === undefined) readable.push({ index, request });
      else results[index] = error;
    }
    const runs = coalesce(readable, maximumReadSize);
    for (const group of groupsOf(runs)) {
      const reads = group.map(({ start, end }) => ({
        target: newArray(Math.min(end, this.region.end) - start),
        offset: start,
      }));
      yield reads;
      for (const [number, run] of group.entries()) {
        const bytes = reads[number]?.target ?? new Uint8Array(0);
        for (const { index, request } of run.requests) {
          const at = request.offset - run.start;
          results[index] =
            this.#storedOrError(bytes, at, request) ??
            (yield* errorOr(this.#storedAt(bytes, at, request)));
        }
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

  /** The read that a blob begins with, and nearly always ends. Throws `out-of-range`. */
  #firstRead(request: BlobRequest): ReadStep {
    const { offset } = request;
    this.checkOffset(offset);
    return { target: newArray(this.#firstLength(request)), offset };
  }

  #firstLength(request: BlobRequest): number {
    return Math.min(estimatedEnd(request), this.region.end) - request.offset;
  }

  #searchOf(request: BlobRequest): PlainSearch {
    return { request, present: this.#firstLength(request), maximumLength: this.maximumLength };
  }

  /** The blob whose first bytes are there, whatever it is. */
  *#blobSteps(bytes: Uint8Array, request: BlobRequest): Steps<Blob> {
    return yield* this.#blobOf(yield* this.#storedAt(bytes, 0, request));
  }

  *#blobOf(stored: StoredBlob): Steps<Blob> {
    const { offset, header, payload } = stored;
    if (!header.compressed) return plainBlobOf(stored);
    if (Decompressor.loaded === undefined) yield Decompressor.load();
    const bytes = this.#decompress(Decompressor.loaded, header, payload, offset);
    return {
      offset,
      storedLength: header.headerSize + header.storedLength,
      compressed: true,
      bytes,
    };
  }

  /** The blob at `at`; reads the rest of it where `bytes` ends too early. */
  *#storedAt(bytes: Uint8Array, at: number, request: BlobRequest): Steps<StoredBlob> {
    const whole = this.#storedIn(bytes, at, request);
    if (whole !== undefined) return whole;
    const { offset, limit } = request;
    const header = yield* this.#header(bytes, at, offset);
    this.#check(offset, header, limit);
    const payload = new Uint8Array(header.storedLength);
    const begin = bytes.subarray(Math.min(at + header.headerSize, bytes.length));
    payload.set(begin);
    yield {
      target: payload.subarray(begin.length),
      offset: offset + header.headerSize + begin.length,
    };
    return { offset, header, payload };
  }

  /** The blob at `at`, with its payload a view; undefined where `bytes` ends before it does. */
  #storedIn(bytes: Uint8Array, at: number, { offset, limit }: BlobRequest): StoredBlob | undefined {
    const size = this.#headerSize(bytes, at, offset);
    if (at + size > bytes.length) return undefined;
    const header = this.#decodeHeader(bytes, at, offset);
    this.#check(offset, header, limit);
    const start = at + size;
    if (start + header.storedLength > bytes.length) return undefined;
    const payload = new Uint8Array(bytes.buffer, bytes.byteOffset + start, header.storedLength);
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

  #storedOrError(
    bytes: Uint8Array,
    at: number,
    request: BlobRequest,
  ): StoredBlob | StorageError | undefined {
    try {
      return this.#storedIn(bytes, at, request);
    } catch (error) {
      return blobErrorOrThrow(error);
    }
  }

  #check(offset: number, header: BlobHeader, limit: number | undefined): void {
    this.checkExtent(offset, header);
    const end = offset + header.headerSize + header.storedLength;
    if (limit === undefined || end <= limit) return;
    throw new StorageError('corrupt', {
      what: 'blob reaches into the one behind it',
      path: this.source.path,
      offset,
      expected: `an end at or before ${limit}`,
      actual: `${end}`,
    });
  }

  *#header(bytes: Uint8Array, at: number, offset: number): Steps<BlobHeader> {
    const size = this.#headerSize(bytes, at, offset);
    if (at + size <= bytes.length) return this.#decodeHeader(bytes, at, offset);
    const header = new Uint8Array(MAXIMUM_BLOB_HEADER_SIZE);
    yield { target: header.subarray(0, size), offset };
    return this.#decodeHeader(header, 0, offset);
  }

  /** Throws `truncated` for a header that is not in the region as a whole. */
  #headerSize(bytes: Uint8Array, at: number, offset: number): number {
    const size = blobHeaderSizeOfFirstByte(bytes[at] ?? 0);
    this.checkHeaderExtent(offset, size);
    return size;
  }

  #decodeHeader(bytes: Uint8Array, at: number, offset: number): BlobHeader {
    try {
      return decodeBlobHeader(bytes, at, offset);
    } catch (error) {
      throw withPath(error, this.source.path);
    }
  }

  #isInRegion(offset: number): boolean {
    const { start, end } = this.region;
    return Number.isSafeInteger(offset) && offset >= start && offset < end;
  }

  #offsetError(offset: number): StorageError | undefined {
    const { start, end } = this.region;
    if (this.#isInRegion(offset)) return undefined;
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
    if (!isStorageError(error) || error.path !== undefined) return error;
    return error.with({ path: this.source.path, offset: frameOffset + (error.offset ?? 0) });
  }
}

function plainBlobOf({ offset, header, payload }: StoredBlob): Blob {
  return plainBlob(offset, header.headerSize + header.storedLength, payload);
}

/** What is wrong with a blob is a result; what a read throws, such as an early end, is thrown. */
function* errorOr<T>(steps: Steps<T>): Steps<T | StorageError> {
  let ofSource: unknown;
  try {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done) return step.value;
      try {
        yield step.value;
      } catch (error) {
        ofSource = error;
        throw error;
      }
    }
  } catch (error) {
    if (error === ofSource) throw error;
    return blobErrorOrThrow(error);
  }
}

function blobErrorOrThrow(error: unknown): StorageError {
  if (isStorageError(error, 'corrupt', 'truncated', 'too-large', 'out-of-range')) return error;
  throw error;
}
