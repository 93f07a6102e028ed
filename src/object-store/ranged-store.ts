/**
 * Reads ranges of objects by requests that carry one range each, as HTTP has them.
 *
 * Every response is checked: it must be the complete requested range of the expected object. A truncated body is
 * continued where it ended, if the object is still the same.
 */
import { constants } from 'node:buffer';
import { distribute, joinRanges, type ReadRange } from '../blob-writer/read-range.ts';
import { checkCount } from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { trustStore } from './foreign-store.ts';
import { nonsense } from './http-client.ts';
import {
  changedError,
  checkKeyOfObject,
  checkRanges,
  checkRequestOptions,
  endsEarly,
  type ObjectInfo,
  type ObjectReadOptions,
  type ObjectRequestOptions,
  type ObjectStart,
  pathOfObject,
} from './object-store.ts';
import { type RetryOptions, retrying, transient } from './retry.ts';

/** A range to request; without `start` and `end`, the whole object. */
export interface WantedRange extends ObjectReadOptions {
  readonly key: string;
  readonly range: { readonly start: number; readonly end: number } | undefined;
}

/** The response of a store; `unsatisfiable` if the object ends at or before the start of the range. */
export type RangeResponse =
  | { readonly kind: 'unsatisfiable' }
  | {
      readonly kind: 'bytes';
      readonly info: ObjectInfo;
      readonly start: number;
      /** Exclusive. */
      readonly end: number;
      readonly body: AsyncIterable<Uint8Array>;
    };

/** Reading a gap of this length takes no longer than another request. */
const MAXIMUM_GAP = 128 * 1024;
/** Joined reads are at most this long, so that they run concurrently. */
const MAXIMUM_JOINED_LENGTH = 8 * 1024 * 1024;

/** The reads of a store. Its subclasses implement listings and writes. */
export abstract class RangedStore {
  readonly name: string;
  readonly maximumGap = MAXIMUM_GAP;
  protected readonly retry: RetryOptions;

  constructor(name: string, retry: RetryOptions) {
    this.name = name;
    this.retry = retry;
    trustStore(this);
  }

  async readRanges(
    key: string,
    ranges: readonly ReadRange[],
    options: ObjectReadOptions = {},
  ): Promise<void> {
    this.checkKey(key);
    checkRequestOptions(options);
    checkRanges(ranges);
    const wanted = ranges.filter(({ target }) => target.length > 0);
    const joined = joinRanges(wanted, MAXIMUM_GAP, MAXIMUM_JOINED_LENGTH);
    const read = async (range: (typeof joined)[number]): Promise<void> => {
      const { target, offset } = range;
      const download = new Download({
        ...options,
        key,
        start: offset,
        length: target.length,
        target,
      });
      await this.#finish(download);
      distribute(range);
    };
    // All reads have ended before the first error is thrown, so that targets are not written later.
    for (const outcome of await Promise.allSettled(joined.map(read))) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
  }

  /** Reads one byte: the 404 of a HEAD has no body, and could be that of a proxy. */
  async head(key: string, options: ObjectRequestOptions = {}): Promise<ObjectInfo | undefined> {
    this.checkKey(key);
    try {
      return (await this.readStart(key, 1, options)).info;
    } catch (error) {
      if (isStorageError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  async readStart(
    key: string,
    length: number,
    options: ObjectReadOptions = {},
  ): Promise<ObjectStart> {
    this.checkKey(key);
    checkRequestOptions(options);
    checkCount('length', length, { from: 1 });
    const end = Math.min(length, constants.MAX_LENGTH);
    return this.#finish(new Download({ ...options, key, start: 0, length: end }));
  }

  /** Throws `invalid-input` for a key that an object of the store cannot have. */
  protected checkKey(key: unknown): asserts key is string {
    checkKeyOfObject(key);
  }

  /** Makes one request; the response is valid until `receive` has returned. Throws: the error of the store. */
  protected abstract getRange<T>(
    wanted: WantedRange,
    receive: (response: RangeResponse) => Promise<T>,
  ): Promise<T>;

  async #finish(download: Download): Promise<ObjectStart> {
    const { key, signal } = download.wanted;
    const path = pathOfObject(this, key);
    const request = (wanted: () => WantedRange): Promise<void> =>
      retrying(
        () => this.getRange(wanted(), (response) => download.receive(response, path)),
        this.retry,
        { signal, path },
      );
    await request(() => download.next());
    if (download.isUnsatisfiable) await request(() => download.whole());
    return download.result(path);
  }
}

interface WantedBytes extends ObjectReadOptions {
  readonly key: string;
  readonly start: number;
  readonly length: number;
  /** All of it must be filled; without a target, the object may be shorter. */
  readonly target?: Uint8Array | undefined;
}

/** The bytes received so far. */
class Download {
  readonly wanted: WantedBytes;
  #target: Uint8Array | undefined;
  #done = 0;
  #info: ObjectInfo | undefined;
  /** The object is empty; the response contains nothing else about it. */
  isUnsatisfiable = false;

  constructor(wanted: WantedBytes) {
    this.wanted = wanted;
    this.#target = wanted.target;
  }

  /** The request for what is missing. */
  next(): WantedRange {
    const { key, start, length, signal } = this.wanted;
    const range = { start: start + this.#done, end: start + (this.#target?.length ?? length) };
    return { key, range, signal, etag: this.#etag };
  }

  /** The request for all of an empty object. */
  whole(): WantedRange {
    const { key, signal } = this.wanted;
    return { key, range: undefined, signal, etag: this.#etag };
  }

  result(path: string): ObjectStart {
    if (this.#info !== undefined && this.#target !== undefined) {
      return { info: this.#info, bytes: this.#target };
    }
    throw nonsense(path, { what: 'range of an object', expected: 'a response', actual: 'none' });
  }

  async receive(response: RangeResponse, path: string): Promise<void> {
    const { start, length, target: given } = this.wanted;
    if (response.kind === 'unsatisfiable') return this.#refuseUnsatisfiable(path);
    const { info } = response;
    this.#checkEtag(info, path);
    if (this.isUnsatisfiable && info.size > 0) {
      // It has been written in the meantime.
      throw transient(nonsense(path, { what: 'size', expected: '0', actual: `${info.size}` }));
    }
    this.isUnsatisfiable = false;
    const end = Math.min(start + length, info.size);
    if (given !== undefined && end < start + length) throw endsEarly(path, end, start + length);
    if (response.start !== start + this.#done || response.end !== end) {
      const expected = `${start + this.#done} to ${end}`;
      const actual = `${response.start} to ${response.end}`;
      throw nonsense(path, { what: 'range of the response', expected, actual });
    }
    this.#info = info;
    this.#target ??= new Uint8Array(end - start);
    try {
      await this.#take(response.body, this.#target, path);
    } finally {
      // Without an etag, it is unknown whether the rest belongs to the same content.
      if (info.etag === undefined) this.#done = 0;
    }
  }

  async #take(body: AsyncIterable<Uint8Array>, target: Uint8Array, path: string): Promise<void> {
    for await (const chunk of body) {
      if (chunk.length > target.length - this.#done) {
        const expected = `${target.length} bytes`;
        throw nonsense(path, { what: 'body of the response', expected, actual: 'more' });
      }
      target.set(chunk, this.#done);
      this.#done += chunk.length;
    }
    if (this.#done === target.length) return;
    const what = 'body of the response';
    const [expected, actual] = [`${target.length} bytes`, `${this.#done}`];
    throw transient(nonsense(path, { what, expected, actual }));
  }

  #refuseUnsatisfiable(path: string): void {
    const { start, length, target } = this.wanted;
    // An earlier attempt has received bytes of it.
    if (this.#done > 0) throw changedError(path, this.#etag ?? 'of the first bytes', undefined);
    if (target !== undefined) {
      const what = 'object ends early';
      const until = `bytes up to ${start + length}`;
      throw new StorageError('truncated', { what, path, offset: start, expected: until });
    }
    this.isUnsatisfiable = true;
  }

  get #etag(): string | undefined {
    return this.wanted.etag ?? this.#info?.etag;
  }

  #checkEtag(info: ObjectInfo, path: string): void {
    const expected = this.#etag;
    if (expected === undefined || sameEtag(expected, info.etag)) return;
    throw changedError(path, expected, info.etag);
  }
}

/** Listings of some stores leave the quotes out. */
function sameEtag(left: string, right: string | undefined): boolean {
  const bare = (etag: string): string => etag.replace(/^W\//, '').replace(/^"(.*)"$/, '$1');
  return right !== undefined && bare(left) === bare(right);
}
