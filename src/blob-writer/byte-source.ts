/** Where blobs are read from: anything with a size and a positioned read. */

import { isUint8Array } from 'node:util/types';
import {
  checkBytes,
  checkCount,
  checkFunction,
  checkLimit,
  checkMethod,
  checkObject,
  checkOneOf,
  checkText,
} from '../check-options.ts';
import { abortedError, isStorageError, StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';
import { messageOf } from '../realms.ts';
import type { HeldFile } from '../virtual-file/held-file.ts';
import { errnoOf, fromNodeError } from '../virtual-file/system-error.ts';
import type { VirtualFile } from '../virtual-file/virtual-file.ts';
import { distribute, type JoinedRange, joinRanges, type ReadRange } from './read-range.ts';

/** Options of reads. */
export interface ReadRangesOptions {
  /** Once it fires, the reads are no longer needed. A source may end them or let them finish. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Where layers and blobs are read from: anything with a size and a positioned read, such as a file, memory
 * or an HTTP range. Whatever a source throws reaches the caller as a `StorageError`: its own, or `io` with
 * the error as cause.
 *
 * @example
 * const source: ByteSource = {
 *   size,
 *   async read(target, offset) {
 *     const bytes = await getRange(offset, target.length);
 *     target.set(bytes);
 *     return bytes.length;
 *   },
 * };
 */
export interface ByteSource {
  /** In bytes. Must not change, nor may the content. */
  readonly size: number;
  /** Number of stored bytes, if known: less than `size` if a file has holes. */
  readonly allocatedSize?: number | undefined;
  /** Used in error messages. */
  readonly path?: string | undefined;
  /**
   * Reads at most `target.length` bytes at `offset`.
   *
   * @returns the number of bytes read; 0 at the end of the source
   */
  read(target: Uint8Array, offset: number): Promise<number>;
  /**
   * Fills all targets in as few requests as possible. Ranges are in any order and may overlap. Rejects if
   * it cannot fill one of them. Without this method, each range is read by `read`.
   */
  readonly readRanges?:
    | ((ranges: readonly ReadRange[], options?: ReadRangesOptions) => Promise<void>)
    | undefined;
  /**
   * Ranges at most this many bytes apart are read together, because reading the gap is no slower than a
   * second request. Default: ranges are read one by one, blobs together if they touch.
   */
  readonly maximumGap?: number | undefined;
  /**
   * Up to this many bytes, one read is better than two that need fewer: a lookup reads an index of this
   * length whole, and a value as far as the next one begins. Default: `maximumGap`, 128 KiB for values.
   */
  readonly wholeReadLength?: number | undefined;
  /** As `read`, synchronously, if the source can; blocks the event loop. */
  readonly readSync?: ((target: Uint8Array, offset: number) => number) | undefined;
  /** Allocates memory of `length` bytes that large reads are fastest with; by default ordinary memory. */
  readonly newBuffer?: ((length: number) => Uint8Array) | undefined;
  /**
   * Fills the target from a cache in memory.
   *
   * @returns false if the cache lacks some of the bytes; the target may then be filled in part
   */
  readCached?(target: Uint8Array, offset: number): boolean;
}

/** For files on this machine: reading half a block is faster than a second call. */
const MAXIMUM_GAP_OF_FILE = 4096;

/**
 * Makes a source of an open file with its present size. The caller closes the file.
 *
 * @throws `io`, `closed`
 */
export async function fileSource(file: VirtualFile): Promise<ByteSource> {
  checkFile(file);
  const { size, allocatedSize } = await file.stat();
  return {
    size,
    allocatedSize,
    path: file.path,
    maximumGap: MAXIMUM_GAP_OF_FILE,
    read: (target, offset) => file.readAt(target, offset),
    newBuffer: (length) => file.newBuffer(length),
  };
}

/** As `fileSource`, with synchronous reads, for as long as the file is held open. */
export async function heldFileSource(file: VirtualFile, held: HeldFile): Promise<ByteSource> {
  const source = await fileSource(file);
  return { ...source, readSync: (target, offset) => held.readSync(target, offset) };
}

/** Throws `invalid-input` for what cannot be read from. */
export function checkSource(source: ByteSource): void {
  checkObject('source', source);
  checkCount('size of the source', source.size);
  if (typeof source.read !== 'function')
    checkOneOf('read of the source', typeof source.read, ['function']);
  if (source.path !== undefined) checkText('path of the source', source.path);
  for (const name of OPTIONAL_METHODS) checkFunction(`${name} of the source`, source[name]);
  for (const name of OPTIONAL_COUNTS) checkLimit(`${name} of the source`, source[name]);
}

const OPTIONAL_METHODS = ['newBuffer', 'readCached', 'readRanges', 'readSync'] as const;
const OPTIONAL_COUNTS = ['allocatedSize', 'maximumGap', 'wholeReadLength'] as const;

/** Throws `invalid-input` unless the value is a VirtualFile, of any copy of the library. */
export function checkFile(file: VirtualFile): void {
  checkObject('file', file);
  if (typeof file.stat !== 'function' || typeof file.readAt !== 'function') {
    checkOneOf('file', undefined, ['VirtualFile']);
  }
}

/**
 * Makes a source of bytes in memory.
 *
 * @param bytes are not copied and must not change
 * @param path used in error messages
 */
export function bytesSource(bytes: Uint8Array, path?: string): ByteSource {
  checkBytes(bytes, 'bytes of the source');
  const readSync = (target: Uint8Array, offset: number): number => {
    const part = bytes.subarray(offset, offset + target.length);
    target.set(part);
    return part.length;
  };
  return {
    size: bytes.length,
    path,
    read: async (target, offset) => readSync(target, offset),
    readSync,
  };
}

/** The part of a `FileHandle` of node:fs/promises that `handleSource` uses. */
export interface ReadableHandle {
  /** Looks up the size. */
  stat(): Promise<{ readonly size: number }>;
  /** Reads at most `length` bytes at `offset` of the file. */
  read(
    target: Uint8Array,
    targetOffset: number,
    length: number,
    offset: number,
  ): Promise<{ readonly bytesRead: number }>;
}

/**
 * Makes a source of a `FileHandle` with its present size. The caller closes the handle.
 *
 * @param path used in error messages
 * @throws `io` with the handle's error as cause; `invalid-input`
 */
export async function handleSource(handle: ReadableHandle, path?: string): Promise<ByteSource> {
  for (const method of ['stat', 'read']) checkMethod('handle', handle, method);
  const resultOf = async <T extends object>(action: string, call: () => Promise<T>): Promise<T> => {
    try {
      const result = await call();
      checkObject(`what the handle returned to ${action}`, result);
      return result;
    } catch (error) {
      throw fromNodeError(action, path, error);
    }
  };
  const { size } = await resultOf('look up file', () => handle.stat());
  const source = {
    size,
    path,
    maximumGap: MAXIMUM_GAP_OF_FILE,
    read: async (target: Uint8Array, offset: number) => {
      const { bytesRead } = await resultOf('read file', () =>
        handle.read(target, 0, target.length, offset),
      );
      return bytesRead;
    },
  };
  checkSource(source);
  return source;
}

/** Maximum number of reads in flight; others wait. */
const MAXIMUM_READS = 32;

/** Reads up to this length are synchronous if the source can: a thread hop costs more than the read. */
const LARGEST_SYNC_READ = 64 * 1024;

/**
 * Fills all targets. Returns: nothing if they are filled already, otherwise a promise.
 * Throws: `truncated` if the source ends before the last requested byte, for example because the file
 * was cut after it was opened; `aborted`, `io`.
 */
export function fillRanges(
  source: ByteSource,
  ranges: readonly ReadRange[],
  options?: ReadRangesOptions,
): Promise<void> | undefined {
  const [only] = ranges;
  if (only !== undefined && ranges.length === 1) {
    return fillsNow(source, only) ? undefined : readAll(source, ranges, options);
  }
  const missing = ranges.filter((range) => !fillsNow(source, range));
  return missing.length === 0 ? undefined : readAll(source, missing, options);
}

/** Fills the target. Throws: as `fillRanges`. */
export function readExactly(
  source: ByteSource,
  target: Uint8Array,
  offset: number,
  options?: ReadRangesOptions,
): Promise<void> {
  return readAll(source, [{ target, offset }], options);
}

/** Throws: `truncated`, `io`; `invalid-input` if the source can neither read synchronously nor has all bytes cached. */
export function readRangeSync(source: ByteSource, range: ReadRange): void {
  const { target, offset } = range;
  if (source.readSync === undefined) {
    if (fillsFromCache(source, range)) return;
    throw cannotWait(source);
  }
  let done = 0;
  try {
    while (done < target.length) {
      const rest = done === 0 ? target : target.subarray(done);
      const length = checkedLength(source.readSync(rest, offset + done), rest);
      if (length === 0) throw endsEarly(source, range, done);
      done += length;
    }
  } catch (error) {
    throw failedRead(error, source, offset + done);
  }
}

/** The error for a synchronous read of a source that has none. */
export function cannotWait(source: ByteSource): StorageError {
  return new StorageError('invalid-input', {
    what: 'synchronous read',
    path: source.path,
    expected: "a layer opened with readMode: 'sync'",
  });
}

function fillsNow(source: ByteSource, range: ReadRange): boolean {
  if (fillsFromCache(source, range)) return true;
  if (source.readSync === undefined || range.target.length > LARGEST_SYNC_READ) return false;
  readRangeSync(source, range);
  return true;
}

function fillsFromCache(source: ByteSource, { target, offset }: ReadRange): boolean {
  try {
    return source.readCached?.(target, offset) ?? false;
  } catch (error) {
    throw failedRead(error, source, offset);
  }
}

/** Not an async function: each additional one costs as much as a small read itself. */
function readAll(
  source: ByteSource,
  ranges: readonly ReadRange[],
  options: ReadRangesOptions | undefined,
): Promise<void> {
  const [first] = ranges;
  let reading: Promise<void>;
  if (source.readRanges !== undefined) reading = readTogether(source, ranges, options);
  else if (first !== undefined && ranges.length === 1) reading = readRange(source, first);
  else reading = readSideBySide(source, joinRanges(ranges, source.maximumGap));
  const signal = options?.signal;
  if (signal === undefined) return reading;
  return reading.catch((error: unknown) => {
    throw signal.aborted ? abortedError(signal, source.path) : error;
  });
}

/** Reads the ranges by one call of the source's own `readRanges`. */
async function readTogether(
  source: ByteSource,
  ranges: readonly ReadRange[],
  options: ReadRangesOptions | undefined,
): Promise<void> {
  try {
    await source.readRanges?.(ranges, options);
  } catch (error) {
    throw failedRead(error, source, ranges[0]?.offset);
  }
}

/** Settles once no read is in flight; rejects with the first error. */
async function readSideBySide(source: ByteSource, ranges: readonly JoinedRange[]): Promise<void> {
  let next = 0;
  const readInTurn = async (): Promise<void> => {
    for (let range = ranges[next]; range !== undefined; range = ranges[next]) {
      next += 1;
      await readJoined(source, range);
    }
  };
  const lines = Array.from({ length: Math.min(ranges.length, MAXIMUM_READS) }, readInTurn);
  const outcomes = await Promise.allSettled(lines);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function readJoined(source: ByteSource, range: JoinedRange): Promise<void> {
  try {
    await readRange(source, range);
  } catch (error) {
    if (!range.hasGaps) throw error;
    // Perhaps only a gap is unreadable.
    for (const part of range.parts) await readRange(source, part);
    return;
  }
  distribute(range);
}

async function readRange(source: ByteSource, range: ReadRange): Promise<void> {
  const { target, offset } = range;
  let done = 0;
  try {
    while (done < target.length) {
      const rest = done === 0 ? target : target.subarray(done);
      const length = checkedLength(await source.read(rest, offset + done), rest);
      if (length === 0) throw endsEarly(source, range, done);
      done += length;
    }
  } catch (error) {
    throw failedRead(error, source, offset + done);
  }
}

/** Allocates memory for large reads. Throws `io` if the source returns something else. */
export function newBufferOf(source: ByteSource, length: number): Uint8Array {
  if (source.newBuffer === undefined) return new Uint8Array(length);
  let buffer: unknown;
  try {
    buffer = source.newBuffer(length);
  } catch (error) {
    throw failedRead(error, source, undefined);
  }
  if (isUint8Array(buffer) && buffer.length === length) return buffer;
  throw new StorageError('io', {
    what: 'buffer of the source',
    path: source.path,
    expected: `a Uint8Array of ${length} bytes`,
    actual: isUint8Array(buffer) ? `${buffer.length} bytes` : typeof buffer,
  });
}

/**
 * Checks the length that a read returned: an impossible one would make up bytes. Throws a RangeError, which
 * callers turn into `io`, like every other fault of a source.
 */
export function checkedLength(length: number, target: Uint8Array): number {
  if (Number.isSafeInteger(length) && length >= 0 && length <= target.length) return length;
  throw new RangeError(
    `a read returned ${valueText(length)}: expected 0 to ${target.length} bytes`,
  );
}

/** Wraps what a source threw, which may be anything, in a StorageError. A StorageError is returned unchanged. */
function failedRead(
  error: unknown,
  { path }: ByteSource,
  offset: number | undefined,
): StorageError {
  if (isStorageError(error)) return error;
  const what = `cannot read: ${messageOf(error)}`;
  return new StorageError('io', { what, path, offset, errno: errnoOf(error), cause: error });
}

/** The error for a read that got only its first `done` bytes. */
function endsEarly(source: ByteSource, { target, offset }: ReadRange, done: number): StorageError {
  return new StorageError('truncated', {
    what: 'file is truncated',
    path: source.path,
    offset: offset + done,
    expected: `${target.length} bytes from offset ${offset}`,
    actual: `${done}`,
  });
}
