// An append-only log that survives crashes: appends a line, then prints what the log holds.
//
//   node appender.mjs LOG TEXT
//
// Each record is a blob: 8 bytes of a digest, then the text. A crash may leave any part of the last
// records; the digest distinguishes a complete one from zeros and garbage.
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import {
  BlobReader,
  BlobWriter,
  BufferedWriter,
  blobsFrom,
  fileSource,
} from 'layerfile/blob-writer';
import { VirtualFile } from 'layerfile/virtual-file';

const [path, text] = process.argv.slice(2);
if (path === undefined || text === undefined) throw new Error('usage: appender.mjs LOG TEXT');

const digestOf = (bytes) => createHash('sha256').update(bytes).digest().subarray(0, 8);

const file = await VirtualFile.open(path, { read: true, write: true, create: true });
// The name of a new file is durable once its directory is synced.
await file.openFiles.syncDirectory(dirname(path));

// Recovery: every valid record, and where the last one ends.
const source = await fileSource(file);
let end = 0;
for await (const blob of blobsFrom(new BlobReader(source), 0)) {
  const content = blob.bytes.subarray(8);
  if (!digestOf(content).equals(blob.bytes.subarray(0, 8))) break;
  console.log(Buffer.from(content).toString());
  end = blob.end;
}
if (end < source.size) {
  // Cut, and sync, before anything is appended: otherwise the torn tail might come back after it.
  await file.setLength(end);
  await file.sync();
  console.log(`cut ${source.size - end} bytes of a torn record`);
}

const out = new BufferedWriter(file, { startOffset: end });
const content = Buffer.from(text);
await new BlobWriter(out).append(Buffer.concat([digestOf(content), content]));
await out.finish();
await file.sync(); // Only now may anybody be told that it is stored.
console.log(text);
await file.close();
