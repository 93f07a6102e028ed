/**
 * An object as a source of bytes, for reading layers. It keeps the bytes that are needed again: the first ones, which
 * were read to open it, and the last large read that reached the end, which is the index of a layer. So a cold lookup
 * takes three requests: the summary, the whole index, the value.
 */
import type { ByteSource, ReadRangesOptions } from '../blob-writer/byte-source.ts';
import type { ReadRange } from '../blob-writer/read-range.ts';
import { checkOptions, type KnownOptions } from '../check-options.ts';
import { checkedStore } from './foreign-store.ts';
import {
  checkRequestOptions,
  type ObjectInfo,
  type ObjectReadOptions,
  type ObjectStore,
  pathOfObject,
} from './object-store.ts';

const OPTIONS: KnownOptions<ObjectReadOptions> = { signal: true, etag: true };

/** A source, and the object that it was opened as. */
export interface ObjectSource extends ByteSource {
  /** Its description by the store; different content is later refused as `changed`. */
  readonly info: ObjectInfo;
  /** The name of the store and the key; a layer's name is its last part. */
  readonly path: string;
}

/** The summary of a layer, with the first values. */
const START_LENGTH = 16 * 1024;
/** Up to this length, one request is better than two that need fewer bytes. */
const WHOLE_READ_LENGTH = 8 * 1024 * 1024;
/** Reading this much more takes no longer than another request. */
const LITTLE_LENGTH = 256 * 1024;
/** Limit for the ends of all sources together. */
const MAXIMUM_KEPT = 64 * 1024 * 1024;

/**
 * Opens an object to read a layer from, in one request.
 *
 * @param options Its signal ends every later read, too.
 * @returns A source for `openLayer` and the other readers. There is nothing to close.
 * @throws `not-found`, `network`, `denied`, `io`, `changed`, `aborted`, `invalid-input`.
 *
 * @example
 * await using reader = await openLayer(await objectSource(store, key));
 */
export async function objectSource(
  store: ObjectStore,
  key: string,
  options: ObjectReadOptions = {},
): Promise<ObjectSource> {
  const checked = checkedStore(store);
  checkOptions(options, OPTIONS);
  checkRequestOptions(options);
  const { info, bytes } = await checked.readStart(key, START_LENGTH, options);
  return new StoredObject(checked, info, { start: bytes, signal: options.signal });
}

class StoredObject implements ObjectSource {
  readonly info: ObjectInfo;
  readonly size: number;
  readonly path: string;
  readonly maximumGap: number | undefined;
  readonly wholeReadLength = WHOLE_READ_LENGTH;
  readonly #store: ObjectStore;
  readonly #start: Uint8Array;
  readonly #signal: AbortSignal | undefined;

  constructor(
    store: ObjectStore,
    info: ObjectInfo,
    { start, signal }: { readonly start: Uint8Array; readonly signal: AbortSignal | undefined },
  ) {
    this.info = info;
    this.size = info.size;
    this.path = pathOfObject(store, info.key);
    this.maximumGap = store.maximumGap;
    this.#store = store;
    this.#start = start;
    this.#signal = signal;
  }

  readonly readCached = (target: Uint8Array, offset: number): boolean =>
    copyFrom(this.#start, 0, target, offset) || keptEnds.copyTo(this, target, offset);

  readonly readRanges = async (
    wanted: readonly ReadRange[],
    { signal }: ReadRangesOptions = {},
  ): Promise<void> => {
    const missing = wanted.filter(({ target, offset }) => !this.readCached(target, offset));
    if (missing.length === 0) return;
    const ranges = [...missing, ...this.#restAfter(missing)];
    const { key, etag } = this.info;
    await this.#store.readRanges(key, ranges, { signal: eitherOf(this.#signal, signal), etag });
    for (const range of ranges) keptEnds.keep(this, range);
  };

  /** The rest of the object, if it is small and the end is not in memory: it will be needed. */
  #restAfter([first, second]: readonly ReadRange[]): ReadRange[] {
    if (first === undefined || second !== undefined || keptEnds.has(this)) return [];
    const length = this.size - first.offset;
    if (length > LITTLE_LENGTH || length === first.target.length) return [];
    return [{ target: new Uint8Array(length), offset: first.offset }];
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    const length = Math.max(0, Math.min(target.length, this.size - offset));
    if (length > 0) await this.readRanges([{ target: target.subarray(0, length), offset }]);
    return length;
  }
}

function eitherOf(left?: AbortSignal, right?: AbortSignal): AbortSignal | undefined {
  if (left === undefined || right === undefined || left === right) return left ?? right;
  return AbortSignal.any([left, right]);
}

interface KeptEnd {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** The ends of the most recently read sources, one each, within a common limit. */
class KeptEnds {
  readonly #ends = new Map<StoredObject, KeptEnd>();
  #length = 0;

  keep(source: StoredObject, { target, offset }: ReadRange): void {
    const { length } = target;
    const isEnd = offset + length === source.size && length <= WHOLE_READ_LENGTH;
    const known = this.#ends.get(source);
    if (!isEnd || length <= (known?.bytes.length ?? 0)) return;
    this.#forget(source);
    this.#ends.set(source, { bytes: target.slice(), offset });
    this.#length += length;
    for (const oldest of this.#ends.keys()) {
      if (this.#length <= MAXIMUM_KEPT) break;
      this.#forget(oldest);
    }
  }

  has(source: StoredObject): boolean {
    return this.#ends.has(source);
  }

  copyTo(source: StoredObject, target: Uint8Array, offset: number): boolean {
    const end = this.#ends.get(source);
    return end !== undefined && copyFrom(end.bytes, end.offset, target, offset);
  }

  #forget(source: StoredObject): void {
    this.#length -= this.#ends.get(source)?.bytes.length ?? 0;
    this.#ends.delete(source);
  }
}

const keptEnds = new KeptEnds();

/** False if the bytes, which begin at `start`, do not have all of the target. */
function copyFrom(bytes: Uint8Array, start: number, target: Uint8Array, offset: number): boolean {
  if (offset < start || offset + target.length > start + bytes.length) return false;
  target.set(bytes.subarray(offset - start, offset - start + target.length));
  return true;
}
