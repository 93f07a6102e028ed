/** Work on many items at a time, with the results in the order of the items. */

/**
 * Calls `work` for each item, at most `limit` at a time, and yields the results in order. Items are taken when
 * they are needed. After an error, or if the caller stops early, waits for what has begun.
 */
export async function* inOrder<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const result = work(item);
      // An error is thrown when it is the turn of its item.
      result.catch(() => undefined);
      running.push(result);
      if (running.length >= limit) yield await (running.shift() as Promise<R>);
    }
    while (running.length > 0) yield await (running.shift() as Promise<R>);
  } finally {
    await Promise.allSettled(running);
  }
}
