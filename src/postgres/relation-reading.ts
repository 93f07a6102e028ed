/**
 * Reads relation files in large pieces, each through one open file, and detects a change of the
 * size, the time of the last write, or the file under the name. Such a change means that a server
 * is writing to the directory.
 */
import { StorageError, throwIfAborted } from '../errors.ts';
import type { FileStat } from '../virtual-file/file-system.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import { readSmallFile } from '../virtual-file/small-file.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';
import type { Objections } from './objections.ts';
import { PAGE_SIZE } from './page.ts';
import type { RelationFiles, RelationMapFile } from './relation-files.ts';
import type { RelationSegment } from './relation-segments.ts';

/** Bytes of one read: 128 pages. */
const READ_SIZE = 128 * PAGE_SIZE;

/** Postgres writes 512 bytes (14 and 15) or 524. */
const MAXIMUM_MAP_SIZE = 64 * 1024;

export interface ReadingOptions {
  readonly openFiles: OpenFiles;
  readonly objections: Objections;
  readonly signal?: AbortSignal | undefined;
}

/** A part of a segment, in bytes; whole pages. */
export interface SegmentPart {
  readonly start: number;
  readonly end: number;
}

/**
 * Yields the pages of a segment, or of a part of it, in order, many at a time: views of one buffer,
 * valid until the next one is requested. Throws `invalid-input` if the file changed since it was listed; if an unclean
 * directory is allowed, only if its size changed.
 */
export async function* readSegmentPages(
  segment: RelationSegment,
  { openFiles, objections, signal }: ReadingOptions,
  { start, end }: SegmentPart = { start: 0, end: segment.size },
): AsyncGenerator<Uint8Array, void, void> {
  const { path, fileSize } = segment;
  const buffer = new Uint8Array(Math.min(READ_SIZE, end - start));
  const file = await VirtualFile.open(path, { read: true, openFiles, signal });
  try {
    await checkSize(file, fileSize);
    for (let offset = start; offset < end; offset += READ_SIZE) {
      throwIfAborted(signal, path);
      const target = buffer.subarray(0, Math.min(READ_SIZE, end - offset));
      const length = await file.readAt(target, offset);
      if (length < target.length) throw changedSize(path, fileSize, offset + length);
      yield target;
    }
    const stat = await checkSize(file, fileSize);
    const change = changeOf(segment, stat);
    if (change !== undefined) objections.raise('unclean', changed(path, change));
  } finally {
    await file.close();
  }
}

/** Reads a relation map. Throws `invalid-input` if its size changed since it was listed. */
export async function readMapFile(map: RelationMapFile, openFiles: OpenFiles): Promise<Uint8Array> {
  return readSmallFile(map.path, { maximumLength: MAXIMUM_MAP_SIZE, openFiles }, (bytes) => {
    if (bytes.length !== map.size) throw changedSize(map.path, map.size, bytes.length);
    return bytes;
  });
}

async function checkSize(file: VirtualFile, size: number): Promise<FileStat> {
  const stat = await file.stat();
  if (stat.size !== size) throw changedSize(file.path, size, stat.size);
  return stat;
}

/** Distinguishes a file from its later versions. */
type Version = Partial<Pick<FileStat, 'identity' | 'modificationTime'>>;

function changeOf(before: Version, after: Version): string | undefined {
  if (before.identity !== after.identity) return 'another file has its name';
  return before.modificationTime === after.modificationTime ? undefined : 'it was written to';
}

/** Objects to relation files that appeared, disappeared or were written to. */
export function checkUnchangedFiles(
  before: RelationFiles,
  after: RelationFiles,
  objections: Objections,
): void {
  checkUnchangedListing(filesOf(before), filesOf(after), objections);
}

/** As `checkUnchangedFiles`, for any files. */
export function checkUnchangedListing(
  before: readonly ListedFile[],
  after: readonly ListedFile[],
  objections: Objections,
): void {
  const now = new Map(after.map((file) => [file.path, file]));
  for (const file of before) {
    const { path, fileSize } = file;
    const found = now.get(path);
    now.delete(path);
    if (found === undefined) {
      objections.raise('unclean', changed(path, 'it is gone'));
    } else if (found.fileSize !== fileSize) {
      objections.raise('unclean', changedSize(path, fileSize, found.fileSize));
    } else {
      const change = changeOf(file, found);
      if (change !== undefined) objections.raise('unclean', changed(path, change));
    }
  }
  for (const path of now.keys()) objections.raise('unclean', changed(path, 'it is new'));
}

/** A file as it was listed. */
export interface ListedFile extends Version {
  readonly path: string;
  readonly fileSize: number;
}

function filesOf({ forks, maps }: RelationFiles): ListedFile[] {
  const ofMaps = maps.map(({ path, size }) => ({ path, fileSize: size }));
  return [...forks.flatMap(({ segments }) => segments), ...ofMaps];
}

function changedSize(path: string, expected: number, actual: number): StorageError {
  return new StorageError('invalid-input', {
    what: 'size of a relation file, which changed during the import',
    path,
    expected: `${expected} bytes, as before`,
    actual: `${actual}`,
  });
}

function changed(path: string, how: string): StorageError {
  return new StorageError('invalid-input', {
    what: `relation file changed during the import: ${how}`,
    path,
  });
}
