/**
 * A bucket accessed through the caller's own AWS SDK client, with its credentials, proxies and regions. The SDK itself
 * is not imported: the caller passes the classes of its commands.
 */
import {
  checkBytes,
  checkObject,
  checkOneOf,
  checkOptions,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { abortedError, isStorageError, StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';
import { messageOf } from '../realms.ts';
import { byBytesOf } from '../virtual-file/name-order.ts';
import { errnoOf } from '../virtual-file/system-error.ts';
import { BucketStore, type PageRequest } from './bucket-store.ts';
import { nonsense } from './http-client.ts';
import { type ListedItem, type ListPage, nameOf } from './listing-pages.ts';
import {
  checkPrefix,
  checkPutOptions,
  type ObjectInfo,
  type ObjectPutOptions,
  type ObjectStore,
  pathOfObject,
  replacedError,
  takenError,
} from './object-store.ts';
import { parsedRange } from './range-headers.ts';
import type { RangeResponse, WantedRange } from './ranged-store.ts';
import { checkRetryOptions, RETRY_OPTIONS, type RetryOptions, transient } from './retry.ts';
import { errorOfFailure } from './s3-errors.ts';

/** The part of an `S3Client` that is used. */
export interface SdkClient {
  /** Sends a command. */
  send(command: never, options?: never): Promise<unknown>;
}

/** The class of a command of the SDK. */
export type SdkCommand = new (input: never) => object;

/** The classes of the commands that a store sends. */
export interface SdkCommands {
  /** Reads. */
  readonly GetObjectCommand: SdkCommand;
  /** Lists. */
  readonly ListObjectsV2Command: SdkCommand;
  /** Writes; without it, `put` is refused. */
  readonly PutObjectCommand?: SdkCommand | undefined;
}

/** Options of `sdkStore`. */
export interface SdkStoreOptions extends RetryOptions {
  /** An `S3Client` of `@aws-sdk/client-s3`; its own retries come before those of the store. */
  readonly client: SdkClient;
  /** The module itself, or its commands. */
  readonly commands: SdkCommands;
  /** Name of the bucket. */
  readonly bucket: string;
  /** Prefix of the store's keys in the bucket; default: the bucket itself. */
  readonly prefix?: string | undefined;
}

const OPTIONS: KnownOptions<SdkStoreOptions> = {
  ...RETRY_OPTIONS,
  client: true,
  commands: true,
  bucket: true,
  prefix: true,
};

/**
 * Makes a store of a bucket from a client of the AWS SDK.
 *
 * Durability: as `s3Store`.
 * @throws `invalid-input`.
 *
 * @example
 * import * as commands from '@aws-sdk/client-s3';
 * const client = new commands.S3Client({ region: 'eu-central-1' });
 * const store = sdkStore({ client, commands, bucket: 'neon' });
 */
export function sdkStore(options: SdkStoreOptions): ObjectStore {
  checkOptions(options, OPTIONS);
  checkRetryOptions(options);
  const { client, commands, bucket, prefix } = options;
  checkObject('client', client);
  checkOneOf('send of the client', typeof client.send, ['function']);
  checkObject('commands', commands);
  checkOneOf('GetObjectCommand', typeof commands.GetObjectCommand, ['function']);
  checkOneOf('ListObjectsV2Command', typeof commands.ListObjectsV2Command, ['function']);
  checkText('bucket', bucket);
  if (prefix !== undefined) checkPrefix(prefix);
  return new SdkStore(options);
}

class SdkStore extends BucketStore {
  readonly #options: SdkStoreOptions;

  constructor(options: SdkStoreOptions) {
    super(options);
    this.#options = options;
  }

  async put(key: string, bytes: Uint8Array, options: ObjectPutOptions = {}): Promise<ObjectInfo> {
    this.checkKey(key);
    checkBytes(bytes, 'bytes of the object');
    checkPutOptions(options);
    const { PutObjectCommand } = this.#options.commands;
    const path = pathOfObject(this, key);
    if (PutObjectCommand === undefined) {
      throw new StorageError('invalid-input', { what: 'put', path, expected: 'PutObjectCommand' });
    }
    const { ifAbsent, ifMatch, signal } = options;
    const isConditional = ifAbsent || ifMatch !== undefined;
    const found = isConditional ? await this.head(key, { signal }) : undefined;
    if (ifAbsent && found !== undefined) throw takenError(path);
    if (ifMatch !== undefined && found?.etag !== ifMatch)
      throw replacedError(path, ifMatch, found?.etag);
    const input = { Key: this.keyPrefix + key, Body: bytes, ContentLength: bytes.length };
    const condition = {
      ...(ifAbsent ? { IfNoneMatch: '*' } : {}),
      ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
    };
    const asked = { path, signal };
    const output = await this.#send(PutObjectCommand, { ...input, ...condition }, asked);
    if (output === 'refused')
      throw ifMatch === undefined ? takenError(path) : replacedError(path, ifMatch);
    const etag = textIn(output, 'ETag');
    return { key, size: bytes.length, ...(etag === undefined ? {} : { etag }) };
  }

  protected async getRange<T>(
    { key, range, signal, etag }: WantedRange,
    receive: (response: RangeResponse) => Promise<T>,
  ): Promise<T> {
    const path = pathOfObject(this, key);
    const input = {
      Key: this.keyPrefix + key,
      ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` }),
      ...(etag === undefined ? {} : { IfMatch: etag }),
    };
    const { GetObjectCommand } = this.#options.commands;
    const output = await this.#send(GetObjectCommand, input, { path, signal, etag });
    if (output === 'refused') return receive({ kind: 'unsatisfiable' });
    const response = responseOf(output, key, path);
    try {
      return await receive(response);
    } catch (error) {
      throw isStorageError(error) ? error : failureOf(error, { path, bucket: '', signal, etag });
    } finally {
      destroy(Reflect.get(output, 'Body'));
    }
  }

  protected async getPage(request: PageRequest): Promise<ListPage> {
    const { prefix, delimiter, token, path, signal } = request;
    const input = {
      Prefix: prefix,
      ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
      ...(token === undefined ? {} : { ContinuationToken: token }),
    };
    const { ListObjectsV2Command } = this.#options.commands;
    const output = await this.#send(ListObjectsV2Command, input, { path, signal });
    if (output === 'refused') throw nonsense(path, { what: 'listing', actual: 'refused' });
    const items = [
      ...objectsIn(output, 'Contents').map((object) => listedObject(object, path)),
      ...objectsIn(output, 'CommonPrefixes').map((object) => ({
        prefix: textIn(object, 'Prefix') ?? '',
      })),
    ].sort(byBytesOf<ListedItem>(nameOf));
    const next = textIn(output, 'NextContinuationToken');
    const isTruncated = Reflect.get(output, 'IsTruncated') === true;
    if (isTruncated && next === undefined) {
      throw nonsense(path, { what: 'listing', expected: 'a token', actual: 'none' });
    }
    return { items, next: isTruncated ? next : undefined };
  }

  /** `refused`: a condition or a range does not hold, which the caller knows how to read. */
  async #send(
    Command: SdkCommand,
    input: object,
    asked: { path: string; signal: AbortSignal | undefined; etag?: string | undefined },
  ): Promise<object | 'refused'> {
    const { bucket, client } = this.#options;
    const { signal, path } = asked;
    if (signal?.aborted) throw abortedError(signal, path);
    try {
      const command = Reflect.construct(Command, [{ Bucket: bucket, ...input }]);
      const options = signal === undefined ? {} : { abortSignal: signal };
      const output: unknown = await Reflect.apply(client.send, client, [command, options]);
      checkObject('output of the client', output);
      return output;
    } catch (error) {
      const status = statusOf(error);
      if (status === 416 || (status === 412 && asked.etag === undefined)) return 'refused';
      throw failureOf(error, { ...asked, bucket });
    }
  }
}

function responseOf(output: object, key: string, path: string): RangeResponse {
  const body: unknown = Reflect.get(output, 'Body');
  if (typeof body !== 'object' || body === null || !(Symbol.asyncIterator in body)) {
    throw nonsense(path, { what: 'body of the response', expected: 'a stream' });
  }
  const range = textIn(output, 'ContentRange');
  const length: unknown = Reflect.get(output, 'ContentLength');
  const found =
    range === undefined
      ? { start: 0, end: Number(length), size: Number(length) }
      : parsedRange(range, path);
  if (!Number.isSafeInteger(found.size)) {
    throw nonsense(path, {
      what: 'ContentLength',
      expected: 'a length',
      actual: valueText(length),
    });
  }
  const info = { key, size: found.size, ...detailsOf(output) };
  return { kind: 'bytes', info, start: found.start, end: found.end, body: bytesOf(body) };
}

async function* bytesOf(body: object): AsyncGenerator<Uint8Array> {
  const iterate: unknown = Reflect.get(body, Symbol.asyncIterator);
  const iterator = typeof iterate === 'function' ? Reflect.apply(iterate, body, []) : undefined;
  yield* { [Symbol.asyncIterator]: () => iterator };
}

/** A stream that is not read to its end keeps its connection. */
function destroy(body: unknown): void {
  const method: unknown = Object(body).destroy;
  if (typeof method === 'function') Reflect.apply(method, body, []);
}

function listedObject(object: object, path: string): ObjectInfo {
  const size: unknown = Reflect.get(object, 'Size');
  const key = textIn(object, 'Key');
  if (key === undefined || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw nonsense(path, {
      what: 'object in a listing',
      actual: `${key}, size ${valueText(size)}`,
    });
  }
  return { key, size, ...detailsOf(object) };
}

function detailsOf(output: object): Pick<ObjectInfo, 'etag' | 'modified'> {
  const etag = textIn(output, 'ETag');
  const time: unknown = Reflect.get(output, 'LastModified');
  const modified = new Date(Object(time).valueOf());
  const isDate = typeof time === 'object' && !Number.isNaN(modified.getTime());
  return { ...(etag === undefined ? {} : { etag }), ...(isDate ? { modified } : {}) };
}

function objectsIn(output: object, name: string): object[] {
  const list: unknown = Reflect.get(output, name);
  return Array.isArray(list)
    ? list.filter((item) => typeof item === 'object' && item !== null)
    : [];
}

function textIn(output: object, name: string): string | undefined {
  const value: unknown = Reflect.get(output, name);
  return typeof value === 'string' ? value : undefined;
}

function statusOf(error: unknown): number | undefined {
  const status: unknown = Object(Object(error).$metadata).httpStatusCode;
  return typeof status === 'number' ? status : undefined;
}

interface Asked {
  readonly path: string;
  readonly bucket: string;
  readonly signal: AbortSignal | undefined;
  readonly etag?: string | undefined;
}

function failureOf(error: unknown, { path, bucket, signal, etag }: Asked): StorageError {
  if (signal?.aborted) return abortedError(signal, path);
  if (isStorageError(error)) return error;
  const status = statusOf(error);
  const name = String(Object(error).name ?? '');
  if (status === undefined) {
    if (/credential/i.test(name)) {
      const what = `no credentials for S3: ${messageOf(error)}`;
      return new StorageError('denied', { what, path, cause: error });
    }
    const what = `cannot reach the server: ${messageOf(error)}`;
    return transient(
      new StorageError('network', { what, path, errno: errnoOf(error), cause: error }),
    );
  }
  const message = messageOf(error);
  const unknown = { region: undefined, clockOffsetMs: undefined, retryAfterMs: undefined };
  return errorOfFailure({ status, code: name, message, ...unknown }, { path, bucket, etag });
}
