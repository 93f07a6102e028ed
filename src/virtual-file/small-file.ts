/** Reads a small file completely. */
import { withPath } from '../errors.ts';
import type { OpenFiles } from './open-files.ts';
import { VirtualFile } from './virtual-file.ts';

/** Options of reading a small file. */
export interface ReadSmallFileOptions {
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
}

/**
 * Reads a file and returns its decoded content. Errors of the decoder get the path.
 * Throws: `too-large` above the limit, before anything is read; `not-found`, `io`.
 */
export async function readSmallFile<T>(
  path: string,
  options: ReadSmallFileOptions & { readonly maximumLength: number },
  decode: (content: Uint8Array) => T,
): Promise<T> {
  const { openFiles, maximumLength } = options;
  const file = await VirtualFile.open(path, { read: true, openFiles });
  try {
    return decode(await file.readToEnd({ maximumLength }));
  } catch (error) {
    throw withPath(error, path);
  } finally {
    await file.close();
  }
}
