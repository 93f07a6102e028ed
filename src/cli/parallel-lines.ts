/** Prints the records of WAL in parts, on several threads. */
import type { Lsn } from '../layers/lsn.ts';
import { partsInOrder } from '../wal/parts-in-order.ts';
import { type DividedWal, partsOf } from '../wal/wal-part.ts';
import { type FormattedPart, formatPart, type LineForm, type LinesPart } from './formatted-part.ts';
import type { Output } from './output.ts';

/** Bytes of a part. Its text is about as long; the shortest records make it five times as long. */
const PART_LENGTH = 4n * 1024n * 1024n;

/** If both names stood in one `new URL`, bundlers would treat the file as an asset. */
const PROGRAM = './wal-line-thread.js';
const HERE = import.meta.url;

export interface ParallelLinesOptions extends DividedWal, LineForm {
  /** Number of threads, including the caller's. */
  readonly threadCount: number;
  /** Bytes of a part; default 4 MiB. */
  readonly partLength?: bigint | undefined;
  /** The program of a thread; default: `wal-line-thread.js` next to this module. */
  readonly program?: URL | undefined;
  /** Called with the LSN up to which everything is printed. */
  readonly onPrinted?: ((lsn: Lsn) => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Prints the records of the parts, as far as they are complete and valid. The last part is never printed.
 *
 * Returns: start of the record at which a reader must continue; undefined if nothing was printed. Throws `aborted`, and
 * errors of writing the output.
 */
export async function printInParallel(
  output: Output,
  options: ParallelLinesOptions,
): Promise<Lsn | undefined> {
  const { threadCount, format, dialect, signal, onPrinted, partLength = PART_LENGTH } = options;
  const { program = new URL(PROGRAM, HERE) } = options;
  const parts = partsOf(options, partLength).map((part) => ({ ...part, format, dialect }));
  const readOptions = { signal, chunks: [] };
  const read = (part: LinesPart): Promise<FormattedPart | undefined> =>
    formatPart(part, readOptions);
  let position: Lsn | undefined;
  for await (const { text, next } of partsInOrder({ parts, read, threadCount, program })) {
    if (text.length > 0) await output.writeBytes(text);
    position = next;
    onPrinted?.(next);
  }
  return position;
}
