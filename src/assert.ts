/**
 * Guards conditions that only a bug in this library can violate, so it is never caught. Bad files and
 * arguments throw a StorageError instead.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

class AssertionError extends Error {
  override readonly name = 'AssertionError';
}
