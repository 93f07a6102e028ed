/**
 * Pages of a timeline at one LSN, many at a time: each layer is read once for a batch. A batch has a fixed number of pages
 * of any number of files. If its values are too large to be in memory together, or if one of them cannot be read, it is
 * read in halves, down to single pages: then one bad page is only that page.
 */
import { isStorageError, type StorageError, throwIfAborted, untracedError } from '../../errors.ts';
import { formatKey, type Key, type KeyRange } from '../../layers/key.ts';
import { formatLsn, type Lsn } from '../../layers/lsn.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { singleKey } from '../../timeline/key-space.ts';
import type { RedoRunner } from '../../timeline/materialize.ts';
import { resultOf } from '../../timeline/read-page.ts';
import type { Reconstruction } from '../../timeline/reconstruct.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import type { PageFile } from './export-plan.ts';

/** Pages of a file, in a row. */
export interface PageRun {
  readonly file: PageFile;
  /** Number of the first page in the fork. */
  readonly firstBlock: number;
  readonly pageCount: number;
}

/** The pages of a run, one after the other. */
export interface ReadRun extends PageRun {
  /** Zeros where a page could not be made. */
  readonly bytes: Uint8Array;
  /** Pages that could not be made. */
  readonly missing: readonly StorageError[];
}

/** How pages are read. */
export interface PageReading {
  readonly timeline: Timeline;
  readonly lsn: Lsn;
  readonly pgVersion: number;
  readonly redo: RedoRunner | undefined;
  readonly missingPages: 'refuse' | 'zeros';
  readonly signal: AbortSignal | undefined;
}

/** 4 MiB of pages. */
const BATCH_PAGES = 512;
/** Bytes of the values of a batch: a page may have many records. */
const BATCH_BYTES = 64 * 1024 * 1024;

/** Cuts files into batches. Files without pages are in none. */
export function* batchesOf(files: readonly PageFile[]): Generator<readonly PageRun[]> {
  let batch: PageRun[] = [];
  let room = BATCH_PAGES;
  for (const file of files) {
    for (let done = 0; done < file.pageCount; ) {
      const pageCount = Math.min(room, file.pageCount - done);
      batch.push({ file, firstBlock: file.firstBlock + done, pageCount });
      done += pageCount;
      room -= pageCount;
      if (room > 0) continue;
      yield batch;
      batch = [];
      room = BATCH_PAGES;
    }
  }
  if (batch.length > 0) yield batch;
}

/** Reads a batch. Throws what says nothing about the pages: `io`, `network`, `denied`, `changed`, `aborted`, `closed`. */
export async function readRuns(
  runs: readonly PageRun[],
  reading: PageReading,
): Promise<readonly ReadRun[]> {
  throwIfAborted(reading.signal);
  const pages = await reconstructRuns(runs, reading);
  const read: ReadRun[] = [];
  for (const run of runs) read.push(await readRun(run, pages, reading));
  return read;
}

/** By key: what a page is made of, or why that cannot be read. A page without a value is in none. */
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
  { file, firstBlock }: PageRun,
  failure: StorageError,
  reading: PageReading,
): Promise<Pages> {
  const { timeline, lsn, signal } = reading;
  const key = file.keyOf(firstBlock);
  if (failure.code !== 'too-large') return new Map([[formatKey(key), failure]]);
  try {
    return new Map([[formatKey(key), await timeline.reconstruct(key, lsn, { signal })]]);
  } catch (error) {
    if (!isStorageError(error) || !isOfPages(error, reading)) throw error;
    return new Map([[formatKey(key), error]]);
  }
}

/**
 * Whether the error is about what is stored, and not about reading it. That a layer is not there is the former only if
 * the caller makes do without.
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

function rangeOf({ file, firstBlock, pageCount }: PageRun): KeyRange {
  const last = file.keyOf(firstBlock + pageCount - 1);
  return { start: file.keyOf(firstBlock), end: singleKey(last).end };
}

async function readRun(run: PageRun, pages: Pages, reading: PageReading): Promise<ReadRun> {
  const { file, firstBlock, pageCount } = run;
  const bytes = new Uint8Array(pageCount * PAGE_SIZE);
  const missing: StorageError[] = [];
  for (let index = 0; index < pageCount; index += 1) {
    const key = file.keyOf(firstBlock + index);
    const made = await makePage(key, pages.get(formatKey(key)), reading);
    if (!isStorageError(made)) bytes.set(made, index * PAGE_SIZE);
    else {
      const offset = (firstBlock + index - file.firstBlock) * PAGE_SIZE;
      missing.push(missingPage(made, { key, path: file.path, offset, reading }));
    }
  }
  return { ...run, bytes, missing };
}

/** Returns 8,192 bytes, or why there is no page. Throws what redo throws. */
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

/** The error with the place of the page in the data directory; that in a layer is in the cause. */
function missingPage(
  cause: StorageError,
  place: {
    readonly key: Key;
    readonly path: string;
    readonly offset: number;
    readonly reading: PageReading;
  },
): StorageError {
  const { key, path, offset, reading } = place;
  return untracedError(cause.code, {
    what: cause.with({ key: undefined, lsn: undefined }).message,
    ...{ path, offset, cause },
    key: formatKey(key),
    lsn: formatLsn(reading.lsn),
  });
}
