/** Reads a file once, from its first byte to its last. */
import {
  type ByteSource,
  checkSource,
  fileSource,
  newBufferOf,
  readExactly,
} from '../blob-writer/byte-source.ts';
import { checkText } from '../check-options.ts';
import { ChecksummedBytes } from '../checksum.ts';
import { throwIfAborted } from '../errors.ts';
import { absolutePath } from '../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';

/** A path, or a source of the bytes of a file. */
export type FileInput = string | ByteSource;

/** Options for reading a file. */
export interface FileReadOptions {
  /** Descriptors to use; default: those of the process. */
  readonly openFiles?: OpenFiles | undefined;
  /** Ends the reading with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** Calls `use` with the source of a file, which is closed afterwards if it was opened here. */
export async function withSource<T>(
  from: FileInput,
  { openFiles, signal }: FileReadOptions,
  use: (source: ByteSource) => Promise<T>,
): Promise<T> {
  if (typeof from !== 'string') {
    checkSource(from);
    return use(from);
  }
  checkText('file', from);
  const file = await VirtualFile.open(absolutePath(from), { read: true, openFiles, signal });
  let result: T;
  try {
    result = await use({ ...(await fileSource(file)), path: from });
  } catch (error) {
    // The first error is thrown.
    await Promise.allSettled([file.close()]);
    throw error;
  }
  await file.close();
  return result;
}

/** A multiple of a block. */
const PIECE_SIZE = 1024 * 1024;

/**
 * As `piecesOf`, in memory in which checksums are computed in place; each is valid until the next one is requested.
 */
export async function* checksummedPiecesOf(
  source: ByteSource,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly piece: Uint8Array; readonly memory: ChecksummedBytes }> {
  const size = Math.min(PIECE_SIZE, length);
  const [first, second] = [ChecksummedBytes.allocate(size), ChecksummedBytes.allocate(size)];
  let offset = 0;
  for await (const piece of piecesInto(source, [first.bytes, second.bytes], { length, signal })) {
    yield { piece, memory: (offset / PIECE_SIZE) % 2 === 0 ? first : second };
    offset += PIECE_SIZE;
  }
}

/**
 * The first `length` bytes of a source in pieces of 1 MiB; each is a view that is valid until the next one is
 * requested. The next piece is read ahead. Throws `truncated`, `io`, `aborted`, and the errors of the source.
 */
export function piecesOf(
  source: ByteSource,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const size = Math.min(PIECE_SIZE, length);
  const buffers = [newBufferOf(source, size), newBufferOf(source, size)];
  return piecesInto(source, buffers, { length, signal });
}

async function* piecesInto(
  source: ByteSource,
  buffers: readonly Uint8Array[],
  { length, signal }: { readonly length: number; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  const read = (offset: number): Promise<Uint8Array> | undefined => {
    const buffer = buffers[(offset / PIECE_SIZE) % 2];
    if (offset >= length || buffer === undefined) return undefined;
    const piece = buffer.subarray(0, Math.min(PIECE_SIZE, length - offset));
    const reading = readExactly(source, piece, offset, { signal }).then(() => piece);
    // The error is thrown in its turn.
    reading.catch(() => {});
    return reading;
  };
  let next = read(0);
  try {
    for (let offset = PIECE_SIZE; next !== undefined; offset += PIECE_SIZE) {
      throwIfAborted(signal, source.path);
      const piece = await next;
      next = read(offset);
      yield piece;
    }
  } finally {
    // A read in flight ends before its file may be closed.
    await Promise.allSettled([next]);
  }
}
