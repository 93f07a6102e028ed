/**
 * Compares the values of two entries. The image of an image layer equals the value of a delta layer that holds the
 * same image. Values that may be larger than 1 MiB are never in memory: their digests are compared.
 */
import { createHash } from 'node:crypto';
import { isStorageError, type StorageError } from '../../errors.ts';
import { FirstBytes } from '../../layers/layer-file/large-value.ts';
import { locateValueError } from '../../layers/layer-file/salvage.ts';
import { IMAGE_HEADER_SIZE } from '../../layers/value-format.ts';
import { outlineOfValue, VALUE_OUTLINE_SIZE } from '../../layers/value-outline.ts';
import type { DiffInput } from './input.ts';

/** Whether the value is an image or a record; an undecodable one counts as a record. Throws as `digestOf`. */
export function contentKind(input: DiffInput): 'image' | 'record' | Promise<'image' | 'record'> {
  if (input.isImage) return 'image';
  if (input.large !== undefined) return beginOf(input).then(kindOf);
  return kindOf(bytesOf(input));
}

function kindOf(begin: Uint8Array): 'image' | 'record' {
  return isImageValue(begin) ? 'image' : 'record';
}

/**
 * Whether the values of two entries are equal. Returns a promise if one of them must be streamed; it rejects with the
 * error of the value.
 */
export function sameContent(a: DiffInput, b: DiffInput): boolean | Promise<boolean> {
  if (a.large !== undefined || b.large !== undefined) return sameDigest(a, b);
  if (a.isImage === b.isImage) return sameRow(a, b);
  const [one, other] = [imageBytes(a), imageBytes(b)];
  return one !== undefined && other !== undefined && Buffer.compare(one, other) === 0;
}

/** Why the value of an entry of a delta layer is not valid; undefined if it is, or may be. */
export function valueError(input: DiffInput): StorageError | undefined {
  if (input.isImage || input.large !== undefined) return undefined;
  try {
    outlineOfValue(bytesOf(input));
    return undefined;
  } catch (error) {
    if (!isStorageError(error)) throw error;
    const { key, lsn, offset, storedLength, compressed, reader } = input;
    const entry = { key, lsn, offset, storedLength, compressed, bytes: bytesOf(input) };
    return locateValueError(error, entry, reader.path);
  }
}

/** Number of entries from which comparing whole arrays pays off. */
const SHORTEST_RUN = 4;

/**
 * Whether the next `count` entries of both are stored in the same way: keys, LSNs, flags, lengths and stored bytes.
 * Requires: both have that many in memory.
 */
export function sameRun(a: DiffInput, b: DiffInput, count: number): boolean {
  const [left, right] = [a.batch, b.batch];
  if (count < SHORTEST_RUN || left === undefined || right === undefined) return false;
  if (a.isImage !== b.isImage) return false;
  const [at, to] = [a.row, b.row];
  for (const [name, size] of ARRAYS) {
    const [one, other] = [a.bytes[name], b.bytes[name]];
    const order = one.compare(
      other,
      to * size,
      (to + count) * size,
      at * size,
      (at + count) * size,
    );
    if (order !== 0) return false;
  }
  const shift = (left.starts[at] ?? 0) - (right.starts[to] ?? 0);
  for (let step = 1; step < count; step += 1) {
    if ((left.starts[at + step] ?? 0) - (right.starts[to + step] ?? 0) !== shift) return false;
  }
  const last = at + count - 1;
  const from = left.starts[at] ?? 0;
  const end = (left.starts[last] ?? 0) + (left.lengths[last] ?? 0);
  if (end < from) return false;
  return a.buffer.compare(b.buffer, from - shift, end - shift, from, end) === 0;
}

/** Arrays of a batch, and the bytes of an entry in each. */
const ARRAYS = [
  ['keys', 18],
  ['lsns', 8],
  ['willInit', 1],
  ['compressed', 1],
  ['storedLengths', 4],
  ['lengths', 4],
] as const;

function sameRow(a: DiffInput, b: DiffInput): boolean {
  const [left, right] = [a.batch, b.batch];
  if (left === undefined || right === undefined) return false;
  if (a.compressed || b.compressed) return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
  const length = left.lengths[a.row] ?? 0;
  if (length !== right.lengths[b.row]) return false;
  const from = left.starts[a.row] ?? 0;
  const to = right.starts[b.row] ?? 0;
  return a.buffer.compare(b.buffer, to, to + length, from, from + length) === 0;
}

/** The content of an entry of a batch; a view. */
function bytesOf(input: DiffInput): Uint8Array {
  return input.batch?.bytes(input.row) ?? NO_BYTES;
}

const NO_BYTES = new Uint8Array(0);

function imageBytes(input: DiffInput): Uint8Array | undefined {
  const bytes = bytesOf(input);
  if (input.isImage) return bytes;
  return isImageValue(bytes) ? bytes.subarray(IMAGE_HEADER_SIZE) : undefined;
}

/** By the tag, which the first bytes hold. */
function isImageValue(begin: Uint8Array): boolean {
  const [first, second, third, fourth] = begin;
  return (
    begin.length >= IMAGE_HEADER_SIZE && first === 0 && second === 0 && third === 0 && fourth === 0
  );
}

/** The digests of two large values, one after the other: nothing of either is kept. */
async function sameDigest(a: DiffInput, b: DiffInput): Promise<boolean> {
  const areLikeKinds = a.isImage === b.isImage;
  const one = await digestOf(a, areLikeKinds ? 'value' : 'image');
  const other = await digestOf(b, areLikeKinds ? 'value' : 'image');
  return one !== undefined && one === other;
}

/**
 * Digest and length of the content, or of the image in it. Returns undefined if there is no image. Throws the error of
 * the value; `io`, `aborted`.
 */
async function digestOf(input: DiffInput, part: 'value' | 'image'): Promise<string | undefined> {
  const hash = createHash('sha256');
  let skipped = part === 'image' && !input.isImage ? IMAGE_HEADER_SIZE : 0;
  if (skipped > 0 && (await contentKind(input)) !== 'image') return undefined;
  const add = (piece: Uint8Array): void => {
    const rest = piece.subarray(skipped);
    skipped -= piece.length - rest.length;
    hash.update(rest);
  };
  if (input.large === undefined) add(bytesOf(input));
  else await streamed(input, add);
  return hash.digest('hex');
}

async function streamed(input: DiffInput, onPiece: (piece: Uint8Array) => void): Promise<void> {
  const length = await input.large?.stream(onPiece);
  if (typeof length !== 'number' && length !== undefined) throw length.error;
}

/** The first bytes of a large value: the rest of it is not read. */
async function beginOf(input: DiffInput): Promise<Uint8Array> {
  const begin = new FirstBytes(VALUE_OUTLINE_SIZE);
  const enough = new Error('enough was read');
  try {
    await streamed(input, (piece) => {
      begin.add(piece);
      throw enough;
    });
  } catch (error) {
    if (error !== enough) throw error;
  }
  return begin.bytes;
}
