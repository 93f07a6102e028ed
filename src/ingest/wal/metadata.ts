/**
 * Keys that are always images: directories, sizes, the checkpoint and others. What one record puts is collected, since
 * a second value of a key replaces the first, and is passed to the sink when the record is complete. If a record has so
 * many values that they go to several layers, each with a range of keys, those of a range are passed on when the range
 * ends.
 *
 * To read a value, use `yield* metadata.read(key)`. A cached value is returned in the same call; otherwise the key is
 * yielded, and the driver of the generator reads it from the base. So one piece of code serves both cases, and a record
 * whose values are all cached needs no promise.
 */
import { compareKeys, formatKey, type Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { encodeValue } from '../../layers/value-format.ts';
import type { PutSink } from './put-sink.ts';

/** The work of a driver: reads the value of a key from the base, or waits for the sink. */
export type Ask = Key | (() => Promise<undefined>);

/** Work that may need values of the base. It yields their keys, and receives the values. */
export type Asking<T> = Generator<Ask, T, Uint8Array | undefined>;

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
  /** Those of the current record that the sink has. */
  readonly #passed = new Map<string, Uint8Array>();
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
    const own = this.#ofRecord(name);
    if (own !== undefined) return own;
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
    const isEmpty = this.#pending.size === 0 && this.#passed.size === 0;
    const own = isEmpty ? undefined : this.#ofRecord(formatKey(key));
    return own === undefined ? yield key : own;
  }

  /** Puts a value for the current record. Requires: neither key nor value change later. */
  put(key: Key, value: Uint8Array): void {
    this.#pending.set(formatKey(key), { key, value });
  }

  /** Passes the values of the record to the sink that have keys below `end`. The record may still read them. */
  commitBelow(end: Key, sink: PutSink, lsn: Lsn): void {
    for (const [name, pending] of this.#pending) {
      if (compareKeys(pending.key, end) >= 0) continue;
      this.#pass(name, pending, sink, lsn);
      this.#pending.delete(name);
      this.#passed.set(name, pending.value);
    }
  }

  /** Passes the values of the record to the sink, and ends the record. */
  commit(sink: PutSink, lsn: Lsn): void {
    if (this.#passed.size > 0) this.#passed.clear();
    if (this.#pending.size === 0) return;
    for (const [name, pending] of this.#pending) this.#pass(name, pending, sink, lsn);
    this.#pending.clear();
  }

  #ofRecord(name: string): Uint8Array | undefined {
    return this.#pending.get(name)?.value ?? this.#passed.get(name);
  }

  #pass(name: string, { key, value }: Pending, sink: PutSink, lsn: Lsn): void {
    sink.put(key, lsn, true, encodeValue({ type: 'image', bytes: value }));
    if (this.#kept.has(name)) this.#keep(name, value);
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
