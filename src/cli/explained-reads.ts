/**
 * The answers to many reads of a timeline, in the order of the reads and in bounded memory.
 *
 * Reads at one LSN within a window are answered together, so that they share their visits of layers. If their values are
 * too large to be in memory together, they are answered in smaller groups, if necessary one by one. An answer that is
 * early is kept without its values.
 */
import { isStorageError } from '../errors.ts';
import type { Key } from '../layers/key.ts';
import type { Lsn } from '../layers/lsn.ts';
import type { Reconstruction } from '../timeline/reconstruct.ts';
import type { Timeline } from '../timeline/timeline.ts';

/** A read to explain. */
export interface Read {
  readonly key: Key;
  readonly lsn: Lsn;
}

/** The reads of a timeline that are used here. */
export type ReadableTimeline = Pick<Timeline, 'reconstruct' | 'reconstructMany'>;

/** The part of an answer that is kept until its turn. */
export interface KeptAnswer {
  /** Its approximate size in bytes. */
  readonly size: number;
}

export interface AnswerOptions<A extends KeptAnswer> {
  /** Keeps only the needed parts of an answer. */
  readonly keep: (found: Reconstruction) => Promise<A>;
  readonly signal?: AbortSignal | undefined;
}

/** Number of reads in a window. */
const WINDOW_SIZE = 256;
/** Bytes of the values of reads that are answered together; an entry takes far more than a short value. */
const MAXIMUM_SHARED_BYTES = 4 * 1024 * 1024;
/** Bytes of kept answers above which only the next read is answered. */
const MAXIMUM_KEPT_BYTES = 16 * 1024 * 1024;

/** Yields one answer for each read. Throws as `Timeline.reconstruct`, after the answers before the read that fails. */
export async function* answersInOrder<A extends KeptAnswer>(
  timeline: ReadableTimeline,
  reads: AsyncIterable<Read>,
  options: AnswerOptions<A>,
): AsyncGenerator<A> {
  let window: Read[] = [];
  for await (const read of reads) {
    if (window.push(read) < WINDOW_SIZE) continue;
    yield* answersOf(timeline, window, options);
    window = [];
  }
  yield* answersOf(timeline, window, options);
}

async function* answersOf<A extends KeptAnswer>(
  timeline: ReadableTimeline,
  window: readonly Read[],
  { keep, signal }: AnswerOptions<A>,
): AsyncGenerator<A> {
  const kept = new Map<Read, A>();
  const waiting = new Set(window);
  let keptBytes = 0;
  for (const read of window) {
    if (waiting.has(read)) {
      const others = [...waiting].filter(({ lsn }) => lsn === read.lsn);
      const group = keptBytes < MAXIMUM_KEPT_BYTES ? others : [read];
      for (const [index, found] of (await readSome(timeline, group, signal)).entries()) {
        const answered = group[index] as Read;
        const answer = await keep(found);
        waiting.delete(answered);
        kept.set(answered, answer);
        keptBytes += answer.size;
      }
    }
    const answer = kept.get(read) as A;
    kept.delete(read);
    keptBytes -= answer.size;
    yield answer;
  }
}

/** Answers the first of some reads at one LSN: all of them, or fewer if their values are too large together. */
async function readSome(
  timeline: ReadableTimeline,
  group: readonly Read[],
  signal: AbortSignal | undefined,
): Promise<Reconstruction[]> {
  const { lsn } = group[0] as Read;
  for (let count = group.length; count > 1; count = Math.ceil(count / 2)) {
    const keys = group.slice(0, count).map(({ key }) => key);
    try {
      return await timeline.reconstructMany(keys, lsn, {
        signal,
        maximumBytes: MAXIMUM_SHARED_BYTES,
      });
    } catch (error) {
      // A read that fails on its own fails again in its turn.
      if (!isStorageError(error) || isStorageError(error, 'aborted', 'closed')) throw error;
    }
  }
  return [await timeline.reconstruct((group[0] as Read).key, lsn, { signal })];
}
