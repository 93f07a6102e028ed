/** The input of a map: the layers of a timeline, at one or several times. */
import type { Lsn } from '../layers/lsn.ts';

/** A layer, as named in an index or a listing. */
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
  /** Its source, for people. It is not trusted. */
  readonly label: string;
  readonly layers: Iterable<SnapshotLayer>;
  /** Pages of a stripe, if the layers belong to several shards: then each layer has its shard. */
  readonly stripeSize?: number | undefined;
  /** Everything below it is durable in the layers. */
  readonly diskConsistentLsn?: Lsn | undefined;
  /** LSN at which a read finds the newest values. Default: the disk-consistent LSN. */
  readonly lastLsn?: Lsn | undefined;
  /** The GC cutoff: reads below it are refused. */
  readonly gcCutoffLsn?: Lsn | undefined;
  /** Where the timeline itself branched off its ancestor. */
  readonly ancestorLsn?: Lsn | undefined;
  /** Where children branched off. */
  readonly branchLsns?: readonly Lsn[] | undefined;
}
