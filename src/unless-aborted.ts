/** Waiting that an AbortSignal ends. */
import { abortedError } from './errors.ts';

/**
 * Waits for the promise, or until the signal fires; how the promise ends then, nobody hears.
 *
 * Each wait has a listener of its own. To race many promises against one for the signal would keep
 * what each of them brought for as long as there is the signal.
 *
 * Throws: `aborted`; else what the promise rejects with.
 */
export async function unlessAborted<T>(
  waiting: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return waiting;
  let giveUp = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    giveUp = () => reject(abortedError(signal));
  });
  signal.addEventListener('abort', giveUp, { once: true });
  if (signal.aborted) giveUp();
  try {
    return await Promise.race([aborted, waiting]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
