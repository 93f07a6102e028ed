import { StorageError } from '../errors.ts';
import type { Output } from './output.ts';

/** Bytes of a file could hold anything, so they go to a terminal in no case. */
export function refuseTerminal(output: Output): void {
  if (!output.isTerminal) return;
  throw new StorageError('usage', {
    what: 'binary data is not written to a terminal: redirect it into a file or a pipe',
  });
}
