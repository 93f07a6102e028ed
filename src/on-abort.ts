/**
 * Callbacks for an AbortSignal, and waits that it can end. All callbacks share one listener, since Node warns of a leak
 * after the tenth.
 */
import { abortedError } from './errors.ts';

interface Subscribers {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

/** By signal; removed with the last callback. */
const subscribersOf = new WeakMap<AbortSignal, Subscribers>();

/**
 * Calls the callback when the signal fires, but not if it has already fired.
 *
 * Requires: the callback does not throw, and is not registered twice.
 * Returns: a function that removes the callback. Idempotent.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) return () => {};
  const subscribers = subscribersOf.get(signal) ?? subscribe(signal);
  const { callbacks, listener } = subscribers;
  callbacks.add(callback);
  return () => {
    callbacks.delete(callback);
    if (callbacks.size > 0 || subscribersOf.get(signal) !== subscribers) return;
    subscribersOf.delete(signal);
    signal.removeEventListener('abort', listener);
  };
}

function subscribe(signal: AbortSignal): Subscribers {
  const callbacks = new Set<() => void>();
  const listener = (): void => {
    subscribersOf.delete(signal);
    for (const callback of callbacks) callback();
  };
  const subscribers = { callbacks, listener };
  signal.addEventListener('abort', listener, { once: true });
  subscribersOf.set(signal, subscribers);
  return subscribers;
}

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
