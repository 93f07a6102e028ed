/**
 * Copies a layer, or a part of it, into a new file: with other ids, without the keys of other shards, within a key
 * range, or up to an LSN. Blobs are copied unchanged, including compressed ones.
 *
 *   ids        only the summary has them
 *   shard      same ranges; keys that the shard need not keep are left out
 *   key range  the part of the layer's range that is in it: an image layer is authoritative for its range
 *   until      entries below the LSN, in the LSN range start..until; willInit is taken from the values
 *
 * If no entry is left, no file is made.
 *
 * Source: Neon pageserver/src/tenant/storage_layer/{delta_layer,filter_iterator}.rs, image_layer.rs.
 */

import { ViewedBytes } from '../byte-words.ts';
import { checkBigint, checkObject } from '../check-options.ts';
import { isStorageError } from '../errors.ts';
import type { DeltaLayerReader } from '../layers/delta-layer/reader.ts';
import { DeltaLayerWriter } from '../layers/delta-layer/writer.ts';
import type { ImageLayerReader } from '../layers/image-layer/reader.ts';
import { ImageLayerWriter } from '../layers/image-layer/writer.ts';
import { checkKeyRange, formatKey, KEY_SIZE, type KeyRange } from '../layers/key.ts';
import type { EntryBatch } from '../layers/layer-file/entry-batch.ts';
import { checkReader } from '../layers/layer-file/layer-input.ts';
import type { FinishedLayer, WriteOptions } from '../layers/layer-file/layer-writer.ts';
import { checkLsn, formatLsn, type Lsn } from '../layers/lsn.ts';
import { halvesOf, highHalf, lowHalf, splitLsn } from '../layers/lsn-halves.ts';
import { outlineOfValue } from '../layers/value-outline.ts';
import { intersect } from '../timeline/key-space.ts';
import { shardKeeps } from '../timeline/shard-owner.ts';
import { checkShardFilter, type ShardFilter } from './level0-options.ts';
import { RowBuffer, type ScannedRow } from './row-buffer.ts';

/** Options of `copyLayer`. */
export interface CopyLayerOptions extends Omit<WriteOptions, 'tenantId' | 'timelineId'> {
  /** 32 hex digits. Default: as in the layer. */
  readonly tenantId?: string | undefined;
  /** 32 hex digits. Default: as in the layer. */
  readonly timelineId?: string | undefined;
  /** Default: all keys. */
  readonly keyRange?: KeyRange | undefined;
  /** Keys that this shard need not keep are left out. Default: none are. */
  readonly shard?: ShardFilter | undefined;
  /** Entries at or above this LSN are left out. Default: none are. */
  readonly until?: Lsn | undefined;
}

/** The result of a copy. */
export interface CopiedLayer {
  /** The new layer, durable; undefined if no entry was left. */
  readonly layer: FinishedLayer | undefined;
  /** Entries that were read and left out. */
  readonly droppedEntries: number;
}

/**
 * Copies a layer, or a part of it, into a new file.
 *
 * @throws `exists`, `invalid-input`, `out-of-range`, `io`, `sync-failed`, `aborted`; as a scan of the layer,
 * at the first damage: the copy is complete or absent.
 *
 * Durability: once this resolves, the new layer survives a crash.
 */
export async function copyLayer(
  reader: DeltaLayerReader | ImageLayerReader,
  options: CopyLayerOptions,
): Promise<CopiedLayer> {
  checkReader(reader);
  checkObject('options', options);
  const { tenantId, timelineId, keyRange, shard, until, ...writing } = options;
  if (keyRange !== undefined) checkKeyRange(keyRange);
  checkShardFilter(shard);
  if (until !== undefined) {
    checkBigint('until', until);
    checkLsn(until, 'until');
  }
  const { summary } = reader;
  const [common] = intersect([summary.keyRange], [keyRange ?? summary.keyRange]);
  if (common === undefined) return { layer: undefined, droppedEntries: 0 };
  const copy: Copy = {
    keyRange: common,
    scanned: keyRange === undefined ? undefined : common,
    shard,
    until,
    writing: {
      ...writing,
      tenantId: tenantId ?? summary.tenantId,
      timelineId: timelineId ?? summary.timelineId,
    },
  };
  return isDelta(reader) ? copyDelta(reader, copy) : copyImages(reader, copy);
}

interface Copy {
  /** Of the new layer. */
  readonly keyRange: KeyRange;
  /** Keys that are read; undefined for all. */
  readonly scanned: KeyRange | undefined;
  readonly shard: ShardFilter | undefined;
  readonly until: Lsn | undefined;
  readonly writing: WriteOptions;
}

function isDelta(reader: DeltaLayerReader | ImageLayerReader): reader is DeltaLayerReader {
  return reader.summary.kind === 'delta';
}

async function copyDelta(reader: DeltaLayerReader, copy: Copy): Promise<CopiedLayer> {
  const { keyRange, until, writing } = copy;
  const { start, end } = reader.summary.lsnRange;
  if (until !== undefined && until <= start) return { layer: undefined, droppedEntries: 0 };
  const lsnRange = { start, end: until !== undefined && until < end ? until : end };
  const { signal } = writing;
  const contents = until === undefined ? 'stored' : 'decompressed';
  const rows = new DeltaRows(copy, lsnRange.end < end ? lsnRange.end : undefined);
  // Made for the first entry: a layer without entries cannot be finished.
  let writer: DeltaLayerWriter | undefined;
  try {
    for await (const batch of reader.batches({ keyRange: copy.scanned, signal, contents })) {
      rows.begin(batch, reader.path);
      while (rows.next()) {
        writer ??= await DeltaLayerWriter.create({ ...writing, keyRange, lsnRange });
        const room = rows.put(writer);
        if (room !== undefined) await room;
      }
    }
    if (writer === undefined) return { layer: undefined, droppedEntries: rows.dropped };
    const room = rows.flush(writer);
    if (room !== undefined) await room;
    return { layer: await writer.finish(), droppedEntries: rows.dropped };
  } finally {
    // Does nothing after a finish.
    await writer?.abandon();
  }
}

/** The rows of one batch after the other, without those that are left out. */
class DeltaRows implements ScannedRow {
  dropped = 0;
  row = -1;
  readonly #copy: Copy;
  readonly #until: { readonly high: number; readonly low: number } | undefined;
  readonly #rows = new RowBuffer();
  #batch: EntryBatch | undefined;
  #path: string | undefined;
  #lsns: Uint32Array = new Uint32Array(0);
  keys = new ViewedBytes(new Uint8Array(0));
  buffer = this.keys;

  constructor(copy: Copy, until: Lsn | undefined) {
    this.#copy = copy;
    this.#until = until === undefined ? undefined : splitLsn(until);
  }

  get batch(): EntryBatch {
    return this.#batch as EntryBatch;
  }

  get lsnHigh(): number {
    return highHalf(this.#lsns, this.row);
  }

  get lsnLow(): number {
    return lowHalf(this.#lsns, this.row);
  }

  begin(batch: EntryBatch, path: string | undefined): void {
    this.#batch = batch;
    this.#path = path;
    this.keys = new ViewedBytes(batch.keys);
    this.buffer = new ViewedBytes(batch.buffer);
    this.#lsns = halvesOf(batch.lsns);
    this.row = -1;
  }

  /** Advances to the next row that is kept. */
  next(): boolean {
    for (this.row += 1; this.row < this.batch.count; this.row += 1) {
      if (this.#isBelowEnd() && isKept(this.batch, this.row, this.#copy.shard)) return true;
      this.dropped += 1;
    }
    return false;
  }

  put(writer: DeltaLayerWriter): void | Promise<void> {
    const { batch, row } = this;
    const willInit = this.#willInit();
    if (batch.compressed[row] === 1) return this.#putCompressed(writer, willInit);
    const isFull = !this.#rows.hasRoom(batch.lengths[row] as number);
    const room = isFull ? this.flush(writer) : undefined;
    if (room !== undefined) return room.then(() => this.#rows.addEntryOf(this, willInit));
    this.#rows.addEntryOf(this, willInit);
  }

  flush(writer: DeltaLayerWriter): void | Promise<void> {
    const room = writer.putBlobEntries(this.#rows);
    if (room !== undefined) return room.then(() => this.#rows.clear());
    this.#rows.clear();
  }

  async #putCompressed(writer: DeltaLayerWriter, willInit: number): Promise<void> {
    const { batch, row } = this;
    await this.flush(writer);
    await writer.putBlob(batch.key(row), batch.lsn(row), storedBlob(batch, row), willInit === 1);
  }

  /** Neon takes it from the value when it copies a prefix, and otherwise from the index. */
  #willInit(): number {
    const { batch, row } = this;
    if (this.#copy.until === undefined) return batch.willInit[row] as number;
    try {
      return outlineOfValue(batch.bytes(row)).willInit ? 1 : 0;
    } catch (error) {
      if (!isStorageError(error)) throw error;
      const offset = batch.offsets[row];
      const place = { key: formatKey(batch.key(row)), lsn: formatLsn(batch.lsn(row)) };
      throw error.with({ path: this.#path, offset, ...place });
    }
  }

  #isBelowEnd(): boolean {
    if (this.#until === undefined) return true;
    const { high, low } = this.#until;
    return this.lsnHigh < high || (this.lsnHigh === high && this.lsnLow < low);
  }
}

async function copyImages(reader: ImageLayerReader, copy: Copy): Promise<CopiedLayer> {
  const { keyRange, shard, until, writing } = copy;
  const { lsn } = reader.summary;
  if (until !== undefined && lsn >= until) return { layer: undefined, droppedEntries: 0 };
  const { signal } = writing;
  let dropped = 0;
  let writer: ImageLayerWriter | undefined;
  try {
    const scan = { keyRange: copy.scanned, signal, contents: 'stored' } as const;
    for await (const batch of reader.batches(scan)) {
      for (let from = 0; from < batch.count; ) {
        if (!isKept(batch, from, shard)) {
          dropped += 1;
          from += 1;
          continue;
        }
        const end = endOfRun(batch, from, shard);
        // Nothing is compressed here: no compressor is loaded.
        writer ??= await ImageLayerWriter.create({
          ...{ ...writing, keyRange, lsn },
          compression: { kind: 'none' },
        });
        const room = writer.putBlobRun(blobRun(batch, from, end));
        if (room !== undefined) await room;
        from = end;
      }
    }
    const layer = await writer?.finish();
    return { layer, droppedEntries: dropped };
  } finally {
    // Does nothing after a finish.
    await writer?.abandon();
  }
}

/** The end of the entries from `from` on that are kept, and whose blobs follow each other. */
function endOfRun(batch: EntryBatch, from: number, shard: ShardFilter | undefined): number {
  const { offsets, storedLengths, count } = batch;
  let end = from + 1;
  for (; end < count; end += 1) {
    const before = (offsets[end - 1] as number) + (storedLengths[end - 1] as number);
    if (offsets[end] !== before || !isKept(batch, end, shard)) break;
  }
  return end;
}

function blobRun(batch: EntryBatch, from: number, end: number) {
  const { keys, storedLengths, buffer, starts, lengths } = batch;
  const last = end - 1;
  return {
    count: end - from,
    keys: keys.subarray(from * KEY_SIZE, end * KEY_SIZE),
    sizes: storedLengths.subarray(from, end),
    blobs: buffer.subarray(
      headerStart(batch, from),
      (starts[last] as number) + (lengths[last] as number),
    ),
  };
}

function storedBlob(batch: EntryBatch, row: number): Uint8Array {
  const start = headerStart(batch, row);
  return batch.buffer.subarray(start, start + (batch.storedLengths[row] as number));
}

/** Index in the buffer of the blob's header, which lies before its content. */
function headerStart({ starts, lengths, storedLengths }: EntryBatch, row: number): number {
  const headerSize = (storedLengths[row] as number) - (lengths[row] as number);
  return (starts[row] as number) - headerSize;
}

function isKept(batch: EntryBatch, row: number, shard: ShardFilter | undefined): boolean {
  return shard === undefined || shardKeeps(batch.key(row), shard.sharding, shard.shardNumber);
}
