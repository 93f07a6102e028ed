/** Waiting that an AbortSignal ends. */
import { abortedError } from './errors.ts';
import { onAbort } from './on-abort.ts';

/**
 * Waits for the promise, or until the signal fires; how the promise ends then, nobody hears.
 *
 * Each wait has a callback of its own. To race many promises against one for the signal would keep
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
  const stopListening = onAbort(signal, giveUp);
  if (signal.aborted) giveUp();
  try {
    return await Promise.race([aborted, waiting]);
  } finally {
    stopListening();
  }
}
