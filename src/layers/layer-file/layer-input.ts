/** What a layer is read from, as callers give it. */
import { fileURLToPath } from 'node:url';
import { type ByteSource, bytesSource, checkSource } from '../../blob-writer/byte-source.ts';
import { checkMethod, checkObject, isBytes, memberOf } from '../../check-options.ts';
import { StorageError } from '../../errors.ts';
import { valueText } from '../../printable.ts';
import { checkKeyRange, type KeyRange } from '../key.ts';

/** A path, a `file:` URL, the bytes of a layer in memory (which must not change), or any source of them. */
export type LayerInput = string | URL | Uint8Array | ByteSource;

/**
 * The path, or a source of bytes.
 * Throws `invalid-input` for anything else, and for a URL that is not of a file on this machine.
 */
export function pathOrSource(input: LayerInput): string | ByteSource {
  if (typeof input === 'string') return input;
  if (isBytes(input)) return bytesSource(input);
  checkObject('layer to read', input);
  if ('href' in input) return pathOfUrl(input);
  if (!('size' in input && 'read' in input)) {
    throw new StorageError('invalid-input', {
      what: 'layer to read',
      expected: 'a path, a file URL, a Uint8Array, or a source with `size` and `read`',
    });
  }
  checkSource(input);
  return input;
}

function pathOfUrl(url: URL): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    const actual = valueText(memberOf(url, 'href'));
    const what = 'URL of the layer';
    throw new StorageError('invalid-input', { what, expected: 'a file URL', actual, cause });
  }
}

/** Throws `invalid-input` unless the value is the reader of a layer, of any copy of the library. */
export function checkReader(reader: { readonly summary: { readonly keyRange: KeyRange } }): void {
  checkMethod('reader of a layer', reader, 'batches');
  checkObject('summary of a layer', reader.summary);
  checkKeyRange(reader.summary.keyRange);
}

/** Throws `invalid-input` unless the value is a cache, of any copy of the library, null or undefined. */
export function checkBlockCache(cache: unknown): void {
  if (cache === undefined || cache === null) return;
  checkObject('blockCache', cache);
  if ('addOwner' in cache) return;
  throw new StorageError('invalid-input', { what: 'blockCache', expected: 'a BlockCache or null' });
}
