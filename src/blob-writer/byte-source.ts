/** Where blobs are read from: anything with a size and a positioned read. */
import { StorageError } from '../errors.ts';
import type { HeldFile } from '../virtual-file/held-file.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
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
  while (done < target.length) {
    const rest = done === 0 ? target : target.subarray(done);
    const length = await source.read(rest, offset + done);
    if (length === 0) throw endsEarly(source, { target, offset, done });
    done += length;
  }
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
