/**
 * Compacts L0s into L1s, as a pageserver does: merged by key and LSN, and cut into layers.
 *
 *   a layer ends before a new key   if values + finished index blocks + all versions of the key > target,
 *                                   if a hole lies before the key, or if either side has one key alone
 *   a key of more than the target   has layers of its own, cut along the LSN: each has the fewest versions
 *                                   whose blobs reach the target
 *   key range                       first key .. last key + 1
 *   LSN range                       that of all inputs; of the parts of one key, from the first version (of
 *                                   the first part) to the first version of the next part
 *
 * The versions of a key take the bytes of their blobs in the inputs. The last blob of an input counts as
 * far as the index, with the zeros after the values. Keys of other shards are left out. Nothing else is: two
 * inputs with one key and LSN are refused.
 *
 * Source: Neon pageserver/src/tenant/timeline/compaction.rs.
 */
import { assert } from '../assert.ts';
import { checkCount, checkIterable, checkMethod, checkObject } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import type { DeltaWriteOptions } from '../layers/delta-layer/writer.ts';
import { type Key, type KeyRange, nextKey } from '../layers/key.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import { type Lsn, type LsnRange, MAXIMUM_LSN } from '../layers/lsn.ts';
import { joinHalves } from '../layers/lsn-halves.ts';
import type { LayerMap } from '../timeline/layer-map/layer-map.ts';
import { type Sharding, shardKeeps } from '../timeline/shard-owner.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { DeltaPieces } from './delta-pieces.ts';
import type { OnLayer } from './finished-pieces.ts';
import { findHoles } from './holes.ts';
import { DEFAULT_CHECKPOINT_DISTANCE } from './level0.ts';
import { isKeyBelow, keyOfWords, LayerMerge, wordsOfKey } from './merge.ts';
import { KEY_WORDS, type MergeInput } from './merge-input.ts';

/** Which keys a shard keeps. */
export interface ShardFilter {
  /** How the tenant is cut. */
  readonly sharding: Sharding;
  /** The number of the shard. */
  readonly shardNumber: number;
}

/** Options of `compactLevel0`. */
export interface CompactLevel0Options extends Omit<DeltaWriteOptions, 'keyRange' | 'lsnRange'> {
  /** Delta layers whose LSN ranges follow each other, as `chooseLevel0` chooses them, the oldest first. */
  readonly readers: readonly LayerReader[];
  /** All layers of the timeline, for the holes. */
  readonly map: LayerMap;
  /** The last LSN of the timeline, from which image layers are seen. Default: the highest. */
  readonly lastRecordLsn?: Lsn | undefined;
  /** Bytes of the layers that are made: the checkpoint distance. Default: 256 MiB. */
  readonly targetSize?: number | undefined;
  /** Keys of other shards are left out. Default: none are. */
  readonly shard?: ShardFilter | undefined;
  /** Called with each layer once it is durable, in order; the next one waits for its promise. */
  readonly onLayer?: OnLayer | undefined;
  /** Called now and then with the number of entries that were merged, and the bytes of the inputs that were. */
  readonly onProgress?: ((entries: number, bytes: number) => void) | undefined;
}

/** What a compaction made. */
export interface CompactedLevel0 {
  /** In the order of keys and LSNs, all durable. */
  readonly layers: readonly FinishedLayer[];
  /** Entries of the inputs. */
  readonly entries: number;
  /** Of these, entries of keys that belong to other shards. */
  readonly droppedEntries: number;
  /** Key ranges that no layer was laid across. */
  readonly holes: readonly KeyRange[];
}

/** Entries between two calls of `onProgress`. */
const PROGRESS_ENTRIES = 1 << 16;

/**
 * Compacts L0s into L1s: the same layers, under the same names, that a pageserver makes.
 *
 * @throws `invalid-input`, `empty` without an input; `out-of-order` for two entries of one key and LSN;
 * `exists` for a layer that is there already; `too-large`; as the scans of the inputs; `io`, `sync-failed`,
 * `aborted`.
 *
 * Durability: a layer that `onLayer` was called with survives a crash. The inputs stay.
 */
export async function compactLevel0(options: CompactLevel0Options): Promise<CompactedLevel0> {
  checkObject('options', options);
  const { readers, map, targetSize = DEFAULT_CHECKPOINT_DISTANCE, signal } = options;
  checkIterable('readers', readers);
  for (const reader of readers) checkMethod('reader of a layer', reader, 'batches');
  checkCount('targetSize', targetSize, { from: 1 });
  const lsnRange = lsnRangeOf(readers);
  const holes = await findHoles({
    readers,
    map,
    minimumKeys: Math.floor(targetSize / BLOCK_SIZE),
    lsn: options.lastRecordLsn ?? MAXIMUM_LSN,
    signal,
  });
  await using merge = await LayerMerge.begin(readers, { signal });
  const compaction = new Level0Compaction(merge, { ...options, targetSize, lsnRange, holes });
  // Awaited here: the merge must not be closed before.
  return await compaction.run();
}

/** From the start of the first to the end of the last. Throws unless they follow each other. */
function lsnRangeOf(readers: readonly LayerReader[]): LsnRange {
  let range: LsnRange | undefined;
  for (const { summary, path } of readers) {
    if (summary.kind !== 'delta') {
      const expected = 'a delta layer';
      throw new StorageError('invalid-input', { what: 'layer to compact', path, expected });
    }
    if (range !== undefined && range.end !== summary.lsnRange.start) {
      const expected = 'a layer that starts where the one before it ends';
      throw new StorageError('invalid-input', { what: 'layer to compact', path, expected });
    }
    range = { start: range?.start ?? summary.lsnRange.start, end: summary.lsnRange.end };
  }
  if (range === undefined) throw new StorageError('empty', { what: 'no layers to compact' });
  return range;
}

interface Plan extends CompactLevel0Options {
  readonly targetSize: number;
  readonly lsnRange: LsnRange;
  readonly holes: readonly KeyRange[];
}

class Level0Compaction {
  readonly #merge: LayerMerge;
  readonly #plan: Plan;
  readonly #pieces: DeltaPieces;
  readonly #holeEnds: readonly Float64Array[];
  #nextHole = 0;
  /** The key of the last entry, and the one before it, as words. */
  #words = new Float64Array(KEY_WORDS);
  #wordsBefore = new Float64Array(KEY_WORDS);
  #entries = 0;
  #droppedEntries = 0;
  /** Of the key: whether it belongs to the shard, and has more bytes than the target. */
  #isKept = true;
  #isLarge = false;
  /** First key of the open layer. */
  #firstKey: Key | undefined;
  /** LSN of the first version of the key. */
  #keyStart: Lsn = 0n;
  /** LSN of the first version in the open layer, once the key was cut. */
  #partStart: Lsn | undefined;
  /** Bytes of the key's versions in the open layer; only of a large key. */
  #partSize = 0;

  constructor(merge: LayerMerge, plan: Plan) {
    const { directory, tenantId, timelineId, generation, openFiles, signal, lsnRange } = plan;
    const { bufferSize, ioMode, syncEvery, indexMemoryLimit, keyCheck, onLayer } = plan;
    this.#merge = merge;
    this.#plan = plan;
    this.#holeEnds = plan.holes.map(({ end }) => wordsOfKey(end));
    this.#pieces = new DeltaPieces({
      ...{ directory, tenantId, timelineId, generation, openFiles, signal, lsnRange },
      ...{ bufferSize, ioMode, syncEvery, indexMemoryLimit, keyCheck, onLayer },
    });
  }

  async run(): Promise<CompactedLevel0> {
    try {
      await this.#mergeAll();
      await this.#endPiece(this.#words);
      const layers = await this.#pieces.finish();
      const { holes } = this.#plan;
      return { layers, entries: this.#entries, droppedEntries: this.#droppedEntries, holes };
    } catch (error) {
      await this.#pieces.abandon();
      throw error;
    }
  }

  async #mergeAll(): Promise<void> {
    const merge = this.#merge;
    for (let input = merge.head; input !== undefined; input = merge.head) {
      if (this.#entries === 0 || !merge.isAt(this.#words)) {
        const begun = this.#beginKey(input);
        if (begun !== undefined) await begun;
      } else if (this.#isLarge && this.#partSize >= this.#plan.targetSize) {
        await this.#cutAlongLsn(input);
      }
      if (this.#isKept) {
        const room = this.#pieces.roomFor(contentLength(input));
        if (room !== undefined) await room;
        this.#pieces.rows.addEntryOf(input);
        if (this.#isLarge) this.#partSize += await input.extent('entry');
      } else {
        this.#droppedEntries += 1;
      }
      this.#entries += 1;
      if (this.#entries % PROGRESS_ENTRIES === 0) {
        this.#plan.onProgress?.(this.#entries, merge.position);
      }
      const loading = merge.advance();
      if (loading !== undefined) await loading;
    }
  }

  /** Without a promise for nearly all keys: those that fit, with all their versions in memory. */
  #beginKey(input: MergeInput): void | Promise<void> {
    const before = this.#wordsBefore;
    this.#wordsBefore = this.#words;
    this.#words = before;
    this.#merge.copyKey(before);
    if (this.#isSurelyInPiece) {
      this.#isLarge = false;
      return undefined;
    }
    const size = this.#merge.keySize(before);
    if (typeof size !== 'number') return size.then((known) => this.#beginKeyOf(known, input));
    const isFull = this.#isFull(size);
    if (isFull !== false || this.#plan.shard !== undefined) return this.#place(input, size, isFull);
    this.#isLarge = false;
    return undefined;
  }

  #beginKeyOf(size: number, input: MergeInput): Promise<void> {
    return this.#place(input, size, this.#isFull(size));
  }

  /** Whether the key goes into the open layer, however many of the bytes in memory are its own. */
  get #isSurelyInPiece(): boolean {
    const { shard, targetSize } = this.#plan;
    if (!this.#pieces.isOpen || this.#partStart !== undefined || shard !== undefined) return false;
    return this.#pieces.fits(this.#merge.keySizeBound, targetSize) && !this.#isAfterHole;
  }

  /** Whether a key of this size goes into another layer than the key before. */
  #isFull(size: number): boolean | Promise<boolean> {
    if (!this.#pieces.isOpen || this.#partStart !== undefined || this.#isAfterHole) return true;
    return this.#pieces.exceeds(size, this.#plan.targetSize);
  }

  get #isAfterHole(): boolean {
    const end = this.#holeEnds[this.#nextHole];
    return end !== undefined && !isKeyBelow(this.#words, end);
  }

  /** Finds a layer for the key: the open one, or another. */
  async #place(input: MergeInput, size: number, isFull: boolean | Promise<boolean>): Promise<void> {
    const { shard, targetSize } = this.#plan;
    if ((await isFull) && this.#pieces.isOpen) {
      await this.#endPiece(this.#wordsBefore);
      if (this.#isAfterHole) this.#nextHole += 1;
    }
    const key = keyOfWords(this.#words);
    this.#isKept = shard === undefined || shardKeeps(key, shard.sharding, shard.shardNumber);
    this.#isLarge = size > targetSize;
    this.#keyStart = lsnOf(input);
    this.#partStart = undefined;
    this.#partSize = 0;
    if (this.#isKept && !this.#pieces.isOpen) await this.#beginPiece(key);
  }

  /** Before a version of a key whose part has reached the target. */
  async #cutAlongLsn(input: MergeInput): Promise<void> {
    const lsn = lsnOf(input);
    const key = keyOfWords(this.#words);
    const keyRange = { start: key, end: nextKey(key) };
    await this.#pieces.end(keyRange, { start: this.#partStart ?? this.#keyStart, end: lsn });
    await this.#beginPiece(key);
    this.#partStart = lsn;
    this.#partSize = 0;
  }

  async #beginPiece(key: Key): Promise<void> {
    await this.#pieces.begin(key);
    this.#firstKey = key;
  }

  async #endPiece(lastKey: Float64Array): Promise<void> {
    if (!this.#pieces.isOpen) return;
    const { lsnRange } = this.#plan;
    assert(this.#firstKey !== undefined, 'an open layer has a first key');
    const keyRange = { start: this.#firstKey, end: nextKey(keyOfWords(lastKey)) };
    await this.#pieces.end(keyRange, { ...lsnRange, start: this.#partStart ?? lsnRange.start });
  }
}

/** Bytes of the value, after decompression. */
function contentLength({ batch, row }: MergeInput): number {
  return batch.compressed[row] === 1 ? batch.bytes(row).length : (batch.lengths[row] as number);
}

function lsnOf(input: MergeInput): Lsn {
  return joinHalves(input.lsnHigh, input.lsnLow);
}
