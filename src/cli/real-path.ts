/** Where a symbolic link leads: what a command rewrites is the file, not the link. */
import { realpath } from 'node:fs/promises';
import { fromNodeError } from '../virtual-file/system-error.ts';

/** Throws: `not-found`, `io`. */
export async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw fromNodeError('resolve path', path, error);
  }
}
