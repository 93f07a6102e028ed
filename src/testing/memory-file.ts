/**
 * The content of one file of the memory file system, and what a crash would leave of it.
 *
 * `live` is what reads see, `durable` what certainly survives. Between them lie the changes since
 * the last sync, each of which survives or is lost independently of the others:
 *
 *   chunk      the new bytes of one 4 KiB chunk, the unit in which a system writes files back
 *   length     the new length; growing and writing are two changes
 *   ownership  mode and owner
 *
 * If a chunk was written several times, any of its versions may survive. Surviving changes take effect
 * in the order in which they were made.
 */
import type { Ownership } from '../virtual-file/file-system.ts';
import type { Choose } from './choices.ts';

export const CHUNK_SIZE = 4096;

/** Never changed once it is stored, so that clones share it. */
type Chunk = Uint8Array;

interface ChunkEdit {
  readonly kind: 'chunk';
  readonly index: number;
  readonly chunk: Chunk;
  /**
   * A failed sync marks the system's copy as clean: no later sync writes the chunk, and the failed one
   * may or may not have written it.
   */
  readonly lost: boolean;
}

type Edit =
  | ChunkEdit
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'ownership'; readonly ownership: Ownership };

/** Changes with equal numbers have equal effects. */
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

/** The initial state of a copy. */
interface State {
  readonly live: Image;
  readonly durable: Image;
  readonly changes: readonly Change[];
}

export class MemoryFile {
  readonly kind = 'file';
  /** Unique for all time; serves as the creation time. */
  readonly identity: number;
  /** Reused by another file once this one has no name and is not open. */
  readonly inode: number;
  /** Number of live names. */
  links = 0;
  /** Number of open descriptors. */
  openers = 0;
  /** Number of the last change of the content. */
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

  /** The complete content; the array is shared with copies of the file and never changes. */
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

  /** Picks the three fields, since callers pass the stat of another file, which has more. */
  setOwnership({ mode, userId, groupId }: Ownership): void {
    this.#change({ kind: 'ownership', ownership: { mode, userId, groupId } });
  }

  /** Makes everything durable except lost chunks and, with `data`, the ownership. */
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

  /** Marks the chunks as lost; a later sync can still make length and ownership durable. */
  failSync(): void {
    this.#changes = this.#changes.map((change) =>
      change.kind === 'chunk' ? { ...change, lost: true } : change,
    );
  }

  /** The number of possible outcomes of each decision that a crash makes. */
  possibilities(): number[] {
    const versions = [...this.#versions().values()].map((changes) => changes.length + 1);
    const others = this.#changes.filter((change) => change.kind !== 'chunk').map(() => 2);
    return [...versions, ...others];
  }

  /** Copies the file with its changes that are not durable. */
  clone(): MemoryFile {
    const state = {
      live: this.#live.share(),
      durable: this.#durable.share(),
      changes: this.#changes,
    };
    return this.#copy(this.inode, state);
  }

  /**
   * Returns the file as one crash leaves it, all of it durable. It gets a new inode number, since a file
   * that had lost its name may come back beside the file that reused its number.
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

  /** The copy has no open descriptors. */
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

/** Maximum number of outcomes that an image caches. */
const MAXIMUM_OUTCOMES = 1024;

/**
 * One state of a file. A missing chunk is a hole; bytes after the length are zero.
 *
 * Copies of a file share their images. A shared image no longer changes: changing it makes a copy.
 */
class Image {
  readonly #chunks: Map<number, Chunk>;
  #length: number;
  #ownership: Ownership;
  #isShared = false;
  /** Cached until the next change. */
  #content: Uint8Array | undefined;
  /** Images after a crash, by the numbers of the changes that survived. */
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

  /** Freezes the image. */
  share(): this {
    this.#isShared = true;
    return this;
  }

  /** Returns: this image with the edit applied, or a changed copy if it is shared. */
  with(edit: Edit): Image {
    const image = this.#isShared ? new Image(this.#ownership, this.#length, this.#chunks) : this;
    image.#apply(edit);
    return image;
  }

  /**
   * Requires: the image is shared.
   * Returns: the shared image after a crash that these changes survive. Equal changes mostly return the
   * same image, so that equal states share memory.
   */
  after(survivors: readonly Change[]): Image {
    if (survivors.length === 0) return this;
    const key = survivors.map(({ number }) => number).join();
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known;
    let image: Image = this;
    for (const change of survivors) image = image.with(change);
    // A chunk may have survived without the length that includes it.
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

/** Returns: the chunk with zeros from `length` on; nothing if it begins at or after `length`. */
function cutChunk(chunk: Chunk, index: number, length: number): Chunk | undefined {
  const inside = length - index * CHUNK_SIZE;
  if (inside <= 0) return undefined;
  if (inside >= CHUNK_SIZE) return chunk;
  return chunk.slice().fill(0, inside);
}

/** Returns: what remains of a change that is not durable after a later change has become durable. */
function withoutReplaced(older: Change, newer: Change): Change[] {
  if (older.kind !== 'chunk') return newer.kind === older.kind ? [] : [older];
  if (newer.kind === 'chunk') return newer.index === older.index ? [] : [older];
  if (newer.kind !== 'length') return [older];
  const chunk = cutChunk(older.chunk, older.index, newer.length);
  return chunk === undefined ? [] : [numbered({ ...older, chunk })];
}

interface Part {
  /** Index of the chunk in the file. */
  readonly index: number;
  /** Offset of the part in its chunk. */
  readonly start: number;
  /** Offset of the part in the caller's bytes. */
  readonly position: number;
  readonly length: number;
}

/** Divides the range at the borders of chunks. */
function* partsOf(offset: number, length: number): Generator<Part> {
  for (let position = 0; position < length; ) {
    const start = (offset + position) % CHUNK_SIZE;
    const part = Math.min(CHUNK_SIZE - start, length - position);
    const index = (offset + position - start) / CHUNK_SIZE;
    yield { index, start, position, length: part };
    position += part;
  }
}
