/**
 * A cache of blocks that small values were read from. Reading from it needs no system call and no thread
 * hop, which take ten times as long as the copy.
 *
 * Each block has one place, determined by its number; a later block replaces an earlier one. Blocks are
 * copied in and out, so that memory is allocated once, in chunks, and reused.
 */
import { ViewedBytes } from '../byte-words.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { type ByteSource, checkedLength, type ReadRangesOptions } from './byte-source.ts';
import type { ReadRange } from './read-range.ts';

/** Blocks of one allocation: 1 MiB. */
const BLOCKS_PER_CHUNK = 128;

/** Longer reads bypass the cache: it saves them little, and they would evict many blocks. */
const LONGEST_CACHED_READ = 4096;

/** Maximum number of scratch arrays kept for later reads. */
const MAXIMUM_SCRATCH = 64;

/** Spreads the blocks of different files over the places: 2^32 divided by the golden ratio. */
const OWNER_STEP = 0x9e37_79b1;

/**
 * The owner of cached blocks: one reader. After it is closed, none of its blocks enters a cache, even from
 * reads that were in flight then.
 */
export class CacheOwner {
  /** A u32 above 0, unique among the owners of a cache; marks their blocks. */
  readonly number: number;
  isClosed = false;
  /** Whether it ever had blocks of values, so that `removeOwner` must search for them. */
  hasValues = false;

  constructor(number: number) {
    this.number = number;
  }
}

export class ValueCache {
  /** Maximum number of blocks. */
  readonly capacity: number;
  readonly #chunks: (ViewedBytes | undefined)[] = [];
  /** By place: the owner and the number of the block; owner 0 means vacant. */
  readonly #owners: Uint32Array;
  readonly #blocks: Uint32Array;
  #lastOwner = 0;
  foundAt = 0;
  readonly #scratch: Uint8Array[] = [];

  /** `capacity` is a number of blocks of 8,192 bytes. */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.#owners = new Uint32Array(capacity);
    this.#blocks = new Uint32Array(capacity);
  }

  /** Makes an owner for one source. Numbers wrap around after 2^32 - 1 owners. */
  addOwner(): CacheOwner {
    this.#lastOwner = (this.#lastOwner % 0xffff_ffff) + 1;
    return new CacheOwner(this.#lastOwner);
  }

  /** Removes the blocks of an owner and refuses later ones. */
  removeOwner(owner: CacheOwner): void {
    owner.isClosed = true;
    if (!owner.hasValues) return;
    const { number } = owner;
    for (let place = this.#owners.indexOf(number); place >= 0; ) {
      this.#owners[place] = 0;
      place = this.#owners.indexOf(number, place + 1);
    }
  }

  /**
   * Finds `length` bytes from `offset` on within one block.
   *
   * Returns: their memory, and sets `foundAt`, their index in it; both are valid until the next
   * `put`. Undefined if they are not cached, or not in one block.
   */
  find({ number: owner }: CacheOwner, offset: number, length: number): ViewedBytes | undefined {
    const block = Math.floor(offset / BLOCK_SIZE);
    const start = offset - block * BLOCK_SIZE;
    if (this.capacity === 0 || start + length > BLOCK_SIZE) return undefined;
    const place = this.#place(owner, block);
    if (this.#owners[place] !== owner || this.#blocks[place] !== block) return undefined;
    this.foundAt = (place % BLOCKS_PER_CHUNK) * BLOCK_SIZE + start;
    return this.#chunkOf(place);
  }

  /** Fills the target with bytes from `offset` on. Returns: false, with the target filled in part, if some are missing. */
  copyTo(target: Uint8Array, owner: CacheOwner, offset: number): boolean {
    const toBorder = BLOCK_SIZE - (offset % BLOCK_SIZE);
    if (target.length <= toBorder) return this.#copyPart(target, owner, offset);
    return (
      target.length <= toBorder + BLOCK_SIZE &&
      this.#copyPart(target.subarray(0, toBorder), owner, offset) &&
      this.#copyPart(target.subarray(toBorder), owner, offset + toBorder)
    );
  }

  /** Copies complete blocks, the first of which has the number `block`. Ignores those of a closed owner. */
  put(owner: CacheOwner, block: number, bytes: Uint8Array): void {
    if (owner.isClosed) return;
    owner.hasValues = true;
    for (let at = 0; at + BLOCK_SIZE <= bytes.length; at += BLOCK_SIZE) {
      const number = block + at / BLOCK_SIZE;
      // The table has 32 bits for a number.
      if (number > 0xffff_ffff) return;
      const place = this.#place(owner.number, number);
      this.#owners[place] = owner.number;
      this.#blocks[place] = number;
      const start = (place % BLOCKS_PER_CHUNK) * BLOCK_SIZE;
      this.#chunkOf(place).bytes.set(bytes.subarray(at, at + BLOCK_SIZE), start);
    }
  }

  clear(): void {
    this.#owners.fill(0);
  }

  /** An array for a read of one or two blocks, with undefined content. */
  acquireScratch(length: number): Uint8Array {
    const scratch = this.#scratch.pop() ?? new Uint8Array(2 * BLOCK_SIZE);
    return scratch.length === length ? scratch : new Uint8Array(scratch.buffer, 0, length);
  }

  releaseScratch(scratch: Uint8Array): void {
    if (this.#scratch.length < MAXIMUM_SCRATCH) this.#scratch.push(scratch);
  }

  #place(owner: number, block: number): number {
    return ((block + Math.imul(owner, OWNER_STEP)) >>> 0) % this.capacity;
  }

  #copyPart(target: Uint8Array, owner: CacheOwner, offset: number): boolean {
    const found = this.find(owner, offset, target.length);
    if (found === undefined) return false;
    target.set(found.bytes.subarray(this.foundAt, this.foundAt + target.length));
    return true;
  }

  #chunkOf(place: number): ViewedBytes {
    const number = Math.floor(place / BLOCKS_PER_CHUNK);
    const chunk = this.#chunks[number];
    if (chunk !== undefined) return chunk;
    const added = new ViewedBytes(new Uint8Array(BLOCKS_PER_CHUNK * BLOCK_SIZE));
    this.#chunks[number] = added;
    return added;
  }
}

/** A source that extends small reads to complete blocks and caches these; other reads pass through. */
export function cachedSource(
  source: ByteSource,
  cache: ValueCache,
  owner = cache.addOwner(),
): ByteSource {
  return cache.capacity === 0 ? source : new CachedSource(source, cache, owner);
}

export class CachedSource implements ByteSource {
  readonly size: number;
  readonly path: string | undefined;
  readonly readSync: ((target: Uint8Array, offset: number) => number) | undefined;
  readonly readRanges:
    | ((ranges: readonly ReadRange[], options?: ReadRangesOptions) => Promise<void>)
    | undefined;
  readonly maximumGap: number | undefined;
  readonly wholeReadLength: number | undefined;
  readonly newBuffer: ((length: number) => Uint8Array) | undefined;
  readonly #source: ByteSource;
  readonly #cache: ValueCache;
  readonly #owner: CacheOwner;

  static is(source: ByteSource): source is CachedSource {
    return #cache in source;
  }

  constructor(source: ByteSource, cache: ValueCache, owner: CacheOwner) {
    this.size = source.size;
    this.path = source.path;
    this.newBuffer = source.newBuffer?.bind(source);
    // A source that joins reads itself is asked for the wanted bytes only.
    this.readRanges = source.readRanges?.bind(source);
    this.maximumGap = source.maximumGap;
    this.wholeReadLength = source.wholeReadLength;
    this.#source = source;
    this.#cache = cache;
    this.#owner = owner;
    if (canReadSync(source)) {
      this.readSync = (target, offset) => this.#readSync(target, offset, source);
    }
  }

  /** As `ValueCache.find`. */
  find(offset: number, length: number): ViewedBytes | undefined {
    return this.#cache.find(this.#owner, offset, length);
  }

  get foundAt(): number {
    return this.#cache.foundAt;
  }

  readCached(target: Uint8Array, offset: number): boolean {
    if (target.length > LONGEST_CACHED_READ) return false;
    return this.#cache.copyTo(target, this.#owner, offset);
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    if (this.readCached(target, offset)) return target.length;
    const span = this.#spanAround(target, offset);
    if (span === undefined) return this.#source.read(target, offset);
    const length = checkedLength(await this.#source.read(span.bytes, span.start), span.bytes);
    return this.#take(span, length, { target, offset }) || this.#source.read(target, offset);
  }

  #readSync(target: Uint8Array, offset: number, source: SyncSource): number {
    if (this.readCached(target, offset)) return target.length;
    const span = this.#spanAround(target, offset);
    if (span === undefined) return source.readSync(target, offset);
    const length = checkedLength(source.readSync(span.bytes, span.start), span.bytes);
    return this.#take(span, length, { target, offset }) || source.readSync(target, offset);
  }

  /** Returns: the blocks to read instead; undefined if the read passes through. */
  #spanAround(target: Uint8Array, offset: number): Span | undefined {
    const end = offset + target.length;
    if (target.length === 0 || target.length > LONGEST_CACHED_READ || end > this.size)
      return undefined;
    const block = Math.floor(offset / BLOCK_SIZE);
    const start = block * BLOCK_SIZE;
    const length = Math.min(Math.ceil(end / BLOCK_SIZE) * BLOCK_SIZE, this.size) - start;
    return { bytes: this.#cache.acquireScratch(length), block, start };
  }

  /** Caches the bytes that were read and fills the target from them. Returns: the number of bytes filled. */
  #take(span: Span, length: number, { target, offset }: ReadRange): number {
    const came = span.bytes.subarray(0, length);
    this.#cache.put(this.#owner, span.block, came);
    const wanted = came.subarray(offset - span.start, offset - span.start + target.length);
    target.set(wanted);
    this.#cache.releaseScratch(span.bytes);
    return wanted.length;
  }
}

function canReadSync(source: ByteSource): source is SyncSource {
  return source.readSync !== undefined;
}

type SyncSource = ByteSource & {
  readonly readSync: (target: Uint8Array, offset: number) => number;
};

interface Span {
  readonly bytes: Uint8Array;
  /** Number of the first block, and where it starts. */
  readonly block: number;
  readonly start: number;
}
