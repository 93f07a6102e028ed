/**
 * Guards what only a bug of our own can break. Nobody catches it: bad files and bad
 * arguments throw a StorageError instead.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

class AssertionError extends Error {
  override readonly name = 'AssertionError';
}
