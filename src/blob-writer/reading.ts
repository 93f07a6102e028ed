/**
 * Work that needs bytes, and the drivers that read them. The work itself neither reads nor waits: it goes
 * as far as its bytes allow and returns the reads that it lacks. One driver makes these reads
 * asynchronously, the other synchronously.
 */
import {
  type ByteSource,
  fillRanges,
  type ReadRangesOptions,
  readRangeSync,
} from './byte-source.ts';
import type { ReadRange } from './read-range.ts';

export interface Reading {
  /**
   * Continues with the bytes of the previous reads.
   *
   * Returns: the reads to make before the next call; none once the work is done.
   * Throws: the damage that it finds.
   */
  proceed(): readonly ReadRange[];
}

export const NO_READS: readonly ReadRange[] = [];

/** Makes the reads, those of one step concurrently. Throws: as the work, and `truncated`, `io`. */
export async function finishReading(
  source: ByteSource,
  reading: Reading,
  options?: ReadRangesOptions,
): Promise<void> {
  for (let reads = reading.proceed(); reads.length > 0; reads = reading.proceed()) {
    const filling = fillRanges(source, reads, options);
    if (filling !== undefined) await filling;
  }
}

/**
 * As `finishReading`, synchronously: blocks the event loop while the device reads.
 * Throws also: `invalid-input` for a source without `readSync`, unless its cache has all bytes.
 */
export function finishReadingSync(source: ByteSource, reading: Reading): void {
  for (let reads = reading.proceed(); reads.length > 0; reads = reading.proceed()) {
    for (const read of reads) readRangeSync(source, read);
  }
}

/** Several readings at the same time: each step makes the reads of all. */
export class Readings implements Reading {
  #open: readonly Reading[];

  constructor(readings: readonly Reading[]) {
    this.#open = readings;
  }

  proceed(): readonly ReadRange[] {
    const reads: ReadRange[] = [];
    this.#open = this.#open.filter((reading) => {
      const lacking = reading.proceed();
      for (const read of lacking) reads.push(read);
      return lacking.length > 0;
    });
    return reads;
  }
}
