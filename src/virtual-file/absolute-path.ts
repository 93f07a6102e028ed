/** Paths that mean the same file once the process has changed its directory. */
import { isAbsolute } from 'node:path';
import { fromNodeError } from './system-error.ts';

/**
 * The path from the root. It is not normalized: where `..` behind a symbolic link leads is for the
 * file system to say.
 *
 * Throws: `not-found` if the directory of the process is gone.
 */
export function absolutePath(path: string): string {
  if (path === '' || isAbsolute(path)) return path;
  try {
    return `${process.cwd()}/${path}`;
  } catch (error) {
    throw fromNodeError('find the working directory', path, error);
  }
}
