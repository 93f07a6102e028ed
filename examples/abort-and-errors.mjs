/** What an abort and an error leave on disk, and how a program distinguishes them. */
import { readdir } from 'node:fs/promises';
import { DeltaLayerWriter, isStorageError, maximumKey, minimumKey, openLayer } from 'layerfile';

const options = {
  directory: '.',
  tenantId: '000102030405060708090a0b0c0d0e0f',
  timelineId: 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
  keyRange: { start: minimumKey(), end: maximumKey() },
  lsnRange: { start: 0x1000n, end: 0x2000n },
};
const value = { type: 'image', bytes: new Uint8Array(8192) };

async function outcomeOf(action) {
  try {
    await action();
    return 'done';
  } catch (error) {
    if (!isStorageError(error)) throw error; // Not ours: a bug.
    // `outcome` says what is on disk, where the operation could have changed it.
    return error.outcome === undefined ? error.code : `${error.code}, ${error.outcome}`;
  }
}

const controller = new AbortController();
const aborted = await DeltaLayerWriter.create({ ...options, signal: controller.signal });
await aborted.put(minimumKey(), 0x1000n, value);
controller.abort();
console.log('finish after an abort:', await outcomeOf(() => aborted.finish()));
await aborted.abandon();
console.log('files:', (await readdir('.')).length);

const writer = await DeltaLayerWriter.create(options);
await writer.put(minimumKey(), 0x1000n, value);
console.log('the same key again:', await outcomeOf(() => writer.put(minimumKey(), 0x1000n, value)));
console.log('finish:', await outcomeOf(() => writer.finish()));

console.log('one more of that name:', await outcomeOf(() => DeltaLayerWriter.create(options)));
console.log('a layer that is not there:', await outcomeOf(() => openLayer('no-layer')));
console.log('files:', (await readdir('.')).length);
