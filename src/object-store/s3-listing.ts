/**
 * One page of ListObjectsV2. Keys are requested in URL encoding, since XML cannot represent all of them.
 *
 *   <ListBucketResult>
 *     <EncodingType>url</EncodingType>
 *     <Contents><Key>a%2Fb</Key><Size>12</Size><ETag>"..."</ETag><LastModified>...</LastModified></Contents>
 *     <CommonPrefixes><Prefix>a%2F</Prefix></CommonPrefixes>
 *     <IsTruncated>true</IsTruncated>
 *     <NextContinuationToken>...</NextContinuationToken>
 *   </ListBucketResult>
 */
import { byBytesOf } from '../virtual-file/name-order.ts';
import { nonsense } from './http-client.ts';
import { type ListPage, nameOf } from './listing-pages.ts';
import type { ObjectInfo } from './object-store.ts';
import { transient } from './retry.ts';
import { Element } from './xml.ts';

/** A page of 1,000 keys of 1,024 bytes in URL encoding, with room to spare. */
export const MAXIMUM_PAGE_LENGTH = 8 * 1024 * 1024;

/** Throws `network` for anything but a page of a listing. */
export function parsePage(text: string, path: string): ListPage {
  const root = Element.parse(text);
  if (root?.name !== 'ListBucketResult') {
    const actual = root === undefined ? shownStart(text) : `<${root.name}>`;
    const error = nonsense(path, { what: 'listing', expected: '<ListBucketResult>', actual });
    // A truncated body, without a length that would show this.
    throw /^\s*(<\?xml[^>]*>\s*)?<ListBucketResult/.test(text) ? transient(error) : error;
  }
  const decode = decoderOf(root, path);
  const objects = root.children('Contents').map((element) => infoOf(element, decode, path));
  const prefixes = root
    .children('CommonPrefixes')
    .map((element) => ({ prefix: decode(requiredText(element, 'Prefix', path)) }));
  const items = [...objects, ...prefixes].sort(byBytesOf(nameOf));
  return { items, next: nextOf(root, path) };
}

function nextOf(root: Element, path: string): string | undefined {
  const isTruncated = requiredText(root, 'IsTruncated', path).trim();
  if (isTruncated === 'false') return undefined;
  const token = root.textOf('NextContinuationToken');
  if (isTruncated === 'true' && token !== undefined && token !== '') return token;
  const actual = `IsTruncated ${isTruncated}, ${token === undefined ? 'no token' : 'a token'}`;
  throw nonsense(path, { what: 'listing', expected: 'an end, or a token', actual });
}

type Decode = (text: string) => string;

function decoderOf(root: Element, path: string): Decode {
  if (root.textOf('EncodingType')?.trim() !== 'url') return (text) => text;
  return (text) => {
    try {
      return decodeURIComponent(text.replaceAll('+', ' '));
    } catch {
      throw nonsense(path, { what: 'key in a listing', expected: 'URL encoding', actual: text });
    }
  };
}

function infoOf(element: Element, decode: Decode, path: string): ObjectInfo {
  const key = decode(requiredText(element, 'Key', path));
  const sizeText = requiredText(element, 'Size', path).trim();
  const size = /^\d{1,16}$/.test(sizeText) ? Number(sizeText) : Number.NaN;
  if (!Number.isSafeInteger(size)) {
    throw nonsense(path, { what: `size of ${key} in a listing`, actual: sizeText });
  }
  const etag = element.textOf('ETag')?.trim();
  const modified = new Date(element.textOf('LastModified') ?? Number.NaN);
  return {
    key,
    size,
    ...(etag ? { etag: /^(W\/)?"/.test(etag) ? etag : `"${etag}"` } : {}),
    ...(Number.isNaN(modified.getTime()) ? {} : { modified }),
  };
}

function requiredText(element: Element, name: string, path: string): string {
  const text = element.textOf(name);
  if (text !== undefined && text !== '') return text;
  throw nonsense(path, { what: 'listing', expected: `<${name}>`, actual: 'none' });
}

function shownStart(text: string): string {
  return JSON.stringify(text.trimStart().slice(0, 40));
}
