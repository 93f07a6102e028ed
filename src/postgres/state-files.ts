/**
 * State of transactions in a data directory, which a timeline contains in addition to relations:
 *
 *   pg_xact/{segment}                     whether transactions committed
 *   pg_multixact/members/{segment}        members of multixacts
 *   pg_multixact/offsets/{segment}        where the members of a multixact begin
 *   pg_twophase/{xid}                     prepared transactions; 8 hex digits, 16 from version 17 on
 *
 * A segment has at most 32 pages; its name is its number in 4 to 6 upper-case hex digits.
 * Source: Postgres src/backend/access/transam/slru.c, twophase.c.
 */
import { isStorageError, StorageError, tooLarge } from '../errors.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import type { DirectoryEntry, FileSystem } from '../virtual-file/file-system.ts';
import { SLRU_SEGMENT_PAGES, type SlruName, type SlruSegmentId } from './key-mapping.ts';
import type { LeftOutFile } from './left-out.ts';
import type { Objections } from './objections.ts';
import { PAGE_SIZE } from './page.ts';
import { describeSegment, wrongKind } from './relation-files.ts';
import type { RelationSegment } from './relation-segments.ts';

/** Largest two-phase file that is imported, in bytes: its value is in memory as a whole. */
const MAXIMUM_TWOPHASE_SIZE = 64 * 1024 * 1024;

/** The file of a segment of an SLRU. */
export interface SlruFile extends SlruSegmentId {
  readonly segment: RelationSegment;
  readonly pageCount: number;
}

/** The file of a prepared transaction. */
export interface TwophaseFile {
  /** At least 1. */
  readonly xid: bigint;
  readonly segment: RelationSegment;
}

/** The files of all SLRUs that have keys, and of all prepared transactions. */
export interface StateFiles {
  /** By SLRU and segment. */
  readonly slrus: readonly SlruFile[];
  /** By transaction. */
  readonly twophase: readonly TwophaseFile[];
  /** Other files in the same directories, and parts of files. */
  readonly leftOut: readonly LeftOutFile[];
}

const SLRU_DIRECTORIES: readonly (readonly [slru: SlruName, directory: string])[] = [
  ['clog', 'pg_xact'],
  ['multixact_members', 'pg_multixact/members'],
  ['multixact_offsets', 'pg_multixact/offsets'],
];

/**
 * Lists the files. Objects to directories that are missing and to segments that end within a page.
 *
 * @throws `not-found`, `truncated`, unless damage is allowed; `too-large`, `invalid-input` (not a regular
 *   file), `io`.
 */
export async function findStateFiles(
  dataDirectory: string,
  fileSystem: FileSystem,
  objections: Objections,
): Promise<StateFiles> {
  const slrus: SlruFile[] = [];
  const twophase: TwophaseFile[] = [];
  const leftOut: LeftOutFile[] = [];
  const list = async (
    name: string,
    use: (name: string, segment: RelationSegment) => boolean,
  ): Promise<void> => {
    const directory = pathIn(dataDirectory, name);
    for (const entry of await entriesOf(directory, fileSystem, objections)) {
      const path = pathIn(directory, entry.name);
      if (!HEX_NAME.test(entry.name)) leftOut.push({ path, reason: 'unknown name' });
      else {
        if (entry.kind !== 'file') throw wrongKind(path, entry, 'regular file');
        const segment = describeSegment(0, path, await fileSystem.stat(path));
        if (!use(entry.name, segment)) leftOut.push({ path, reason: 'unknown name' });
      }
    }
  };
  for (const [slru, directory] of SLRU_DIRECTORIES) {
    await list(directory, (name, segment) => {
      if (name.length > 6) return false;
      if (checkSegment(segment, objections) === 'partial') {
        leftOut.push({ path: segment.path, reason: 'partial page' });
      }
      const pageCount = segment.size / PAGE_SIZE;
      slrus.push({ slru, segno: Number.parseInt(name, 16), segment, pageCount });
      return true;
    });
  }
  await list('pg_twophase', (name, segment) => {
    const xid = BigInt(`0x${name}`);
    if (xid === 0n || name.length < 8) return false;
    checkTwophaseSize(segment);
    twophase.push({ xid, segment });
    return true;
  });
  slrus.sort((left, right) => orderOf(left) - orderOf(right) || left.segno - right.segno);
  twophase.sort((left, right) => (left.xid < right.xid ? -1 : 1));
  return { slrus, twophase, leftOut };
}

const HEX_NAME = /^(?:[0-9A-F]{4,6}|[0-9A-F]{8}|[0-9A-F]{16})$/;

function orderOf({ slru }: SlruFile): number {
  return SLRU_DIRECTORIES.findIndex(([name]) => name === slru);
}

/** Empty for a directory that is missing, if damage is allowed. */
async function entriesOf(
  directory: string,
  fileSystem: FileSystem,
  objections: Objections,
): Promise<readonly DirectoryEntry[]> {
  try {
    return await fileSystem.readDirectory(directory);
  } catch (error) {
    if (!isStorageError(error, 'not-found')) throw error;
    objections.raise('damaged', error);
    return [];
  }
}

function checkSegment(segment: RelationSegment, objections: Objections): 'full' | 'partial' {
  const { path, size, fileSize } = segment;
  const what = 'segment of transaction state';
  if (size > SLRU_SEGMENT_PAGES * PAGE_SIZE) {
    throw tooLarge(what, { maximum: SLRU_SEGMENT_PAGES * PAGE_SIZE, actual: fileSize, path });
  }
  if (size === fileSize) return 'full';
  const expected = `a multiple of ${PAGE_SIZE} bytes`;
  const error = new StorageError('truncated', { what, path, expected, actual: `${fileSize}` });
  objections.raise('damaged', error);
  return 'partial';
}

function checkTwophaseSize({ path, fileSize }: RelationSegment): void {
  if (fileSize <= MAXIMUM_TWOPHASE_SIZE) return;
  throw tooLarge('two-phase file', { maximum: MAXIMUM_TWOPHASE_SIZE, actual: fileSize, path });
}
