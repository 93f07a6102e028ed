/**
 * The stored index of one generation. It is created once. A growing timeline replaces it, as a pageserver does, but
 * only if it is the one that was read or stored here.
 */
import { isStorageError, StorageError } from '../../errors.ts';
import {
  type ObjectPutOptions,
  type ObjectStore,
  pathOfObject,
} from '../../object-store/object-store.ts';
import { readWhole } from '../../object-store/read-whole.ts';
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

  /** As last read or stored. */
  get index(): IndexPart | undefined {
    return this.#known?.index;
  }

  /** Throws `exists` if there is one already. */
  async refuse(): Promise<void> {
    const { store, key, signal } = this.#object;
    if ((await store.head(key, { signal })) !== undefined) throw this.#existsError();
  }

  /** Reads the index if there is one. Throws `corrupt`, and as the store. */
  async read(): Promise<void> {
    const text = (await this.#readObject())?.text;
    if (text !== undefined) this.#known = { index: IndexPart.parse(text, this), text };
  }

  /**
   * Creates the index, or keeps the same one if it was read; either is durable then. Throws `exists`, and as the store.
   */
  async create(index: IndexPart): Promise<void> {
    const text = index.format();
    try {
      await this.#put(text, { ifAbsent: true });
    } catch (error) {
      if (!isStorageError(error, 'exists')) throw error;
      if (this.#known?.text !== text) throw this.#existsError();
    }
    this.#known = { index, text };
  }

  /** Replaces the index. Throws `not-found` if none is known, `changed` if it has been replaced; as the store. */
  async replace(index: IndexPart): Promise<void> {
    const { path } = this;
    if (this.#known === undefined) {
      throw new StorageError('not-found', { what: 'no index to replace', path });
    }
    const found = await this.#readObject();
    if (found?.text !== this.#known.text) throw this.#replacedError();
    const text = index.format();
    try {
      // If the store supports it, an index that another writer stores between the read and the write is also detected.
      await this.#put(text, { ifMatch: found.etag });
    } catch (error) {
      throw isStorageError(error, 'changed') ? this.#replacedError() : error;
    }
    this.#known = { index, text };
  }

  async #put(
    text: string,
    condition: Pick<ObjectPutOptions, 'ifAbsent' | 'ifMatch'>,
  ): Promise<void> {
    const { store, key, signal } = this.#object;
    await store.put(key, new TextEncoder().encode(text), { ...condition, signal });
  }

  /** Undefined if there is no such object. */
  async #readObject(): Promise<
    { readonly text: string; readonly etag: string | undefined } | undefined
  > {
    const { store, key, signal } = this.#object;
    try {
      const maximumLength = MAXIMUM_INDEX_SIZE;
      const { info, bytes } = await readWhole(store, key, { maximumLength, signal });
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
      return { text, etag: info.etag };
    } catch (error) {
      if (isStorageError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  #replacedError(): StorageError {
    const { path } = this;
    return new StorageError('changed', { what: 'another writer has replaced the index', path });
  }

  #existsError(): StorageError {
    const { path } = this;
    return new StorageError('exists', { what: 'an index of this generation exists', path });
  }
}
