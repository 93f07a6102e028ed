/**
 * Length-prefixed blobs, as a simple program would write them: copied into one of two buffers of 1 MiB
 * while the other one is written; synced at the end. No checks, no offsets, no errors.
 */
import { open } from 'node:fs/promises';
import { PIECE_SIZE } from './raw-write.mjs';

export async function appendByHand(path, pool, count) {
  const file = await open(path, 'wx');
  const buffers = [Buffer.allocUnsafeSlow(PIECE_SIZE), Buffer.allocUnsafeSlow(PIECE_SIZE)];
  let buffer = buffers[0];
  let fill = 0;
  let offset = 0;
  let writing = Promise.resolve();
  const flush = async () => {
    await writing;
    writing = file.write(buffer, 0, fill, offset);
    offset += fill;
    fill = 0;
    buffer = buffer === buffers[0] ? buffers[1] : buffers[0];
  };
  const { values, length } = pool;
  for (let index = 0, at = 0; index < count; index += 1) {
    if (fill + 4 + length > PIECE_SIZE) await flush();
    if (length < 128) {
      buffer[fill] = length;
      fill += 1;
    } else {
      buffer.writeUInt32BE((0x8000_0000 | length) >>> 0, fill);
      fill += 4;
    }
    buffer.set(values[at], fill);
    fill += length;
    at += 1;
    if (at === values.length) at = 0;
  }
  await flush();
  await writing;
  await file.sync();
  await file.close();
}
