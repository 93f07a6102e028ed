/**
 * Copies access control lists and extended attributes with GNU cp, since node:fs cannot.
 *
 * If a file has an access control list, the group bits of its mode are the list's mask. Some versions
 * of cp set the mode first, and so briefly give the owning group the rights of named users and groups.
 * A process that opens the file in that moment keeps it open. So there are three steps:
 *
 *   1. give the attributes to an empty file, which may be opened by anyone
 *   2. remove its rights for all but the owner, by mode and mask, and copy the rest to the target
 *   3. set the mode of the target; its group bits set the mask
 */
import type { ExecFileException } from 'node:child_process';
import { chmod, open, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StorageError } from '../errors.ts';
import { newToken, temporaryName } from './leftover-names.ts';
import { systemOwners } from './owners.ts';
import { fromNodeError } from './system-error.ts';

/** See `FileSystem.copyAttributes`. Timestamps are not copied. */
export async function copyAttributes(source: string, target: string): Promise<void> {
  const token = newToken(systemOwners.own());
  const empty = `${dirname(target)}/${temporaryName('attributes', token)}`;
  try {
    const file = await open(empty, 'wx', 0o600);
    await file.close();
    await runCopy(source, empty);
    const { mode } = await stat(empty);
    await chmod(empty, mode & 0o700);
    await runCopy(empty, target);
    await chmod(target, mode & 0o7777);
  } catch (error) {
    throw fromNodeError('copy attributes', source, error);
  } finally {
    await unlink(empty).catch(() => {
      // It will be removed as a leftover.
    });
  }
}

/** Whether the system has a `cp` that `copyAttributes` can use. */
export async function canCopyAttributes(): Promise<boolean> {
  try {
    return (await run(['--help'])).includes('--attributes-only');
  } catch {
    return false;
  }
}

async function runCopy(source: string, target: string): Promise<void> {
  const what = ['--attributes-only', '--preserve=all', '--no-preserve=timestamps'];
  try {
    await run([...what, '--', source, target]);
  } catch (error) {
    const { code, message, stderr } = error as ExecFileException;
    throw new StorageError('io', {
      what: 'cannot copy attributes with cp',
      path: source,
      errno: typeof code === 'string' ? code : undefined,
      expected: 'cp of GNU coreutils, and the right to set owner and attributes',
      actual: (stderr || message).trim(),
      cause: error,
    });
  }
}

async function run(words: readonly string[]): Promise<string> {
  // Loaded on first use: it loads 16 modules of Node, and most programs replace no such file.
  const { execFile } = await import('node:child_process');
  return new Promise((resolve, reject) => {
    const env = { ...process.env, LC_ALL: 'C' };
    execFile('cp', words, { env }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(Object.assign(error, { stderr }));
    });
  });
}
