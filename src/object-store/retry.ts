/**
 * Retries after transient failures: 5xx, 429, resets, timeouts, truncated bodies. The waits double, up to a limit, and
 * each is random below that, so that many clients do not retry together.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { checkCount, type KnownOptions } from '../check-options.ts';
import { abortedError, isStorageError, type StorageError, throwIfAborted } from '../errors.ts';

/** How often, and how soon, a store retries a request after a transient failure. */
export interface RetryOptions {
  /** Number of attempts; default 5, at most 20. 1 means no retry. */
  readonly attempts?: number | undefined;
  /** Limit of the first wait in milliseconds, doubled after each attempt up to 5 seconds; default 100. */
  readonly firstWaitMs?: number | undefined;
}

export const RETRY_OPTIONS: KnownOptions<RetryOptions> = {
  attempts: true,
  firstWaitMs: true,
};

const MAXIMUM_ATTEMPTS = 20;
const DEFAULT_ATTEMPTS = 5;
const DEFAULT_FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5000;
/** Limit of the wait that a server may ask for. */
const LONGEST_REQUESTED_WAIT_MS = 20_000;

/** Errors after which another attempt may succeed, and the wait that the server asked for. */
const transientErrors = new WeakMap<StorageError, number | undefined>();

/** Marks the error as transient; returns it. */
export function transient(error: StorageError, requestedWaitMs?: number): StorageError {
  transientErrors.set(error, requestedWaitMs);
  return error;
}

/** Throws `invalid-input`. */
export function checkRetryOptions({ attempts, firstWaitMs }: RetryOptions): void {
  if (attempts !== undefined) checkCount('attempts', attempts, { from: 1, to: MAXIMUM_ATTEMPTS });
  if (firstWaitMs !== undefined) checkCount('firstWaitMs', firstWaitMs, { to: 60_000 });
}

/**
 * Calls `attempt`, with the number of the attempt from 1 on, until it succeeds, fails permanently, or has failed too
 * often. Throws: its last error; `aborted`.
 */
export async function retrying<T>(
  attempt: (number: number) => Promise<T>,
  { attempts = DEFAULT_ATTEMPTS, firstWaitMs = DEFAULT_FIRST_WAIT_MS }: RetryOptions,
  { signal, path }: { readonly signal: AbortSignal | undefined; readonly path: string },
): Promise<T> {
  for (let number = 1; ; number += 1) {
    throwIfAborted(signal, path);
    try {
      return await attempt(number);
    } catch (error) {
      if (number >= attempts || !isStorageError(error) || !transientErrors.has(error)) throw error;
      const bound = Math.min(firstWaitMs * 2 ** (number - 1), LONGEST_WAIT_MS);
      const requested = Math.min(transientErrors.get(error) ?? 0, LONGEST_REQUESTED_WAIT_MS);
      await waitOrAbort(requested + Math.random() * bound, signal, path);
    }
  }
}

async function waitOrAbort(
  milliseconds: number,
  signal: AbortSignal | undefined,
  path: string,
): Promise<void> {
  try {
    await wait(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted) throw abortedError(signal, path);
    throw error;
  }
}
