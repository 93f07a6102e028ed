/** What a map is drawn from: the layers of a timeline, once or at several times. */
import type { Lsn } from '../layers/lsn.ts';

/** A layer as an index or a listing names it. */
export interface SnapshotLayer {
  /** The file name, with or without a generation. It is not trusted. */
  readonly name: string;
  /** Bytes, if known. */
  readonly size?: number | bigint | undefined;
  /** Default: that of the name. */
  readonly generation?: number | undefined;
  /** Number and count of the shard, such as `0104`; default: unsharded. */
  readonly shard?: string | undefined;
  /** The shard that wrote it, if another one reads it; default: `shard`. */
  readonly writer?: string | undefined;
}

/** The layers of a timeline at one time. */
export interface Snapshot {
  /** What it was read from, for people. It is not trusted. */
  readonly label: string;
  readonly layers: Iterable<SnapshotLayer>;
  /** Pages of a stripe, if the layers are those of several shards: each layer has its shard then. */
  readonly stripeSize?: number | undefined;
  /** All below is durable in the layers. */
  readonly diskConsistentLsn?: Lsn | undefined;
  /** LSN of a read of the newest values. Default: the disk-consistent LSN. */
  readonly lastLsn?: Lsn | undefined;
  /** Reads below it are refused. */
  readonly gcCutoffLsn?: Lsn | undefined;
  /** Where the timeline itself branched off its ancestor. */
  readonly ancestorLsn?: Lsn | undefined;
  /** Where children branched off. */
  readonly branchLsns?: readonly Lsn[] | undefined;
}
