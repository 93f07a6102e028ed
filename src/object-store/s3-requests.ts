/**
 * Signed requests to one bucket. If a response shows another region, a clock that differs, or expired credentials, the
 * setting is corrected and the request repeated, within the number of attempts.
 *
 * No redirect is followed: a signature must not reach a server that the caller has not named.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { isDate } from 'node:util/types';
import { AwsV4Signer } from 'aws4fetch';
import { checkObject, checkOneOf, checkText } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { HttpClient, type HttpResponse, type NetworkOptions } from './http-client.ts';
import { badKey } from './object-store.ts';
import { transient } from './retry.ts';
import { errorOfFailure, readFailure, type S3Failure } from './s3-errors.ts';
import {
  noCredentials,
  readSettings,
  type S3CredentialProvider,
  type S3Credentials,
} from './s3-settings.ts';

export interface S3RequestsOptions extends NetworkOptions {
  readonly bucket: string;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly addressing?: 'path' | 'host' | undefined;
  readonly profile?: string | undefined;
  readonly credentials?: S3Credentials | S3CredentialProvider | 'anonymous' | undefined;
}

export interface FileBody {
  readonly file: Blob;
  readonly sha256: string;
}

export interface S3Request {
  readonly method: 'GET' | 'PUT';
  /** In the bucket; undefined for the bucket itself. */
  readonly key?: string | undefined;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes, or a file with its SHA-256 in hex digits. */
  readonly body?: Uint8Array | FileBody | undefined;
  readonly length: number;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
  /** The requested content. */
  readonly etag?: string | undefined;
  /** Other statuses are failures. */
  readonly statuses: readonly number[];
}

/** Settings that all requests share; replaced when a response corrects them. */
interface Target {
  readonly region: string;
  readonly endpoint: string | undefined;
  readonly credentials: S3Credentials | 'anonymous';
}

/** Credentials that expire sooner are requested again. */
const EXPIRY_MARGIN_MS = 60_000;
const NO_BYTES_SHA256 = createHash('sha256').digest('hex');

export class S3Requests {
  readonly #options: S3RequestsOptions;
  readonly #client: HttpClient;
  #target: Promise<Target> | undefined;
  #region: string | undefined;
  #clockOffsetMs = 0;

  constructor(options: S3RequestsOptions) {
    this.#options = options;
    this.#region = options.region;
    this.#client = new HttpClient(options);
  }

  /** Throws: the error of the store, marked as transient if the request may be repeated. */
  async send<T>(request: S3Request, receive: (response: HttpResponse) => Promise<T>): Promise<T> {
    const { method, body, length, path, signal } = request;
    const target = await this.#currentTarget(path);
    const url = this.#urlOf(target, request);
    const headers = await this.#signedHeaders(target, url, request);
    const sent = isFileBody(body) ? body.file : body;
    return this.#client.exchange(
      { method, url, headers, body: sent, length, path, signal },
      async (response) => {
        if (request.statuses.includes(response.status)) return receive(response);
        throw this.#errorOf(await readFailure(response), target, request);
      },
    );
  }

  async #currentTarget(path: string): Promise<Target> {
    this.#target ??= this.#readTarget(path);
    const reading = this.#target;
    try {
      const target = await reading;
      if (!isExpiring(target.credentials)) return target;
    } catch (error) {
      if (this.#target === reading) this.#target = undefined;
      throw error;
    }
    if (this.#target === reading) this.#target = this.#readTarget(path);
    return this.#target;
  }

  async #readTarget(path: string): Promise<Target> {
    const { credentials, endpoint, profile } = this.#options;
    const isComplete =
      credentials !== undefined && endpoint !== undefined && this.#region !== undefined;
    const settings = await readSettings({ profile, isComplete });
    const given =
      typeof credentials === 'function' ? await provided(credentials, path) : credentials;
    const known = given ?? settings.credentials;
    if (known === undefined) throw noCredentials(settings.lacking, path);
    return {
      region: checkedRegion(this.#region ?? settings.region),
      endpoint: endpoint ?? settings.endpoint,
      credentials: known,
    };
  }

  #urlOf({ region, endpoint }: Target, { key, query, path }: S3Request): URL {
    const { bucket } = this.#options;
    const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
    const url = parseEndpoint(endpoint ?? `https://s3.${region}.${domain}`, path);
    const isInPath = (this.#options.addressing ?? defaultAddressing(url, bucket)) === 'path';
    if (!isInPath) url.host = `${bucket}.${url.host}`;
    const parts = [...(isInPath ? [bucket] : []), ...(key === undefined ? [] : key.split('/'))];
    const base = url.pathname.replace(/\/+$/, '');
    url.pathname = `${base}/${parts.map(encodeURIComponent).join('/')}`;
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    return url;
  }

  async #signedHeaders(
    { region, credentials }: Target,
    url: URL,
    { method, headers = {}, body }: S3Request,
  ): Promise<Record<string, string>> {
    if (credentials === 'anonymous') return { ...headers };
    const sha256 = sha256Of(body);
    const now = new Date(Date.now() + this.#clockOffsetMs);
    const signer = new AwsV4Signer({
      method,
      url: url.href,
      headers: { ...headers, 'x-amz-content-sha256': sha256 },
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey,
      ...(credentials.sessionToken ? { sessionToken: credentials.sessionToken } : {}),
      service: 's3',
      region,
      datetime: now.toISOString().replace(/[:-]|\.\d{3}/g, ''),
    });
    return Object.fromEntries((await signer.sign()).headers);
  }

  #errorOf(failure: S3Failure, target: Target, { path, etag }: S3Request): StorageError {
    const error = errorOfFailure(failure, { path, bucket: this.#options.bucket, etag });
    return this.#correct(failure, target) ? transient(error) : error;
  }

  /**
   * True if the request may now succeed. Concurrent requests may all fail for a reason that one of them has already
   * corrected.
   */
  #correct(failure: S3Failure, target: Target): boolean {
    const { code, region, status, clockOffsetMs } = failure;
    const isElsewhere = status === 301 || status === 400 || status === 403;
    if (isElsewhere && region && region !== target.region && isRegion(region)) {
      this.#region = region;
      this.#target = undefined;
      return true;
    }
    if (code === 'RequestTimeTooSkewed' && clockOffsetMs !== undefined) {
      this.#clockOffsetMs = clockOffsetMs;
      return true;
    }
    const isRenewable = typeof this.#options.credentials === 'function';
    if (!isRenewable || (code !== 'ExpiredToken' && code !== 'TokenRefreshRequired')) return false;
    this.#target = undefined;
    return true;
  }
}

function isFileBody(body: S3Request['body']): body is FileBody {
  return body !== undefined && 'file' in body;
}

function sha256Of(body: S3Request['body']): string {
  if (body === undefined) return NO_BYTES_SHA256;
  return isFileBody(body) ? body.sha256 : createHash('sha256').update(body).digest('hex');
}

async function provided(provider: S3CredentialProvider, path: string): Promise<S3Credentials> {
  try {
    return checkedCredentials(await provider());
  } catch (cause) {
    throw new StorageError('denied', { what: 'credential provider failed', path, cause });
  }
}

const HEADER_TEXT = /^[\x21-\x7e]+$/;

/** Throws `invalid-input`. */
export function checkedCredentials(credentials: S3Credentials): S3Credentials {
  checkObject('credentials', credentials);
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = credentials;
  const texts = { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
  for (const [name, text] of Object.entries(texts)) {
    checkText(name, text);
    // The text itself is a secret.
    if (HEADER_TEXT.test(text)) continue;
    throw new StorageError('invalid-input', { what: name, expected: 'printable ASCII' });
  }
  if (expiration !== undefined && !isDate(expiration))
    checkOneOf('expiration', undefined, ['a Date']);
  return credentials;
}

function isExpiring(credentials: Target['credentials']): boolean {
  if (credentials === 'anonymous' || credentials.expiration === undefined) return false;
  return credentials.expiration.getTime() - Date.now() < EXPIRY_MARGIN_MS;
}

/** Throws `invalid-input`: a region becomes part of the header that signs a request. */
export function checkedRegion(region: string): string {
  if (HEADER_TEXT.test(region)) return region;
  const [what, expected] = ['region', 'printable ASCII'];
  throw new StorageError('invalid-input', { what, expected, actual: region });
}

/** A region becomes part of a host name. */
function isRegion(region: string): boolean {
  return /^[a-z0-9-]{1,40}$/.test(region);
}

/** Throws `invalid-input`. */
export function parseEndpoint(endpoint: string, path?: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.search === '') return url;
  const expected = 'an http or https URL';
  throw new StorageError('invalid-input', { what: 'endpoint', path, expected, actual: endpoint });
}

/** Hosts without names cannot carry the bucket, nor can certificates cover dots in it. */
function defaultAddressing({ hostname, protocol }: URL, bucket: string): 'path' | 'host' {
  const isNamed = isIP(hostname.replace(/^\[|\]$/g, '')) === 0 && hostname !== 'localhost';
  const isLabel =
    /^[a-z0-9-]+$/.test(bucket) || (protocol === 'http:' && !/[^a-z0-9.-]/.test(bucket));
  return isNamed && isLabel ? 'host' : 'path';
}

/** Throws `invalid-input` for a key that a URL cannot contain: `.` and `..` would be resolved away. */
export function checkUrlKey(key: string): void {
  const isLost = key.split('/').some((part) => part === '.' || part === '..');
  if (isLost) throw badKey(key, "parts other than '.' and '..'");
}
