import { open, rename } from 'node:fs/promises';
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
