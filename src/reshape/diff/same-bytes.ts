/** Whether two files are the same, byte for byte. */
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { checkOptions, checkSignal } from '../../check-options.ts';
import { throwIfAborted } from '../../errors.ts';
import type { LayerInput } from '../../layers/layer-file/layer-input.ts';
import { openSource } from '../../layers/layer-file/open-file.ts';

/** Options of `sameBytes`. */
export interface SameBytesOptions {
  /** Ends the comparison with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

const PIECE_SIZE = 1024 * 1024;

/**
 * Compares two files or sources byte for byte, up to the first byte that differs. Two pieces of 1 MiB are in memory.
 *
 * @returns true if they have the same length and the same bytes
 * @throws `not-found`, `io`, `truncated` (a file became shorter in the meantime), `aborted`, `invalid-input`, and
 * the errors of the sources.
 */
export async function sameBytes(
  a: LayerInput,
  b: LayerInput,
  options: SameBytesOptions = {},
): Promise<boolean> {
  checkOptions(options, { signal: true });
  checkSignal(options.signal);
  const one = await openSource(a, {});
  try {
    const other = await openSource(b, {});
    try {
      return await areSame(one.source, other.source, options.signal);
    } finally {
      await other.close();
    }
  } finally {
    await one.close();
  }
}

async function areSame(
  a: ByteSource,
  b: ByteSource,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (a.size !== b.size) return false;
  const [left, right] = [new Uint8Array(PIECE_SIZE), new Uint8Array(PIECE_SIZE)];
  for (let offset = 0; offset < a.size; offset += PIECE_SIZE) {
    throwIfAborted(signal, a.path);
    const length = Math.min(PIECE_SIZE, a.size - offset);
    const [one, other] = [left.subarray(0, length), right.subarray(0, length)];
    await Promise.all([
      readExactly(a, one, offset, { signal }),
      readExactly(b, other, offset, { signal }),
    ]);
    if (Buffer.compare(one, other) !== 0) return false;
  }
  return true;
}
