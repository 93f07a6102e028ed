/**
 * Entries of a scan that lie in one leaf and one piece of the file, in parallel arrays.
 *
 * Everything here is a view: the arrays, `buffer`, and what `key` and `bytes` return. Views are valid
 * until the next batch is requested or the scan ends: the arrays are reused for the next batch, and
 * `buffer` may be replaced. `entry` makes copies.
 *
 * Keys, LSNs and marks are not copied from the leaf before they are first read. From then on they are
 * copied for every batch, so that an array that the caller holds is never older than the others.
 */
import { markAsUntransferable } from 'node:worker_threads';
import { newArray } from '../../blob-writer/slab.ts';
import { checkCount } from '../../check-options.ts';
import type { IndexNode } from '../disk-btree/index-node.ts';
import { KEY_SIZE, type Key } from '../key.ts';
import type { Lsn } from '../lsn.ts';
import { halvesOf, LSN_SIZE, setHalves } from '../lsn-halves.ts';
import type { EntryLayout, IndexEntry } from './entry-layout.ts';

/** An entry with its content. */
export interface LayerEntry extends IndexEntry {
  /** Bytes in the file, including the header. */
  readonly storedLength: number;
  /** True if the blob is compressed in the file. */
  readonly compressed: boolean;
  /** After decompression: the serialized value of a delta layer, the image of an image layer. */
  readonly bytes: Uint8Array;
}

/** Maximum bytes of contents that are copied together. */
const LARGEST_COPY = 64 * 1024;

/** Memory of entries that outlive the batch. */
interface Copies {
  readonly keys: ArrayBuffer;
  /** A copy of the buffer from `from` on; undefined if each content is copied by itself. */
  readonly contents: ArrayBuffer | undefined;
  readonly from: number;
}

const FIRST_ARENA_SIZE = 128 * 1024;

/** Maximum number of entries in an index block. */
export const BATCH_CAPACITY = 1366;

/** Consecutive entries of a leaf. */
interface LeafRow {
  readonly layout: EntryLayout;
  readonly node: IndexNode;
  readonly from: number;
  count: number;
}

/** Entries of a scan in parallel arrays; views that are valid until the next batch. */
export class EntryBatch {
  /** Number of entries; more of the arrays is undefined. */
  count = 0;
  readonly #keys = new Uint8Array(BATCH_CAPACITY * KEY_SIZE);
  readonly #lsns = new BigUint64Array(BATCH_CAPACITY);
  readonly #lsnHalves = halvesOf(this.#lsns);
  readonly #willInit = new Uint8Array(BATCH_CAPACITY);
  /** Where keys, LSNs and marks are copied from. */
  readonly #rows: LeafRow[] = [];
  /** True once keys or LSNs were read, in this batch or an earlier one. */
  #areKeysWanted = false;
  #areMarksWanted = false;
  /** File offsets of the blobs. */
  readonly offsets: Float64Array = new Float64Array(BATCH_CAPACITY);
  /** Bytes in the file, including the header. */
  readonly storedLengths: Uint32Array = new Uint32Array(BATCH_CAPACITY);
  /** 1 for a compressed blob, else 0. */
  readonly compressed: Uint8Array = new Uint8Array(BATCH_CAPACITY);
  /** Plain contents: entry i is the `lengths[i]` bytes of `buffer` from `starts[i]` on. */
  buffer: Uint8Array = new Uint8Array(0);
  /** Start of each stored content in `buffer`; of a compressed one, before decompression. */
  readonly starts: Uint32Array = new Uint32Array(BATCH_CAPACITY);
  /** Length of each stored content; of a compressed one, before decompression. */
  readonly lengths: Uint32Array = new Uint32Array(BATCH_CAPACITY);
  /**
   * Memory for contents of compressed entries; reused by the next batch. Views are made on demand:
   * views that a map holds for each entry survive until a full garbage collection.
   */
  #arena: Uint8Array = new Uint8Array(0);
  #arenaUsed = 0;
  readonly #arenaStarts = new Uint32Array(BATCH_CAPACITY);
  readonly #arenaLengths = new Uint32Array(BATCH_CAPACITY);
  #decompressedBytes = 0;
  /** Contents of compressed entries that are not copied, by index; not reused by the next batch. */
  readonly #large = new Map<number, Uint8Array>();
  /** Made for the first entry that is copied. */
  #copies: Copies | undefined;

  /** `count` keys of 18 bytes. */
  get keys(): Uint8Array {
    if (!this.#areKeysWanted) this.#takeKeys();
    return this.#keys;
  }

  /** LSN of each entry. */
  get lsns(): BigUint64Array {
    if (!this.#areKeysWanted) this.#takeKeys();
    return this.#lsns;
  }

  /** 1 for an entry that needs no older one, else 0. */
  get willInit(): Uint8Array {
    if (!this.#areMarksWanted) this.#takeMarks();
    return this.#willInit;
  }

  /** Key of an entry; a view. @throws `invalid-input` for an index that no entry of the batch has. */
  key(index: number): Key {
    this.#checkIndex(index);
    return this.keys.subarray(index * KEY_SIZE, (index + 1) * KEY_SIZE);
  }

  /** LSN of an entry. @throws as `key`. */
  lsn(index: number): Lsn {
    this.#checkIndex(index);
    return this.lsns[index] as bigint;
  }

  /**
   * Adds `count` entries of a leaf, from `from` on. Their offsets and contents are set already.
   * Requires: the leaf does not change as long as the batch is valid.
   * @internal
   */
  add(layout: EntryLayout, node: IndexNode, from: number, count: number): void {
    const last = this.#rows.at(-1);
    if (last?.node === node && last.from + last.count === from) last.count += count;
    else this.#rows.push({ layout, node, from, count });
    if (this.#areKeysWanted) this.#takeKeysOf({ layout, node, from, count }, this.count);
    if (this.#areMarksWanted) this.#takeMarksOf({ layout, node, from, count }, this.count);
    this.count += count;
  }

  #takeMarks(): void {
    let at = 0;
    for (const row of this.#rows) {
      this.#takeMarksOf(row, at);
      at += row.count;
    }
    this.#areMarksWanted = true;
  }

  #takeMarksOf({ layout, node, from, count }: LeafRow, at: number): void {
    for (let step = 0; step < count; step += 1) {
      this.#willInit[at + step] = layout.willInit(node, from + step) ? 1 : 0;
    }
  }

  #takeKeys(): void {
    let at = 0;
    for (const row of this.#rows) {
      this.#takeKeysOf(row, at);
      at += row.count;
    }
    this.#areKeysWanted = true;
  }

  #takeKeysOf(row: LeafRow, at: number): void {
    const { node, from, count } = row;
    node.copyKeyBegins({ from, count, length: KEY_SIZE }, this.#keys, at * KEY_SIZE);
    this.#takeLsns(row, at);
  }

  #takeLsns({ layout, node, from, count }: LeafRow, at: number): void {
    if (layout.fixedLsn !== undefined) {
      this.#lsns.fill(layout.fixedLsn, at, at + count);
      return;
    }
    const halves = this.#lsnHalves;
    for (let step = 0; step < count; step += 1) {
      const index = from + step;
      setHalves(
        halves,
        at + step,
        node.keyWord(index, LSN_SIZE),
        node.keyWord(index, LSN_SIZE / 2),
      );
    }
  }

  /** Content of an entry after decompression; a view. @throws as `key`. */
  bytes(index: number): Uint8Array {
    this.#checkIndex(index);
    if (this.compressed[index] === 1) return this.#large.get(index) ?? this.#arenaContent(index);
    const start = this.starts[index] as number;
    return this.buffer.subarray(start, start + (this.lengths[index] as number));
  }

  /**
   * An entry that outlives the batch: key and content are the caller's own. The keys of a batch are
   * copied together, and so are small contents: one keeps the others in memory, 24 KiB of keys or 64 KiB
   * of contents at most.
   *
   * @throws as `key`.
   */
  entry(index: number): LayerEntry {
    this.#checkIndex(index);
    const { lsns, willInit } = this;
    this.#copies ??= this.#copyTogether();
    return {
      key: new Uint8Array(this.#copies.keys, index * KEY_SIZE, KEY_SIZE),
      lsn: lsns[index] as bigint,
      willInit: willInit[index] === 1,
      offset: this.offsets[index] as number,
      storedLength: this.storedLengths[index] as number,
      compressed: this.compressed[index] === 1,
      bytes: this.#ownBytes(index, this.#copies),
    };
  }

  /**
   * The entries in order, as `entry` returns them. Synchronous: the reader's `entries` makes a promise
   * for each entry.
   *
   * @returns Entries that are copies.
   */
  *[Symbol.iterator](): Generator<LayerEntry, undefined, undefined> {
    for (let index = 0; index < this.count; index += 1) yield this.entry(index);
  }

  /** Elements from `count` on are from earlier batches. Once compiled, this is one comparison and one read. */
  #checkIndex(index: number): void {
    const isValid =
      typeof index === 'number' && index < this.count && this.offsets[index] !== undefined;
    if (!isValid) checkCount('index of an entry', index, { to: this.count - 1 });
  }

  #ownBytes(index: number, { contents, from }: Copies): Uint8Array {
    if (this.compressed[index] === 1) {
      return this.#large.get(index) ?? copyOf(this.#arenaContent(index));
    }
    if (contents === undefined) return copyOf(this.bytes(index));
    const start = (this.starts[index] as number) - from;
    return new Uint8Array(contents, start, this.lengths[index] as number);
  }

  /** Copies all keys, and all plain contents, which lie in order, unless they are too many bytes. */
  #copyTogether(): Copies {
    const last = this.count - 1;
    const from = this.starts[0] as number;
    const end = (this.starts[last] as number) + (this.lengths[last] as number);
    const isSmall = end >= from && end - from <= LARGEST_COPY;
    return {
      keys: untransferable(this.keys.subarray(0, this.count * KEY_SIZE)),
      contents: isSmall ? untransferable(this.buffer.subarray(from, end)) : undefined,
      from,
    };
  }

  /**
   * Bytes held for compressed entries.
   * @internal
   */
  get decompressedBytes(): number {
    return this.#decompressedBytes;
  }

  /**
   * Copies the content of a compressed entry, of at most 256 KiB.
   * @internal
   */
  setDecompressed(index: number, content: Uint8Array): void {
    const start = this.#arenaUsed;
    const end = start + content.length;
    if (end > this.#arena.length) {
      const larger = new Uint8Array(Math.max(FIRST_ARENA_SIZE, 2 * end));
      larger.set(this.#arena.subarray(0, start));
      this.#arena = larger;
    }
    this.#arena.set(content, start);
    this.#arenaStarts[index] = start;
    this.#arenaLengths[index] = content.length;
    this.#arenaUsed = end;
    this.#decompressedBytes += content.length;
  }

  /**
   * Keeps the content of a compressed entry without a copy; the caller must not change it any more.
   * @internal
   */
  setLargeDecompressed(index: number, content: Uint8Array): void {
    this.#large.set(index, content);
    this.#decompressedBytes += content.length;
  }

  #arenaContent(index: number): Uint8Array {
    const start = this.#arenaStarts[index] as number;
    return this.#arena.subarray(start, start + (this.#arenaLengths[index] as number));
  }

  /** @internal */
  clear(): void {
    this.count = 0;
    this.#rows.length = 0;
    this.#copies = undefined;
    if (this.#large.size > 0) this.#large.clear();
    this.#decompressedBytes = 0;
    this.#arenaUsed = 0;
  }
}

/** A copy that stays with its views: transferring one to another thread would detach the others. */
function untransferable(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  markAsUntransferable(copy);
  return copy;
}

function copyOf(content: Uint8Array): Uint8Array {
  const copy = newArray(content.length);
  copy.set(content);
  return copy;
}
