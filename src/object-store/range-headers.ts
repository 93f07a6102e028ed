/**
 * The HTTP headers of a range, and the description of an object in an answer.
 *
 *   Range: bytes=0-99                     of the request, the end inclusive
 *   Content-Range: bytes 0-99/1234        of an answer 206
 *   Content-Range: bytes * /1234          of an answer 416 (without the space)
 */
import type { HttpAnswer } from './http-client.ts';
import { nonsense } from './http-client.ts';
import type { ObjectInfo } from './object-store.ts';
import type { RangeAnswer, WantedRange } from './ranged-store.ts';

/** The headers that request a range of the expected content. Weak etags cannot be used. */
export function rangeHeaders({ range, etag }: WantedRange): Record<string, string> {
  const headers: Record<string, string> = {};
  if (range !== undefined) headers['range'] = `bytes=${range.start}-${range.end - 1}`;
  if (etag?.startsWith('"')) headers['if-match'] = etag;
  return headers;
}

/**
 * The range in an answer 206. Throws `network` if its headers are missing, or contradict each other.
 */
export function partialAnswer(answer: HttpAnswer, key: string): RangeAnswer {
  const { start, end, size } = parsedRange(answer.header('content-range') ?? 'none', answer.path);
  checkLength(answer, end - start);
  return { kind: 'bytes', info: infoOfAnswer(answer, key, size), start, end, body: answer.body };
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

/** The whole object in an answer 200. Throws `network` without a length. */
export function wholeAnswer(answer: HttpAnswer, key: string): RangeAnswer {
  const size = lengthOf(answer);
  if (size === undefined) {
    throw nonsense(answer.path, { what: 'Content-Length', expected: 'a length', actual: 'none' });
  }
  const info = infoOfAnswer(answer, key, size);
  return { kind: 'bytes', info, start: 0, end: size, body: answer.body };
}

function checkLength(answer: HttpAnswer, expected: number): void {
  const length = lengthOf(answer);
  if (length === undefined || length === expected) return;
  const what = 'Content-Length';
  throw nonsense(answer.path, { what, expected: `${expected}`, actual: `${length}` });
}

export function lengthOf(answer: HttpAnswer): number | undefined {
  const header = answer.header('content-length');
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

/** True for a page that a proxy or a login shows instead of an object. */
export function isPage(answer: HttpAnswer): boolean {
  return /^\s*(text\/html|application\/xhtml)/i.test(answer.header('content-type') ?? '');
}

/** Without an etag, time and size take its place. Such a text is never sent: it has no quotes. */
function infoOfAnswer(answer: HttpAnswer, key: string, size: number): ObjectInfo {
  const time = answer.header('last-modified') ?? '';
  const etag = answer.header('etag') ?? `${time} ${size}`;
  const modified = new Date(time);
  return Number.isNaN(modified.getTime()) ? { key, size, etag } : { key, size, etag, modified };
}
