/**
 * What a salvage could not recover, as ranges: damage between two entries that were recovered is one
 * range, with the bytes of the values between them.
 *
 * A damaged block of the index costs nothing if the entries around it have their blobs back to back: then there is no
 * value between them. It is counted as damage, not as a loss.
 */
import { StorageError } from '../../errors.ts';
import { compareKeys, type Key, nextKey } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';

/** Something that a salvage could not recover. */
export interface LostRange {
  /** First key of which something may be lost; undefined if no key is known. */
  readonly keyStart?: Key | undefined;
  /** Where those keys end, exclusive. */
  readonly keyEnd?: Key | undefined;
  /** First LSN of what is lost, if it is known. */
  readonly lsnStart?: Lsn | undefined;
  /** Where those LSNs end, exclusive. */
  readonly lsnEnd?: Lsn | undefined;
  /** Offset of the bytes that are lost or cannot be assigned; undefined if none are known. */
  readonly offset?: number | undefined;
  /** How many bytes. */
  readonly length?: number | undefined;
  /** Entries or blobs that are known to be lost; there may have been more. */
  readonly count?: number | undefined;
  /** Why: the first damage in the range. */
  readonly error: StorageError;
}

/** Ranges, and damage without a loss, that are listed; all are counted. */
const MAXIMUM_LISTED = 1000;

/** An entry as the index has it. */
export interface EntryPlace {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly offset: number;
}

interface Pending {
  error: StorageError;
  /** Entries that are known to be lost. */
  count: number;
  hasBlock: boolean;
  first: EntryPlace | undefined;
  last: EntryPlace | undefined;
  lowestLsn: Lsn;
  highestLsn: Lsn;
}

export class LossLog {
  readonly lost: LostRange[] = [];
  lostCount = 0;
  /** Damage without loss. */
  readonly harmless: StorageError[] = [];
  harmlessCount = 0;
  readonly #kind: 'delta' | 'image';
  readonly #path: string | undefined;
  #pending: Pending | undefined;
  /** Where the last recovered entry ends. */
  #end: number;
  /** Its key; undefined before the first one. */
  #lastKey: Key | undefined;

  constructor(
    kind: 'delta' | 'image',
    values: { readonly start: number; readonly path: string | undefined },
  ) {
    this.#kind = kind;
    this.#end = values.start;
    this.#path = values.path;
  }

  /** Where the last recovered entry ends. */
  get end(): number {
    return this.#end;
  }

  /** An entry that cannot be recovered. */
  entry(entry: EntryPlace, error: StorageError): void {
    const pending = this.#begin(error);
    pending.count += 1;
    pending.first ??= { ...entry, key: Uint8Array.from(entry.key) };
    pending.last = { ...entry, key: Uint8Array.from(entry.key) };
    if (entry.lsn < pending.lowestLsn) pending.lowestLsn = entry.lsn;
    if (entry.lsn > pending.highestLsn) pending.highestLsn = entry.lsn;
  }

  /** A block of the index that cannot be used. */
  block(error: StorageError): void {
    this.#begin(error).hasBlock = true;
  }

  /** Damage without loss. */
  note(error: StorageError): void {
    this.harmlessCount += 1;
    if (this.harmless.length < MAXIMUM_LISTED) this.harmless.push(error);
  }

  add(range: LostRange): void {
    this.lostCount += 1;
    if (this.lost.length < MAXIMUM_LISTED) this.lost.push(range);
  }

  /** An entry that was recovered; `key` may be a view. */
  recovered(key: Key, offset: number, end: number): void {
    if (this.#pending !== undefined || offset !== this.#end) this.#endRange(offset, key);
    this.#end = end;
    this.#lastKey ??= new Uint8Array(key.length);
    this.#lastKey.set(key);
  }

  /** The values end here; nothing but padding follows the last blob if `rest` is `padding`. */
  finish(valuesEnd: number, rest: 'padding' | 'values'): void {
    // Without any entry, it is unknown where the values end.
    const isNothing = this.#lastKey === undefined;
    const end = rest === 'padding' && !isNothing ? this.#end : Math.max(this.#end, valuesEnd);
    if (this.#pending !== undefined || end !== this.#end) this.#endRange(end, undefined);
  }

  #begin(error: StorageError): Pending {
    this.#pending ??= {
      error,
      count: 0,
      hasBlock: false,
      first: undefined,
      last: undefined,
      lowestLsn: 1n << 64n,
      highestLsn: 0n,
    };
    return this.#pending;
  }

  #endRange(offset: number, key: Key | undefined): void {
    const pending = this.#pending;
    this.#pending = undefined;
    const hasBytes = offset > this.#end;
    if (pending === undefined && !hasBytes) return;
    const isNothing = key === undefined && this.#lastKey === undefined;
    if (pending !== undefined && pending.count === 0 && !hasBytes && !isNothing) {
      this.note(pending.error);
      return;
    }
    const error = pending?.error ?? this.#unclaimed();
    const bytes = hasBytes ? { offset: this.#end, length: offset - this.#end } : {};
    const count = pending === undefined || pending.count === 0 ? {} : { count: pending.count };
    this.add({ ...this.#keys(pending, key), ...lsnsOf(pending), ...bytes, ...count, error });
  }

  /** If all of the entries are known, their keys; else those between the entries around them. */
  #keys(pending: Pending | undefined, next: Key | undefined): Partial<LostRange> {
    const before = this.#lastKey && Uint8Array.from(this.#lastKey);
    if (pending?.first !== undefined && pending.last !== undefined && !pending.hasBlock) {
      const { first, last } = pending;
      const [low, high] =
        compareKeys(first.key, last.key) <= 0 ? [first.key, last.key] : [last.key, first.key];
      return { keyStart: low, keyEnd: above(high) };
    }
    const isImage = this.#kind === 'image';
    const keyStart = before === undefined ? undefined : isImage ? above(before) : before;
    const keyEnd = next === undefined ? undefined : isImage ? Uint8Array.from(next) : above(next);
    return { keyStart, keyEnd };
  }

  #unclaimed(): StorageError {
    return new StorageError('corrupt', {
      what: 'values that no index entry refers to',
      path: this.#path,
      offset: this.#end,
    });
  }
}

function lsnsOf(pending: Pending | undefined): Partial<LostRange> {
  if (pending === undefined || pending.count === 0 || pending.hasBlock) return {};
  return { lsnStart: pending.lowestLsn, lsnEnd: pending.highestLsn + 1n };
}

function above(key: Key): Key | undefined {
  return key.every((byte) => byte === 0xff) ? undefined : nextKey(key);
}
