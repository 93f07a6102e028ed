/** How a path or a URL is printed: without anything that may be a credential. */
import type { StorageError } from '../errors.ts';
import { withoutCredentials } from '../printable.ts';

/**
 * The URL of a web server without its user, its query, which may hold a signature, and its fragment; any other text
 * unchanged.
 */
export function shownPath(argument: string): string {
  if (!/^https?:\/\//i.test(argument)) return argument;
  if (!URL.canParse(argument)) return withoutCredentials(argument);
  const { origin, pathname } = new URL(argument);
  return origin + pathname;
}

/** The same error, with its path as it is printed. */
export function shownError(error: StorageError): StorageError {
  const { path } = error;
  const shown = path === undefined ? undefined : shownPath(path);
  return shown === path ? error : error.with({ path: shown });
}
