/** Crashes a small store at every operation, in every way, and checks whether a value was lost. */
import { crashStates, MemoryFileSystem } from 'layerfile/testing';

// The store: one value in a file, written under another name and renamed. Pass `nodeFileSystem` of
// `layerfile/virtual-file` to keep it on a real disk.
async function save(fileSystem, value, sync) {
  const file = await fileSystem.open('/data/new', { write: true, create: true, truncate: true });
  const bytes = Buffer.from(value);
  for (let at = 0; at < bytes.length; ) at += await file.write(bytes.subarray(at), at);
  if (sync) await file.sync();
  await file.close();
  await fileSystem.rename('/data/new', '/data/value');
  await fileSystem.syncDirectory('/data');
}

// The test: after every crash, the last saved value or the one being saved exists.
async function crashTest(sync) {
  const disk = new MemoryFileSystem();
  disk.createDirectory('/data');
  disk.createFile('/data/value', Buffer.from('value 0'));
  const moments = [];
  let saved = 0;
  const keep = () => void moments.push({ before: disk.clone(), saved });
  disk.intercept = keep; // Called before each operation.
  for (let n = 1; n <= 3; n += 1) {
    await save(disk, `value ${n}`, sync);
    saved = n;
  }
  keep();
  let states = 0;
  for (const moment of moments) {
    for (const { disk: after } of crashStates(moment.before)) {
      states += 1;
      const found = Buffer.from(after.contentOf('/data/value')).toString();
      if (found === `value ${moment.saved}` || found === `value ${moment.saved + 1}`) continue;
      return `after "value ${moment.saved}" a crash leaves ${JSON.stringify(found)}`;
    }
  }
  return `${states} states, no value lost`;
}

console.log('with a sync:', await crashTest(true));
console.log('without:', await crashTest(false));
