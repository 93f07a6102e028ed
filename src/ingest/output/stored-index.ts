/**
 * The index of one generation where it is stored. It is created once; a timeline that grows replaces it as a whole,
 * as a pageserver does, but only if it is the one that was read or stored here.
 */
import { isStorageError, StorageError } from '../../errors.ts';
import { type ObjectStore, pathOfObject, readWhole } from '../../object-store/object-store.ts';
import { IndexPart, MAXIMUM_INDEX_SIZE } from '../../timeline/index-part/index-part.ts';

/** Where the index is. */
export interface IndexObject {
  readonly store: ObjectStore;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
}

export class StoredIndex {
  readonly #object: IndexObject;
  #known: { readonly index: IndexPart; readonly text: string } | undefined;

  constructor(object: IndexObject) {
    this.#object = object;
  }

  /** For messages. */
  get path(): string {
    return pathOfObject(this.#object.store, this.#object.key);
  }

  /** As it was read or stored last. */
  get index(): IndexPart | undefined {
    return this.#known?.index;
  }

  /** Throws `exists` if there is one. */
  async refuse(): Promise<void> {
    const { store, key, signal } = this.#object;
    if ((await store.head(key, { signal })) !== undefined) throw this.#existsError();
  }

  /** Reads the index if there is one. Throws `corrupt`, and as the store. */
  async read(): Promise<void> {
    const text = await this.#readText();
    if (text !== undefined) this.#known = { index: IndexPart.parse(text, this), text };
  }

  /** Creates the index; the same one that was read counts. Throws `exists`, and as the store. */
  async create(index: IndexPart): Promise<void> {
    const text = index.format();
    if (this.#known?.text === text) return;
    try {
      await this.#put(text, 'absent');
    } catch (error) {
      throw isStorageError(error, 'exists') ? this.#existsError() : error;
    }
    this.#known = { index, text };
  }

  /** Replaces the index. Throws `not-found` if none is known, `changed` if another one is there; as the store. */
  async replace(index: IndexPart): Promise<void> {
    const { path } = this;
    if (this.#known === undefined) {
      throw new StorageError('not-found', { what: 'no index to replace', path });
    }
    if ((await this.#readText()) !== this.#known.text) {
      throw new StorageError('changed', { what: 'another writer has replaced the index', path });
    }
    const text = index.format();
    await this.#put(text, 'known');
    this.#known = { index, text };
  }

  async #put(text: string, expected: 'absent' | 'known'): Promise<void> {
    const { store, key, signal } = this.#object;
    const ifAbsent = expected === 'absent';
    await store.put(key, new TextEncoder().encode(text), { ifAbsent, signal });
  }

  /** Undefined if there is no such object. */
  async #readText(): Promise<string | undefined> {
    const { store, key, signal } = this.#object;
    try {
      const { bytes } = await readWhole(store, key, { maximumLength: MAXIMUM_INDEX_SIZE, signal });
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
    } catch (error) {
      if (isStorageError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  #existsError(): StorageError {
    const { path } = this;
    return new StorageError('exists', { what: 'an index of this generation exists', path });
  }
}
