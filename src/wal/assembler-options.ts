/** What finds the records in WAL is told of it. */
import type { Lsn } from '../layers/lsn.ts';
import type { WalGeometry } from './page-check.ts';
import type { TimelinePath } from './timeline-history.ts';

/** What an assembler reads. */
export interface AssemblerOptions {
  readonly geometry: WalGeometry;
  readonly path: TimelinePath;
  /** Records that start before it are not returned; those from it on must not be missing. */
  readonly start: Lsn;
  /** Records that end after it are not returned. */
  readonly end: Lsn;
  /** What damage does: it ends the WAL, or is passed over. */
  readonly damage: 'stop' | 'skip';
  /** Bytes; longer records are damage. */
  readonly maximumRecordLength: number;
  /** Of the chunks, in bytes. */
  readonly capacity: number;
}
