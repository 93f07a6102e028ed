/**
 * Reads parts of WAL on several threads, with the results in the order of the WAL. The result is the same as with one
 * thread: a part counts only if it begins with the record at which the previous part ended. At the first part that does
 * not, or that is damaged, a single reader has to continue.
 */
import type { Lsn } from '../layers/lsn.ts';
import { SerialThread } from '../threads.ts';
import type { PartBorders, WalPart } from './wal-part.ts';

/** Number of parts that a thread has at a time, so that it need not wait for the next one. */
const PARTS_PER_THREAD = 2;

export interface PartsInOrderOptions<Part extends WalPart, Result extends PartBorders> {
  /** In the order of the WAL. */
  readonly parts: readonly Part[];
  /** Reads a part on the thread of the caller, one at a time. Returns: undefined unless it is complete and valid. */
  readonly read: (part: Part) => Promise<Result | undefined>;
  /** Number of threads, including the caller's. */
  readonly threadCount: number;
  /** The program of the other threads. */
  readonly program: URL;
}

/**
 * Yields the results as long as each part begins where the previous one ended. The number of results that wait for the
 * caller is bounded: once there are as many as the threads have parts, no part is begun until one has been taken.
 *
 * Throws as `read`.
 */
export async function* partsInOrder<Part extends WalPart, Result extends PartBorders>({
  parts,
  read,
  threadCount,
  program,
}: PartsInOrderOptions<Part, Result>): AsyncGenerator<Result, void, undefined> {
  const threads = startThreads<Part, Result>(program, Math.min(threadCount, parts.length) - 1);
  let isOver = false;
  let lastHere: Promise<unknown> = Promise.resolve();
  // The parts of a thread that ended come here, too. All use the same memory, so they are read one at a time.
  const readHere = (part: Part): Promise<Result | undefined> => {
    const reading = lastHere.then(() => (isOver ? undefined : read(part)));
    lastHere = reading.catch(() => {});
    return reading;
  };
  const readOn = async (thread: SerialThread<Part, Result>, part: Part) => {
    const result = await thread.ask(part);
    // Parts that a thread leaves because it has ended are read here.
    return thread.isRunning || isOver ? result : readHere(part);
  };
  const idle = [readHere];
  for (const thread of threads) {
    for (let count = 0; count < PARTS_PER_THREAD; count += 1) {
      idle.push((part) => readOn(thread, part));
    }
  }
  const maximumBegun = 2 * idle.length;
  const begun: Promise<Result | undefined>[] = [];
  let nextPart = 0;
  const begin = (): void => {
    while (begun.length < maximumBegun) {
      const part = parts[nextPart];
      const worker = part === undefined ? undefined : idle.shift();
      if (part === undefined || worker === undefined) return;
      nextPart += 1;
      const working = worker(part).finally(() => {
        idle.push(worker);
        begin();
      });
      // An error is reported when it is the turn of the part.
      working.catch(() => {});
      begun.push(working);
    }
  };
  try {
    let position: Lsn | undefined;
    for (begin(); begun.length > 0; begin()) {
      const result = await begun.shift();
      if (result === undefined) return;
      if (position !== undefined && result.first !== position) return;
      position = result.next;
      yield result;
    }
  } finally {
    isOver = true;
    nextPart = parts.length;
    await Promise.all(threads.map((thread) => thread.end()));
    await Promise.allSettled(begun);
  }
}

function startThreads<Part, Result>(program: URL, count: number): SerialThread<Part, Result>[] {
  const threads: SerialThread<Part, Result>[] = [];
  while (threads.length < count) {
    const thread = SerialThread.start<Part, Result>(program);
    if (thread === undefined) break;
    threads.push(thread);
  }
  return threads;
}
