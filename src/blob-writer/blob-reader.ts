/**
 * Reads blobs at known offsets, one or many, out of the part of a source that holds blobs. Nothing
 * in it is trusted: a blob must lie within that part before a byte is allocated for it.
 */
import { assert } from '../assert.ts';
import {
  checkArray,
  checkCount,
  checkLimit,
  checkObject,
  checkOptions,
  checkSignal,
  type KnownOptions,
} from '../check-options.ts';
import { isStorageError, type StorageError } from '../errors.ts';
import {
  checkLimitNames,
  DEFAULT_DECOMPRESSION_LIMITS,
  type DecompressionLimits,
  Decompressor,
  fitsInOneCall,
  type OnPiece,
  scanWithinLimits,
} from '../zstd/decompression.ts';
import { type BlobHeader, headerSizeOf, isCompressed, storedLengthOf } from './blob-format.ts';
import {
  type Blob,
  type BlobBounds,
  BlobReading,
  type BlobRegion,
  type BlobRequest,
  BlobWindow,
  blobError,
  blobSize,
  checkRequest,
  DAMAGED,
  DEFAULT_MAXIMUM_READ_SIZE,
  firstLength,
  firstRead,
  locateBlob,
  offsetError,
  payloadOf,
  type StoredBlob,
  storedBlob,
} from './blob-location.ts';
import { coalesce, groupsOf, type IndexedRequest, type Run } from './blob-runs.ts';
import { streamBlobContent } from './blob-stream.ts';
import {
  type ByteSource,
  cannotWait,
  checkSource,
  fillRanges,
  type ReadRangesOptions,
  readRangeSync,
} from './byte-source.ts';
import type { ReadRange } from './read-range.ts';
import { finishReading, finishReadingSync, NO_READS, type Reading, Readings } from './reading.ts';
import { copyOfBytes, newArray } from './slab.ts';
import { CachedSource } from './value-cache.ts';

/** Options of `BlobReader.readMany`. */
export interface ReadManyOptions extends ReadRangesOptions {
  /** Adjacent blobs are read together up to this many bytes; default 128 KiB. */
  readonly maximumReadSize?: number | undefined;
}

const READ_MANY_OPTIONS: KnownOptions<ReadManyOptions> = { maximumReadSize: true, signal: true };

/**
 * Reads blobs at known offsets. Any number of reads may be in flight. Every blob is checked against the
 * region, the limits and its header before memory is allocated for it.
 *
 * @example
 * const reader = new BlobReader(bytesSource(bytes), { start: 0, end: bytes.length },
 *   DEFAULT_DECOMPRESSION_LIMITS);
 * const { bytes: content } = await reader.read({ offset: 0 });
 */
export class BlobReader {
  /** Where blobs are read from. */
  readonly source: ByteSource;
  /** The part of the source that holds blobs, cut at the end of the source. */
  readonly region: BlobRegion;
  /** @internal */
  readonly bounds: BlobBounds;
  readonly #limits: DecompressionLimits;
  /** Scratch for synchronous steps; never used across an await. */
  readonly #window = new BlobWindow();

  /**
   * @param region the part of the source that holds blobs; default: all of it
   * @param limits maximum length of a content and of a zstd window; default 256 MiB and 8 MiB
   * @throws `invalid-input` for an argument of the wrong type
   */
  constructor(
    source: ByteSource,
    region: BlobRegion = { start: 0, end: source?.size },
    limits: DecompressionLimits = DEFAULT_DECOMPRESSION_LIMITS,
  ) {
    checkSource(source);
    checkObject('region', region);
    checkCount('start of the region', region.start);
    checkCount('end of the region', region.end);
    checkLimitNames(limits);
    checkLimit('limit: length of a blob', limits.maximumLength);
    checkLimit('limit: size of a window', limits.maximumWindowSize);
    const { path, wholeReadLength } = source;
    this.source = source;
    this.region = { start: region.start, end: Math.min(region.end, source.size) };
    this.bounds = { ...this.region, maximumLength: limits.maximumLength, wholeReadLength, path };
    this.#limits = limits;
  }

  /**
   * Reads one blob.
   *
   * @returns the blob; its content belongs to the caller, though a small one may be a view of a larger array
   * @throws `out-of-range`, `corrupt`, `truncated`, `too-large`, `io`, with path and offset
   */
  async read(request: BlobRequest): Promise<Blob> {
    const first = firstRead(request, this.bounds);
    const filling = fillRanges(this.source, [first]);
    if (filling !== undefined) await filling;
    const plain = this.#plainBlobIn(first.target, request);
    if (plain !== undefined) return plain;
    const reading = new BlobReading(request, this.bounds, first);
    await finishReading(this.source, reading);
    return this.#blobOf(storedIn(reading), Decompressor.loaded ?? (await Decompressor.load()));
  }

  /**
   * As `read`, synchronously.
   *
   * @throws as `read`, and `invalid-input` if the source cannot read synchronously
   */
  readSync(request: BlobRequest): Blob {
    const first = firstRead(request, this.bounds);
    readRangeSync(this.source, first);
    const plain = this.#plainBlobIn(first.target, request);
    if (plain !== undefined) return plain;
    const reading = new BlobReading(request, this.bounds, first);
    finishReadingSync(this.source, reading);
    const stored = storedIn(reading);
    const decompressor = Decompressor.loaded;
    if (stored.header.compressed && decompressor === undefined) throw cannotWait(this.source);
    return this.#blobOf(stored, decompressor);
  }

  /**
   * Reads a plain blob from the cache of the source.
   *
   * @internal
   * @returns as `read`; undefined if it is not cached, compressed, or damaged, which `read` reports
   */
  readCached(request: BlobRequest): Blob | undefined {
    const { bounds, source } = this;
    const { offset, limit = Number.POSITIVE_INFINITY } = request;
    const isInside = Number.isSafeInteger(offset) && offset >= bounds.start && offset < bounds.end;
    if (!isInside || !CachedSource.is(source)) return undefined;
    const length = firstLength(request, bounds);
    const found = source.find(offset, length);
    if (found === undefined) return undefined;
    const window = this.#window;
    window.set(found.bytes, source.foundAt, offset, length);
    const header = locateBlob(window, offset, limit, bounds);
    if (header < 0 || isCompressed(header) || !window.holds(offset, header)) return undefined;
    const at = source.foundAt + headerSizeOf(header);
    const bytes = copyOfBytes(found, at, storedLengthOf(header));
    return { offset, storedLength: blobSize(header), compressed: false, bytes };
  }

  /**
   * Reads many blobs, requested in any order, with few concurrent reads.
   *
   * @returns for each request, in their order, the blob or the error that it met; plain contents are views
   * of shared arrays, which must not be changed
   * @throws `io`, `closed`, `aborted` if the source itself fails, `truncated` if it ends before its size,
   * `invalid-input`
   */
  async readMany(
    requests: readonly BlobRequest[],
    options: ReadManyOptions = {},
  ): Promise<(Blob | StorageError)[]> {
    const blobs: (Blob | StorageError)[] = [];
    for (const stored of await this.readManyStored(requests, options)) {
      if (isStorageError(stored)) blobs.push(stored);
      else if (!stored.header.compressed) blobs.push(this.#blobOf(stored, undefined));
      else {
        const decompressor = Decompressor.loaded ?? (await Decompressor.load());
        blobs.push(resultOrError(() => this.#blobOf(stored, decompressor)));
      }
    }
    return blobs;
  }

  /**
   * As `readMany`, without decompression.
   *
   * @internal
   */
  async readManyStored(
    requests: readonly BlobRequest[],
    options: ReadManyOptions = {},
  ): Promise<(StoredBlob | StorageError)[]> {
    checkOptions(options, READ_MANY_OPTIONS);
    checkSignal(options.signal);
    checkArray('requests', requests);
    const { maximumReadSize = DEFAULT_MAXIMUM_READ_SIZE } = options;
    checkLimit('limit: bytes of one read', maximumReadSize);
    const results: (StoredBlob | StorageError)[] = new Array(requests.length);
    const readable: IndexedRequest[] = [];
    for (const [index, request] of requests.entries()) {
      checkRequest(request);
      const error = offsetError(request.offset, this.bounds);
      if (error === undefined) readable.push({ index, request });
      else results[index] = error;
    }
    for (const runs of groupsOf(coalesce(readable, maximumReadSize))) {
      const reads = runs.map(({ start, end }) => ({
        target: newArray(Math.min(end, this.bounds.end) - start),
        offset: start,
      }));
      const filling = fillRanges(this.source, reads, options);
      if (filling !== undefined) await filling;
      const lacking = this.#takeRuns(runs, reads, results);
      if (lacking.length > 0) await finishReading(this.source, new Readings(lacking), options);
    }
    return results;
  }

  /**
   * Decompresses a payload.
   *
   * @internal
   * @returns a new array if the blob is compressed, otherwise the payload itself
   */
  async content(header: BlobHeader, payload: Uint8Array, offset: number): Promise<Uint8Array> {
    if (!header.compressed) return payload;
    return this.#decompress(await Decompressor.load(), { header, payload, offset });
  }

  /**
   * Decompresses a small payload without a wait or a copy.
   *
   * @internal
   * @returns a view that is valid until the next call of the decompressor; undefined if the content may
   * exceed 256 KiB
   * @throws as `content`
   */
  smallContent(
    decompressor: Decompressor,
    { header, payload, offset }: StoredBlob,
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
   * Passes the content of a blob to `onPiece` in pieces of at most 256 KiB, each a view that is valid until
   * `onPiece` returns. Requires: `locateBlob` accepted the blob.
   *
   * @internal
   * @returns the length of the content
   * @throws as `content`, and `io`; `onPiece` may have been called before
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

  /** Takes the blobs of runs that were read. Returns: readings of those that are longer than expected. */
  #takeRuns(
    runs: readonly Run[],
    reads: readonly ReadRange[],
    results: (StoredBlob | StorageError)[],
  ): ResultReading[] {
    const lacking: ResultReading[] = [];
    for (const [number, { requests }] of runs.entries()) {
      const { target, offset: start } = reads[number] as ReadRange;
      const window = new BlobWindow();
      window.set(target, 0, start, target.length);
      for (const { index, request } of requests) {
        const { offset, limit = Number.POSITIVE_INFINITY } = request;
        const header = locateBlob(window, offset, limit, this.bounds);
        if (header === DAMAGED) results[index] = blobError(window, request, this.bounds);
        else if (header >= 0 && window.holds(offset, header)) {
          results[index] = storedBlob(window, offset, header);
        } else {
          const reading = new BlobReading(request, this.bounds, { target, offset: start });
          lacking.push(new ResultReading(reading, { results, index }));
        }
      }
    }
    return lacking;
  }

  /** The common case: a valid plain blob, completely in the first bytes that were read. */
  #plainBlobIn(bytes: Uint8Array, { offset, limit }: BlobRequest): Blob | undefined {
    const window = this.#window;
    window.set(bytes, 0, offset, bytes.length);
    const header = locateBlob(window, offset, limit ?? Number.POSITIVE_INFINITY, this.bounds);
    if (header < 0 || isCompressed(header) || !window.holds(offset, header)) return undefined;
    const content = payloadOf(window, offset, header);
    return { offset, storedLength: blobSize(header), compressed: false, bytes: content };
  }

  /** Requires: a decompressor if the blob is compressed. */
  #blobOf(stored: StoredBlob, decompressor: Decompressor | undefined): Blob {
    const { offset, header, payload } = stored;
    const { headerSize, compressed } = header;
    assert(!compressed || decompressor !== undefined, 'a compressed blob is decompressed');
    const bytes = compressed && decompressor ? this.#decompress(decompressor, stored) : payload;
    return { offset, storedLength: headerSize + header.storedLength, compressed, bytes };
  }

  #decompress(decompressor: Decompressor, { header, payload, offset }: StoredBlob): Uint8Array {
    try {
      return decompressor.decompress(payload, this.#limits);
    } catch (error) {
      throw this.#located(error, offset + header.headerSize);
    }
  }

  /** The decompressor counts offsets from the start of the frame. */
  #located(error: unknown, frameOffset: number): unknown {
    // There is a path if the source itself failed.
    if (!isStorageError(error) || error.path !== undefined) return error;
    return error.with({ path: this.source.path, offset: frameOffset + (error.offset ?? 0) });
  }
}

/** One reading of many, which stores its blob, or its damage, as a result. */
class ResultReading implements Reading {
  readonly #reading: BlobReading;
  readonly #place: ResultPlace;

  constructor(reading: BlobReading, place: ResultPlace) {
    this.#reading = reading;
    this.#place = place;
  }

  proceed(): readonly ReadRange[] {
    const { results, index } = this.#place;
    const outcome = resultOrError(() => this.#reading.proceed());
    if (isStorageError(outcome)) {
      results[index] = outcome;
      return NO_READS;
    }
    if (outcome.length === 0) results[index] = storedIn(this.#reading);
    return outcome;
  }
}

interface ResultPlace {
  readonly results: (StoredBlob | StorageError)[];
  readonly index: number;
}

function storedIn({ window, request, header }: BlobReading): StoredBlob {
  return storedBlob(window, request.offset, header);
}

/** Damage of a blob is a result; failure of the source is not. */
function resultOrError<T>(action: () => T): T | StorageError {
  try {
    return action();
  } catch (error) {
    if (isStorageError(error, 'corrupt', 'truncated', 'too-large', 'out-of-range')) return error;
    throw error;
  }
}
