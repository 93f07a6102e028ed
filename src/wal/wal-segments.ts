/** The segments of a source, in the order of the WAL that leads to one timeline. */
import { newBufferOf, readExactly } from '../blob-writer/byte-source.ts';
import { isStorageError, StorageError, tooLarge, withPath } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import type { WalGeometry } from './page-check.ts';
import {
  decodeWalPageHeader,
  isSegmentSize,
  LONG_PAGE_HEADER_SIZE,
  VERSION_OF_MAGIC,
  WAL_PAGE_SIZE,
  type WalPageHeader,
} from './page-format.ts';
import {
  formatTimelineHistoryName,
  parseWalFileName,
  startOfWalSegment,
  type WalSegmentName,
} from './segment-name.ts';
import { decodeTimelineHistory, type TimelineAncestor, TimelinePath } from './timeline-history.ts';
import {
  filesOf,
  type OpenWalFile,
  openWalFile,
  type WalFile,
  type WalSource,
} from './wal-source.ts';

/** A file with the WAL of a segment. */
export interface WalSegment {
  readonly file: WalFile;
  readonly timelineId: number;
  readonly start: Lsn;
}

interface NamedFile {
  readonly file: WalFile;
  readonly name: WalSegmentName;
}

/** Maximum bytes of a history; a line has about 40. */
const MAXIMUM_HISTORY_LENGTH = 8 * 1024 * 1024;

/** The segments of a source that have WAL of one path, found by their start LSN. */
export class WalSegments {
  readonly geometry: WalGeometry;
  readonly path: TimelinePath;
  /** Start LSNs of the segments that have WAL of the path, ascending. */
  readonly starts: readonly Lsn[];
  /** Segments of older timelines that are left out, since no history says where they lead to this one. */
  readonly unlinkedCount: number;
  readonly #files: ReadonlyMap<Lsn, WalSegment>;

  private constructor(
    geometry: WalGeometry,
    path: TimelinePath,
    { files, unlinkedCount }: { files: ReadonlyMap<Lsn, WalSegment>; unlinkedCount: number },
  ) {
    this.geometry = geometry;
    this.path = path;
    this.unlinkedCount = unlinkedCount;
    this.#files = files;
    this.starts = [...files.keys()].sort((left, right) => (left < right ? -1 : 1));
  }

  /**
   * Lists the source and reads the common properties of its segments. Timelines above `timeline`, by default the newest
   * that has a segment, are ignored. After WAL that was read `before`, another timeline counts only once its history is
   * there, which a promoted server writes after the first segment.
   *
   * Throws: `not-found` (no segments, or none of the timeline), `unsupported-version` or `corrupt` (no valid
   * page), and as the source.
   */
  static async list(
    source: WalSource,
    options: {
      readonly timeline: number | undefined;
      readonly signal: AbortSignal | undefined;
      readonly before?: WalSegments;
    },
  ): Promise<WalSegments> {
    const { before, signal } = options;
    const files = await filesOf(source, signal);
    const named = await nameAll(files, signal);
    if (named.length === 0) throw noSegments(source, 'WAL segments');
    const geometry = before?.geometry ?? (await findGeometry(named, signal));
    const timelineId = options.timeline ?? newestTimeline(named, files, before);
    const ancestors = await readAncestors(files, timelineId, signal);
    const path = new TimelinePath(timelineId, ancestors);
    const chosen = chooseFiles(named, geometry.segmentSize, path);
    if (chosen.size === 0) throw noSegments(source, `segments of timeline ${timelineId}`);
    const older = named.filter(({ name }) => name.timelineId < timelineId);
    const unlinkedCount = ancestors.length > 0 ? 0 : older.length;
    return new WalSegments(geometry, path, { files: chosen, unlinkedCount });
  }

  /** The segment that begins at an LSN, if there is one. */
  at(start: Lsn): WalSegment | undefined {
    return this.#files.get(start);
  }

  /** Path of the file that has the WAL at an LSN; undefined if there is none, or if it has no path. */
  pathAt(lsn: Lsn): string | undefined {
    const path = this.at(lsn - (lsn % BigInt(this.geometry.segmentSize)))?.file.path;
    return path === '' ? undefined : path;
  }

  /**
   * What the file of a segment begins with: up to the length of a header. Undefined if there is no file.
   *
   * Throws: as the source.
   */
  async headOf(start: Lsn, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const file = this.at(start)?.file;
    if (file === undefined) return undefined;
    return withFile(file, signal, async ({ source }) => {
      const bytes = new Uint8Array(Math.min(source.size, LONG_PAGE_HEADER_SIZE));
      await readExactly(source, bytes, 0, { signal });
      return bytes;
    });
  }

  /** Start of the first segment at or after an LSN. */
  firstFrom(lsn: Lsn): Lsn | undefined {
    return this.starts.find((start) => start >= lsn);
  }
}

/** The newest that has a segment, and if other WAL was read before, a history that leads to it. */
function newestTimeline(
  named: readonly NamedFile[],
  files: readonly WalFile[],
  before: WalSegments | undefined,
): number {
  const histories = new Set(files.map(({ name }) => name));
  let newest = before?.path.timelineId ?? 0;
  for (const { name } of named) {
    const { timelineId } = name;
    const isLinked = before === undefined || histories.has(formatTimelineHistoryName(timelineId));
    if (timelineId > newest && isLinked) newest = timelineId;
  }
  return newest;
}

/** A segment with another name is identified by its first page. */
async function nameAll(
  files: readonly WalFile[],
  signal: AbortSignal | undefined,
): Promise<NamedFile[]> {
  const named: NamedFile[] = [];
  for (const file of files) {
    const name = parseWalFileName(file.name);
    if (name === undefined) named.push({ file, name: await nameByContent(file, signal) });
    else if (name.kind === 'segment' || name.kind === 'partial-segment') named.push({ file, name });
  }
  return named;
}

async function nameByContent(
  file: WalFile,
  signal: AbortSignal | undefined,
): Promise<WalSegmentName> {
  const { timelineId, lsn, segment } = await withFile(file, signal, firstPageHeader);
  if (segment === undefined || lsn % BigInt(segment.segmentSize) !== 0n) {
    throw notASegmentStart(file);
  }
  const low = Number(lsn & 0xffff_ffffn) / segment.segmentSize;
  return { kind: 'segment', timelineId, high: Number(lsn >> 32n), low };
}

function notASegmentStart({ path }: WalFile): StorageError {
  return new StorageError('corrupt', {
    what: 'first page of the WAL segment',
    path: path === '' ? undefined : path,
    expected: 'the header of a segment',
    actual: 'the header of a page inside a segment',
  });
}

async function firstPageHeader({ source }: OpenWalFile): Promise<WalPageHeader> {
  const bytes = new Uint8Array(Math.min(source.size, LONG_PAGE_HEADER_SIZE));
  await readExactly(source, bytes, 0);
  return decodeWalPageHeader(bytes);
}

/** From the first segment whose header is valid; a safekeeper's first segment may have zeros there. */
async function findGeometry(
  named: readonly NamedFile[],
  signal: AbortSignal | undefined,
): Promise<WalGeometry> {
  let firstError: unknown;
  for (const { file } of named) {
    try {
      const { majorVersion, segment } = await withFile(file, signal, firstPageHeader);
      if (segment !== undefined) return { majorVersion, ...segment };
      firstError ??= notASegmentStart(file);
    } catch (error) {
      if (!isStorageError(error, 'corrupt', 'truncated', 'unsupported-version')) throw error;
      firstError ??= error;
    }
  }
  for (const { file } of named) {
    const geometry = await withFile(file, signal, geometryOfPages);
    if (geometry !== undefined) return geometry;
  }
  throw firstError;
}

const SCANNED_LENGTH = 128 * WAL_PAGE_SIZE;

/** The version from a page inside the segment; the segment size is the size of the file. */
async function geometryOfPages({ source }: OpenWalFile): Promise<WalGeometry | undefined> {
  if (!isSegmentSize(source.size)) return undefined;
  const buffer = newBufferOf(source, SCANNED_LENGTH);
  for (let offset = 0; offset < source.size; offset += SCANNED_LENGTH) {
    const piece = buffer.subarray(0, Math.min(SCANNED_LENGTH, source.size - offset));
    await readExactly(source, piece, offset);
    const view = new DataView(piece.buffer, piece.byteOffset, piece.length);
    for (let page = 0; page < piece.length; page += WAL_PAGE_SIZE) {
      const majorVersion = VERSION_OF_MAGIC.get(view.getUint16(page, true));
      if (majorVersion === undefined) continue;
      return { majorVersion, segmentSize: source.size, systemIdentifier: undefined };
    }
  }
  return undefined;
}

async function readAncestors(
  files: readonly WalFile[],
  timelineId: number,
  signal: AbortSignal | undefined,
): Promise<TimelineAncestor[]> {
  const name = formatTimelineHistoryName(timelineId);
  const file = files.find((one) => one.name === name);
  if (file === undefined) return [];
  return withFile(file, signal, async ({ source }) => {
    if (source.size > MAXIMUM_HISTORY_LENGTH) {
      throw tooLarge('timeline history', { maximum: MAXIMUM_HISTORY_LENGTH, actual: source.size });
    }
    const bytes = new Uint8Array(source.size);
    await readExactly(source, bytes, 0);
    return decodeTimelineHistory(bytes, timelineId);
  });
}

/** For each segment, the file of the best timeline, and a complete file rather than a partial one. */
function chooseFiles(
  named: readonly NamedFile[],
  segmentSize: number,
  path: TimelinePath,
): Map<Lsn, WalSegment> {
  const chosen = new Map<Lsn, WalSegment & { readonly rank: number }>();
  for (const { file, name } of named) {
    const start = startOfWalSegment(name, segmentSize);
    if (start === undefined) continue;
    const timelines = path.timelinesOf(start, start + BigInt(segmentSize));
    const index = timelines.indexOf(name.timelineId);
    if (index < 0) continue;
    const rank = 2 * index + (name.kind === 'segment' ? 0 : 1);
    if (rank >= (chosen.get(start)?.rank ?? Number.POSITIVE_INFINITY)) continue;
    chosen.set(start, { file, timelineId: name.timelineId, start, rank });
  }
  return chosen;
}

/** Opens a file for one use. Errors get its path. */
async function withFile<T>(
  file: WalFile,
  signal: AbortSignal | undefined,
  use: (opened: OpenWalFile) => Promise<T>,
): Promise<T> {
  const opened = await openWalFile(file, signal);
  try {
    return await use(opened);
  } catch (error) {
    throw withPath(error, file.path === '' ? undefined : file.path);
  } finally {
    await opened.close();
  }
}

function noSegments({ path }: WalSource, what: string): StorageError {
  return new StorageError('not-found', { what: `no ${what}`, path });
}
