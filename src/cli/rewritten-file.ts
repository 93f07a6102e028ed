/** A file that a command replaces: the one that a symbolic link leads to, with all its attributes. */
import { realpath } from 'node:fs/promises';
import { canCopyAttributes } from '../virtual-file/copy-attributes.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import type { OverwriteOptions } from '../write-once/overwrite.ts';

/** Throws: `not-found`, `io`. */
export async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw fromNodeError('resolve path', path, error);
  }
}

/** Everything where the system has a program for it. */
export async function preserved(): Promise<OverwriteOptions['preserve']> {
  return (await canCopyAttributes()) ? 'all' : undefined;
}
