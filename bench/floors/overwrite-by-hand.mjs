import { lstat, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The system calls of a durable overwrite, nothing else. */
export async function overwriteByHand(path, content) {
  const temporary = `${path}.___temp`;
  const file = await open(temporary, 'wx');
  await file.write(content, 0, content.length, 0);
  await file.sync();
  await file.close();
  await rename(temporary, path);
  const directory = await open(dirname(path), 'r');
  await directory.sync();
  await directory.close();
}

/**
 * The same, and what the library calls besides: the directory's identity, the file that is replaced,
 * whose mode the new one has, and what was created.
 */
export async function overwriteWithLooks(path, content) {
  const temporary = `${path}.___temp`;
  await lstat(`${dirname(path)}/.`);
  const { mode, uid, gid } = await lstat(path);
  const file = await open(temporary, 'wx', mode & 0o7777);
  const created = await file.stat();
  if (created.mode !== mode || created.uid !== uid || created.gid !== gid) throw new Error('owner');
  await file.write(content, 0, content.length, 0);
  await file.sync();
  await rename(temporary, path);
  const closed = file.close();
  const directory = await open(dirname(path), 'r');
  await directory.sync();
  await directory.close();
  await closed;
}
