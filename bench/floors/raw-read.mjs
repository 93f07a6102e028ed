/** The floors of everything that reads: the same places, without checking the bytes. */
import { closeSync, openSync, read, readSync } from 'node:fs';
import { PIECE_SIZE } from './raw-write.mjs';

/** Reads from `start` to `end` in large pieces into one buffer. Returns: the number of bytes read. */
export function readRaw(path, start, end, onPiece = () => {}) {
  const descriptor = openSync(path, 'r');
  const piece = Buffer.allocUnsafeSlow(PIECE_SIZE);
  let total = 0;
  for (let offset = start; offset < end; offset += PIECE_SIZE) {
    const length = readSync(descriptor, piece, 0, Math.min(PIECE_SIZE, end - offset), offset);
    onPiece(piece, length);
    total += length;
  }
  closeSync(descriptor);
  return total;
}

/** Opens a file once, to read many places, each into a fresh array, as a reader has to. */
export class RawReader {
  #descriptor;

  constructor(path) {
    this.#descriptor = openSync(path, 'r');
  }

  readSync(offset, length) {
    const bytes = new Uint8Array(length);
    readSync(this.#descriptor, bytes, 0, length, offset);
    return bytes;
  }

  read(offset, length) {
    const bytes = new Uint8Array(length);
    return new Promise((resolve, reject) => {
      read(this.#descriptor, bytes, 0, length, offset, (error) =>
        error ? reject(error) : resolve(bytes),
      );
    });
  }

  close() {
    closeSync(this.#descriptor);
  }
}
