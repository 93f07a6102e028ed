/** Shared by the stores of a bucket: the prefix of their keys, and listings, which come in pages. */
import { checkText } from '../check-options.ts';
import { followPages, type ListPage } from './listing-pages.ts';
import {
  type CommonPrefix,
  checkPrefix,
  checkRequestOptions,
  type ObjectInfo,
  type ObjectListOptions,
  type ObjectPutOptions,
  type ObjectStore,
  pathOfObject,
} from './object-store.ts';
import { RangedStore } from './ranged-store.ts';
import type { RetryOptions } from './retry.ts';

/** Where a bucket's store is. */
export interface BucketPlace extends RetryOptions {
  readonly bucket: string;
  /** Prefix of the store's keys in the bucket; surrounding slashes are ignored. */
  readonly prefix?: string | undefined;
}

/** One page of a listing. */
export interface PageRequest {
  /** Prefix of the keys in the bucket. */
  readonly prefix: string;
  readonly delimiter: string | undefined;
  /** Undefined for the first page. */
  readonly token: string | undefined;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
}

export abstract class BucketStore extends RangedStore implements ObjectStore {
  /** Prefix of the keys in the bucket: empty, or ending with a slash. */
  protected readonly keyPrefix: string;

  constructor(place: BucketPlace) {
    const prefix = (place.prefix ?? '').replace(/^\/+|\/+$/g, '');
    super(`s3://${place.bucket}${prefix === '' ? '' : '/'}${prefix}`, place);
    this.keyPrefix = prefix === '' ? '' : `${prefix}/`;
  }

  async *list(
    prefix: string,
    options: ObjectListOptions = {},
  ): AsyncGenerator<ObjectInfo | CommonPrefix, void, undefined> {
    checkPrefix(prefix);
    checkRequestOptions(options);
    const { delimiter, signal } = options;
    if (delimiter !== undefined) checkText('delimiter', delimiter);
    const path = pathOfObject(this, prefix);
    const asked = { prefix: this.keyPrefix + prefix, delimiter, path, signal };
    yield* followPages((token) => this.getPage({ ...asked, token }), {
      storePrefix: this.keyPrefix,
      prefix,
      path,
      signal,
      retry: this.retry,
    });
  }

  abstract put(key: string, bytes: Uint8Array, options?: ObjectPutOptions): Promise<ObjectInfo>;

  /** Makes one request. Throws: the error of the store. */
  protected abstract getPage(request: PageRequest): Promise<ListPage>;
}
