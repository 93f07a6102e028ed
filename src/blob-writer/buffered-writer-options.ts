/** Options of a BufferedWriter, and how it ends. */
import {
  checkCount,
  checkOptions as checkNames,
  checkOneOf,
  checkSignal,
  type KnownOptions,
} from '../check-options.ts';
import { tooLarge } from '../errors.ts';

/** Options of `BufferedWriter`. */
export interface BufferedWriterOptions {
  /** File offset of the first append; default 0. `finish` can write a head before it. */
  readonly startOffset?: number | undefined;
  /** Bytes of each buffer, 1 to 1 GiB; default 1 MiB. */
  readonly bufferSize?: number | undefined;
  /** Number of buffers, 2 to 1,024; default 2. */
  readonly bufferCount?: number | undefined;
  /**
   * Syncs the data whenever at least this many bytes have been written since the last sync, in the
   * background and one sync at a time, so that the sync at the end has little left to do. A failure poisons
   * the file. Default: no syncs.
   */
  readonly syncEvery?: number | undefined;
  /**
   * Called with all that is written, before it is: full buffers and the rest in the order of the file, then the head.
   * @internal
   */
  readonly onWrite?: ((bytes: Uint8Array, offset: number) => void) | undefined;
  /** Once it fires, every call fails with `aborted`, and waiting appends reject. */
  readonly signal?: AbortSignal | undefined;
}

/** How the last, partly filled buffer is written. Every appended byte is in the file. */
export type WriterEnd =
  /** The file ends after the last appended byte. */
  | { readonly kind: 'exact' }
  /** Zeros follow, up to the next multiple of `multiple` bytes. */
  | { readonly kind: 'zero-pad'; readonly multiple: number }
  /** Written with such padding and then cut, for files that accept only aligned writes. */
  | { readonly kind: 'pad-then-truncate'; readonly multiple: number };

export const EXACT: WriterEnd = { kind: 'exact' };
const END_KINDS: readonly WriterEnd['kind'][] = ['exact', 'zero-pad', 'pad-then-truncate'];

export const DEFAULT_BUFFER_SIZE = 1024 * 1024;

/** Bytes that may wait because the caller does not await the promises of its calls. */
export const MAXIMUM_WAITING_BYTES = 64 * 1024 * 1024;

/** Throws `too-large` for more than may wait. `what` names the waiting bytes and the promises to await. */
export function checkWaiting(what: string, actual: number, path?: string): void {
  if (actual <= MAXIMUM_WAITING_BYTES) return;
  throw tooLarge(what, { maximum: MAXIMUM_WAITING_BYTES, actual, path });
}

/** Maximum size of a buffer, and of the zeros that one `pad` appends. */
const MAXIMUM_ARRAY_SIZE = 1024 * 1024 * 1024;

const MAXIMUM_BUFFER_COUNT = 1024;

const OPTIONS: KnownOptions<BufferedWriterOptions> = {
  startOffset: true,
  bufferSize: true,
  bufferCount: true,
  syncEvery: true,
  onWrite: 'function',
  signal: true,
};

/** Throws `invalid-input` for an option that does not exist, or is out of range. */
export function checkOptions(options: BufferedWriterOptions): void {
  checkNames(options, OPTIONS);
  const { startOffset, bufferSize, bufferCount, syncEvery, signal } = options;
  checkCount('buffer size', bufferSize, { from: 1, to: MAXIMUM_ARRAY_SIZE });
  checkCount('number of buffers', bufferCount, { from: 2, to: MAXIMUM_BUFFER_COUNT });
  checkCount('start offset', startOffset);
  if (syncEvery !== undefined) checkCount('bytes between syncs', syncEvery, { from: 1 });
  checkSignal(signal);
}

/** Throws `invalid-input` unless it is one of the ends. */
export function checkEnd(end: WriterEnd): void {
  checkOneOf('end of the file', end?.kind, END_KINDS);
  checkNames(end, { kind: true, multiple: true });
  if (end.kind !== 'exact') checkMultiple(end.multiple);
}

/** Throws `invalid-input` unless it is an integer from 1 to 1 GiB. */
export function checkMultiple(multiple: number): void {
  checkCount('multiple to pad to', multiple, { from: 1, to: MAXIMUM_ARRAY_SIZE });
}
