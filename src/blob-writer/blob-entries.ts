/**
 * Blobs one after another, from an offset on, for a file whose end a crash may have torn. Blobs lie
 * back to back, so each one says where the next begins; after a damaged one nothing can be found.
 */
import { checkCount, checkObject, checkOptions, checkSignal } from '../check-options.ts';
import { isStorageError, type StorageError, throwIfAborted } from '../errors.ts';
import type { BlobReader } from './blob-reader.ts';
import { BlobScanner } from './blob-scanner.ts';

/** One blob of a walk. */
export interface BlobEntry {
  /** Where its header begins, in bytes from the start of the source. */
  readonly offset: number;
  /** Where it ends, and the next one begins. */
  readonly end: number;
  /** Content after decompression; a copy. */
  readonly bytes: Uint8Array;
}

/** Options of `blobsFrom`. */
export interface BlobsFromOptions {
  /** Ends the walk, and its reads, with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The blobs of a reader, in order, from an offset on. Iterate it once, with `for await`; then `end` and
 * `damage` say where and why there are no more.
 */
export class BlobEntries implements AsyncIterable<BlobEntry> {
  readonly #reader: BlobReader;
  readonly #signal: AbortSignal | undefined;
  #end: number;
  #damage: StorageError | undefined;

  /** @internal */
  constructor(reader: BlobReader, offset: number, { signal }: BlobsFromOptions) {
    this.#reader = reader;
    this.#signal = signal;
    this.#end = offset;
  }

  /**
   * Where the last blob that was returned ends, in bytes from the start of the source; at first, where the
   * walk begins. An appender continues here.
   */
  get end(): number {
    return this.#end;
  }

  /**
   * Why there is no blob at `end`: `truncated` for one that reaches beyond the region, `corrupt` for bytes
   * that are not one. Undefined during the walk, and if it has reached the end of the region.
   */
  get damage(): StorageError | undefined {
    return this.#damage;
  }

  /**
   * Continues the walk from `end`.
   *
   * @returns The blobs, each with its content as a copy.
   * @throws `io`, `closed`, `aborted`; `too-large` for a blob above the limits of the reader, which may be
   * valid.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<BlobEntry, undefined, undefined> {
    const scanner = new BlobScanner(this.#reader, { signal: this.#signal });
    try {
      while (this.#end < this.#reader.bounds.end) {
        throwIfAborted(this.#signal, this.#reader.source.path);
        const entry = await this.#next(scanner, this.#end);
        if (isStorageError(entry)) {
          this.#damage = entry;
          return;
        }
        this.#end = entry.end;
        yield entry;
      }
    } finally {
      await scanner.close();
    }
  }

  /** The blob at the offset, or what is wrong with it. */
  async #next(scanner: BlobScanner, offset: number): Promise<BlobEntry | StorageError> {
    try {
      if (!scanner.locate(offset)) {
        await scanner.load(offset);
        scanner.locate(offset);
      }
      const { payloadStart, payloadLength, headerSize, compressed } = scanner;
      const stored = scanner.bytes.subarray(payloadStart, payloadStart + payloadLength);
      const header = { headerSize, storedLength: payloadLength, compressed };
      const bytes = await this.#reader.content(
        header,
        compressed ? stored : stored.slice(),
        offset,
      );
      return { offset, end: offset + headerSize + payloadLength, bytes };
    } catch (error) {
      if (isStorageError(error, 'corrupt', 'truncated')) return error;
      throw error;
    }
  }
}

/**
 * Walks the blobs of a reader, as an appender does after a crash: everything before `end` is intact, and the rest is
 * cut off before the next append.
 *
 * Blobs have no checksum, and a zero is an empty blob: where a torn tail matters, let each blob say
 * whether it is valid, for example by a digest in it.
 *
 * @param offset - Where a blob begins, or the region ends.
 * @returns The blobs, to be iterated once.
 * @throws `invalid-input`, also for an offset outside the region.
 *
 * @example
 * const blobs = blobsFrom(new BlobReader(await fileSource(file)), 0);
 * for await (const { bytes } of blobs) replay(bytes);
 * if (blobs.damage !== undefined) await file.setLength(blobs.end);
 */
export function blobsFrom(
  reader: BlobReader,
  offset: number,
  options: BlobsFromOptions = {},
): BlobEntries {
  checkObject('reader', reader);
  checkObject('region of the reader', reader.region);
  checkOptions(options, { signal: true });
  checkSignal(options.signal);
  const { start, end } = reader.region;
  checkCount('offset of the first blob', offset, { from: start, to: Math.max(start, end) });
  return new BlobEntries(reader, offset, options);
}
