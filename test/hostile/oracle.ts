/**
 * What must hold of every read of any bytes at all. A read ends with a typed error of damage, or it
 * is valid by the format's own rules:
 *
 *   - entries ascend, and lie inside the ranges of the summary;
 *   - the content of each is what the bytes at its offset say;
 *   - blobs do not overlap, and all lie between the summary and the index;
 *   - backwards gives the same entries, `keys` the same keys, and `get` for each the same content;
 *   - salvaging gives the same, without damage; verifying says so, too.
 *
 * What a strict read returns before its error obeys all but the last two.
 */
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
import { StorageError, type StorageErrorCode } from '../../src/errors.ts';
import { isDamage } from '../../src/layers/damage.ts';
import type { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import type { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import type { LayerEntry } from '../../src/layers/layer-file/entry-batch.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { decodeValue } from '../../src/layers/value-format.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { Decompressor } from '../../src/zstd/decompression.ts';
import { type ReferenceLayer, referenceBlob, referenceLayer } from '../support/reference-reader.ts';

type AnyReader = DeltaLayerReader | ImageLayerReader;

export const LIMITS = {
  blockCache: null,
  nameCheck: 'ignore',
  maximumBlobLength: 1024 * 1024,
} as const;

/** `refused` was not opened; `damaged` was read up to an error; `valid` was read completely. */
export type Verdict = 'refused' | 'damaged' | 'valid';

export interface LayerCheck {
  readonly verdict: Verdict;
  /** Of the strict read. */
  readonly code: StorageErrorCode | undefined;
  readonly entryCount: number;
  /** Whether nothing at all is wrong, values included. */
  readonly verifies: boolean;
}

/** What a hostile file made us do wrong. */
export class Inconsistent extends Error {
  override readonly name = 'Inconsistent';
}

const PATH = '/layer';

/**
 * Every way of reading, or, where `quick` is set, a strict read, its contents, one search, and
 * verifying, at a third of the cost.
 *
 * Requires: `bytes` do not change meanwhile. Throws `Inconsistent`, or whatever should not be thrown.
 */
export async function checkLayer(
  bytes: Buffer,
  depth: 'full' | 'quick' = 'full',
): Promise<LayerCheck> {
  const source = bytesSource(bytes, PATH);
  const report = await verifyLayer(source, LIMITS);
  const verifies = report.ok;
  must(verifies === (report.errors === 0), 'a report is ok if it has no errors');
  for (const { offset } of report.findings)
    must(Number.isSafeInteger(offset), 'findings say where');
  const reader = await damageOf(openLayer(source, LIMITS));
  if (reader instanceof StorageError) {
    must(!verifies, 'what is not opened does not verify');
    return { verdict: 'refused', code: reader.code, entryCount: 0, verifies };
  }
  const layer = referenceLayer(bytes);
  must(layer !== undefined, 'what is opened is a layer');
  const forward = await readForward(reader, bytes, layer);
  const valueDamage = forward.entries.filter((entry) => !isValue(entry, layer)).length;
  // Read, but an error of verify.
  const hasUnfitKeys = forward.entries.some(({ key }) => !isFit(key));
  const isHiding = hidesBlocks(bytes, layer);
  const isReadable = valueDamage === 0 && !hasUnfitKeys && !isHiding;
  const { error, entries } = forward;
  if (depth === 'quick') {
    must(verifies === (error === undefined && isReadable), 'reading and verifying agree');
    const some = entries[bytes.length % Math.max(1, entries.length)];
    if (some !== undefined) await checkGet(reader, some, error);
    const verdict = error === undefined ? 'valid' : 'damaged';
    return { verdict, code: error?.code, entryCount: entries.length, verifies };
  }
  const salvaged = await salvage(reader, { ...layer, indexStart: bytes.length });
  if (error !== undefined) {
    must(salvaged.damage > 0 || salvaged.error !== undefined, 'salvaging sees the damage, too');
    must(!verifies, 'what cannot be read does not verify');
    for (const entry of entries) await checkGet(reader, entry, error);
    await readBackward(reader, layer);
    return { verdict: 'damaged', code: error.code, entryCount: entries.length, verifies };
  }
  must(verifies === isReadable, 'what can be read verifies, but for keys and what values hold');
  must(salvaged.error === undefined, 'what can be read can be salvaged');
  if (isHiding) {
    // Which of two leaves with the same keys is given, and whose values are damaged, is another matter.
    must(salvaged.blockDamage > 0, 'salvaging tells of a root that hides blocks');
  } else {
    must(salvaged.damage === valueDamage, 'salvaging finds damage in values only');
    must(salvaged.entryCount === entries.length - valueDamage, 'salvaging gives every entry');
  }
  const backward = await readBackward(reader, layer);
  must(backward.error === undefined, 'what can be read can be read backwards');
  must(backward.entries.length === entries.length, 'backwards gives as many entries');
  for (const [index, entry] of entries.entries()) {
    const other = backward.entries[entries.length - 1 - index];
    must(other !== undefined && isSame(entry, other), 'backwards gives the same entries');
    await checkGet(reader, entry, undefined);
  }
  await checkKeys(reader, entries);
  return { verdict: 'valid', code: undefined, entryCount: entries.length, verifies };
}

interface Read {
  readonly entries: readonly LayerEntry[];
  readonly error: StorageError | undefined;
}

async function readForward(reader: AnyReader, bytes: Buffer, layer: ReferenceLayer): Promise<Read> {
  const entries: LayerEntry[] = [];
  let end = 0;
  const error = await drain(reader.entries(), (entry) => {
    checkPlace(entry, entries.at(-1), layer);
    must(entry.offset >= end, 'blobs do not overlap');
    end = entry.offset + entry.storedLength;
    checkContent(entry, bytes, layer);
    entries.push(entry);
  });
  return { entries, error };
}

async function readBackward(reader: AnyReader, layer: ReferenceLayer): Promise<Read> {
  const entries: LayerEntry[] = [];
  const error = await drain(reader.entries({ reverse: true }), (entry) => {
    const last = entries.at(-1);
    checkPlace(entry, undefined, layer);
    must(last === undefined || compare(entry, last) < 0, 'entries descend');
    entries.push(entry);
  });
  return { entries, error };
}

/** The index may lie elsewhere than the summary says: values end before the end of the file. */
async function salvage(reader: AnyReader, layer: ReferenceLayer) {
  let damage = 0;
  let blockDamage = 0;
  let entryCount = 0;
  let last: LayerEntry | undefined;
  const error = await drain(reader.salvage(), (item) => {
    if (item.kind === 'loose-blob') return;
    if (item.kind !== 'entry') {
      damage += 1;
      if (item.kind === 'damaged-block') blockDamage += 1;
      checkDamage(item.error);
      return;
    }
    checkPlace(item.entry, last, layer);
    last = item.entry;
    entryCount += 1;
  });
  return { error, damage, blockDamage, entryCount };
}

async function checkKeys(reader: AnyReader, entries: readonly LayerEntry[]): Promise<void> {
  let index = 0;
  const error = await drain(reader.keys(), (key) => {
    const entry = entries[index];
    must(entry !== undefined && compare(key, entry) === 0, 'keys are those of the entries');
    index += 1;
  });
  must(error === undefined && index === entries.length, 'there are as many keys as entries');
}

/** In a damaged layer a search may meet damage that a scan has not met yet, but no other entry. */
async function checkGet(
  reader: AnyReader,
  entry: LayerEntry,
  scanError: StorageError | undefined,
): Promise<void> {
  const found = await damageOf(reader.get(entry.key, entry.lsn));
  if (found instanceof StorageError) {
    must(scanError !== undefined, 'what a scan reads, get finds');
    return;
  }
  must(found !== undefined && isSame(found, entry), 'get gives what the scan gives');
}

function checkPlace(entry: LayerEntry, last: LayerEntry | undefined, layer: ReferenceLayer): void {
  const { key, lsn, offset, storedLength } = entry;
  must(key.length === 18, 'keys have 18 bytes');
  must(Buffer.compare(key, layer.firstKey) >= 0, 'keys are not below the range');
  must(Buffer.compare(key, layer.endKey) < 0, 'keys are below the end of the range');
  must(lsn >= layer.firstLsn && lsn < layer.endLsn, 'LSNs are in the range');
  must(offset >= 8192 && offset + storedLength <= layer.indexStart, 'blobs lie in the values');
  must(last === undefined || compare(last, entry) < 0, 'entries ascend');
}

function checkContent(entry: LayerEntry, bytes: Buffer, layer: ReferenceLayer): void {
  const blob = referenceBlob(bytes, entry.offset, layer.indexStart);
  must(blob !== undefined, 'there is a blob');
  must(blob.storedLength === entry.storedLength, 'a blob is as long as its header says');
  must(blob.compressed === entry.compressed, 'a blob is compressed if its header says so');
  const content = blob.compressed ? decompressed(blob.payload) : blob.payload;
  must(Buffer.compare(content, entry.bytes) === 0, 'the content is what the bytes say');
}

function decompressed(frame: Uint8Array): Uint8Array {
  const { loaded } = Decompressor;
  must(loaded !== undefined, 'the reader has loaded it');
  return loaded.decompress(frame, DECOMPRESSION_LIMITS);
}

const DECOMPRESSION_LIMITS = {
  maximumLength: LIMITS.maximumBlobLength,
  maximumWindowSize: 8 * 1024 * 1024,
};

/** A root that is a leaf, though the index has other blocks: what they hold is never found. */
function hidesBlocks(bytes: Buffer, { kind, indexStart }: ReferenceLayer): boolean {
  const root = bytes.readUInt32BE(kind === 'delta' ? 92 : 84);
  return root > 0 && bytes[indexStart + root * 8192 + 2] === 0;
}

/** 7 bits of the first byte, 16 of the next four, or one of two values there. */
function isFit(key: Uint8Array): boolean {
  const second = Buffer.from(key).readUInt32BE(1);
  const isSecondFit = second <= 0xffff || second === 0xffff_ffff || second === 0x2222_2222;
  return (key[0] ?? 0xff) <= 0x7f && isSecondFit;
}

function isValue(entry: LayerEntry, layer: ReferenceLayer): boolean {
  if (layer.kind === 'image') return true;
  try {
    decodeValue(entry.bytes);
    return true;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
}

function isSame(left: LayerEntry, right: LayerEntry): boolean {
  return (
    compare(left, right) === 0 &&
    left.offset === right.offset &&
    left.willInit === right.willInit &&
    left.storedLength === right.storedLength &&
    Buffer.compare(left.bytes, right.bytes) === 0
  );
}

function compare(
  left: Pick<LayerEntry, 'key' | 'lsn'>,
  right: Pick<LayerEntry, 'key' | 'lsn'>,
): number {
  const order = Buffer.compare(left.key, right.key);
  return order !== 0 ? order : left.lsn < right.lsn ? -1 : left.lsn > right.lsn ? 1 : 0;
}

/** Up to the first error of damage, which is returned. */
async function drain<T>(
  items: AsyncIterable<T>,
  onItem: (item: T) => void,
): Promise<StorageError | undefined> {
  try {
    for await (const item of items) onItem(item);
    return undefined;
  } catch (error) {
    return checkDamage(error);
  }
}

async function damageOf<T>(promise: Promise<T>): Promise<T | StorageError> {
  try {
    return await promise;
  } catch (error) {
    return checkDamage(error);
  }
}

/** Every error of a bad file is one of damage, and says where. */
function checkDamage(error: unknown): StorageError {
  if (!isDamage(error)) throw error;
  must(error.path === PATH, 'errors name the file');
  must(Number.isSafeInteger(error.offset), 'errors say where');
  return error;
}

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Inconsistent(what);
}
