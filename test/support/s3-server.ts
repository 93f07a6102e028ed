/**
 * A server of S3 in this process, small and strict, that fails on demand. It counts what it sends, and
 * gives the bytes of `objects` by path style: `/bucket/key`.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { ObjectStore } from '../../src/object-store/object-store.ts';
import { type S3StoreOptions, s3Store } from '../../src/object-store/s3-store.ts';

export const CREDENTIALS = { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret/of+test' };
const BUCKET = 'layers';

/** How a request goes wrong. */
export type Fault =
  /** An error document, or a body as it is. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly code?: string;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The connection breaks before the answer, or after N bytes of the body. */
  | { readonly kind: 'cut'; readonly after?: number }
  /** Nothing comes any more, after N bytes of the body. */
  | { readonly kind: 'stall'; readonly after?: number }
  /** An answer with other headers than it should have; `undefined` leaves one out. */
  | { readonly kind: 'headers'; readonly headers: Readonly<Record<string, string | undefined>> }
  /** More bytes than the range has, without a length. */
  | { readonly kind: 'more' }
  /** The request is carried out, but the answer lost. */
  | { readonly kind: 'lost' };

export interface SeenRequest {
  readonly method: string;
  /** Undefined for the bucket. */
  readonly key: string | undefined;
  readonly query: URLSearchParams;
  readonly range: string | undefined;
  readonly headers: IncomingMessage['headers'];
}

interface StoredObject {
  readonly bytes: Uint8Array;
  readonly etag: string;
}

export class S3Server {
  readonly objects = new Map<string, StoredObject>();
  readonly requests: SeenRequest[] = [];
  /** Bytes of bodies that were sent. */
  bytesSent = 0;
  /** Decides which requests fail, by their number from 1 on. */
  fault: (request: SeenRequest, number: number) => Fault | undefined = () => undefined;
  /** Keys of one page of a listing. */
  pageSize = 1000;
  /** Milliseconds that the clock of the server is ahead. */
  clockOffsetMs = 0;
  region = 'us-east-1';
  /** Whether a put may be conditional on what it replaces. */
  hasPutConditions = true;
  /** Whether requests without a signature are answered. */
  isOpen = false;
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch(() => response.destroy());
  });

  static async start(): Promise<S3Server> {
    const server = new S3Server();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get endpoint(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  put(key: string, bytes: Uint8Array): void {
    const etag = `"${createHash('md5').update(bytes).digest('hex')}"`;
    this.objects.set(key, { bytes, etag });
  }

  /** Forgets what was counted. */
  reset(): void {
    this.requests.length = 0;
    this.bytesSent = 0;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://host');
    const path = url.pathname.split('/').slice(1).map(decodeURIComponent);
    const seen: SeenRequest = {
      method: request.method ?? '',
      key:
        path.length > 1 && path.join('/') !== `${path[0]}/` ? path.slice(1).join('/') : undefined,
      query: url.searchParams,
      range: request.headers.range,
      headers: request.headers,
    };
    this.requests.push(seen);
    const body = await bodyOf(request);
    const fault = this.fault(seen, this.requests.length);
    response.setHeader('date', new Date(Date.now() + this.clockOffsetMs).toUTCString());
    if (fault?.kind === 'status') {
      for (const [name, value] of Object.entries(fault.headers ?? {}))
        response.setHeader(name, value);
      return this.#fail(response, fault.status, fault.code ?? '', fault.body);
    }
    if (fault?.kind === 'stall' && fault.after === undefined) return;
    if (fault?.kind === 'cut' && fault.after === undefined) return void response.destroy();
    const denial = this.#denial(request);
    if (denial !== undefined) return this.#fail(response, 403, denial);
    if (path[0] !== BUCKET) return this.#fail(response, 404, 'NoSuchBucket');
    if (seen.method === 'PUT') this.#put(seen, body, response, fault);
    else if (seen.key === undefined) this.#list(seen.query, response, fault);
    else this.#get(seen.key, request, response, fault);
  }

  #denial({ headers }: IncomingMessage): string | undefined {
    if (this.isOpen) return undefined;
    const authorization = headers.authorization ?? '';
    if (!authorization.includes(`Credential=${CREDENTIALS.accessKeyId}/`))
      return 'InvalidAccessKeyId';
    if (!authorization.includes(`/${this.region}/s3/aws4_request`)) return 'SignatureDoesNotMatch';
    const date = String(headers['x-amz-date']).replace(
      /^(....)(..)(..)T(..)(..)(..)Z$/,
      '$1-$2-$3T$4:$5:$6Z',
    );
    const skew = Math.abs(Date.parse(date) - Date.now() - this.clockOffsetMs);
    return skew < 15 * 60_000 ? undefined : 'RequestTimeTooSkewed';
  }

  #put({ key, headers }: SeenRequest, body: Buffer, response: ServerResponse, fault?: Fault): void {
    const name = key ?? '';
    const sha256 = createHash('sha256').update(body).digest('hex');
    if (headers['x-amz-content-sha256'] !== sha256) {
      this.#fail(response, 400, 'XAmzContentSHA256Mismatch');
      return;
    }
    if (headers['if-none-match'] === '*' && this.objects.has(name)) {
      this.#fail(response, 412, 'PreconditionFailed');
      return;
    }
    const expected = headers['if-match'];
    if (expected !== undefined && !this.hasPutConditions) {
      this.#fail(response, 501, 'NotImplemented');
      return;
    }
    if (expected !== undefined && this.objects.get(name)?.etag !== expected) {
      this.#fail(response, 412, 'PreconditionFailed');
      return;
    }
    this.put(name, body);
    if (fault?.kind === 'lost') {
      response.destroy();
      return;
    }
    response.setHeader('etag', this.objects.get(name)?.etag ?? '');
    response.end();
  }

  #get(key: string, { headers }: IncomingMessage, response: ServerResponse, fault?: Fault): void {
    const object = this.objects.get(key);
    if (object === undefined) {
      this.#fail(response, 404, 'NoSuchKey');
      return;
    }
    if (headers['if-match'] !== undefined && headers['if-match'] !== object.etag) {
      this.#fail(response, 412, 'PreconditionFailed');
      return;
    }
    const { length } = object.bytes;
    const [start, last] = rangeOf(headers.range, length);
    response.setHeader('etag', object.etag);
    response.setHeader('last-modified', new Date(1e12).toUTCString());
    response.setHeader('content-type', 'binary/octet-stream');
    if (headers.range !== undefined) {
      if (start >= length) {
        response.setHeader('content-range', `bytes */${length}`);
        this.#fail(response, 416, 'InvalidRange');
        return;
      }
      response.statusCode = 206;
      response.setHeader('content-range', `bytes ${start}-${last}/${length}`);
    }
    this.#send(response, object.bytes.subarray(start, last + 1), fault);
  }

  #send(response: ServerResponse, bytes: Uint8Array, fault: Fault | undefined): void {
    response.setHeader('content-length', bytes.length);
    if (fault?.kind === 'headers') {
      for (const [name, value] of Object.entries(fault.headers)) {
        if (value === undefined) response.removeHeader(name);
        else response.setHeader(name, value);
      }
    }
    if (fault?.kind === 'cut' || fault?.kind === 'stall') {
      const part = bytes.subarray(0, fault.after);
      this.bytesSent += part.length;
      response.flushHeaders();
      response.write(part, () => {
        if (fault.kind === 'cut') response.destroy();
      });
      return;
    }
    this.bytesSent += bytes.length;
    if (fault?.kind === 'more') {
      response.removeHeader('content-length');
      response.write(bytes);
      response.end('and more');
    } else {
      response.end(bytes);
    }
  }

  #list(query: URLSearchParams, response: ServerResponse, fault?: Fault): void {
    const [prefix, delimiter] = [query.get('prefix') ?? '', query.get('delimiter')];
    const names = new Set<string>();
    for (const key of this.objects.keys()) {
      if (!key.startsWith(prefix)) continue;
      const end = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
      names.add(end < 0 ? key : key.slice(0, end + 1));
    }
    const after = query.get('continuation-token') ?? '';
    const compare = (left: string, right: string): number =>
      Buffer.compare(Buffer.from(left), Buffer.from(right));
    const rest = [...names].sort(compare).filter((name) => compare(after, name) < 0);
    const page = rest.slice(0, this.pageSize);
    const isTruncated = page.length < rest.length;
    const isUrl = query.get('encoding-type') === 'url';
    const shown = (text: string) =>
      isUrl ? encodeURIComponent(text).replaceAll('%20', '+') : text;
    const items = page.map((name) => {
      const object = this.objects.get(name);
      const isPrefix = delimiter !== null && name.endsWith(delimiter) && name !== prefix;
      if (isPrefix || object === undefined) {
        return `<CommonPrefixes><Prefix>${shown(name)}</Prefix></CommonPrefixes>`;
      }
      return `<Contents><Key>${shown(name)}</Key><LastModified>2001-09-09T01:46:40.000Z</LastModified><ETag>${object.etag.replaceAll('"', '&quot;')}</ETag><Size>${object.bytes.length}</Size></Contents>`;
    });
    const text = `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${BUCKET}</Name>${isUrl ? '<EncodingType>url</EncodingType>' : ''}<IsTruncated>${isTruncated}</IsTruncated>${isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : ''}${items.join('')}</ListBucketResult>`;
    response.setHeader('content-type', 'application/xml');
    this.#send(response, Buffer.from(text), fault);
  }

  #fail(response: ServerResponse, status: number, code: string, body?: string): void {
    response.statusCode = status;
    const document = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>told so</Message></Error>`;
    response.end(body ?? (code === '' ? '' : document));
  }
}

function rangeOf(header: string | undefined, length: number): [number, number] {
  const match = /^bytes=(\d+)-(\d+)$/.exec(header ?? '');
  if (match === null) return [0, length - 1];
  return [Number(match[1]), Math.min(Number(match[2]), length - 1)];
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A server for one test, and a store of its bucket. */
export async function startS3(
  options: Partial<S3StoreOptions> = {},
): Promise<{ server: S3Server; store: ObjectStore }> {
  const server = await S3Server.start();
  onTestFinished(() => server.stop());
  return { server, store: storeOf(server, options) };
}

/** Waits between attempts are short. */
export function storeOf(server: S3Server, options: Partial<S3StoreOptions> = {}): ObjectStore {
  return s3Store({
    bucket: BUCKET,
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: CREDENTIALS,
    firstWaitMs: 1,
    ...options,
  });
}
