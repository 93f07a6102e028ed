/**
 * Callbacks for an AbortSignal, any number of them behind one listener: Node warns of a leak once a
 * signal has more than ten.
 */

interface Subscribers {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

/** Of each signal that has any. */
const subscribersOf = new WeakMap<AbortSignal, Subscribers>();

/**
 * Calls the callback when the signal fires, but not for a signal that has fired already.
 *
 * Requires: the callback does not throw, and no other call got the same function.
 * Returns: a function that takes the callback back. Calling it again, or late, is harmless.
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
