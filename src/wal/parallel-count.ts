/** Counts the records of WAL in parts, on several threads. */
import type { Lsn } from '../layers/lsn.ts';
import { countPart } from './counted-part.ts';
import { partsInOrder } from './parts-in-order.ts';
import type { RecordTally } from './record-tally.ts';
import { type DividedWal, partsOf, type WalPart } from './wal-part.ts';

/** Bytes of a part. */
const PART_LENGTH = 32n * 1024n * 1024n;

/** If both names stood in one `new URL`, bundlers would treat the file as an asset. */
const PROGRAM = './wal-count-thread.js';
const HERE = import.meta.url;

export interface ParallelCountOptions extends DividedWal {
  /** Number of threads, including the caller's. */
  readonly threadCount: number;
  /** Bytes of a part; default 32 MiB. */
  readonly partLength?: bigint | undefined;
  /** The program of a thread; default: `wal-count-thread.js` next to this module. */
  readonly program?: URL | undefined;
  /** Called with the LSN up to which everything has been counted. */
  readonly onCounted?: ((lsn: Lsn) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Adds the counts of the parts to the tally, as far as they are complete and valid. The last part is never counted.
 *
 * Returns: start of the record at which a reader must continue; undefined if nothing was counted. Throws `aborted`.
 */
export async function countInParallel(
  tally: RecordTally,
  options: ParallelCountOptions,
): Promise<Lsn | undefined> {
  const { threadCount, signal, onCounted, partLength = PART_LENGTH } = options;
  const { program = new URL(PROGRAM, HERE) } = options;
  const parts = partsOf(options, partLength);
  let position: Lsn | undefined;
  const readOptions = { signal, chunks: [] };
  const read = (part: WalPart) => countPart(part, readOptions);
  for await (const { counts, next } of partsInOrder({ parts, read, threadCount, program })) {
    tally.merge(counts);
    position = next;
    onCounted?.(next);
  }
  return position;
}
