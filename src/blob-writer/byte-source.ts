/** Where blobs are read from: anything with a size and a positioned read. */
import { isUint8Array } from 'node:util/types';
import { isStorageError, StorageError } from '../errors.ts';
import { messageOf } from '../realms.ts';
import type { HeldFile } from '../virtual-file/held-file.ts';
import { errnoOf, fromNodeError } from '../virtual-file/system-error.ts';
import type { VirtualFile } from '../virtual-file/virtual-file.ts';

export interface ByteSource {
  /** Bytes. Must not change. */
  readonly size: number;
  /** Bytes that are stored, where that is known: less than `size` where a file has holes. */
  readonly allocatedSize?: number | undefined;
  /** For error messages. */
  readonly path?: string | undefined;
  /** Reads at most `target.length` bytes at `offset`; returns how many, 0 at the end. */
  read(target: Uint8Array, offset: number): Promise<number>;
  /** The same at once, where the source can; the event loop stands still meanwhile. */
  readonly readSync?: ((target: Uint8Array, offset: number) => number) | undefined;
  /** Memory that large reads of the source are fastest with, if that is not any. */
  readonly newBuffer?: ((length: number) => Uint8Array) | undefined;
  /** Fills the target from memory; false, and nothing is read, where the source has not all of it. */
  readCached?(target: Uint8Array, offset: number): boolean;
}

/** A file with the size that it has now. */
export async function fileSource(file: VirtualFile): Promise<ByteSource> {
  const { size, allocatedSize } = await file.stat();
  return {
    size,
    allocatedSize,
    path: file.path,
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
    read: async (target, offset) => {
      const reading = () => handle.read(target, 0, target.length, offset);
      return (await failingAs('read file', reading)).bytesRead;
    },
  };
}

/** Fills the target. Throws `truncated` when the source ends first, as a file cut under us does. */
export async function readExactly(
  source: ByteSource,
  target: Uint8Array,
  offset: number,
): Promise<void> {
  let done = 0;
  try {
    while (done < target.length) {
      const rest = done === 0 ? target : target.subarray(done);
      const length = checkedLength(await source.read(rest, offset + done), rest);
      if (length === 0) throw endsEarly(source, { target, offset, done });
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
export function endsEarly(
  source: ByteSource,
  { target, offset, done }: { target: Uint8Array; offset: number; done: number },
): StorageError {
  return new StorageError('truncated', {
    what: 'file ends early',
    path: source.path,
    offset: offset + done,
    expected: `${target.length} bytes from offset ${offset}`,
    actual: `${done}`,
  });
}
