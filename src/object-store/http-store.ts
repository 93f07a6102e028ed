/**
 * Reads single files of a web server. Requires a server that supports ranges, unless a complete file is read. A few
 * redirects are followed, but never to a less secure address or another scheme.
 */
import { checkObject, checkOptions, checkText, type KnownOptions } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { withoutCredentials } from '../printable.ts';
import {
  checkNetworkOptions,
  HttpClient,
  type HttpResponse,
  NETWORK_OPTIONS,
  type NetworkOptions,
  nonsense,
} from './http-client.ts';
import {
  changedError,
  notFoundError,
  type ObjectInfo,
  type ObjectStore,
  pathOfObject,
  type StoreSettings,
} from './object-store.ts';
import { isPage, partialResponse, rangeHeaders, wholeResponse } from './range-headers.ts';
import { RangedStore, type RangeResponse, type WantedRange } from './ranged-store.ts';
import { transient } from './retry.ts';
import { checkUrlKey } from './s3-requests.ts';

/** Options of `httpStore`. */
export interface HttpStoreOptions extends NetworkOptions {
  /** Sent with each request to the origin of the base, such as `authorization`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

const OPTIONS: KnownOptions<HttpStoreOptions> = {
  ...NETWORK_OPTIONS,
  headers: true,
};

const MAXIMUM_REDIRECTS = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** A file of a web server. */
export interface HttpObject {
  /** Also has the other files in its directory. */
  readonly store: ObjectStore;
  /** The last part of the URL's path. */
  readonly key: string;
}

/**
 * Makes a store of the file that a URL names, and of the other files in its directory. A query, such as that of a
 * signed URL, is sent along; a user and password become a header.
 *
 * @throws `invalid-input` for anything but the http or https URL of a file.
 *
 * @example
 * const { store, key } = httpObject('https://example.com/layers/index_part.json');
 * const { bytes } = await readWhole(store, key, { maximumLength: 1024 * 1024 });
 */
export function httpObject(url: string | URL, options: HttpStoreOptions = {}): HttpObject {
  const whole = parseUrl(url);
  const slash = whole.pathname.lastIndexOf('/');
  const key = decodedKey(whole.pathname.slice(slash + 1));
  if (key === undefined || key === '') throw badUrl(whole.href, 'the URL of a file');
  const base = new URL(whole);
  base.pathname = whole.pathname.slice(0, slash + 1);
  return { store: httpStore(base, options), key };
}

/**
 * Makes a read-only store of the files below a URL. It cannot list, and `put` is refused.
 *
 * @param base Its path is a directory, whether or not it ends with a slash.
 * @throws `invalid-input`.
 *
 * @example
 * const store = httpStore('https://example.com/layers');
 */
export function httpStore(base: string | URL, options: HttpStoreOptions = {}): ObjectStore {
  checkOptions(options, OPTIONS);
  checkNetworkOptions(options);
  if (options.headers !== undefined) checkObject('headers', options.headers);
  return new HttpStore(parseUrl(base), options);
}

class HttpStore extends RangedStore implements ObjectStore {
  readonly settings: StoreSettings | undefined;
  readonly #base: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #client: HttpClient;

  constructor(given: URL, options: HttpStoreOptions) {
    const base = new URL(given);
    const { username, password, origin } = base;
    base.username = base.password = base.hash = '';
    base.pathname = base.pathname.replace(/\/*$/, '/');
    // Queries may contain signatures, which must not appear in messages.
    super(origin + base.pathname.replace(/\/$/, ''), options);
    const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    const authorization = `Basic ${Buffer.from(user).toString('base64')}`;
    const isPlain = options.fetch === undefined;
    this.settings = isPlain ? { kind: 'http', base: given.href, options } : undefined;
    this.#base = base;
    this.#headers = { ...(user === ':' ? {} : { authorization }), ...options.headers };
    this.#client = new HttpClient(options);
  }

  // biome-ignore lint/correctness/useYield: it has nothing to list.
  async *list(): AsyncGenerator<never, void, undefined> {
    throw this.#refused('a list of files');
  }

  async put(): Promise<ObjectInfo> {
    throw this.#refused('writing');
  }

  #refused(what: string): StorageError {
    const expected = 'a store that is more than a web server';
    return new StorageError('invalid-input', { what, path: this.name, expected });
  }

  protected override checkKey(key: unknown): asserts key is string {
    super.checkKey(key);
    checkUrlKey(key);
  }

  protected getRange<T>(
    wanted: WantedRange,
    receive: (response: RangeResponse) => Promise<T>,
  ): Promise<T> {
    const url = new URL(this.#base);
    url.pathname += wanted.key.split('/').map(encodeURIComponent).join('/');
    return this.#follow(url, wanted, 0, receive);
  }

  async #follow<T>(
    url: URL,
    wanted: WantedRange,
    redirects: number,
    receive: (response: RangeResponse) => Promise<T>,
  ): Promise<T> {
    const { key, range, signal } = wanted;
    const path = pathOfObject(this, key);
    const own = url.origin === this.#base.origin ? this.#headers : {};
    const headers = { ...own, ...rangeHeaders(wanted) };
    const length = range === undefined ? 0 : range.end - range.start;
    const request = { method: 'GET', url, headers, length, path, signal } as const;
    const outcome = await this.#client.exchange(request, async (response) => {
      if (REDIRECTS.includes(response.status)) return { next: nextUrl(response, url, redirects) };
      return { result: await receive(responseOf(response, wanted)) };
    });
    if ('result' in outcome) return outcome.result;
    return this.#follow(outcome.next, wanted, redirects + 1, receive);
  }
}

function responseOf(response: HttpResponse, { key, range, etag }: WantedRange): RangeResponse {
  const { status, path } = response;
  if (status === 206) return partialResponse(response, key);
  if (status === 416) return { kind: 'unsatisfiable' };
  if (status === 200) {
    if (isPage(response) && !/\.x?html?$/i.test(key)) {
      const expected = 'the bytes of a file';
      throw nonsense(path, { what: 'response', expected, actual: 'a page of HTML' });
    }
    const whole = wholeResponse(response, key);
    const isEnough =
      range === undefined ||
      (whole.kind === 'bytes' && range.start === 0 && whole.end <= range.end);
    if (isEnough) return whole;
    const expected = 'a range (status 206)';
    throw nonsense(path, {
      what: 'server does not support ranges',
      expected,
      actual: 'status 200',
    });
  }
  const actual = `status ${status}`;
  if (status === 404 || status === 410) throw notFoundError(path);
  if (status === 412 && etag !== undefined) throw changedError(path, etag, undefined);
  if (status === 401 || status === 403 || status === 407) {
    throw new StorageError('denied', { what: 'the server refuses', path, actual });
  }
  const error = nonsense(path, { what: 'response', expected: 'a file', actual });
  throw status >= 500 || status === 429 || status === 408 ? transient(error) : error;
}

/** The target of a redirect. Throws `network` for too many, and for one to an address that must not receive secrets. */
function nextUrl(response: HttpResponse, from: URL, redirects: number): URL {
  const { path } = response;
  const location = response.header('location') ?? '';
  const url = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
  const isFit = url?.protocol === from.protocol || url?.protocol === 'https:';
  if (url === undefined || !isFit) {
    const actual = url === undefined ? location : url.protocol;
    throw nonsense(path, { what: 'redirect', expected: from.protocol, actual });
  }
  if (redirects < MAXIMUM_REDIRECTS) return url;
  throw nonsense(path, {
    what: 'redirects',
    expected: `at most ${MAXIMUM_REDIRECTS}`,
    actual: 'more',
  });
}

function parseUrl(url: unknown): URL {
  const text = typeof url === 'object' && url !== null && 'href' in url ? url.href : url;
  checkText('URL', text);
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (parsed !== undefined && /^https?:$/.test(parsed.protocol)) return parsed;
  throw badUrl(text, 'an http or https URL');
}

function decodedKey(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function badUrl(url: string, expected: string): StorageError {
  const actual = withoutCredentials(url);
  return new StorageError('invalid-input', { what: 'URL', expected, actual });
}
