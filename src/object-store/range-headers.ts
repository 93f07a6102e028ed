/**
 * The HTTP headers of a range, and the description of an object in a response.
 *
 *   Range: bytes=0-99                     of the request, the end inclusive
 *   Content-Range: bytes 0-99/1234        of a response with status 206
 *   Content-Range: bytes * /1234          of a response with status 416 (without the space)
 */
import type { HttpResponse } from './http-client.ts';
import { nonsense } from './http-client.ts';
import type { ObjectInfo } from './object-store.ts';
import type { RangeResponse, WantedRange } from './ranged-store.ts';

/** The headers that request a range of the expected content. Weak etags cannot be used. */
export function rangeHeaders({ range, etag }: WantedRange): Record<string, string> {
  const headers: Record<string, string> = {};
  if (range !== undefined) headers['range'] = `bytes=${range.start}-${range.end - 1}`;
  if (etag?.startsWith('"')) headers['if-match'] = etag;
  return headers;
}

/**
 * The range in a response with status 206. Throws `network` if its headers are missing, or contradict each other.
 */
export function partialResponse(response: HttpResponse, key: string): RangeResponse {
  const { start, end, size } = parsedRange(
    response.header('content-range') ?? 'none',
    response.path,
  );
  checkLength(response, end - start);
  return {
    kind: 'bytes',
    info: infoOfResponse(response, key, size),
    start,
    end,
    body: response.body,
  };
}

/** The text of Content-Range; the end is exclusive. Throws `network`. */
export function parsedRange(
  text: string,
  path: string,
): { readonly start: number; readonly end: number; readonly size: number } {
  const numbers = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(text)?.slice(1).map(Number);
  const [start = 0, last = 0, size = 0] = numbers ?? [];
  if (start <= last && last < size && Number.isSafeInteger(size))
    return { start, end: last + 1, size };
  const expected = 'the range that was asked for, and the size';
  throw nonsense(path, { what: 'Content-Range', expected, actual: text });
}

/** The whole object in a response with status 200. Throws `network` without a length. */
export function wholeResponse(response: HttpResponse, key: string): RangeResponse {
  const size = lengthOf(response);
  if (size === undefined) {
    throw nonsense(response.path, { what: 'Content-Length', expected: 'a length', actual: 'none' });
  }
  const info = infoOfResponse(response, key, size);
  return { kind: 'bytes', info, start: 0, end: size, body: response.body };
}

function checkLength(response: HttpResponse, expected: number): void {
  const length = lengthOf(response);
  if (length === undefined || length === expected) return;
  const what = 'Content-Length';
  throw nonsense(response.path, { what, expected: `${expected}`, actual: `${length}` });
}

function lengthOf(response: HttpResponse): number | undefined {
  const header = response.header('content-length');
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

/** True for a page that a proxy or a login shows instead of an object. */
export function isPage(response: HttpResponse): boolean {
  return /^\s*(text\/html|application\/xhtml)/i.test(response.header('content-type') ?? '');
}

/** Without an etag, time and size take its place. Such a text is never sent: it has no quotes. */
function infoOfResponse(response: HttpResponse, key: string, size: number): ObjectInfo {
  const time = response.header('last-modified') ?? '';
  const etag = response.header('etag') ?? `${time} ${size}`;
  const modified = new Date(time);
  return Number.isNaN(modified.getTime()) ? { key, size, etag } : { key, size, etag, modified };
}
