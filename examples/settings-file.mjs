/** Settings in a file that a crash leaves old or new, never half written. */

import { isStorageError } from 'layerfile';
import { readDocument, removeLeftovers, writeDocument } from 'layerfile/write-once';

const path = 'settings';

// Once at the start: what a crash of this program may have left.
await removeLeftovers('.');

async function readSettings() {
  try {
    return await readDocument(path);
  } catch (error) {
    if (isStorageError(error, 'not-found')) return { starts: 0 };
    // A damaged file is an error with its place: settings are never guessed.
    throw error;
  }
}

const settings = await readSettings();
settings.starts += 1;
await writeDocument(path, settings);
console.log(`start ${settings.starts}`);
