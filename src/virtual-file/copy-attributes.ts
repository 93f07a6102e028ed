/**
 * Access control lists and extended attributes, for which node:fs has no calls: by GNU cp.
 *
 * The group bits of a mode are the mask of the access control list, if there is one. Some versions
 * of cp set the mode first, which for a moment gives the owning group what is meant for named users
 * and groups; a file that is opened then stays open. So the rights are set in three steps:
 *
 *   1. an empty file gets the attributes; it does not matter who opens it
 *   2. rights of all but its owner are taken off, by mode and mask, and the target gets the rest
 *   3. the target gets the mode, and with its group bits the mask
 */
import { type ExecFileException, execFile } from 'node:child_process';
import { chmod, open, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StorageError } from '../errors.ts';
import { newToken, temporaryName } from './leftover-names.ts';
import { systemOwners } from './owners.ts';
import { fromNodeError } from './system-error.ts';

/** See `FileSystem.copyAttributes`. Times are those of the new content. */
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
      // It is found as a leftover.
    });
  }
}

/** Whether the system has a program that `copyAttributes` can use. */
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

function run(words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, LC_ALL: 'C' };
    execFile('cp', words, { env }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(Object.assign(error, { stderr }));
    });
  });
}
