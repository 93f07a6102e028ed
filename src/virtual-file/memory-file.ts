/**
 * The content of one file of the memory file system, and what of it a crash would leave.
 *
 * `live` is what reads see, `durable` what certainly survives. Between them lie the changes since
 * the last sync, each of which may or may not survive, whatever happens to the others:
 *
 *   chunk      the new bytes of one 4 KiB chunk, the unit in which a system writes files back
 *   length     the new length; growing and writing are two changes
 *   ownership  mode and owner
 *
 * Of the chunks written several times, any version may be the one that survives. The changes that
 * survive take effect in the order in which they were made.
 */
import type { Ownership } from './file-system.ts';

export const CHUNK_SIZE = 4096;

/** Draws an integer from 0 to n - 1; a crash asks it about every change that is not durable. */
export type Choose = (n: number) => number;

/** Never changed once it is stored, so that clones share it. */
type Chunk = Uint8Array;

interface ChunkChange {
  readonly kind: 'chunk';
  readonly index: number;
  readonly chunk: Chunk;
  /**
   * A failed sync marks the system's copy as clean: no later sync writes the chunk, and nobody
   * knows whether the failed one did.
   */
  readonly lost: boolean;
}

type Change =
  | ChunkChange
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'ownership'; readonly ownership: Ownership };

export class MemoryFile {
  readonly kind = 'file';
  readonly identity: number;
  readonly #live: Image;
  readonly #durable: Image;
  #changes: Change[] = [];

  constructor(identity: number, ownership: Ownership) {
    this.identity = identity;
    this.#live = new Image(ownership);
    this.#durable = new Image(ownership);
  }

  get length(): number {
    return this.#live.length;
  }

  get ownership(): Ownership {
    return this.#live.ownership;
  }

  read(target: Uint8Array, offset: number): number {
    const length = Math.max(0, Math.min(target.length, this.#live.length - offset));
    for (const part of partsOf(offset, length)) {
      const chunk = this.#live.chunks.get(part.index);
      const place = target.subarray(part.position, part.position + part.length);
      if (chunk === undefined) place.fill(0);
      else place.set(chunk.subarray(part.start, part.start + part.length));
    }
    return length;
  }

  write(source: Uint8Array, offset: number): void {
    for (const part of partsOf(offset, source.length)) {
      const chunk = (this.#live.chunks.get(part.index) ?? EMPTY_CHUNK).slice();
      chunk.set(source.subarray(part.position, part.position + part.length), part.start);
      this.#change({ kind: 'chunk', index: part.index, chunk, lost: false });
    }
    const end = offset + source.length;
    if (source.length > 0 && end > this.#live.length) this.setLength(end);
  }

  setLength(length: number): void {
    this.#change({ kind: 'length', length });
  }

  /** Takes nothing else from what the caller hands in, such as the size of another file's stat. */
  setOwnership({ mode, userId, groupId }: Ownership): void {
    this.#change({ kind: 'ownership', ownership: { mode, userId, groupId } });
  }

  /** Everything but lost chunks becomes durable; with `data`, ownership does not either. */
  sync(what: 'all' | 'data'): void {
    let left: Change[] = [];
    for (const change of this.#changes) {
      if (change.kind === 'ownership' && what === 'data') left.push(change);
      else if (change.kind === 'chunk' && change.lost) left.push(change);
      else {
        this.#durable.apply(change);
        if (left.length > 0) left = left.flatMap((older) => withoutReplaced(older, change));
      }
    }
    this.#changes = left;
  }

  /** The system gives the chunks up; length and ownership stay to be synced. */
  failSync(): void {
    this.#changes = this.#changes.map((change) =>
      change.kind === 'chunk' ? { ...change, lost: true } : change,
    );
  }

  /** How many possibilities there are for each thing that a crash decides. */
  possibilities(): number[] {
    const versions = [...this.#versions().values()].map((changes) => changes.length + 1);
    const others = this.#changes.filter((change) => change.kind !== 'chunk').map(() => 2);
    return [...versions, ...others];
  }

  /** The file with everything that it has, durable or not. */
  clone(): MemoryFile {
    const copy = new MemoryFile(this.identity, this.ownership);
    copy.#live.become(this.#live);
    copy.#durable.become(this.#durable);
    copy.#changes = this.#changes.slice();
    return copy;
  }

  /** The file as one crash leaves it; all of it is durable. */
  crash(choose: Choose): MemoryFile {
    const survivors = new Set<Change>();
    for (const versions of this.#versions().values()) {
      const survivor = versions[choose(versions.length + 1) - 1];
      if (survivor !== undefined) survivors.add(survivor);
    }
    for (const change of this.#changes) {
      if (change.kind !== 'chunk' && choose(2) === 1) survivors.add(change);
    }
    const image = new Image(this.ownership);
    image.become(this.#durable);
    for (const change of this.#changes) if (survivors.has(change)) image.apply(change);
    image.setLength(image.length);
    const copy = new MemoryFile(this.identity, image.ownership);
    copy.#live.become(image);
    copy.#durable.become(image);
    return copy;
  }

  #change(change: Change): void {
    this.#live.apply(change);
    this.#changes.push(change);
  }

  /** The unsynced versions of each chunk, oldest first. */
  #versions(): Map<number, ChunkChange[]> {
    const versions = new Map<number, ChunkChange[]>();
    for (const change of this.#changes) {
      if (change.kind !== 'chunk') continue;
      const known = versions.get(change.index);
      if (known === undefined) versions.set(change.index, [change]);
      else known.push(change);
    }
    return versions;
  }
}

const EMPTY_CHUNK: Chunk = new Uint8Array(CHUNK_SIZE);

/** One state of a file. A missing chunk is a hole; bytes behind the length are zero. */
class Image {
  readonly chunks = new Map<number, Chunk>();
  length = 0;
  ownership: Ownership;

  constructor(ownership: Ownership) {
    this.ownership = ownership;
  }

  become(other: Image): void {
    this.chunks.clear();
    for (const [index, chunk] of other.chunks) this.chunks.set(index, chunk);
    this.length = other.length;
    this.ownership = other.ownership;
  }

  apply(change: Change): void {
    if (change.kind === 'chunk') this.chunks.set(change.index, change.chunk);
    else if (change.kind === 'length') this.setLength(change.length);
    else this.ownership = change.ownership;
  }

  setLength(length: number): void {
    if (length <= this.length) this.#clearFrom(length);
    this.length = length;
  }

  #clearFrom(length: number): void {
    for (const [index, chunk] of this.chunks) {
      const kept = cutChunk(chunk, index, length);
      if (kept === undefined) this.chunks.delete(index);
      else this.chunks.set(index, kept);
    }
  }
}

/** The chunk with zeros behind `length`; nothing if all of it lies behind. */
function cutChunk(chunk: Chunk, index: number, length: number): Chunk | undefined {
  const inside = length - index * CHUNK_SIZE;
  if (inside <= 0) return undefined;
  if (inside >= CHUNK_SIZE) return chunk;
  return chunk.slice().fill(0, inside);
}

/** What is left of a change that is not durable once a later one is. */
function withoutReplaced(older: Change, newer: Change): Change[] {
  if (older.kind !== 'chunk') return newer.kind === older.kind ? [] : [older];
  if (newer.kind === 'chunk') return newer.index === older.index ? [] : [older];
  if (newer.kind !== 'length') return [older];
  const chunk = cutChunk(older.chunk, older.index, newer.length);
  return chunk === undefined ? [] : [{ ...older, chunk }];
}

interface Part {
  /** Of the chunk in the file. */
  readonly index: number;
  /** Where the part begins in its chunk. */
  readonly start: number;
  /** Where the part begins in the caller's bytes. */
  readonly position: number;
  readonly length: number;
}

/** The range, divided at the borders of chunks. */
function* partsOf(offset: number, length: number): Generator<Part> {
  for (let position = 0; position < length; ) {
    const start = (offset + position) % CHUNK_SIZE;
    const part = Math.min(CHUNK_SIZE - start, length - position);
    const index = (offset + position - start) / CHUNK_SIZE;
    yield { index, start, position, length: part };
    position += part;
  }
}
