/**
 * Reading logic that does not know whether it waits: a generator that asks for bytes step by step.
 * One driver reads them asynchronously, the other at once, and there is one logic for both.
 */
import { StorageError } from '../errors.ts';
import {
  type ByteSource,
  checkedLength,
  endsEarly,
  failedRead,
  readExactly,
} from './byte-source.ts';

/**
 * Fill the target from `offset`, fill several in any order, or wait for something that is loaded
 * once for the process.
 */
export type Step = ReadStep | readonly ReadStep[] | Promise<unknown>;

export interface ReadStep {
  readonly target: Uint8Array;
  readonly offset: number;
}

export type Steps<T> = Generator<Step, T, void>;

/** Throws: as the steps, and `truncated`, `io`. */
export async function runSteps<T>(source: ByteSource, steps: Steps<T>): Promise<T> {
  for (let next = steps.next(); ; ) {
    if (next.done) return next.value;
    try {
      const doing = take(source, next.value);
      if (doing !== undefined) await doing;
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next();
  }
}

/**
 * As `runSteps`, at once: blocks the event loop for as long as the device takes.
 * Requires: a source with `readSync`.
 */
export function runStepsSync<T>(source: ByteSource, steps: Steps<T>): T {
  for (let next = steps.next(); ; ) {
    if (next.done) return next.value;
    try {
      takeAtOnce(source, next.value);
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next();
  }
}

/** Small reads at once where the source can: a thread hop costs more than they do. */
const LARGEST_SYNC_READ = 64 * 1024;

/** Reads in flight for one step; more wait in line. */
const MAXIMUM_READS = 32;

function take(source: ByteSource, step: Step): Promise<unknown> | undefined {
  if (isWait(step)) return step;
  return isMany(step) ? fillAll(source, step) : fill(source, step);
}

function takeAtOnce(source: ByteSource, step: Step): void {
  if (isWait(step)) throw cannotWait(source);
  for (const read of isMany(step) ? step : [step]) fillAtOnce(source, read);
}

function isWait(step: Step): step is Promise<unknown> {
  return 'then' in step;
}

function isMany(step: ReadStep | readonly ReadStep[]): step is readonly ReadStep[] {
  return Array.isArray(step);
}

/** Nothing to wait for where it was done at once. */
function fill(source: ByteSource, step: ReadStep): Promise<void> | undefined {
  if (fillFromCache(source, step)) return undefined;
  if (source.readSync === undefined || step.target.length > LARGEST_SYNC_READ) {
    return readExactly(source, step.target, step.offset);
  }
  fillAtOnce(source, step);
  return undefined;
}

/** Side by side. Settles when none is in flight any more; rejects with the first error. */
async function fillAll(source: ByteSource, steps: readonly ReadStep[]): Promise<void> {
  let next = 0;
  const fillInTurn = async (): Promise<void> => {
    for (let step = steps[next]; step !== undefined; step = steps[next]) {
      next += 1;
      const filling = fill(source, step);
      if (filling !== undefined) await filling;
    }
  };
  const lines = Array.from({ length: Math.min(steps.length, MAXIMUM_READS) }, fillInTurn);
  const outcomes = await Promise.allSettled(lines);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** Throws: `truncated`, `io`; `invalid-input` where the source cannot, and has not all in memory. */
export function fillAtOnce(source: ByteSource, step: ReadStep): void {
  const { target, offset } = step;
  if (source.readSync === undefined) {
    if (fillFromCache(source, step)) return;
    throw cannotWait(source);
  }
  let done = 0;
  try {
    while (done < target.length) {
      const rest = done === 0 ? target : target.subarray(done);
      const length = checkedLength(source.readSync(rest, offset + done), rest);
      if (length === 0) throw endsEarly(source, { target, offset, done });
      done += length;
    }
  } catch (error) {
    throw failedRead(error, source, offset + done);
  }
}

function fillFromCache(source: ByteSource, { target, offset }: ReadStep): boolean {
  try {
    return source.readCached?.(target, offset) ?? false;
  } catch (error) {
    throw failedRead(error, source, offset);
  }
}

function cannotWait(source: ByteSource): StorageError {
  return new StorageError('invalid-input', {
    what: 'synchronous read',
    path: source.path,
    expected: "a layer opened with reads: 'sync'",
  });
}
