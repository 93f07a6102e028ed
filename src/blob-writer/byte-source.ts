/** Where blobs are read from: anything with a size and a positioned read. */
import { isUint8Array } from 'node:util/types';
import { abortedError, isStorageError, StorageError } from '../errors.ts';
import { messageOf } from '../realms.ts';
import type { HeldFile } from '../virtual-file/held-file.ts';
import { errnoOf, fromNodeError } from '../virtual-file/system-error.ts';
import type { VirtualFile } from '../virtual-file/virtual-file.ts';
import { distribute, type JoinedRange, joinRanges, type ReadRange } from './read-range.ts';

export interface ReadRangesOptions {
  /** The reads are not needed any more once it fires; a source may go on with them. */
  readonly signal?: AbortSignal | undefined;
}

export interface ByteSource {
  /** Bytes. Must not change. */
  readonly size: number;
  /** Bytes that are stored, where that is known: less than `size` where a file has holes. */
  readonly allocatedSize?: number | undefined;
  /** For error messages. */
  readonly path?: string | undefined;
  /** Reads at most `target.length` bytes at `offset`; returns how many, 0 at the end. */
  read(target: Uint8Array, offset: number): Promise<number>;
  /**
   * Fills all targets, in as few requests as the source can: ranges are in any order and may overlap.
   * Rejects where it cannot fill one of them. Without it, each range is read by `read`.
   */
  readonly readRanges?:
    | ((ranges: readonly ReadRange[], options?: ReadRangesOptions) => Promise<void>)
    | undefined;
  /**
   * Bytes between two ranges that cost no more to read than a second request: such ranges are read
   * together. Default: ranges are read one by one, blobs together where they touch.
   */
  readonly maximumGap?: number | undefined;
  /** The same as `read`, synchronously, where the source can; the event loop stands still meanwhile. */
  readonly readSync?: ((target: Uint8Array, offset: number) => number) | undefined;
  /** Memory that large reads of the source are fastest with, if that is not any. */
  readonly newBuffer?: ((length: number) => Uint8Array) | undefined;
  /** Fills the target from memory; false, and nothing is read, where the source has not all of it. */
  readCached?(target: Uint8Array, offset: number): boolean;
}

/** Of a file on this machine: half a block of it is read faster than a second call is made. */
const MAXIMUM_GAP_OF_FILE = 4096;

/** A file with the size that it has now. */
export async function fileSource(file: VirtualFile): Promise<ByteSource> {
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

/** Bytes in memory; they must not change. */
export function bytesSource(bytes: Uint8Array, path?: string): ByteSource {
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

/** What a node:fs/promises FileHandle offers here. */
export interface ReadableHandle {
  stat(): Promise<{ readonly size: number }>;
  read(
    target: Uint8Array,
    targetOffset: number,
    length: number,
    offset: number,
  ): Promise<{ readonly bytesRead: number }>;
}

/** A FileHandle with the size that it has now; the caller closes it. Its errors become `io`. */
export async function handleSource(handle: ReadableHandle, path?: string): Promise<ByteSource> {
  const failingAs = async <T>(action: string, operation: () => Promise<T>): Promise<T> => {
    try {
      return await operation();
    } catch (error) {
      throw fromNodeError(action, path, error);
    }
  };
  const { size } = await failingAs('look up file', () => handle.stat());
  return {
    size,
    path,
    maximumGap: MAXIMUM_GAP_OF_FILE,
    read: async (target, offset) => {
      const reading = () => handle.read(target, 0, target.length, offset);
      return (await failingAs('read file', reading)).bytesRead;
    },
  };
}

/** Reads in flight at the same time; more wait in line. */
const MAXIMUM_READS = 32;

/** Small reads synchronously where the source can: a thread hop costs more than they do. */
const LARGEST_SYNC_READ = 64 * 1024;

/**
 * Fills all targets. Returns: nothing to wait for where that was done already.
 * Throws: `truncated` where the source ends first, as a file cut under us does; `aborted`, `io`.
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

/** Throws: `truncated`, `io`; `invalid-input` where the source cannot, and has not all in memory. */
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

/** For what cannot be done without a wait. */
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

/** Not an asynchronous function: each one in between costs a small read as much as the read. */
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

/** By one call of a source that takes many. */
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

/** Settles when none is in flight any more; rejects with the first error. */
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
    // It may be what lies between the parts that cannot be read.
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

/** Memory for large reads. Throws `io` where the source has no memory of that length. */
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
 * What a read returned. Throws for a length that is impossible, which would make bytes up; whoever
 * reads turns that into `io`, as all that a source does wrong.
 */
export function checkedLength(length: number, target: Uint8Array): number {
  if (Number.isSafeInteger(length) && length >= 0 && length <= target.length) return length;
  throw new RangeError(`a read returned ${String(length)}: expected 0 to ${target.length} bytes`);
}

/** What a source threw, which may be anything, as a StorageError; one that it threw itself stays. */
export function failedRead(
  error: unknown,
  { path }: ByteSource,
  offset: number | undefined,
): StorageError {
  if (isStorageError(error)) return error;
  const what = `cannot read: ${messageOf(error)}`;
  return new StorageError('io', { what, path, offset, errno: errnoOf(error), cause: error });
}

/** For a read of which only the first `done` bytes came. */
function endsEarly(source: ByteSource, { target, offset }: ReadRange, done: number): StorageError {
  return new StorageError('truncated', {
    what: 'file ends early',
    path: source.path,
    offset: offset + done,
    expected: `${target.length} bytes from offset ${offset}`,
    actual: `${done}`,
  });
}
