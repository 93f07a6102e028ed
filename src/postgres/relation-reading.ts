/**
 * Reading relation files from end to end: in large pieces, on one open file, and never past a
 * change of size. A file that changes means that a server is at work in the directory.
 */
import { StorageError, throwIfAborted } from '../errors.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';
import { readWholeFile } from './data-directory.ts';
import { PAGE_SIZE } from './page.ts';
import type { RelationMapFile } from './relation-files.ts';
import type { RelationSegment } from './relation-segments.ts';

/** Bytes of one read: 128 pages. */
const READ_SIZE = 128 * PAGE_SIZE;

/** Postgres writes 512 bytes (14 and 15) or 524. */
const MAXIMUM_MAP_SIZE = 64 * 1024;

export interface ReadingOptions {
  readonly openFiles: OpenFiles;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Yields the segment's pages in order, many at a time: views of one buffer, valid until the next
 * is asked for. Throws `invalid-input` when the file's size is not what it was.
 */
export async function* readSegmentPages(
  segment: RelationSegment,
  { openFiles, signal }: ReadingOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const { path, size } = segment;
  const buffer = new Uint8Array(Math.min(READ_SIZE, size));
  const file = await VirtualFile.open(path, { read: true, openFiles, signal });
  try {
    await checkSize(file, size);
    for (let offset = 0; offset < size; offset += READ_SIZE) {
      throwIfAborted(signal, path);
      const target = buffer.subarray(0, Math.min(READ_SIZE, size - offset));
      const length = await file.readAt(target, offset);
      if (length < target.length) throw changedSize(path, size, offset + length);
      yield target;
    }
    await checkSize(file, size);
  } finally {
    await file.close();
  }
}

/** The content of a relation map. Throws `invalid-input` when its size is not what it was. */
export async function readMapFile(map: RelationMapFile, openFiles: OpenFiles): Promise<Uint8Array> {
  const bytes = await readWholeFile(map.path, MAXIMUM_MAP_SIZE, openFiles);
  if (bytes.length !== map.size) throw changedSize(map.path, map.size, bytes.length);
  return bytes;
}

async function checkSize(file: VirtualFile, size: number): Promise<void> {
  const stat = await file.stat();
  if (stat.size !== size) throw changedSize(file.path, size, stat.size);
}

function changedSize(path: string, expected: number, actual: number): StorageError {
  return new StorageError('invalid-input', {
    what: 'relation file changed while it was read: size',
    path,
    expected: `${expected} bytes as before`,
    actual: `${actual}`,
  });
}
