/**
 * Pages of a timeline at one LSN, many at a time: each layer is read once for a batch. A batch has a fixed number of
 * pages of any number of sequences. If its values are too large to be in memory together, or if one of them cannot be
 * read, it is read in halves, down to single pages: then one bad page is only that page.
 */
import { isStorageError, StorageError, throwIfAborted, untracedError } from '../../errors.ts';
import { formatKey, type Key, type KeyRange } from '../../layers/key.ts';
import { formatLsn, type Lsn } from '../../layers/lsn.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { singleKey } from '../../timeline/key-space.ts';
import type { RedoRunner } from '../../timeline/materialize.ts';
import { resultOf } from '../../timeline/read-page.ts';
import type { Reconstruction } from '../../timeline/reconstruct.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import type { PageSequence } from './export-plan.ts';

/** Consecutive pages of a sequence. */
export interface PageRun {
  readonly sequence: PageSequence;
  readonly firstBlock: number;
  readonly pageCount: number;
}

/** The pages of a run, one after the other. */
export interface ReadRun extends PageRun {
  /** Zeros where a page could not be built; undefined if none was built. */
  readonly bytes: Uint8Array | undefined;
  /** Pages that could not be built. */
  readonly missing: readonly MissingPages[];
}

/** Consecutive pages that cannot be built: one, or all that have no value or cannot be read for the same reason. */
export interface MissingPages extends PageRun {
  readonly reason: MissingReason;
  /** With the place of the first page in the data directory. */
  readonly error: StorageError;
}

/** What makes consecutive pages one finding; undefined if the reason concerns only one page. */
type MissingReason = string | undefined;

/** How pages are read. */
export interface PageReading {
  readonly timeline: Timeline;
  readonly lsn: Lsn;
  readonly pgVersion: number;
  readonly redo: RedoRunner | undefined;
  readonly missingPages: 'refuse' | 'zeros';
  readonly signal: AbortSignal | undefined;
  /** Default: `MAXIMUM_UNREADABLE_PAGES`. */
  readonly maximumUnreadable?: number | undefined;
}

/** 4 MiB of pages. */
const BATCH_PAGES = 512;
/** Bytes of the values of a batch: a page may have many records. */
const BATCH_BYTES = 64 * 1024 * 1024;
/** After a batch without a value, the next one of the same sequence is larger by this factor. */
const VACANT_GROWTH = 8;
/** Bytes that are read to find out whether there are values. */
const VACANT_BYTES = 64 * 1024;

/**
 * Maximum number of consecutive pages that are read one by one although all of them fail for the same reason: 2 GiB.
 * More of them cost minutes, and a wrong size may claim 2^32.
 */
const MAXIMUM_UNREADABLE_PAGES = 256 * 1024;

/**
 * Reads all pages, in batches. A size may claim far more pages than the timeline has: pages without values are skipped
 * in growing steps, so that they take neither memory nor many reads. So are pages after very many that cannot be read,
 * if no page is to be written any more.
 *
 * Throws `too-large` for very many consecutive unreadable pages if they are to be zeros: some after them might be
 * readable, and would be lost. Throws errors that say nothing about the pages: `io`, `network`, `denied`, `changed`,
 * `aborted`, `closed`.
 */
export async function* readBatches(
  sequences: readonly PageSequence[],
  reading: PageReading,
): AsyncGenerator<readonly ReadRun[]> {
  let at: Place = { sequence: 0, block: 0 };
  let room = BATCH_PAGES;
  /** The last pages that cannot be built, as far as they are one finding. */
  let missing: MissingPages | undefined;
  for (;;) {
    throwIfAborted(reading.signal);
    const large = room > BATCH_PAGES ? largeRun(sequences, at, room) : undefined;
    const passed = large && (await passedRun(large, missing, reading));
    if (passed !== undefined) {
      yield [passed];
      missing = lastMissing(missing, [passed]);
      at = { ...at, block: at.block + passed.pageCount };
      room *= VACANT_GROWTH;
      continue;
    }
    const { runs, end } = cutBatch(sequences, at);
    if (runs.length === 0) return;
    const read = await readRuns(runs, reading);
    yield read;
    missing = lastMissing(missing, read);
    at = end;
    const isPassable =
      read.every(({ bytes }) => bytes === undefined) || isUnreadable(missing, reading);
    room = large === undefined && isPassable ? BATCH_PAGES * VACANT_GROWTH : BATCH_PAGES;
  }
}

function lastMissing(
  before: MissingPages | undefined,
  read: readonly ReadRun[],
): MissingPages | undefined {
  let last = before;
  for (const pages of read.flatMap((run) => run.missing)) {
    last = (last && joinedPages(last, pages)) ?? pages;
  }
  return last;
}

/** Whether too many pages were unreadable, so that the next ones are skipped. Throws `too-large` if they are wanted. */
function isUnreadable(
  missing: MissingPages | undefined,
  { missingPages, maximumUnreadable = MAXIMUM_UNREADABLE_PAGES }: PageReading,
): boolean {
  if (missing === undefined || missing.reason === undefined || missing.reason === NO_VALUE) {
    return false;
  }
  if (missing.pageCount < maximumUnreadable) return false;
  if (missingPages === 'refuse') return true;
  const { path, offset, key, lsn } = missing.error;
  throw new StorageError('too-large', {
    what: `consecutive unreadable pages, in a relation whose size claims ${missing.sequence.pageCount} pages`,
    ...{ path, offset, key, lsn, cause: missing.error },
    expected: `fewer than ${maximumUnreadable}, or a readable layer, such as one from \`salvage\``,
    actual: `${missing.pageCount} (${missing.reason})`,
  });
}

/** The page before which a batch ends. */
interface Place {
  /** Index of the sequence. */
  readonly sequence: number;
  readonly block: number;
}

/** The next pages of one sequence; undefined if a batch has as many. */
function largeRun(
  sequences: readonly PageSequence[],
  { sequence: index, block: firstBlock }: Place,
  maximumPages: number,
): PageRun | undefined {
  const sequence = sequences[index];
  if (sequence === undefined || sequence.pageCount - firstBlock <= BATCH_PAGES) return undefined;
  return {
    sequence,
    firstBlock,
    pageCount: Math.min(maximumPages, sequence.pageCount - firstBlock),
  };
}

/** Sequences without pages are not in a batch. */
function cutBatch(
  sequences: readonly PageSequence[],
  from: Place,
): { readonly runs: readonly PageRun[]; readonly end: Place } {
  const runs: PageRun[] = [];
  let { sequence: index, block } = from;
  let room = BATCH_PAGES;
  for (let sequence = sequences[index]; sequence !== undefined; sequence = sequences[index]) {
    const pageCount = Math.min(room, sequence.pageCount - block);
    if (pageCount > 0) runs.push({ sequence, firstBlock: block, pageCount });
    room -= pageCount;
    block += pageCount;
    if (room === 0) break;
    index += 1;
    block = 0;
  }
  return { runs, end: { sequence: index, block } };
}

/**
 * A run that is skipped: one without a value, or one that fails for the same reason as too many pages before it.
 * Undefined if its pages are to be read.
 */
async function passedRun(
  run: PageRun,
  before: MissingPages | undefined,
  reading: PageReading,
): Promise<ReadRun | undefined> {
  const { timeline, lsn, signal } = reading;
  try {
    const limits = { signal, maximumBytes: VACANT_BYTES };
    const { found } = await timeline.reconstructRanges([rangeOf(run)], lsn, limits);
    return found.length === 0 ? vacantRun(run, reading) : undefined;
  } catch (error) {
    if (!isStorageError(error) || !isOfPages(error, reading)) throw error;
    const missing = missingPages(run, error, error.message, reading);
    const follows = before !== undefined && joinedPages(before, missing) !== undefined;
    const isPassed = follows && isUnreadable(before, reading);
    return isPassed ? { ...run, bytes: undefined, missing: [missing] } : undefined;
  }
}

async function readRuns(
  runs: readonly PageRun[],
  reading: PageReading,
): Promise<readonly ReadRun[]> {
  const pages = await reconstructRuns(runs, reading);
  const read: ReadRun[] = [];
  for (const run of runs) read.push(await readRun(run, pages, reading));
  return read;
}

/** By key: what a page is built from, or why that cannot be read. Pages without a value are left out. */
type Pages = ReadonlyMap<string, Reconstruction | StorageError>;

async function reconstructRuns(runs: readonly PageRun[], reading: PageReading): Promise<Pages> {
  const { timeline, lsn, signal } = reading;
  try {
    const limits = { signal, maximumBytes: BATCH_BYTES };
    const { found } = await timeline.reconstructRanges(runs.map(rangeOf), lsn, limits);
    return new Map(found.map((page) => [formatKey(page.key), page]));
  } catch (error) {
    if (!isStorageError(error) || !isOfPages(error, reading)) throw error;
    const [first, ...others] = runs;
    if (first === undefined) return new Map();
    if (others.length === 0 && first.pageCount === 1) {
      return reconstructLargePage(first, error, reading);
    }
    const [left, right] = halvesOf(runs);
    const pages = new Map(await reconstructRuns(left, reading));
    for (const [key, page] of await reconstructRuns(right, reading)) pages.set(key, page);
    return pages;
  }
}

/** A page may have more records than a batch may have bytes; the timeline has a limit of its own. */
async function reconstructLargePage(
  { sequence, firstBlock }: PageRun,
  failure: StorageError,
  reading: PageReading,
): Promise<Pages> {
  const { timeline, lsn, signal } = reading;
  const key = sequence.keyOf(firstBlock);
  if (failure.code !== 'too-large') return new Map([[formatKey(key), failure]]);
  try {
    return new Map([[formatKey(key), await timeline.reconstruct(key, lsn, { signal })]]);
  } catch (error) {
    if (!isStorageError(error) || !isOfPages(error, reading)) throw error;
    return new Map([[formatKey(key), error]]);
  }
}

/**
 * Whether the error is about the stored data, and not about reading it. A missing layer counts as such only if the
 * caller can do without it.
 */
function isOfPages({ code }: StorageError, { missingPages }: PageReading): boolean {
  return PAGE_CODES.has(code) || (code === 'not-found' && missingPages === 'zeros');
}

const PAGE_CODES: ReadonlySet<string> = new Set([
  'corrupt',
  'truncated',
  'too-large',
  'out-of-order',
  'out-of-range',
]);

function halvesOf(runs: readonly PageRun[]): readonly [PageRun[], PageRun[]] {
  const total = runs.reduce((sum, { pageCount }) => sum + pageCount, 0);
  let room = Math.ceil(total / 2);
  const left: PageRun[] = [];
  const right: PageRun[] = [];
  for (const run of runs) {
    const inLeft = Math.min(room, run.pageCount);
    room -= inLeft;
    if (inLeft > 0) left.push({ ...run, pageCount: inLeft });
    if (inLeft === run.pageCount) continue;
    const firstBlock = run.firstBlock + inLeft;
    right.push({ ...run, firstBlock, pageCount: run.pageCount - inLeft });
  }
  return [left, right];
}

function rangeOf({ sequence, firstBlock, pageCount }: PageRun): KeyRange {
  const last = sequence.keyOf(firstBlock + pageCount - 1);
  return { start: sequence.keyOf(firstBlock), end: singleKey(last).end };
}

async function readRun(run: PageRun, pages: Pages, reading: PageReading): Promise<ReadRun> {
  const { sequence, firstBlock, pageCount } = run;
  const keys = Array.from({ length: pageCount }, (_, index) => sequence.keyOf(firstBlock + index));
  const found = keys.map((key) => pages.get(formatKey(key)));
  if (found.every((page) => page === undefined)) return vacantRun(run, reading);
  const bytes = new Uint8Array(pageCount * PAGE_SIZE);
  const missing: MissingPages[] = [];
  for (const [index, key] of keys.entries()) {
    const page = found[index];
    const made = await makePage(key, page, reading);
    if (!isStorageError(made)) bytes.set(made, index * PAGE_SIZE);
    else {
      const place = { sequence, firstBlock: firstBlock + index, pageCount: 1 };
      missing.push(missingPages(place, made, reasonOf(page), reading));
    }
  }
  return { ...run, bytes, missing };
}

function vacantRun(run: PageRun, reading: PageReading): ReadRun {
  const cause = untracedError('not-found', { what: NO_VALUE });
  const missing = [missingPages(run, cause, reasonOf(undefined), reading)];
  return { ...run, bytes: undefined, missing };
}

/** Records that need redo, or have no page below them, concern only one page. */
function reasonOf(page: Reconstruction | StorageError | undefined): MissingReason {
  if (page === undefined) return NO_VALUE;
  return isStorageError(page) ? page.message : undefined;
}

/** Returns 8,192 bytes, or why there is no page. Throws errors of the redo. */
async function makePage(
  key: Key,
  page: Reconstruction | StorageError | undefined,
  reading: PageReading,
): Promise<Uint8Array | StorageError> {
  const { pgVersion, redo, signal } = reading;
  if (page === undefined) return untracedError('not-found', { what: NO_VALUE });
  if (isStorageError(page)) return page;
  try {
    const result = await resultOf(page, { pgVersion, redo, signal });
    switch (result.kind) {
      case 'page':
        return result.bytes.length === PAGE_SIZE ? result.bytes : notAPage(result.bytes);
      case 'needs-redo':
        return untracedError('needs-redo', { what: result.needed.reason });
      case 'no-base':
        return untracedError('no-base', { what: 'WAL records without an image below them' });
      case 'missing':
        return untracedError('not-found', { what: NO_VALUE });
    }
  } catch (error) {
    if (isStorageError(error) && isOfPages(error, reading))
      return error.with({ key: formatKey(key) });
    throw error;
  }
}

const NO_VALUE = 'no value at or before this LSN';

function notAPage({ length }: Uint8Array): StorageError {
  const expected = `${PAGE_SIZE} bytes`;
  return untracedError('corrupt', { what: 'page', expected, actual: `${length}` });
}

/** With the place of the first page in the data directory; that in a layer is in the cause. */
function missingPages(
  run: PageRun,
  cause: StorageError,
  reason: MissingReason,
  { lsn }: PageReading,
): MissingPages {
  const { sequence, firstBlock, pageCount } = run;
  const fileNumber = Math.floor(firstBlock / sequence.filePageCount);
  const offset = (firstBlock - fileNumber * sequence.filePageCount) * PAGE_SIZE;
  const error = untracedError(cause.code, {
    what: cause.with({ key: undefined, lsn: undefined }).message,
    ...{ path: sequence.pathOf(fileNumber), offset, cause },
    key: formatKey(sequence.keyOf(firstBlock)),
    lsn: formatLsn(lsn),
  });
  return { sequence, firstBlock, pageCount, reason, error };
}

/** Two findings as one, if the second follows the first directly; undefined otherwise. */
export function joinedPages(first: MissingPages, second: MissingPages): MissingPages | undefined {
  const follows =
    second.sequence === first.sequence && second.firstBlock === first.firstBlock + first.pageCount;
  if (!follows || first.reason === undefined || first.reason !== second.reason) return undefined;
  return { ...first, pageCount: first.pageCount + second.pageCount };
}
