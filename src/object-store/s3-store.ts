/**
 * A bucket of S3 or a compatible store: MinIO, R2, GCS through its XML API, Ceph, Garage. Requests are as plain as
 * possible, without checksums in trailers, so that all of these accept them.
 */
import { openAsBlob } from 'node:fs';
import {
  checkBytes,
  checkChoice,
  checkOptions,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { BucketStore, type PageRequest } from './bucket-store.ts';
import {
  checkNetworkOptions,
  NETWORK_OPTIONS,
  type NetworkOptions,
  nonsense,
} from './http-client.ts';
import type { ListPage } from './listing-pages.ts';
import {
  checkPrefix,
  checkPutOptions,
  checkRequestOptions,
  type ObjectInfo,
  type ObjectPutOptions,
  type ObjectRequestOptions,
  type ObjectStore,
  pathOfObject,
  replacedError,
  type StoreSettings,
  takenError,
} from './object-store.ts';
import { digestFile, isSameAsFile } from './put-file.ts';
import { partialResponse, rangeHeaders, wholeResponse } from './range-headers.ts';
import type { RangeResponse, WantedRange } from './ranged-store.ts';
import { readWhole } from './read-whole.ts';
import { retrying } from './retry.ts';
import { MAXIMUM_PAGE_LENGTH, parsePage } from './s3-listing.ts';
import {
  checkedCredentials,
  checkedRegion,
  checkUrlKey,
  type FileBody,
  parseEndpoint,
  S3Requests,
} from './s3-requests.ts';
import type { S3CredentialProvider, S3Credentials } from './s3-settings.ts';

/** Options of `s3Store`. Missing options are taken from the environment, as in AWS's own tools. */
export interface S3StoreOptions extends NetworkOptions {
  /** Name of the bucket. */
  readonly bucket: string;
  /** Prefix of the store's keys in the bucket, such as `neon/pageserver`; default: the bucket itself. */
  readonly prefix?: string | undefined;
  /** Default: AWS_REGION, AWS_DEFAULT_REGION, the profile, `us-east-1`; corrected if AWS names another. */
  readonly region?: string | undefined;
  /** Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile, AWS itself. */
  readonly endpoint?: string | undefined;
  /**
   * Whether the bucket is a part of the path or of the host name. Default: of the path if the endpoint has
   * no name, or the bucket's name does not fit into one.
   */
  readonly addressing?: 'path' | 'host' | undefined;
  /** Profile of the shared files; default: AWS_PROFILE, `default`. If given, the environment's keys are ignored. */
  readonly profile?: string | undefined;
  /**
   * Credentials, a function that returns them, or `anonymous` for public buckets. Default:
   * AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with AWS_SESSION_TOKEN, then the profile.
   */
  readonly credentials?: S3Credentials | S3CredentialProvider | 'anonymous' | undefined;
}

const OPTIONS: KnownOptions<S3StoreOptions> = {
  ...NETWORK_OPTIONS,
  bucket: true,
  prefix: true,
  region: true,
  endpoint: true,
  addressing: true,
  profile: true,
  credentials: true,
};

const ERROR_LENGTH = 64 * 1024;

/** Statuses of a successful put. */
const WRITTEN: readonly number[] = [200, 201, 204];
/** Statuses of a put whose `ifMatch` fails: the object differs, or the store does not support the condition. */
const UNMET: readonly number[] = [412, 501];

/**
 * Makes a store of a bucket. Nothing is looked up before the first call.
 *
 * Durability: a `put` that has resolved is as durable as the store keeps objects.
 * @throws `invalid-input`.
 *
 * @example
 * const store = s3Store({ bucket: 'neon', prefix: 'pageserver/v1' });
 * const { bytes } = await readWhole(store, key, { maximumLength: 64 * 1024 * 1024 });
 */
export function s3Store(options: S3StoreOptions): ObjectStore {
  checkOptions(options, OPTIONS);
  checkNetworkOptions(options);
  const { bucket, prefix = '', region, endpoint, addressing, profile, credentials } = options;
  checkText('bucket', bucket);
  if (!/^[A-Za-z0-9][A-Za-z0-9._:-]{0,254}$/.test(bucket)) {
    throw new StorageError('invalid-input', {
      what: 'bucket',
      expected: 'letters, digits, dots, hyphens',
      actual: bucket,
    });
  }
  checkPrefix(prefix);
  checkUrlKey(prefix);
  for (const [name, text] of Object.entries({ region, profile, endpoint })) {
    if (text !== undefined) checkText(name, text);
  }
  if (region !== undefined) checkedRegion(region);
  if (endpoint !== undefined) parseEndpoint(endpoint);
  checkChoice('addressing', addressing, ['path', 'host']);
  const isGiven = credentials !== undefined && credentials !== 'anonymous';
  if (isGiven && typeof credentials !== 'function') checkedCredentials(credentials);
  return new S3Store(options);
}

/** The content of a put. */
interface PutContent {
  readonly body: Uint8Array | FileBody;
  /** Bytes. */
  readonly length: number;
  /** The object, if it already has this content. */
  readonly found: () => Promise<ObjectInfo | undefined>;
}

class S3Store extends BucketStore {
  readonly settings: StoreSettings | undefined;
  readonly #requests: S3Requests;

  constructor(options: S3StoreOptions) {
    super(options);
    const { credentials, fetch } = options;
    const isPlain = typeof credentials !== 'function' && fetch === undefined;
    this.settings = isPlain ? { kind: 's3', options } : undefined;
    this.#requests = new S3Requests(options);
  }

  async put(key: string, bytes: Uint8Array, options: ObjectPutOptions = {}): Promise<ObjectInfo> {
    this.checkKey(key);
    checkBytes(bytes, 'bytes of the object');
    checkPutOptions(options);
    const { signal } = options;
    const found = (): Promise<ObjectInfo | undefined> => this.#sameAs(key, bytes, signal);
    return this.#putBody(key, { body: bytes, length: bytes.length, found }, options);
  }

  async putFile(
    key: string,
    file: string,
    options: ObjectRequestOptions = {},
  ): Promise<ObjectInfo> {
    this.checkKey(key);
    checkText('file', file);
    checkRequestOptions(options);
    const { signal } = options;
    const putting = { signal, ifAbsent: true };
    // Before the file is read, and once more after it.
    await this.#refuseUnfit(key, putting);
    const { hex, length } = await digestFile(file, 'sha256', { signal });
    const found = async (): Promise<ObjectInfo | undefined> => {
      const info = await this.head(key, { signal });
      if (info === undefined || !(await isSameAsFile(this, info, file, { signal })))
        return undefined;
      return info;
    };
    const body = { file: await openAsBlob(file), sha256: hex };
    return this.#putBody(key, { body, length, found }, putting);
  }

  async #putBody(key: string, content: PutContent, options: ObjectPutOptions): Promise<ObjectInfo> {
    const path = pathOfObject(this, key);
    const { signal } = options;
    await this.#refuseUnfit(key, options);
    return retrying(
      async (attempt) => {
        let info = await this.#put(key, content, options);
        if (info === 'unconditional') info = await this.#put(key, content, { signal });
        if (typeof info === 'object') return info;
        // The response to an earlier attempt may have been lost.
        const ours = attempt > 1 ? await content.found() : undefined;
        if (ours !== undefined) return ours;
        const { ifMatch } = options;
        throw ifMatch === undefined ? takenError(path) : replacedError(path, ifMatch);
      },
      this.retry,
      { signal, path },
    );
  }

  /**
   * Looks the object up before a conditional put: this costs less than sending a body that is refused, and narrows the
   * window for a race in stores that ignore the condition. Throws `exists`, `changed`.
   */
  async #refuseUnfit(key: string, { ifAbsent, ifMatch, signal }: ObjectPutOptions): Promise<void> {
    if (!ifAbsent && ifMatch === undefined) return;
    const path = pathOfObject(this, key);
    const found = await this.head(key, { signal });
    if (ifMatch === undefined) {
      if (found !== undefined) throw takenError(path);
    } else if (found?.etag !== ifMatch) throw replacedError(path, ifMatch, found?.etag);
  }

  /** `refused`: the condition does not hold. `unconditional`: the store has no such condition. */
  #put(
    key: string,
    { body, length }: PutContent,
    { ifAbsent, ifMatch, signal }: ObjectPutOptions,
  ): Promise<ObjectInfo | 'refused' | 'unconditional'> {
    const request = {
      method: 'PUT',
      key: this.keyPrefix + key,
      headers: {
        ...(ifAbsent ? { 'if-none-match': '*' } : {}),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      },
      body,
      length,
      path: pathOfObject(this, key),
      signal,
      statuses: [...WRITTEN, ...(ifAbsent ? [412] : []), ...(ifMatch === undefined ? [] : UNMET)],
    } as const;
    return this.#requests.send(request, async (response) => {
      await response.text(ERROR_LENGTH);
      if (response.status === 501) return 'unconditional';
      if (!WRITTEN.includes(response.status)) return 'refused';
      const etag = response.header('etag');
      return { key, size: length, ...(etag === undefined ? {} : { etag }) };
    });
  }

  async #sameAs(
    key: string,
    bytes: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<ObjectInfo | undefined> {
    try {
      const maximumLength = Math.max(bytes.length, 1);
      const found = await readWhole(this, key, { maximumLength, signal });
      return Buffer.compare(found.bytes, bytes) === 0 ? found.info : undefined;
    } catch (error) {
      if (isStorageError(error, 'too-large')) return undefined;
      throw error;
    }
  }

  protected override checkKey(key: unknown): asserts key is string {
    super.checkKey(key);
    checkUrlKey(key);
  }

  protected getRange<T>(
    wanted: WantedRange,
    receive: (response: RangeResponse) => Promise<T>,
  ): Promise<T> {
    const { key, range, signal, etag } = wanted;
    const request = {
      method: 'GET',
      key: this.keyPrefix + key,
      headers: rangeHeaders(wanted),
      length: range === undefined ? 0 : range.end - range.start,
      path: pathOfObject(this, key),
      signal,
      etag,
      statuses: [200, 206, 416],
    } as const;
    return this.#requests.send(request, (response) => {
      if (response.status === 416) return receive({ kind: 'unsatisfiable' });
      if (response.status === 206) return receive(partialResponse(response, key));
      const whole = wholeResponse(response, key);
      if (range === undefined) return receive(whole);
      // An empty object has no ranges.
      const isEmpty =
        whole.kind === 'bytes' && whole.end === 0 && response.header('etag') !== undefined;
      if (isEmpty && range.start === 0) return receive(whole);
      const actual = 'status 200';
      throw nonsense(request.path, { what: 'response', expected: 'a range (status 206)', actual });
    });
  }

  protected getPage(request: PageRequest): Promise<ListPage> {
    const { prefix, delimiter, token, path, signal } = request;
    const query = {
      'list-type': '2',
      'encoding-type': 'url',
      prefix,
      ...(delimiter === undefined ? {} : { delimiter }),
      ...(token === undefined ? {} : { 'continuation-token': token }),
    };
    const length = MAXIMUM_PAGE_LENGTH;
    const page = { method: 'GET', query, length, path, signal, statuses: [200] } as const;
    return this.#requests.send(page, async (response) =>
      parsePage(await response.text(MAXIMUM_PAGE_LENGTH), path),
    );
  }
}
