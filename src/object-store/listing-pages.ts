/** Follows the pages of a listing, and refuses one that does not end or is not in order. */
import { throwIfAborted } from '../errors.ts';
import { byBytesOf } from '../virtual-file/name-order.ts';
import { nonsense } from './http-client.ts';
import { type CommonPrefix, isCommonPrefix, type ObjectInfo } from './object-store.ts';
import { type RetryOptions, retrying } from './retry.ts';

export type ListedItem = ObjectInfo | CommonPrefix;

export interface ListPage {
  /** In byte order of the names, which are those in the bucket. */
  readonly items: readonly ListedItem[];
  /** The token of the next page; undefined on the last one. */
  readonly next: string | undefined;
}

export interface PagesOptions {
  /** Empty, or with a slash at its end; the names that are returned begin after it. */
  readonly storePrefix: string;
  readonly prefix: string;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
  readonly retry: RetryOptions;
}

/** Maximum number of consecutive pages without a name. */
const MAXIMUM_EMPTY_PAGES = 100;

/** Throws: what `page` throws; `network` for pages that contradict each other; `aborted`. */
export async function* followPages(
  page: (token: string | undefined) => Promise<ListPage>,
  options: PagesOptions,
): AsyncGenerator<ListedItem, void, undefined> {
  const { storePrefix, signal, path } = options;
  let previous = '';
  let token: string | undefined;
  let emptyPages = 0;
  do {
    const asked = token;
    const { items, next } = await retrying(() => page(asked), options.retry, { signal, path });
    for (const item of items) {
      checkOrder(item, previous, options);
      previous = nameOf(item);
      throwIfAborted(signal, path);
      // Some programs put an empty object for the prefix itself.
      if (previous !== storePrefix) yield withoutPrefix(item, storePrefix);
    }
    emptyPages = items.length === 0 ? emptyPages + 1 : 0;
    if (next !== undefined && (next === asked || emptyPages > MAXIMUM_EMPTY_PAGES)) {
      throw nonsense(path, { what: 'listing', expected: 'an end', actual: 'the same page again' });
    }
    token = next;
  } while (token !== undefined);
}

const compareNames = byBytesOf((name: string) => name);

export function nameOf(item: ListedItem): string {
  return isCommonPrefix(item) ? item.prefix : item.key;
}

/** Throws `network` for a name that is not below the prefix, or not after the previous one. */
function checkOrder(
  item: ListedItem,
  previous: string,
  { storePrefix, prefix, path }: PagesOptions,
): void {
  const name = nameOf(item);
  const isBelow = name.startsWith(storePrefix + prefix);
  if (isBelow && (previous === '' || compareNames(previous, name) < 0)) return;
  const expected = isBelow ? `names after ${previous}` : `names below ${storePrefix}${prefix}`;
  throw nonsense(path, { what: 'listing', expected, actual: name });
}

function withoutPrefix(item: ListedItem, storePrefix: string): ListedItem {
  const start = storePrefix.length;
  if (isCommonPrefix(item)) return { prefix: item.prefix.slice(start) };
  return { ...item, key: item.key.slice(start) };
}
