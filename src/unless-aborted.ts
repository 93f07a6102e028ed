/** Waits that an AbortSignal can end. */
import { abortedError } from './errors.ts';
import { onAbort } from './on-abort.ts';

/**
 * Waits for the promise, or until the signal fires; a later result of the promise is then ignored.
 *
 * Each wait has its own callback: racing many promises against one shared promise of the signal would
 * retain their results for the life of the signal.
 *
 * Throws: `aborted`; otherwise whatever the promise rejects with.
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
  const stopListening = onAbort(signal, giveUp);
  if (signal.aborted) giveUp();
  try {
    return await Promise.race([aborted, waiting]);
  } finally {
    stopListening();
  }
}
