/**
 * Reads segments from an LSN on, a few chunks ahead of the caller. Interruptions of the WAL are separate items between
 * the chunks.
 */
import { readExactly } from '../blob-writer/byte-source.ts';
import { type StorageError, throwIfAborted, untracedError, withPath } from '../errors.ts';
import { formatPgLsn, type Lsn } from '../layers/lsn.ts';
import { WAL_PAGE_SIZE } from './page-format.ts';
import { WalChunk } from './record-batch.ts';
import { formatWalSegmentName } from './segment-name.ts';
import { noMoreWal } from './wal-end.ts';
import type { WalSegment, WalSegments } from './wal-segments.ts';
import { type OpenWalFile, openWalFile } from './wal-source.ts';

export type FeedItem =
  | { readonly kind: 'chunk'; readonly chunk: WalChunk }
  | { readonly kind: 'gap' | 'truncated' | 'end'; readonly error: StorageError };

export interface FeedOptions {
  readonly segments: WalSegments;
  /** Where to begin, at a page border. */
  readonly from: Lsn;
  /** No page at or after it is read. */
  readonly end: Lsn | undefined;
  readonly capacity: number;
  /** Where chunks of this capacity are kept for reuse by the next reader. */
  readonly chunks?: WalChunk[] | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Chunks that are being read while one is used. */
const CHUNKS_AHEAD = 2;

/** One is in use, and the previous one may be needed until the next one is accepted. */
const CHUNK_COUNT = CHUNKS_AHEAD + 2;

/**
 * Yields the items in order; the last one is of kind `end`, unless the range ends before.
 * A chunk is valid until the item after the next one is requested. Throws as the source; `aborted`.
 */
export async function* feedOf(options: FeedOptions): AsyncGenerator<FeedItem, void, undefined> {
  const reading: Promise<FeedItem>[] = [];
  const closing: Promise<unknown>[] = [];
  const { chunks = [] } = options;
  const plan = planOf(options);
  let turn = 0;
  try {
    for (;;) {
      throwIfAborted(options.signal);
      while (reading.length <= CHUNKS_AHEAD) {
        const step = await nextStep(plan);
        if (step === undefined) break;
        if (step.kind === 'close') {
          const closed = Promise.allSettled(reading).then(() => step.opened.close());
          // An error is reported when the promise is awaited.
          closed.catch(() => {});
          closing.push(closed);
          continue;
        }
        let item: FeedItem | Promise<FeedItem>;
        if (step.kind === 'read') {
          const chunk = chunks[turn] ?? new WalChunk(options.capacity);
          chunks[turn] = chunk;
          turn = (turn + 1) % CHUNK_COUNT;
          item = readInto(chunk, step, options);
        } else item = step.kind === 'failure' ? Promise.reject(step.error) : step;
        const settling = Promise.resolve(item);
        // An error is reported when it is the turn of the item.
        settling.catch(() => {});
        reading.push(settling);
      }
      if (reading.length === 0) break;
      await Promise.all(closing.splice(0, closing.length - 1));
      yield await (reading.shift() as Promise<FeedItem>);
    }
  } finally {
    await Promise.allSettled(reading);
    await plan.return(undefined);
    await Promise.all(closing);
  }
}

/** The next step. A failure is also a step: everything that was read before it must be used first. */
async function nextStep(plan: AsyncGenerator<PlannedStep, undefined>) {
  try {
    return (await plan.next()).value;
  } catch (error) {
    return { kind: 'failure', error } as const;
  }
}

/** What to read: a part of a file. */
interface PlannedRead {
  readonly kind: 'read';
  readonly opened: OpenWalFile;
  readonly path: string;
  readonly lsn: Lsn;
  readonly offset: number;
  readonly length: number;
}

async function readInto(
  chunk: WalChunk,
  { opened, path, lsn, offset, length }: PlannedRead,
  { signal }: FeedOptions,
): Promise<FeedItem> {
  try {
    const bytes = chunk.memory.bytes.subarray(0, length);
    await readExactly(opened.source, bytes, offset, { signal });
  } catch (error) {
    throw withPath(error, path === '' ? undefined : path);
  }
  chunk.lsn = lsn;
  chunk.length = length;
  return { kind: 'chunk', chunk };
}

/** A file of which nothing more will be read. */
interface PlannedClose {
  readonly kind: 'close';
  readonly opened: OpenWalFile;
}

type PlannedStep = PlannedRead | PlannedClose | Exclude<FeedItem, { readonly kind: 'chunk' }>;

/** The reads and interruptions in the order of the WAL. */
async function* planOf(options: FeedOptions): AsyncGenerator<PlannedStep, undefined> {
  const { segments, end } = options;
  const size = BigInt(segments.geometry.segmentSize);
  let at = options.from;
  let opened: OpenWalFile | undefined;
  try {
    while (end === undefined || at < end) {
      const start = at - (at % size);
      const segment = segments.at(start);
      if (segment === undefined) {
        const next = segments.firstFrom(start);
        const missing = missingSegment(segments, start);
        if (next === undefined) {
          yield { kind: 'end', error: noMoreWal(missing) };
          return undefined;
        }
        yield { kind: 'gap', error: gapError(missing, next) };
        at = next;
        continue;
      }
      opened = await openWalFile(segment.file, options.signal);
      yield* readsOf(segment, opened, at, options);
      const done = opened;
      opened = undefined;
      yield { kind: 'close', opened: done };
      at = start + size;
    }
  } finally {
    await opened?.close();
  }
  return undefined;
}

async function* readsOf(
  { file, start, timelineId }: WalSegment,
  opened: OpenWalFile,
  from: Lsn,
  { segments, end, capacity }: FeedOptions,
): AsyncGenerator<PlannedStep> {
  const { segmentSize } = segments.geometry;
  const switchLsn = segments.path.endOf(timelineId);
  const own = Math.min(opened.source.size, segmentSize, Number(switchLsn - start));
  const wanted = end === undefined ? own : Math.min(own, pageAfter(Number(end - start)));
  let offset = Number(from - start);
  while (offset < wanted) {
    const length = Math.min(capacity - (offset % capacity), wanted - offset);
    yield { kind: 'read', opened, path: file.path, lsn: start + BigInt(offset), offset, length };
    offset += length;
  }
  const isEndReached = end !== undefined && end <= start + BigInt(own);
  if (isEndReached || own === segmentSize) return;
  if (BigInt(own) === switchLsn - start) {
    yield { kind: 'gap', error: gapError(missingSegment(segments, start), switchLsn) };
    return;
  }
  yield { kind: 'truncated', error: truncatedSegment(file.path, own, segmentSize) };
}

function pageAfter(offset: number): number {
  return Math.ceil(offset / WAL_PAGE_SIZE) * WAL_PAGE_SIZE;
}

function missingSegment({ path, geometry }: WalSegments, start: Lsn): string {
  const [timelineId = path.timelineId] = path.timelinesOf(
    start,
    start + BigInt(geometry.segmentSize),
  );
  return `segment ${formatWalSegmentName(timelineId, start, geometry.segmentSize)}`;
}

function gapError(missing: string, next: Lsn): StorageError {
  return untracedError('gap', {
    what: 'WAL has a gap',
    expected: missing,
    actual: `WAL from ${formatPgLsn(next)} on`,
  });
}

function truncatedSegment(path: string, size: number, segmentSize: number): StorageError {
  return untracedError('truncated', {
    what: 'WAL segment is truncated',
    path: path === '' ? undefined : path,
    offset: size,
    expected: `${segmentSize - size} more bytes`,
    actual: '0',
  });
}
