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

interface ChunkEdit {
  readonly kind: 'chunk';
  readonly index: number;
  readonly chunk: Chunk;
  /**
   * A failed sync marks the system's copy as clean: no later sync writes the chunk, and nobody
   * knows whether the failed one did.
   */
  readonly lost: boolean;
}

type Edit =
  | ChunkEdit
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'ownership'; readonly ownership: Ownership };

/** Two with the same number do the same. */
type Change = Edit & { readonly number: number };

type ChunkChange = ChunkEdit & { readonly number: number };

let changeCount = 0;

function numbered<E extends Edit>(edit: E): E & { readonly number: number } {
  changeCount += 1;
  return { ...edit, number: changeCount };
}

export interface FileNumbers {
  readonly identity: number;
  readonly inode: number;
}

/** What a copy of a file starts from. */
interface State {
  readonly live: Image;
  readonly durable: Image;
  readonly changes: readonly Change[];
}

export class MemoryFile {
  readonly kind = 'file';
  /** Never given to another file; the time of creation of this one. */
  readonly identity: number;
  /** Given to another file once this one has no name and is not open. */
  readonly inode: number;
  /** Names that look-ups see. */
  links = 0;
  /** Descriptors. */
  openers = 0;
  /** Of the last change of the content. */
  modificationTime = 0;
  #live: Image;
  #durable: Image;
  #changes: Change[];

  constructor({ identity, inode }: FileNumbers, start: Ownership | State) {
    this.identity = identity;
    this.inode = inode;
    const { live, durable, changes } = 'live' in start ? start : emptyState(start);
    this.#live = live;
    this.#durable = durable;
    this.#changes = changes.slice();
  }

  get length(): number {
    return this.#live.length;
  }

  get ownership(): Ownership {
    return this.#live.ownership;
  }

  /** All of it; the array is shared with copies of the file, and never changed. */
  get content(): Uint8Array {
    return this.#live.content;
  }

  read(target: Uint8Array, offset: number): number {
    return this.#live.read(target, offset);
  }

  write(source: Uint8Array, offset: number): void {
    for (const part of partsOf(offset, source.length)) {
      const chunk = this.#live.chunk(part.index).slice();
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
        this.#durable = this.#durable.with(change);
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
    const state = {
      live: this.#live.share(),
      durable: this.#durable.share(),
      changes: this.#changes,
    };
    return this.#copy(this.inode, state);
  }

  /**
   * The file as one crash leaves it; all of it is durable. It has an inode number of its own, since a
   * file that had lost its name may be back beside the one that was given its number.
   */
  crash(choose: Choose): MemoryFile {
    if (this.#changes.length === 0) return this.#copy(this.identity, this.#settledState());
    const survivors = new Set<Change>();
    for (const versions of this.#versions().values()) {
      const survivor = versions[choose(versions.length + 1) - 1];
      if (survivor !== undefined) survivors.add(survivor);
    }
    for (const change of this.#changes) {
      if (change.kind !== 'chunk' && choose(2) === 1) survivors.add(change);
    }
    const image = this.#durable.share().after(this.#changes.filter((one) => survivors.has(one)));
    return this.#copy(this.identity, { live: image, durable: image, changes: [] });
  }

  #settledState(): State {
    return { live: this.#live.share(), durable: this.#durable.share(), changes: [] };
  }

  /** Nothing has it open. */
  #copy(inode: number, state: State): MemoryFile {
    const copy = new MemoryFile({ identity: this.identity, inode }, state);
    copy.links = this.links;
    copy.modificationTime = this.modificationTime;
    return copy;
  }

  #change(edit: Edit): void {
    const change = numbered(edit);
    this.#live = this.#live.with(edit);
    this.#changes.push(change);
    if (edit.kind !== 'ownership') this.modificationTime = change.number;
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

/** An image remembers so many. */
const MAXIMUM_OUTCOMES = 1024;

/**
 * One state of a file. A missing chunk is a hole; bytes behind the length are zero.
 *
 * Files that were copied share their images. One that is shared does not change any more, so that
 * whoever changes it gets a copy.
 */
class Image {
  readonly #chunks: Map<number, Chunk>;
  #length: number;
  #ownership: Ownership;
  #isShared = false;
  /** Until the next change. */
  #content: Uint8Array | undefined;
  /** What crashes made of it, by the numbers of the changes that survived. */
  readonly #outcomes = new Map<string, Image>();

  constructor(
    ownership: Ownership,
    length = 0,
    chunks: ReadonlyMap<number, Chunk> = new Map<number, Chunk>(),
  ) {
    this.#ownership = ownership;
    this.#length = length;
    this.#chunks = new Map(chunks);
  }

  get length(): number {
    return this.#length;
  }

  get ownership(): Ownership {
    return this.#ownership;
  }

  get content(): Uint8Array {
    if (this.#content === undefined) {
      this.#content = new Uint8Array(this.#length);
      this.read(this.#content, 0);
    }
    return this.#content;
  }

  chunk(index: number): Chunk {
    return this.#chunks.get(index) ?? EMPTY_CHUNK;
  }

  read(target: Uint8Array, offset: number): number {
    const length = Math.max(0, Math.min(target.length, this.#length - offset));
    for (const { index, start, position, length: part } of partsOf(offset, length)) {
      const chunk = this.chunk(index);
      target.set(part === CHUNK_SIZE ? chunk : chunk.subarray(start, start + part), position);
    }
    return length;
  }

  /** From now on it stays as it is. */
  share(): this {
    this.#isShared = true;
    return this;
  }

  /** Returns: this image, changed; of one that is shared, a changed copy. */
  with(edit: Edit): Image {
    const image = this.#isShared ? new Image(this.#ownership, this.#length, this.#chunks) : this;
    image.#apply(edit);
    return image;
  }

  /**
   * Requires: the image is shared.
   * Returns: what is left when these changes survive a crash, shared; mostly the same image again
   * for the same changes, so that states which look alike have it in common.
   */
  after(survivors: readonly Change[]): Image {
    if (survivors.length === 0) return this;
    const key = survivors.map(({ number }) => number).join();
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known;
    let image: Image = this;
    for (const change of survivors) image = image.with(change);
    // A chunk may have survived without the length that was to take it in.
    const outcome = image.with({ kind: 'length', length: image.length }).share();
    if (this.#outcomes.size < MAXIMUM_OUTCOMES) this.#outcomes.set(key, outcome);
    return outcome;
  }

  #apply(edit: Edit): void {
    this.#content = undefined;
    if (edit.kind === 'chunk') this.#chunks.set(edit.index, edit.chunk);
    else if (edit.kind === 'length') this.#setLength(edit.length);
    else this.#ownership = edit.ownership;
  }

  #setLength(length: number): void {
    if (length <= this.#length) this.#clearFrom(length);
    this.#length = length;
  }

  #clearFrom(length: number): void {
    for (const [index, chunk] of this.#chunks) {
      const kept = cutChunk(chunk, index, length);
      if (kept === undefined) this.#chunks.delete(index);
      else this.#chunks.set(index, kept);
    }
  }
}

function emptyState(ownership: Ownership): State {
  return { live: new Image(ownership), durable: new Image(ownership), changes: [] };
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
  return chunk === undefined ? [] : [numbered({ ...older, chunk })];
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
