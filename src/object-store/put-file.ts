/**
 * Local files as objects: writes one without holding it in memory, and compares one with an object, so that
 * a repeated upload sends only what is missing.
 */
import { createHash } from 'node:crypto';
import { checkText } from '../check-options.ts';
import { throwIfAborted } from '../errors.ts';
import { absolutePath } from '../virtual-file/absolute-path.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import { VirtualFile } from '../virtual-file/virtual-file.ts';
import { checkedStore } from './foreign-store.ts';
import {
  checkRequestOptions,
  endsEarly,
  type ObjectInfo,
  type ObjectRequestOptions,
  type ObjectStore,
  pathOfObject,
  takenError,
} from './object-store.ts';

/** Options of calls that read a local file. */
export interface LocalFileOptions extends ObjectRequestOptions {
  /** Descriptors to use; default: those of the process. */
  readonly openFiles?: OpenFiles | undefined;
}

/** Bytes of a file that are in memory at a time. */
const PIECE_LENGTH = 1024 * 1024;
/** A store without `putFile` gets all bytes in one call. */
const MAXIMUM_LENGTH_AT_ONCE = 1024 * 1024 * 1024;

/**
 * Writes a new object from a local file. An existing object is never replaced.
 *
 * Requires: the file is synced, and never changes again.
 *
 * Durability: as `ObjectStore.put`.
 * @throws `exists`, `not-found` (no such file), `network`, `denied`, `io`, `aborted`, `invalid-input`,
 *   `too-large` (above 1 GiB, for a store without `putFile`).
 */
export async function putFile(
  store: ObjectStore,
  key: string,
  file: string,
  options: LocalFileOptions = {},
): Promise<ObjectInfo> {
  const checked = checkedStore(store);
  checkText('file', file);
  const { signal, openFiles } = options;
  checkRequestOptions({ signal });
  if (checked.putFile !== undefined) return checked.putFile(key, file, { signal });
  // The file is read only if it is needed.
  if ((await checked.head(key, { signal })) !== undefined)
    throw takenError(pathOfObject(checked, key));
  const opened = await VirtualFile.open(absolutePath(file), { read: true, openFiles, signal });
  try {
    const bytes = await opened.readToEnd({ maximumLength: MAXIMUM_LENGTH_AT_ONCE });
    return await checked.put(key, bytes, { ifAbsent: true, signal });
  } finally {
    await opened.close();
  }
}

/**
 * Whether an object has the content of a file. An etag that is the file's MD5 proves it without reading
 * the object; any other etag proves nothing, and the object is read.
 *
 * @throws As `ObjectStore.readRanges`; `not-found` (no such file), `io`.
 */
export async function isSameAsFile(
  store: ObjectStore,
  { key, size, etag }: ObjectInfo,
  file: string,
  options: LocalFileOptions = {},
): Promise<boolean> {
  const md5 = /^"?(?<md5>[0-9a-f]{32})"?$/.exec(etag ?? '')?.groups?.['md5'];
  if (md5 !== undefined) {
    const digest = await digestFile(file, 'md5', options);
    if (digest.length === size && digest.hex === md5) return true;
    if (digest.length !== size) return false;
  }
  const target = new Uint8Array(PIECE_LENGTH);
  let offset = 0;
  for await (const piece of piecesOf(file, options)) {
    if (offset + piece.length > size) return false;
    const ours = target.subarray(0, piece.length);
    await store.readRanges(key, [{ target: ours, offset }], { etag, signal: options.signal });
    if (Buffer.compare(ours, piece) !== 0) return false;
    offset += piece.length;
  }
  return offset === size;
}

/** The digest of a file in hex digits, and its length in bytes. Throws `not-found`, `io`, `aborted`. */
export async function digestFile(
  file: string,
  algorithm: 'md5' | 'sha256',
  options: LocalFileOptions = {},
): Promise<{ readonly hex: string; readonly length: number }> {
  const digest = createHash(algorithm);
  let length = 0;
  for await (const piece of piecesOf(file, options)) {
    digest.update(piece);
    length += piece.length;
  }
  return { hex: digest.digest('hex'), length };
}

/** The bytes of a file in pieces; each is a view that is valid until the next. */
export async function* piecesOf(
  path: string,
  { openFiles = OpenFiles.shared(), signal }: LocalFileOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await VirtualFile.open(absolutePath(path), {
    read: true,
    content: 'immutable',
    openFiles,
    signal,
  });
  try {
    const { size } = await file.stat();
    const buffer = new Uint8Array(Math.min(PIECE_LENGTH, size));
    for (let offset = 0; offset < size; ) {
      throwIfAborted(signal, path);
      const length = await file.readAt(buffer, offset);
      if (length === 0) throw endsEarly(path, offset, size);
      yield buffer.subarray(0, length);
      offset += length;
    }
  } finally {
    await file.close();
  }
}
