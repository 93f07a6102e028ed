/**
 * One HTTP exchange: a bounded number in flight, a timeout for silence and one for the whole exchange,
 * no redirect followed, no content decoded. Nothing that a server sends is trusted.
 */
import { checkCount, isBytes, type KnownOptions } from '../check-options.ts';
import { abortedError, isStorageError, StorageError } from '../errors.ts';
import { onAbort } from '../on-abort.ts';
import { messageOf } from '../realms.ts';
import { Limiter } from '../virtual-file/limiter.ts';
import { errnoOf } from '../virtual-file/system-error.ts';
import { checkRetryOptions, RETRY_OPTIONS, type RetryOptions, transient } from './retry.ts';

/** Options that all network stores share. */
export interface NetworkOptions extends RetryOptions {
  /**
   * Milliseconds without a byte after which an attempt ends; default 30,000. The whole exchange may take twice as long,
   * plus a second for every 64 KiB.
   */
  readonly timeoutMs?: number | undefined;
  /** Maximum number of requests in flight; default 32. Others wait. */
  readonly maximumInFlight?: number | undefined;
  /** Sends the requests, for proxies and connections of your own; default: `fetch` of the process. */
  readonly fetch?: typeof globalThis.fetch | undefined;
}

export const NETWORK_OPTIONS: KnownOptions<NetworkOptions> = {
  ...RETRY_OPTIONS,
  timeoutMs: true,
  maximumInFlight: true,
  fetch: 'function',
};

const DEFAULT_TIMEOUT_MS = 30_000;
const MAXIMUM_TIMEOUT_MS = 24 * 60 * 60 * 1000;
const DEFAULT_IN_FLIGHT = 32;
/** Below this rate, a server counts as failed. */
const SLOWEST_BYTES_PER_MS = 64;

/** Throws `invalid-input`. */
export function checkNetworkOptions(options: NetworkOptions): void {
  checkRetryOptions(options);
  const { timeoutMs, maximumInFlight } = options;
  const bounds = { from: 1, to: MAXIMUM_TIMEOUT_MS };
  if (timeoutMs !== undefined) checkCount('timeoutMs', timeoutMs, bounds);
  if (maximumInFlight !== undefined) checkCount('maximumInFlight', maximumInFlight, { from: 1 });
  if (options.fetch === undefined || typeof options.fetch === 'function') return;
  throw new StorageError('invalid-input', { what: 'fetch', expected: 'a function' });
}

export interface HttpRequest {
  readonly method: 'GET' | 'PUT';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes, or a file that is read as it is sent. */
  readonly body?: Uint8Array | Blob | undefined;
  /** Bytes that are sent or expected, for the timeout. */
  readonly length: number;
  /** The object, as named in messages. */
  readonly path: string;
  readonly signal: AbortSignal | undefined;
}

/** The response to a request, valid until its receiver has returned. */
export interface HttpResponse {
  readonly status: number;
  readonly path: string;
  header(name: string): string | undefined;
  /** The body, as it arrives; can be read once. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The body as text. Throws `network` if it is longer. */
  text(maximumLength: number): Promise<string>;
}

export class HttpClient {
  readonly #limiter: Limiter;
  readonly #timeoutMs: number;
  readonly #fetch: typeof globalThis.fetch | undefined;

  constructor({ fetch, timeoutMs, maximumInFlight }: NetworkOptions) {
    this.#limiter = new Limiter(maximumInFlight ?? DEFAULT_IN_FLIGHT);
    this.#timeoutMs = timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#fetch = fetch;
  }

  /**
   * Sends the request and returns the result of `receive` for the response; closes the connection if `receive` does not
   * read the whole body. Throws: errors of `receive`; `network`, marked as transient if another attempt may succeed;
   * `aborted`.
   */
  async exchange<T>(
    request: HttpRequest,
    receive: (response: HttpResponse) => Promise<T>,
  ): Promise<T> {
    const { signal, path } = request;
    await this.#limiter.enter(signal);
    const sendingMs =
      request.body === undefined ? 0 : Math.ceil(request.length / SLOWEST_BYTES_PER_MS);
    const watch = new Watch(this.#timeoutMs + sendingMs, request.length);
    const stopListening = signal === undefined ? undefined : onAbort(signal, () => watch.cut());
    try {
      if (signal?.aborted) throw abortedError(signal, path);
      return await receive(await this.#send(request, watch));
    } catch (error) {
      if (signal?.aborted) throw abortedError(signal, path);
      throw isStorageError(error) ? error : connectionError(error, path, watch.expired);
    } finally {
      stopListening?.();
      watch.cut();
      this.#limiter.leave();
    }
  }

  async #send(
    { method, url, headers, body, path }: HttpRequest,
    watch: Watch,
  ): Promise<HttpResponse> {
    const send = this.#fetch ?? globalThis.fetch;
    const response = await send(url, {
      method,
      headers: { 'accept-encoding': 'identity', ...headers },
      body: isBytes(body) ? new Uint8Array(body) : (body ?? null),
      redirect: 'manual',
      signal: watch.signal,
    });
    watch.noteBytes();
    const header = (name: string): string | undefined => response.headers.get(name) ?? undefined;
    const encoding = header('content-encoding');
    if (encoding !== undefined && encoding !== 'identity' && response.status < 300) {
      throw nonsense(path, {
        what: 'encoding of the response',
        expected: 'none',
        actual: encoding,
      });
    }
    const bytes = chunksOf(response, watch);
    return {
      status: response.status,
      path,
      header,
      body: bytes,
      text: (maximumLength) => textOf(bytes, maximumLength, path),
    };
  }
}

/** The timeouts of one exchange. */
class Watch {
  readonly #controller = new AbortController();
  readonly #silence: NodeJS.Timeout;
  readonly #whole: NodeJS.Timeout;
  /** Why the exchange timed out. */
  expired: string | undefined;

  constructor(timeoutMs: number, length: number) {
    const wholeMs = 2 * timeoutMs + Math.ceil(length / SLOWEST_BYTES_PER_MS);
    this.#silence = setTimeout(() => this.#expire(`no byte for ${timeoutMs} ms`), timeoutMs);
    const expireWhole = (): void => this.#expire(`no complete response in ${wholeMs} ms`);
    this.#whole = setTimeout(expireWhole, Math.min(wholeMs, MAXIMUM_TIMEOUT_MS));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  noteBytes(): void {
    this.#silence.refresh();
  }

  /** Ends the exchange. Idempotent. */
  cut(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#whole);
    this.#controller.abort();
  }

  #expire(reason: string): void {
    this.expired ??= reason;
    this.cut();
  }
}

async function* chunksOf({ body }: Response, watch: Watch): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  for await (const chunk of body) {
    watch.noteBytes();
    yield chunk;
  }
}

async function textOf(
  body: AsyncIterable<Uint8Array>,
  maximumLength: number,
  path: string,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > maximumLength) {
      const expected = `at most ${maximumLength} bytes`;
      throw nonsense(path, { what: 'length of the response', expected, actual: 'more' });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length).toString('utf8');
}

/** Errors of a connection for which a retry is useless: names, certificates, addresses. */
const PERMANENT =
  /^(ENOTFOUND|ERR_TLS|ERR_SSL|ERR_INVALID_URL|CERT_|UNABLE_|SELF_SIGNED|DEPTH_ZERO)/;

function connectionError(error: unknown, path: string, expired: string | undefined): StorageError {
  if (expired !== undefined) {
    return transient(
      new StorageError('network', { what: `timeout: ${expired}`, path, cause: error }),
    );
  }
  const cause: unknown = Object(error).cause ?? error;
  const errno = errnoOf(cause);
  const what = `cannot reach the server: ${errno ?? messageOf(cause)}`;
  const failure = new StorageError('network', { what, path, errno, cause: error });
  return PERMANENT.test(errno ?? '') ? failure : transient(failure);
}

interface Nonsense {
  readonly what: string;
  readonly expected?: string | undefined;
  readonly actual?: string | undefined;
}

/** The error for a response that a correct server never gives. */
export function nonsense(path: string, details: Nonsense): StorageError {
  return new StorageError('network', { ...details, path });
}
