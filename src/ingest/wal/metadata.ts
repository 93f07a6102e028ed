/**
 * Keys that are always images: directories, sizes, the checkpoint and others. What one record puts is collected, since
 * a second value of a key replaces the first, and given to the sink when the record is complete.
 *
 * To read a value, use `yield* metadata.read(key)`. A cached value is returned in the same call; otherwise the key is
 * yielded, and the driver of the generator reads it from the base. So one piece of code serves both cases, and a record
 * whose values are all cached needs no promise.
 */
import { formatKey, type Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { encodeValue } from '../../layers/value-format.ts';
import type { PutSink } from './put-sink.ts';

/** Work that may need values of the base. It yields their keys, and receives the values. */
export type Asking<T> = Generator<Key, T, Uint8Array | undefined>;

interface Pending {
  readonly key: Key;
  readonly value: Uint8Array;
}

/** Bytes of values that are kept; a larger one is read each time. */
const CACHE_BYTES = 64 * 1024 * 1024;
/** The cost of a kept value in addition to its bytes. */
const ENTRY_COST = 256;

export class Metadata {
  /** Of the current record, by the text of the key. */
  readonly #pending = new Map<string, Pending>();
  /** By the text of the key, the least recently used first; undefined: the base has no value. */
  readonly #kept = new Map<string, Uint8Array | undefined>();
  #keptBytes = 0;
  readonly #keptLimit: number;

  constructor(keptLimit = CACHE_BYTES) {
    this.#keptLimit = keptLimit;
  }

  /** The value of a key, which is kept. `prepare` is applied to what comes from the base. */
  *read(
    key: Key,
    prepare: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
  ): Asking<Uint8Array | undefined> {
    const name = formatKey(key);
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending.value;
    if (this.#kept.has(name)) {
      const kept = this.#kept.get(name);
      this.#keep(name, kept);
      return kept;
    }
    const found = yield key;
    const value = found === undefined ? undefined : prepare(found);
    this.#keep(name, value);
    return value;
  }

  /** As `read`, for a value that is used once or kept elsewhere. */
  *readOnce(key: Key): Asking<Uint8Array | undefined> {
    const pending = this.#pending.size === 0 ? undefined : this.#pending.get(formatKey(key));
    return pending === undefined ? yield key : pending.value;
  }

  /** Puts a value for the current record. Requires: neither key nor value change later. */
  put(key: Key, value: Uint8Array): void {
    this.#pending.set(formatKey(key), { key, value });
  }

  /** Passes the values of the record to the sink. */
  commit(sink: PutSink, lsn: Lsn): void {
    if (this.#pending.size === 0) return;
    for (const [name, { key, value }] of this.#pending) {
      sink.put(key, lsn, true, encodeValue({ type: 'image', bytes: value }));
      if (this.#kept.has(name)) this.#keep(name, value);
    }
    this.#pending.clear();
  }

  #keep(name: string, value: Uint8Array | undefined): void {
    if (this.#kept.has(name)) this.#drop(name);
    this.#kept.set(name, value);
    this.#keptBytes += costOf(value);
    for (const oldest of this.#kept.keys()) {
      if (this.#keptBytes <= this.#keptLimit) break;
      this.#drop(oldest);
    }
  }

  #drop(name: string): void {
    this.#keptBytes -= costOf(this.#kept.get(name));
    this.#kept.delete(name);
  }
}

function costOf(value: Uint8Array | undefined): number {
  return ENTRY_COST + (value?.length ?? 0);
}
