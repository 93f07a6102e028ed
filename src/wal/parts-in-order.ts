/**
 * Parts of WAL, read on several threads, in the order of the WAL. The result is that of one thread: a part counts only if
 * it begins with the record at which all before it ended. At the first one that does not, or that is damaged, a reader
 * has to go on alone.
 */
import type { Lsn } from '../layers/lsn.ts';
import { SerialThread } from '../threads.ts';
import type { PartBorders, WalPart } from './wal-part.ts';

/** Parts that a thread has at a time, so that it need not wait for the next one. */
const PARTS_PER_THREAD = 2;

export interface PartsInOrderOptions<Part extends WalPart, Result extends PartBorders> {
  /** In the order of the WAL. */
  readonly parts: readonly Part[];
  /** Reads a part on the thread of the caller, one at a time. Returns: undefined unless it is complete and valid. */
  readonly read: (part: Part) => Promise<Result | undefined>;
  /** Threads, that of the caller included. */
  readonly threadCount: number;
  /** The program of the other threads. */
  readonly program: URL;
}

/**
 * Yields the results as far as the parts hold together. Results wait for the caller, in bounded number: once there are as
 * many as the threads have parts, no part is begun until one was taken.
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
  // Those of a thread that ends come beside the caller's own, but all are read in the same memory.
  const readHere = (part: Part): Promise<Result | undefined> => {
    const reading = lastHere.then(() => (isOver ? undefined : read(part)));
    lastHere = reading.catch(() => {});
    return reading;
  };
  const readOn = async (thread: SerialThread<Part, Result>, part: Part) => {
    const result = await thread.ask(part);
    // What a thread leaves, because it ended, is read here.
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
      // Reported when its turn comes.
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
