/** The floor of everything that writes: the same number of bytes, in large pieces, synced. */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

export const PIECE_SIZE = 1024 * 1024;

/** Writes `size` bytes to a new file, and syncs them unless it is a scratch file. */
export function writeRaw(path, size, { durability, piece = Buffer.alloc(PIECE_SIZE, 0xa5) }) {
  const descriptor = openSync(path, 'wx');
  for (let offset = 0; offset < size; offset += PIECE_SIZE) {
    writeWhole(descriptor, piece, Math.min(PIECE_SIZE, size - offset), offset);
  }
  if (durability === 'sync') fsyncSync(descriptor);
  closeSync(descriptor);
}

export function writeWhole(descriptor, bytes, length, offset) {
  let done = 0;
  while (done < length) done += writeSync(descriptor, bytes, done, length - done, offset + done);
}
