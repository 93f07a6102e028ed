/** Puts merged entries of L0s into L1s: `compact-level0.ts` has the rules. */
import { assert } from '../assert.ts';
import { throwIfAborted } from '../errors.ts';
import { type Key, type KeyRange, maximumKey, minimumKey, nextKey } from '../layers/key.ts';
import { DELTA_KEY_SIZE } from '../layers/layer-file/entry-layout.ts';
import type { Lsn, LsnRange } from '../layers/lsn.ts';
import { joinHalves } from '../layers/lsn-halves.ts';
import { intersect } from '../timeline/key-space.ts';
import { shardKeeps, shardKeepsRange } from '../timeline/shard-owner.ts';
import { DeltaPieces } from './delta-pieces.ts';
import type { CompactedLevel0, CompactLevel0Options } from './level0-options.ts';
import { isKeyBelow, keyOfWords, LayerMerge, wordsOfKey } from './merge.ts';
import { KEY_WORDS, type MergeInput, setKeyWords } from './merge-input.ts';
import type { MergeRange } from './merge-ranges.ts';
import type { MergedRows } from './merged-rows.ts';
import type { RangeSource } from './range-source.ts';

/** The input and options of a compaction. */
export interface Level0Plan extends CompactLevel0Options {
  readonly targetSize: number;
  readonly lsnRange: LsnRange;
  readonly holes: readonly KeyRange[];
}

/** Entries between two calls of `onProgress`. */
const PROGRESS_ENTRIES = 1 << 16;

export class Level0Compaction {
  readonly #source: RangeSource;
  readonly #plan: Level0Plan;
  readonly #pieces: DeltaPieces;
  readonly #holeEnds: readonly Float64Array[];
  #nextHole = 0;
  /** The key of the last entry, and the previous key, as words. */
  #words = new Float64Array(KEY_WORDS);
  #wordsBefore = new Float64Array(KEY_WORDS);
  #entries = 0;
  #droppedEntries = 0;
  /** For the key: whether it belongs to the shard, and whether it has more bytes than the target. */
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

  constructor(source: RangeSource, plan: Level0Plan) {
    const { directory, tenantId, timelineId, generation, openFiles, signal, lsnRange } = plan;
    const { bufferSize, ioMode, syncEvery, indexMemoryLimit, keyCheck, onLayer } = plan;
    this.#source = source;
    this.#plan = plan;
    this.#holeEnds = plan.holes.map(({ end }) => wordsOfKey(end));
    this.#pieces = new DeltaPieces({
      ...{ directory, tenantId, timelineId, generation, openFiles, signal, lsnRange },
      ...{ bufferSize, ioMode, syncEvery, indexMemoryLimit, keyCheck, onLayer },
    });
  }

  /** `streamed`: everything through `LayerMerge`. Otherwise the ranges of the source. */
  async run(merging: 'in-memory' | 'streamed'): Promise<CompactedLevel0> {
    try {
      if (merging === 'streamed') await this.#stream({ start: undefined, end: undefined });
      else await this.#addRanges();
      await this.#endPiece(this.#words);
      const layers = await this.#pieces.finish();
      const { holes } = this.#plan;
      return { layers, entries: this.#entries, droppedEntries: this.#droppedEntries, holes };
    } catch (error) {
      await this.#pieces.abandon();
      throw error;
    }
  }

  async #addRanges(): Promise<void> {
    const source = this.#source;
    const { signal, onProgress } = this.#plan;
    for (let next = await source.next(); next !== undefined; next = await source.next()) {
      throwIfAborted(signal);
      const { range, merged } = next;
      if (merged === undefined) await this.#stream(range);
      else {
        const { rows, position } = merged;
        await this.#addRows(rows, 0, rows.count);
        this.#entries += rows.count;
        source.release(merged);
        onProgress?.(this.#entries, position);
      }
    }
  }

  /**
   * Adds complete keys: all together if they certainly go into the open layer, or all belong to another shard;
   * otherwise in halves.
   */
  async #addRows(rows: MergedRows, from: number, to: number): Promise<void> {
    if (from === to) return;
    const isKept = this.#areKept(rows, from, to);
    const isDropped = isKept === false && !this.#pieces.isOpen;
    if (isDropped || (isKept !== undefined && this.#areSurelyInPiece(rows, from, to))) {
      if (isKept) await this.#pieces.put(rows, from, to);
      else this.#droppedEntries += to - from;
      copyKeyWords(rows, to - 1, this.#words);
      return;
    }
    const middle = rows.middle(from, to);
    if (middle === undefined) return this.#addKey(rows, from, to);
    await this.#addRows(rows, from, middle);
    await this.#addRows(rows, middle, to);
  }

  /** Whether the shard keeps the keys; undefined if it may keep some of them. */
  #areKept(rows: MergedRows, from: number, to: number): boolean | undefined {
    const { shard } = this.#plan;
    if (shard === undefined) return true;
    const range = { first: rows.key(from), last: rows.key(to - 1) };
    return shardKeepsRange(range, shard.sharding, shard.shardNumber);
  }

  #areSurelyInPiece(rows: MergedRows, from: number, to: number): boolean {
    if (!this.#pieces.isOpen || this.#partStart !== undefined) return false;
    copyKeyWords(rows, to - 1, this.#wordsBefore);
    if (this.#isHoleBefore(this.#wordsBefore)) return false;
    return this.#pieces.fits(rows.extent(from, to), this.#plan.targetSize, to - from);
  }

  /** Adds all versions of a key. */
  async #addKey(rows: MergedRows, from: number, to: number): Promise<void> {
    [this.#words, this.#wordsBefore] = [this.#wordsBefore, this.#words];
    copyKeyWords(rows, from, this.#words);
    const size = rows.extent(from, to);
    await this.#place(rows.lsn(from), size, this.#isFull(size));
    if (!this.#isKept) {
      this.#droppedEntries += to - from;
      return;
    }
    if (!this.#isLarge) return this.#pieces.put(rows, from, to);
    for (let row = from; row < to; row += 1) {
      if (this.#partSize >= this.#plan.targetSize) await this.#cutAlongLsn(rows.lsn(row));
      await this.#pieces.put(rows, row, row + 1);
      this.#partSize += rows.extent(row, row + 1);
    }
  }

  /** Adds the entries of a range, which are read as they are needed. */
  async #stream({ start, end }: MergeRange): Promise<void> {
    const { readers, signal } = this.#plan;
    const isAll = start === undefined && end === undefined;
    const keyRange = { start: start ?? minimumKey(), end: end ?? maximumKey() };
    const inside = readers.filter(
      ({ summary }) => intersect([summary.keyRange], [keyRange]).length > 0,
    );
    await using merge = await LayerMerge.begin(
      isAll ? readers : inside,
      isAll ? { signal } : { keyRange, signal },
    );
    await this.#addMerged(merge);
  }

  async #addMerged(merge: LayerMerge): Promise<void> {
    let isFirst = true;
    for (let input = merge.head; input !== undefined; input = merge.head) {
      if (isFirst || !merge.isAt(this.#words)) {
        const begun = this.#beginKey(merge, input);
        if (begun !== undefined) await begun;
        isFirst = false;
      } else if (this.#isLarge && this.#partSize >= this.#plan.targetSize) {
        await this.#cutAlongLsn(lsnOf(input));
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

  /** Nearly all keys need no promise: those that fit, with all their versions in memory. */
  #beginKey(merge: LayerMerge, input: MergeInput): void | Promise<void> {
    const before = this.#wordsBefore;
    this.#wordsBefore = this.#words;
    this.#words = before;
    merge.copyKey(before);
    if (this.#isSurelyInPiece(merge)) {
      this.#isLarge = false;
      return undefined;
    }
    const size = merge.keySize(before);
    if (typeof size !== 'number') return size.then((known) => this.#beginKeyOf(known, input));
    const isFull = this.#isFull(size);
    if (isFull !== false || this.#plan.shard !== undefined)
      return this.#place(lsnOf(input), size, isFull);
    this.#isLarge = false;
    return undefined;
  }

  #beginKeyOf(size: number, input: MergeInput): Promise<void> {
    return this.#place(lsnOf(input), size, this.#isFull(size));
  }

  /** Whether the key certainly goes into the open layer, even if all bytes in memory belong to it. */
  #isSurelyInPiece(merge: LayerMerge): boolean {
    const { shard, targetSize } = this.#plan;
    if (!this.#pieces.isOpen || this.#partStart !== undefined || shard !== undefined) return false;
    return this.#pieces.fits(merge.keySizeBound, targetSize) && !this.#isAfterHole;
  }

  /** Whether a key of this size goes into another layer than the previous key. */
  #isFull(size: number): boolean | Promise<boolean> {
    if (!this.#pieces.isOpen || this.#partStart !== undefined || this.#isAfterHole) return true;
    return this.#pieces.exceeds(size, this.#plan.targetSize);
  }

  get #isAfterHole(): boolean {
    return this.#isHoleBefore(this.#words);
  }

  #isHoleBefore(words: Float64Array): boolean {
    const end = this.#holeEnds[this.#nextHole];
    return end !== undefined && !isKeyBelow(words, end);
  }

  /** Chooses the layer for the key: the open one, or a new one. */
  async #place(lsn: Lsn, size: number, isFull: boolean | Promise<boolean>): Promise<void> {
    const { shard, targetSize } = this.#plan;
    if ((await isFull) && this.#pieces.isOpen) {
      await this.#endPiece(this.#wordsBefore);
      if (this.#isAfterHole) this.#nextHole += 1;
    }
    const key = keyOfWords(this.#words);
    this.#isKept = shard === undefined || shardKeeps(key, shard.sharding, shard.shardNumber);
    this.#isLarge = size > targetSize;
    this.#keyStart = lsn;
    this.#partStart = undefined;
    this.#partSize = 0;
    if (this.#isKept && !this.#pieces.isOpen) await this.#beginPiece(key);
  }

  /** Before a version of a key whose part has reached the target. */
  async #cutAlongLsn(lsn: Lsn): Promise<void> {
    const key = keyOfWords(this.#words);
    const keyRange = { start: key, end: nextKey(key) };
    await this.#pieces.end(keyRange, { start: this.#partStart ?? this.#keyStart, end: lsn });
    await this.#beginPiece(key);
    this.#partStart = lsn;
    this.#partSize = 0;
  }

  async #beginPiece(key: Key): Promise<void> {
    await this.#pieces.begin();
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

function copyKeyWords({ keys }: MergedRows, row: number, words: Float64Array): void {
  setKeyWords(words, 0, keys, row * DELTA_KEY_SIZE);
}
