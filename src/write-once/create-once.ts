/**
 * Creates a small file that must not exist, so that a crash leaves nothing or the complete file.
 *
 *   create `{name}.{token}.___temp` exclusively
 *   write it, sync it
 *   link it to the path      fails if the name is taken; the commit point
 *   sync the directory       now the file is durable
 */
import { basename, dirname } from 'node:path';
import {
  checkBytes,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
} from '../check-options.ts';
import { throwIfAborted, withOutcome, withPath } from '../errors.ts';
import { absolutePath, pathIn } from '../virtual-file/absolute-path.ts';
import { publishFilled } from '../virtual-file/durable-rename.ts';
import { temporaryName } from '../virtual-file/leftover-names.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import { createUnique } from '../virtual-file/unique-file.ts';

/** Options of `createFileOnce`. */
export interface CreateOnceOptions {
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Aborts, with nothing left, until the file takes its name. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Creates a file with this content, a text in UTF-8 or bytes. A file of that name is never touched.
 *
 * Durability: once it resolves, the file survives a crash.
 *
 * @throws StorageError `exists` if the name is taken; `aborted`, `sync-failed`, `io`, `not-found` (no
 *   such directory). Its `outcome` states what is on disk.
 */
export async function createFileOnce(
  path: string,
  content: string | Uint8Array,
  options: CreateOnceOptions = {},
): Promise<void> {
  checkText('path', path);
  if (typeof content !== 'string') checkBytes(content, 'content');
  checkOptions(options, { openFiles: true, signal: true });
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
  const { openFiles, signal } = options;
  const target = absolutePath(path);
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const pathOf = (token: string): string =>
    pathIn(dirname(target), temporaryName(basename(target), token));
  try {
    const temporary = await createUnique(pathOf, { openFiles, signal });
    await publishFilled(temporary, target, async () => {
      await temporary.file.writeAllAt(bytes, 0);
      throwIfAborted(signal, target);
    });
  } catch (error) {
    throw withPath(withOutcome(error, 'not-applied'), target);
  }
}
