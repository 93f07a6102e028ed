/**
 * A stream into a regular file that is open already, as standard output may be.
 *
 * Node's own ignores how much the system has taken: the write that fills a disk is a short one
 * without an error, and were it the last, the file would end early with success.
 */
import { writeSync } from 'node:fs';
import { isNativeError } from 'node:util/types';
import type { OutputStream } from './output.ts';

export class FileStream implements OutputStream {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    let error: Error | null = null;
    try {
      for (let start = 0; start < bytes.length; ) start += this.#writeSome(bytes, start);
    } catch (caught) {
      error = isNativeError(caught) ? caught : new Error(String(caught));
    }
    done(error);
    return true;
  }

  /** Every error is told to whoever writes. */
  on(): void {}

  #writeSome(bytes: Uint8Array, start: number): number {
    const length = writeSync(this.#descriptor, bytes, start);
    if (length > 0) return length;
    throw Object.assign(new Error('write made no progress'), { code: 'ENOSPC' });
  }
}
