/** Reads a small object completely. */
import { checkCount, checkObject } from '../check-options.ts';
import { tooLarge } from '../errors.ts';
import { checkedStore } from './foreign-store.ts';
import {
  endsEarly,
  type ObjectReadOptions,
  type ObjectStart,
  type ObjectStore,
  pathOfObject,
} from './object-store.ts';

/** Options of `readWhole`. */
export interface ReadWholeOptions extends ObjectReadOptions {
  /** Bytes; a larger object is refused as `too-large`. */
  readonly maximumLength: number;
}

/** Bytes that are requested before the size is known. */
const FIRST_LENGTH = 8 * 1024 * 1024;

/**
 * Reads a small object in one request; above 8 MiB the first one determines the size, before more memory is allocated.
 *
 * @returns The object and all its bytes, which are the caller's own.
 * @throws `too-large`; as `ObjectStore.readStart`, and `ObjectStore.readRanges`.
 *
 * @example
 * const { bytes } = await readWhole(store, 'index_part.json', { maximumLength: 64 * 1024 * 1024 });
 */
export async function readWhole(
  store: ObjectStore,
  key: string,
  options: ReadWholeOptions,
): Promise<ObjectStart> {
  const checked = checkedStore(store);
  checkObject('options', options);
  const { maximumLength, ...reading } = options;
  checkCount('maximumLength', maximumLength, { from: 1 });
  const firstLength = Math.min(maximumLength, FIRST_LENGTH);
  const start = await checked.readStart(key, firstLength, reading);
  const { info, bytes } = start;
  const path = pathOfObject(checked, key);
  if (info.size > maximumLength) {
    throw tooLarge('object', { maximum: maximumLength, actual: info.size, path });
  }
  if (bytes.length === info.size) return start;
  if (bytes.length < firstLength) throw endsEarly(path, bytes.length, info.size);
  const whole = new Uint8Array(info.size);
  whole.set(bytes);
  const rest = { target: whole.subarray(bytes.length), offset: bytes.length };
  await checked.readRanges(key, [rest], { ...reading, etag: reading.etag ?? info.etag });
  return { info, bytes: whole };
}
