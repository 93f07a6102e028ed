/**
 * The interface to an object store: read ranges, list, head, put. `directory-store.ts` is a local
 * directory, `s3-store.ts` speaks S3, `http-store.ts` reads single files over HTTP, `sdk-store.ts`
 * adapts a client of the AWS SDK.
 *
 * Rules of all of them:
 *
 *   - Absence is only what the store itself states: `not-found`, or undefined from `head`. Anything that
 *     prevented the look-up has another code, so that a failed look-up is never reported as absence.
 *   - `network`  no usable response: no connection, a timeout, an invalid status or body
 *   - `denied`   the store refuses: credentials, permissions, clock skew
 *   - `changed`  the object no longer has the expected etag
 *   - `io`       the bucket or directory is missing, or the store fails permanently
 *   - The store retries reads and lists after transient failures, a limited number of times.
 */
import type { ReadRange } from '../blob-writer/read-range.ts';
import {
  checkArray,
  checkBytes,
  checkCount,
  checkObject,
  checkSignal,
  checkText,
} from '../check-options.ts';
import { StorageError } from '../errors.ts';

/** What is known about an object. */
export interface ObjectInfo {
  /** Its name in the store, below the store's prefix; parts are separated by `/`. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Identifies the content: compare it, but do not interpret it. Undefined if the store has none. */
  readonly etag?: string | undefined;
  /** When the object was written, if known. */
  readonly modified?: Date | undefined;
}

/** Keys that share a prefix up to a delimiter, as one item of a listing. */
export interface CommonPrefix {
  /** Ends with the delimiter. */
  readonly prefix: string;
}

/** Options of every call. */
export interface ObjectRequestOptions {
  /** Ends the call with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of reads. */
export interface ObjectReadOptions extends ObjectRequestOptions {
  /** Etag of the expected content; any other is refused as `changed`. */
  readonly etag?: string | undefined;
}

/** Options of `ObjectStore.list`. */
export interface ObjectListOptions extends ObjectRequestOptions {
  /** Groups keys with the same text up to the next `/` after the prefix. Default: no groups. */
  readonly delimiter?: '/' | undefined;
}

/** Options of `ObjectStore.put`. */
export interface ObjectPutOptions extends ObjectRequestOptions {
  /** Refuses an existing key as `exists`. Default false: the object is replaced. */
  readonly ifAbsent?: boolean | undefined;
  /**
   * Replaces only the object with this etag: a different or missing object is refused as `changed`. A store without
   * such a condition compares before it writes.
   */
  readonly ifMatch?: string | undefined;
}

/** The beginning of an object, or all of it. */
export interface ObjectStart {
  /** The object that the bytes belong to. */
  readonly info: ObjectInfo;
  /** The first bytes, at most as many as requested; fewer only if the object is shorter. */
  readonly bytes: Uint8Array;
}

/** @internal A store as it can be sent to another thread, which opens it by `reopenStore`. */
export interface StoreSettings {
  readonly kind: 's3' | 'http';
  /** The base of a web server. */
  readonly base?: string | undefined;
  /** The options of the store. All of them can be sent. */
  readonly options: object;
}

/**
 * Where objects are: a local directory, a bucket, a web server. Calls may run concurrently. They reject with a
 * `StorageError` whose `path` is the name of the store and the key.
 */
export interface ObjectStore {
  /** For messages: `s3://bucket/prefix`, a directory. */
  readonly name: string;
  /**
   * Fills all targets in as few requests as possible. Ranges are in any order and may overlap.
   *
   * @throws `not-found`, `changed`, `truncated` (the object ends before a range does), `network`,
   * `denied`, `io`, `aborted`, `invalid-input`.
   */
  readRanges(key: string, ranges: readonly ReadRange[], options?: ObjectReadOptions): Promise<void>;
  /**
   * Reads the first bytes of an object, and what is known of it, in one request.
   *
   * @param length Maximum number of bytes, at least 1.
   * @throws `not-found`, `changed`, `network`, `denied`, `io`, `aborted`, `invalid-input`.
   */
  readStart(key: string, length: number, options?: ObjectReadOptions): Promise<ObjectStart>;
  /**
   * Objects and common prefixes below a prefix, in byte order of their names. Pages are followed.
   *
   * @param prefix Beginning of the keys; `''` lists everything.
   * @throws `network`, `denied`, `io`, `aborted`, `invalid-input`.
   */
  list(prefix: string, options?: ObjectListOptions): AsyncIterable<ObjectInfo | CommonPrefix>;
  /**
   * Looks up an object.
   *
   * @returns Undefined only if the store states that there is none.
   * @throws `network`, `denied`, `io`, `aborted`, `invalid-input`.
   */
  head(key: string, options?: ObjectRequestOptions): Promise<ObjectInfo | undefined>;
  /**
   * Writes an object. Readers see the old content or the new one, never a part.
   *
   * Durability: once it resolves, the store keeps the object; a local directory has synced it.
   * @param bytes Must not change until the call has ended.
   * @throws `exists` (with `ifAbsent`), `changed` (with `ifMatch`), `network`, `denied`, `io`, `aborted`,
   * `invalid-input`. After `network` or `aborted` the object may be there or not.
   */
  put(key: string, bytes: Uint8Array, options?: ObjectPutOptions): Promise<ObjectInfo>;
  /**
   * Writes a new object from a local file without holding its bytes in memory; `putFile` of
   * `put-file.ts` does so for stores that lack it. A directory on the same file system links the file.
   *
   * Requires: the file is synced, and never changes again.
   * @throws As `put` with `ifAbsent`; `not-found` (no such file).
   */
  putFile?(key: string, file: string, options?: ObjectRequestOptions): Promise<ObjectInfo>;
  /** Ranges at most this many bytes apart are read together. Default: only those that touch. */
  readonly maximumGap?: number | undefined;
  /** @internal The settings with which another thread opens the same store; undefined if it cannot. */
  readonly settings?: StoreSettings | undefined;
}

/** True for a common prefix, false for an object. */
export function isCommonPrefix(item: ObjectInfo | CommonPrefix): item is CommonPrefix {
  checkObject('item of a listing', item);
  return 'prefix' in item;
}

/** A prefix as a directory: with a slash at its end, unless it is empty. @internal */
export function directoryPrefix(prefix: string): string {
  return prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
}

/** The object as named in messages: `s3://bucket/prefix/key`. */
export function pathOfObject({ name }: Pick<ObjectStore, 'name'>, key: string): string {
  return key === '' || name.endsWith('/') ? name + key : `${name}/${key}`;
}

/** S3's limit. */
const MAXIMUM_KEY_BYTES = 1024;

/** Throws `invalid-input` for a key that no store allows: not a text, empty, or too long. */
export function checkKeyOfObject(key: unknown): asserts key is string {
  checkText('key of the object', key);
  if (key === '') throw badKey(key, 'at least one character');
  checkKeyText(key);
}

/** As `checkKeyOfObject`; a prefix may be empty. */
export function checkPrefix(prefix: unknown): asserts prefix is string {
  checkText('prefix', prefix);
  checkKeyText(prefix);
}

function checkKeyText(key: string): void {
  if (/\p{Surrogate}/u.test(key)) throw badKey(key, 'Unicode');
  if (key.includes('\0')) throw badKey(key, 'a text without NUL');
  const length = key.length > MAXIMUM_KEY_BYTES ? key.length : Buffer.byteLength(key);
  if (length > MAXIMUM_KEY_BYTES) throw badKey(key, `at most ${MAXIMUM_KEY_BYTES} bytes`);
}

export function badKey(key: string, expected: string): StorageError {
  return new StorageError('invalid-input', { what: 'key of the object', expected, actual: key });
}

/** Throws `invalid-input` for the options that all calls share. */
export function checkRequestOptions(options: ObjectReadOptions): void {
  checkObject('options', options);
  checkSignal(options.signal);
  if (options.etag !== undefined) checkText('etag', options.etag);
}

/** Throws `invalid-input`. */
export function checkRanges(ranges: readonly ReadRange[]): void {
  checkArray('ranges', ranges);
  for (const range of ranges) {
    checkObject('range', range);
    const { target, offset } = range;
    checkBytes(target, 'target of a range');
    checkCount('offset', offset, { to: Number.MAX_SAFE_INTEGER - target.length });
  }
}

/** As `checkRequestOptions`; a put cannot have both conditions. */
export function checkPutOptions(options: ObjectPutOptions): void {
  checkRequestOptions(options);
  const { ifAbsent, ifMatch } = options;
  if (ifMatch === undefined) return;
  checkText('ifMatch', ifMatch);
  if (!ifAbsent) return;
  const [expected, actual] = ['ifAbsent or ifMatch', 'both'];
  throw new StorageError('invalid-input', { what: 'conditions of a put', expected, actual });
}

export function notFoundError(path: string, cause?: unknown): StorageError {
  return new StorageError('not-found', { what: 'no such object', path, cause });
}

export function changedError(
  path: string,
  expected: string,
  actual: string | undefined,
): StorageError {
  const what = 'object changed while it was read';
  return new StorageError('changed', { what, path, expected: `etag ${expected}`, actual });
}

/** The error of a put whose `ifMatch` condition fails. */
export function replacedError(path: string, expected: string, actual?: string): StorageError {
  const what = 'object was changed by another writer';
  return new StorageError('changed', { what, path, expected: `etag ${expected}`, actual });
}

/** The error for an object that is shorter than the requested range. */
export function endsEarly(path: string, offset: number, end: number): StorageError {
  return new StorageError('truncated', {
    what: 'object ends early',
    path,
    offset,
    expected: `bytes up to ${end}`,
    actual: `${offset} bytes`,
  });
}

/** The error of a conditional put whose key exists. */
export function takenError(path: string): StorageError {
  return new StorageError('exists', { what: 'object already exists', path });
}
