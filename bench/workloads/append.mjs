/** Blobs appended one after the other, durable at the end. */
import { readFileSync, statSync } from 'node:fs';
import { BlobWriter, BufferedWriter, decodeBlobHeader } from '../../dist/blob-writer.js';
import { VirtualFile } from '../../dist/virtual-file.js';
import { appendByHand } from '../floors/append-by-hand.mjs';
import { check } from '../harness/row-context.mjs';
import { scaledShapes, titleOf } from '../inputs/shapes.mjs';
import { ValuePool } from '../inputs/values.mjs';
import { appendWithSonicBoom } from '../peers/sonic-boom.mjs';

export function groupsOf({ scaled }) {
  return scaledShapes(scaled).map((shape) => ({
    title: `append: ${titleOf(shape)}, durable at the end`,
    rows: [
      row('floor', 'floor: copies to 1 MiB buffers, writes', appendByHand, shape),
      row('layerfile', 'layerfile BlobWriter.append', appendBlobs, shape),
      row('peer', 'sonic-boom, without headers', appendWithSonicBoom, { ...shape, bare: true }),
    ],
  }));
}

const SHORT_NAMES = { floor: 'floor', peer: 'sonic-boom' };

function row(role, name, append, { count, length, bare = false }) {
  return {
    role,
    name,
    shortName: SHORT_NAMES[role],
    async measure(context) {
      const path = `${context.directory}/blobs`;
      const pool = new ValuePool(length);
      await context.time(() => append(path, pool, count));
      if (bare) check(statSync(path).size, count * length, 'bytes');
      else check(countBlobs(path), count, 'blobs');
      return { operations: count, bytes: count * length };
    },
  };
}

async function appendBlobs(path, pool, count) {
  const file = await VirtualFile.open(path, { read: true, write: true, createNew: true });
  const out = new BufferedWriter(file);
  const blobs = new BlobWriter(out);
  const { values } = pool;
  for (let index = 0, at = 0; index < count; index += 1) {
    const buffered = blobs.append(values[at]);
    if (buffered !== undefined) await buffered;
    at += 1;
    if (at === values.length) at = 0;
  }
  await out.finish({ kind: 'zero-pad', multiple: 8192 });
  await file.sync();
  await file.close();
}

/** Walks the headers; the last block may end in zeros. */
function countBlobs(path) {
  const bytes = readFileSync(path);
  let count = 0;
  for (let at = 0; at < bytes.length && bytes[at] !== 0; count += 1) {
    const { headerSize, storedLength } = decodeBlobHeader(bytes, at, at);
    at += headerSize + storedLength;
  }
  return count;
}
