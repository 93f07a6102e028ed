/**
 * Counts the records of WAL in parts, on several threads. The result is that of one thread: a part counts only if it
 * begins with the record at which all before it ended. At the first one that does not, or that is damaged, a reader has
 * to go on alone.
 */
import type { Lsn } from '../layers/lsn.ts';
import { CountThread } from './count-thread.ts';
import { type CountedPart, countPart, type WalPart } from './counted-part.ts';
import type { RecordSelection } from './record-selection.ts';
import type { RecordTally } from './record-tally.ts';

/** Bytes of a part. */
const PART_LENGTH = 32n * 1024n * 1024n;

/** Bytes that a part is read beyond its end for the next record. Nearly all records are much shorter. */
const READ_BEYOND = 2n * PART_LENGTH;

export interface ParallelCountOptions {
  /** All files of the source. */
  readonly paths: readonly string[];
  readonly timeline: number | undefined;
  /** As given to the reader; undefined for the start of the WAL. */
  readonly start: Lsn | undefined;
  /** As given to the reader. */
  readonly end: Lsn | undefined;
  /** Where the segments begin and end. */
  readonly extent: { readonly start: Lsn; readonly end: Lsn };
  readonly selection: RecordSelection;
  /** Threads, that of the caller included. */
  readonly threadCount: number;
  /** Bytes of a part; default 32 MiB. */
  readonly partLength?: bigint | undefined;
  /** The program of a thread; default: `wal-count-thread.js` beside this module. */
  readonly program?: URL | undefined;
  /** Told of the LSN up to which all is counted. */
  readonly onCounted?: ((lsn: Lsn) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Adds to the tally what the parts hold, as far as they are complete and valid. The last part is never among them.
 *
 * Returns: start of the record from which a reader must go on; undefined if nothing was counted. Throws `aborted`.
 */
export async function countInParallel(
  tally: RecordTally,
  options: ParallelCountOptions,
): Promise<Lsn | undefined> {
  const { threadCount, program, signal, onCounted } = options;
  const parts = partsOf(options);
  const counted = new Map<number, CountedPart | undefined>();
  let nextPart = 0;
  let merged = 0;
  let isValid = true;
  let position: Lsn | undefined;
  const merge = (): void => {
    for (; isValid && counted.has(merged); merged += 1) {
      const part = counted.get(merged);
      counted.delete(merged);
      if (part === undefined || (position !== undefined && part.first !== position)) {
        isValid = false;
        return;
      }
      tally.merge(part.counts);
      position = part.next;
      onCounted?.(position);
    }
  };
  const work = async (count: (part: WalPart) => Promise<CountedPart | undefined>) => {
    while (isValid) {
      const index = nextPart;
      const part = parts[index];
      if (part === undefined) return;
      nextPart += 1;
      counted.set(index, await count(part));
      merge();
    }
  };
  const others = Math.min(threadCount, parts.length) - 1;
  const threads: CountThread[] = [];
  try {
    for (let index = 0; index < others; index += 1) {
      const thread = CountThread.start(program);
      if (thread === undefined) break;
      threads.push(thread);
    }
    await Promise.all([
      work((part) => countPart(part, signal)),
      // What a thread leaves, because it ended, is counted here.
      ...threads.map((thread) =>
        work(async (part) => {
          const result = await thread.count(part);
          return thread.isRunning ? result : countPart(part, signal);
        }),
      ),
    ]);
  } finally {
    await Promise.all(threads.map((thread) => thread.end()));
  }
  return position;
}

/** The parts lie between multiples of their length. */
function partsOf(options: ParallelCountOptions): WalPart[] {
  const { paths, timeline, selection, extent, partLength = PART_LENGTH } = options;
  const parts: WalPart[] = [];
  const last = options.end !== undefined && options.end < extent.end ? options.end : extent.end;
  let { start } = options;
  const from = start ?? extent.start;
  for (let until = from - (from % partLength) + partLength; until < last; until += partLength) {
    const beyond = until + READ_BEYOND;
    const end = beyond < last ? beyond : last;
    parts.push({ paths, timeline, selection, start, until, end });
    start = until;
  }
  return parts;
}
