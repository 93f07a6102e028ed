/**
 * The layout of a layer file: every byte belongs to exactly one range, and each range has a meaning.
 *
 * Values are listed in the order of the index leaves, which is the order in which a writer appends them. Bytes that no
 * leaf refers to form a separate range, and so does a run of index blocks that cannot be decoded, so that the ranges
 * cover the complete file even if it is damaged.
 */
import {
  type BlobHeader,
  blobHeaderSizeOfFirstByte,
  decodeBlobHeader,
  MAXIMUM_BLOB_HEADER_SIZE,
} from '../../blob-writer/blob-format.ts';
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import {
  checkOpenFiles,
  checkOptions,
  checkSignal,
  type KnownOptions,
} from '../../check-options.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import { isDamage } from '../damage.ts';
import { type ListedBlock, listBlocks } from '../disk-btree/block-listing.ts';
import { decodeNode } from '../disk-btree/decode-node.ts';
import { IndexBlocks } from '../disk-btree/index-blocks.ts';
import type { IndexNode } from '../disk-btree/index-node.ts';
import { NODE_HEADER_SIZE, NODE_VALUE_SIZE } from '../disk-btree/node-format.ts';
import { formatIdentifier, IDENTIFIER_SIZE } from '../identifier.ts';
import { formatKey, KEY_SIZE } from '../key.ts';
import { formatPgLsn } from '../lsn.ts';
import { outlineOfBegin, VALUE_OUTLINE_SIZE } from '../value-outline.ts';
import { type EntryLayout, entryAt, type IndexEntry, layoutOf } from './entry-layout.ts';
import type { LayerInput } from './layer-input.ts';
import { openSource } from './open-file.ts';
import { readSummaryBlock } from './summary.ts';
import {
  decodeSummary,
  type LayerSummary,
  SUMMARY_FIELDS,
  type SummaryField,
  summarySize,
} from './summary-format.ts';

/** A run of bytes with one meaning. */
export interface LayoutRange {
  /** Which part of the file the range lies in; `rest` follows the index. */
  readonly part: 'summary' | 'values' | 'padding' | 'index' | 'rest';
  /** In the index: number of the block, relative to the start of the index. */
  readonly block?: number | undefined;
  /** Offset of the first byte, from the start of the file. */
  readonly offset: number;
  /** Number of bytes; at least 1. */
  readonly length: number;
  /** What the bytes are, as a noun phrase: `blob header`. */
  readonly what: string;
  /** The decoded content, if there is one to show. */
  readonly detail?: string | undefined;
  /** Why the bytes are not valid. */
  readonly error?: StorageError | undefined;
}

/** Options of `fileLayout`. */
export interface FileLayoutOptions {
  /** Default: the table shared by the process. */
  readonly openFiles?: OpenFiles | undefined;
  /** Ends the listing before its next range. */
  readonly signal?: AbortSignal | undefined;
}

const LAYOUT_OPTIONS: KnownOptions<FileLayoutOptions> = { openFiles: true, signal: true };

/**
 * Lists the meaning of every byte of a layer file.
 *
 * @param from - path of the file, or a source of its bytes
 * @returns ranges in ascending order of their offsets, without gaps, from 0 to the end of the file.
 * Memory use does not depend on the size of the file. In a sparse file, a long hole in the index is one
 * range, which is not read.
 * @throws `truncated`, `corrupt` or `unsupported-version` if the summary cannot be read; after the
 * last range `truncated` or `out-of-range` if the index does not lie in the file; `io`, `aborted`.
 * `not-found` for a path. Any other damage is reported as a range with an `error`.
 */
export async function* fileLayout(
  from: LayerInput,
  options: FileLayoutOptions = {},
): AsyncGenerator<LayoutRange> {
  checkOptions(options, LAYOUT_OPTIONS);
  const { openFiles, signal } = options;
  checkOpenFiles(openFiles);
  checkSignal(signal);
  const { source, close } = await openSource(from, { openFiles });
  try {
    yield* sourceLayout(source, signal);
  } finally {
    await close();
  }
}

async function* sourceLayout(
  source: ByteSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<LayoutRange> {
  const block = await readSummaryBlock(source);
  const summary = decodeSummary(block, source.path);
  const listing = new Listing(source, summary, signal);
  yield* summaryRanges(block, summary);
  yield* joinDamage(listing.values());
  yield* joinDamage(listing.index());
}

/** Damaged ranges of one kind that follow each other become one, with the error of the first. */
async function* joinDamage(ranges: AsyncIterable<LayoutRange>): AsyncGenerator<LayoutRange> {
  let damage: LayoutRange | undefined;
  let what = '';
  for await (const range of ranges) {
    if (damage !== undefined && range.error !== undefined && range.what === what) {
      const length = damage.length + range.length;
      damage = { ...damage, length, what: `${what}s`, detail: undefined };
      continue;
    }
    if (damage !== undefined) yield damage;
    damage = range.error === undefined ? undefined : range;
    what = range.what;
    if (damage === undefined) yield range;
  }
  if (damage !== undefined) yield damage;
}

function* summaryRanges(block: Uint8Array, { kind }: LayerSummary): Generator<LayoutRange> {
  for (const field of SUMMARY_FIELDS[kind]) {
    const { name: what, offset, size: length } = field;
    yield { part: 'summary', offset, length, what, detail: describeField(block, field) };
  }
  yield fillRange('summary', block.subarray(summarySize(kind)), summarySize(kind));
}

function describeField(block: Uint8Array, { offset, size }: SummaryField): string {
  const view = new DataView(block.buffer, block.byteOffset + offset, size);
  switch (size) {
    case 2:
      return offset === 0 ? `0x${view.getUint16(0).toString(16)}` : `${view.getUint16(0)}`;
    case 4:
      return `${view.getUint32(0)}`;
    case 8:
      return formatPgLsn(view.getBigUint64(0));
    case IDENTIFIER_SIZE:
      return formatIdentifier(block, offset);
    default:
      return formatKey(block.subarray(offset, offset + KEY_SIZE));
  }
}

/** A range of bytes that should be zeros. */
function fillRange(part: LayoutRange['part'], bytes: Uint8Array, offset: number): LayoutRange {
  const isZero = bytes.every((byte) => byte === 0);
  return { part, offset, length: bytes.length, what: isZero ? 'zeros' : 'bytes other than zeros' };
}

/** The values follow the summary, and the index follows at least one block of them. */
const VALUES_START = BLOCK_SIZE;

class Listing {
  readonly #source: ByteSource;
  readonly #claimed: IndexBlocks;
  readonly #layout: EntryLayout;
  readonly #isDelta: boolean;
  readonly #indexStart: number;
  readonly #signal: AbortSignal | undefined;
  /** Bytes of the values, read ahead. */
  readonly #window: Window;
  /** Complete blocks of the index in the source; undefined if there are none. */
  readonly #present: IndexBlocks | undefined;

  constructor(source: ByteSource, summary: LayerSummary, signal: AbortSignal | undefined) {
    const { indexStartBlock, indexRootBlock, kind } = summary;
    this.#source = source;
    this.#claimed = new IndexBlocks(source, {
      startBlock: indexStartBlock,
      rootBlock: indexRootBlock,
    });
    this.#layout = layoutOf(summary);
    this.#isDelta = kind === 'delta';
    this.#indexStart = Math.max(VALUES_START, indexStartBlock * BLOCK_SIZE);
    this.#signal = signal;
    this.#window = new Window(source);
    const present = Math.floor((source.size - this.#indexStart) / BLOCK_SIZE);
    const rootBlock = Math.min(present - 1, indexRootBlock);
    const isPresent = this.#indexStart > VALUES_START && rootBlock >= 0;
    this.#present = isPresent
      ? new IndexBlocks(source, { startBlock: indexStartBlock, rootBlock })
      : undefined;
  }

  async *values(): AsyncGenerator<LayoutRange> {
    const end = Math.min(this.#indexStart, this.#source.size);
    let at = VALUES_START;
    for await (const entry of this.#entries()) {
      throwIfAborted(this.#signal, this.#source.path);
      // The blob overlaps one before it; `verify` reports that.
      if (entry.offset < at) continue;
      if (entry.offset >= end) break;
      if (entry.offset > at) yield unindexed(at, entry.offset);
      at = entry.offset;
      for (const range of await this.#blob(entry, end)) {
        yield range;
        at += range.length;
      }
    }
    if (at < end) yield* this.#afterValues(at, end);
  }

  async *index(): AsyncGenerator<LayoutRange> {
    let end = this.#indexStart;
    for await (const listed of this.#listed()) {
      throwIfAborted(this.#signal, this.#source.path);
      for (const range of this.#blockRanges(listed)) {
        yield range;
        end += range.length;
      }
    }
    const length = this.#source.size - end;
    if (length > 0) yield { part: 'rest', offset: end, length, what: 'bytes after the index' };
    this.#claimed.checkLocation();
  }

  /** The blocks of the index. Long holes of a sparse file are one item. */
  async *#listed(): AsyncGenerator<ListedBlock> {
    if (this.#present === undefined) return;
    yield* listBlocks(this.#present, (bytes, block) => this.#decode(bytes, block));
  }

  /** Entries of all leaves that can be decoded, in the order of their blocks. */
  async *#entries(): AsyncGenerator<IndexEntry> {
    for await (const node of this.#listed()) {
      throwIfAborted(this.#signal, this.#source.path);
      if ('error' in node || node.level > 0) continue;
      for (let index = 0; index < node.entryCount; index += 1) {
        yield entryAt(this.#layout, node, index);
      }
    }
  }

  /** Returns: header and content, or one range with an error if the header is damaged. */
  async #blob(entry: IndexEntry, end: number): Promise<LayoutRange[]> {
    const { offset } = entry;
    const name = `${formatKey(entry.key)} at ${formatPgLsn(entry.lsn)}`;
    try {
      const header = await this.#header(offset, end);
      const { headerSize, storedLength: length } = header;
      const contentAt = offset + headerSize;
      const type = await this.#describeContent(header, contentAt);
      const ranges: LayoutRange[] = [
        {
          part: 'values',
          offset,
          length: headerSize,
          what: 'blob header',
          detail: `${length} bytes, ${header.compressed ? 'zstd' : 'plain'}`,
        },
      ];
      if (length > 0) {
        const detail = `${type}, ${name}`;
        ranges.push({ part: 'values', offset: contentAt, length, what: 'blob', detail });
      }
      return ranges;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return [
        { part: 'values', offset, length: 1, what: 'damaged blob header', detail: name, error },
      ];
    }
  }

  async #header(offset: number, end: number): Promise<BlobHeader> {
    const available = Math.min(MAXIMUM_BLOB_HEADER_SIZE, end - offset);
    const bytes = await this.#window.bytes(offset, available);
    const size = blobHeaderSizeOfFirstByte(bytes[0] as number);
    const header = decodeBlobHeader(bytes.subarray(0, size), 0, offset);
    if (offset + header.headerSize + header.storedLength <= end) return header;
    throw new StorageError('truncated', {
      what: 'blob reaches beyond the values',
      path: this.#source.path,
      offset,
      expected: `at most ${end - offset - header.headerSize} bytes`,
      actual: `${header.storedLength}`,
    });
  }

  async #describeContent(header: BlobHeader, offset: number): Promise<string> {
    if (!this.#isDelta) return 'image';
    if (header.compressed) return 'compressed value';
    const { storedLength } = header;
    const begin = await this.#window.bytes(offset, Math.min(VALUE_OUTLINE_SIZE, storedLength));
    try {
      return outlineOfBegin(begin, storedLength)?.type ?? 'aux_file';
    } catch (error) {
      if (!isDamage(error)) throw error;
      return 'undecodable value';
    }
  }

  /** The bytes between the last blob and the index: zeros up to the next block unless damaged. */
  async *#afterValues(at: number, end: number): AsyncGenerator<LayoutRange> {
    if (end - at < BLOCK_SIZE) {
      const bytes = await this.#window.bytes(at, end - at);
      if (bytes.every((byte) => byte === 0)) {
        yield { part: 'padding', offset: at, length: end - at, what: 'zeros' };
        return;
      }
    }
    yield unindexed(at, end);
  }

  *#blockRanges(listed: ListedBlock): Generator<LayoutRange> {
    const { block } = listed;
    const offset = this.#indexStart + block * BLOCK_SIZE;
    if ('error' in listed) {
      const { error } = listed;
      const isSkipped = 'blockCount' in listed;
      const length = isSkipped ? listed.blockCount * BLOCK_SIZE : BLOCK_SIZE;
      const what = isSkipped ? 'blocks that are not examined' : 'damaged index block';
      yield { part: 'index', block, offset, length, what, error };
      return;
    }
    const node = listed;
    let at = offset;
    for (const { length, what, detail } of this.#nodeParts(node)) {
      if (length === 0) continue;
      yield { part: 'index', block, offset: at, length, what, detail };
      at += length;
    }
    if (node.usedSize < BLOCK_SIZE) {
      yield { ...fillRange('index', node.bytes.subarray(node.usedSize), at), block };
    }
  }

  #nodeParts(node: IndexNode): { length: number; what: string; detail?: string }[] {
    const { entryCount, level, prefixLength, suffixLength } = node;
    const kind = level === 0 ? 'leaf' : `level ${level}`;
    const entries = entryCount === 1 ? '1 entry' : `${entryCount} entries`;
    const key = (index: number) => this.#describeKey(node, index);
    const value = (index: number) =>
      level === 0
        ? `offset ${this.#layout.offset(node, index)}`
        : `block ${node.childBlock(index)}`;
    return [
      {
        length: NODE_HEADER_SIZE,
        what: 'node header',
        detail: `${kind}, ${entries}, prefix ${prefixLength} and suffix ${suffixLength} bytes`,
      },
      { length: prefixLength, what: 'prefix' },
      {
        length: entryCount * suffixLength,
        what: 'suffixes',
        detail: firstAndLast(entryCount, key),
      },
      {
        length: entryCount * NODE_VALUE_SIZE,
        what: 'node values',
        detail: firstAndLast(entryCount, value),
      },
    ];
  }

  #describeKey(node: IndexNode, index: number): string {
    const key = formatKey(node.keyBegin(index, KEY_SIZE));
    if (!this.#isDelta) return key;
    return `${key} at ${formatPgLsn(this.#layout.lsn(node, index))}`;
  }

  #decode(bytes: Uint8Array, block: number): IndexNode | StorageError {
    const { keySize } = this.#layout;
    const fileOffset = this.#indexStart + block * BLOCK_SIZE;
    return decodeNode(bytes, { block, keySize, fileOffset });
  }
}

function firstAndLast(count: number, describe: (index: number) => string): string {
  return count === 1 ? describe(0) : `${describe(0)} to ${describe(count - 1)}`;
}

function unindexed(offset: number, end: number): LayoutRange {
  const what = 'bytes without an index entry';
  return { part: 'values', offset, length: end - offset, what };
}

/** Bytes per read. */
const WINDOW_SIZE = 64 * 1024;

/** A part of the source in memory, which moves forward on demand. */
class Window {
  readonly #source: ByteSource;
  #start = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Requires: `length` is at most the window's size, and the bytes are in the source. */
  async bytes(offset: number, length: number): Promise<Uint8Array> {
    const isThere = offset >= this.#start && offset + length <= this.#start + this.#bytes.length;
    if (!isThere) {
      const bytes = new Uint8Array(Math.min(WINDOW_SIZE, this.#source.size - offset));
      await readExactly(this.#source, bytes, offset);
      this.#start = offset;
      this.#bytes = bytes;
    }
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + length);
  }
}
