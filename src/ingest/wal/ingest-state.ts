/**
 * What the parts of a record's ingest share: where they put values, and what they know about the timeline.
 */
import { StorageError } from '../../errors.ts';
import type { Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { joinHalves } from '../../layers/lsn-halves.ts';
import { encodeValue, type Value, valueWillInit } from '../../layers/value-format.ts';
import { type Sharding, shardOfKey } from '../../timeline/shard-owner.ts';
import type { HeapDialect } from '../../wal/heap-dialect.ts';
import type { CheckpointValue } from './checkpoint-value.ts';
import { type Asking, Metadata } from './metadata.ts';
import type { PlainKernel } from './plain-kernel.ts';
import { RelationSizes } from './relation-sizes.ts';
import type { RowSink } from './row-sink.ts';

/** The shard that an ingest is for. */
export interface IngestShard extends Sharding {
  /** Below the count; 0 if there is no other. */
  readonly number: number;
}

/** Options of an ingest. */
export interface IngestTarget {
  readonly sink: RowSink;
  readonly majorVersion: number;
  /** Undefined if it is detected for each record. */
  readonly dialect: HeapDialect | undefined;
  readonly shard: IngestShard;
  readonly checkpoint: CheckpointValue;
  /** Maximum number of blocks that may be missing between the end of a fork and a block that a record names. */
  readonly maximumGap: number;
}

export class IngestState {
  readonly majorVersion: number;
  readonly dialect: HeapDialect | undefined;
  readonly shard: IngestShard;
  readonly checkpoint: CheckpointValue;
  readonly maximumGap: number;
  readonly metadata = new Metadata();
  readonly sizes: RelationSizes;
  /** Puts plain records in runs; undefined if the sink has no memory for it. */
  readonly kernel: PlainKernel | undefined;
  /** The end of the current record, in halves. */
  lsnHigh = 0;
  lsnLow = 0;
  /** Values of blocks that the general code has put so far. */
  blockPuts = 0;
  readonly #sink: RowSink;

  constructor(target: IngestTarget) {
    this.majorVersion = target.majorVersion;
    this.dialect = target.dialect;
    this.shard = target.shard;
    this.checkpoint = target.checkpoint;
    this.maximumGap = target.maximumGap;
    this.kernel = target.shard.count < 2 ? target.sink.kernel : undefined;
    this.sizes = new RelationSizes(undefined, this.kernel);
    this.#sink = target.sink;
  }

  /** The end of the current record, where everything is put; a bigint is made for each call. */
  get lsn(): Lsn {
    return joinHalves(this.lsnHigh, this.lsnLow);
  }

  /** Whether this shard sees all blocks, for sizes, and has the keys that only one shard has. */
  get isFirstShard(): boolean {
    return this.shard.number === 0;
  }

  /** Whether a block is on this shard. */
  owns(key: Key): boolean {
    return this.shard.count < 2 || shardOfKey(key, this.shard) === this.shard.number;
  }

  /** Puts a value of a block. Requires: this shard has it. */
  putValue(key: Key, value: Value): void {
    this.blockPuts += 1;
    this.#sink.put(key, this.lsn, valueWillInit(value), encodeValue(value));
  }

  /** Puts the current record as the value of a block. Requires: this shard has it. */
  putRecord(key: Key, willInit: boolean, record: Uint8Array): void {
    this.blockPuts += 1;
    this.#sink.putRecord(key, this.lsn, willInit, record);
  }

  /** Whether the record should make room before it puts more values. */
  get isCrowded(): boolean {
    return this.#sink.isCrowded;
  }

  /**
   * Lets the sink make room within a record. With `next`, it may continue in another layer: all blocks of the record so
   * far have lower keys, and later ones have this key or a higher one.
   */
  *makeRoom(next?: Key): Asking<void> {
    const sink = this.#sink;
    const { lsn } = this;
    if (next !== undefined) this.metadata.commitBelow(next, sink, lsn);
    yield async () => {
      await sink.makeRoom(lsn, next);
      return undefined;
    };
  }

  /** Ends a record: puts what changed. */
  commit(): void {
    this.metadata.commit(this.#sink, this.lsn);
  }
}

/** Something that a record needs and the timeline lacks. */
export function lacking(what: string, expected: string): StorageError {
  return new StorageError('not-found', { what, expected, actual: 'none' });
}
