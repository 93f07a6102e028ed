/** Options and state of a `RecordAssembler`. */
import type { Lsn } from '../layers/lsn.ts';
import type { WalGeometry } from './page-check.ts';
import type { TimelinePath } from './timeline-history.ts';

/** The WAL that an assembler reads, and how. */
export interface AssemblerOptions {
  readonly geometry: WalGeometry;
  readonly path: TimelinePath;
  /** Records that start before it are not returned; those from it on must not be missing. */
  readonly start: Lsn;
  /** Records that end after it are not returned. */
  readonly end: Lsn;
  /** How damage is handled: it ends the WAL, or is skipped. */
  readonly damage: 'stop' | 'skip';
  /** Bytes; longer records are damage. */
  readonly maximumRecordLength: number;
  /** Capacity of the chunks, in bytes. */
  readonly capacity: number;
  /** Path of the file with the WAL at an LSN, for messages; undefined if it has none. */
  readonly pathAt: (lsn: Lsn) => string | undefined;
}

/**
 *   'searching'   for a valid page, at page borders: from the start on, or after a fault
 *   'returning'   to a record that was incomplete before
 *   'records'     at the start of a record, or at a page border
 *   'gathering'   a record crosses a page border: its bytes so far are together
 *   'skipping'    the rest of a record that began before the start
 *   'switched'    zeros up to the next segment
 *   'ended'       see `RecordAssembler.end`
 */
export type State =
  | 'searching'
  | 'returning'
  | 'records'
  | 'gathering'
  | 'skipping'
  | 'switched'
  | 'ended';

/** Whether to take another step, or return the batch or wait for a chunk. */
export type Progress = 'continue' | 'pause';
