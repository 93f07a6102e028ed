/**
 * Reading logic that does not know whether it waits: a generator that asks for bytes step by step.
 * One driver reads them asynchronously, the other at once, and there is one logic for both.
 */
import { StorageError } from '../errors.ts';
import { type ByteSource, readExactly } from './byte-source.ts';

/** Fill the target from `offset`, or wait for something that is loaded once for the process. */
export type Step = ReadStep | Promise<unknown>;

export interface ReadStep {
  readonly target: Uint8Array;
  readonly offset: number;
}

export type Steps<T> = Generator<Step, T, void>;

/** Throws: as the steps, and `truncated`, `io`. */
export async function runSteps<T>(source: ByteSource, steps: Steps<T>): Promise<T> {
  for (let next = steps.next(); ; ) {
    if (next.done) return next.value;
    const step = next.value;
    try {
      await (step instanceof Promise ? step : fill(source, step));
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
    const step = next.value;
    try {
      if (step instanceof Promise) throw cannotWait(source);
      fillSync(source, step);
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next();
  }
}

/** Small reads at once where the source can: a thread hop costs more than they do. */
const LARGEST_SYNC_READ = 64 * 1024;

function fill(source: ByteSource, step: ReadStep): Promise<void> | void {
  if (source.readSync !== undefined && step.target.length <= LARGEST_SYNC_READ) {
    return fillSync(source, step);
  }
  return readExactly(source, step.target, step.offset);
}

function fillSync(source: ByteSource, { target, offset }: ReadStep): void {
  if (source.readSync === undefined) throw cannotWait(source);
  let done = 0;
  while (done < target.length) {
    const rest = done === 0 ? target : target.subarray(done);
    const length = source.readSync(rest, offset + done);
    if (length === 0) {
      throw new StorageError('truncated', {
        what: 'file ends early',
        path: source.path,
        offset: offset + done,
        expected: `${target.length} bytes from offset ${offset}`,
        actual: `${done}`,
      });
    }
    done += length;
  }
}

function cannotWait(source: ByteSource): StorageError {
  return new StorageError('invalid-input', {
    what: 'synchronous read',
    path: source.path,
    expected: "a layer opened with reads: 'sync'",
  });
}
