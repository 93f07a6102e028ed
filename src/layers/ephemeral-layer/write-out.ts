/**
 * Writes a frozen ephemeral layer as a delta layer: rows in (key, LSN) order, their values read from
 * the scratch file one group at a time.
 *
 * If the values lie in key order, as after a sequential load, a group is a piece of the file, and the
 * next piece is read ahead. If many rows have the same key, as those of a log, `write-runs.ts` writes
 * them. Else a small file is read as a whole while the rows are sorted. A larger file is gathered: it is
 * read window by window, and each value is copied to its place in the group.
 * Memory is bounded by the size of a group, the largest value, and sixteen bytes per row; with runs, by up to
 * ten more bytes per row for their keys.
 */

import { copyBytes, ViewedBytes } from '../../byte-words.ts';
import { throwIfAborted } from '../../errors.ts';
import type { EntryKeyBatch } from '../delta-layer/value-batch.ts';
import { DeltaLayerWriter, type DeltaWriteOptions } from '../delta-layer/writer.ts';
import { maximumKey, minimumKey } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import type { FinishedLayer } from '../layer-file/layer-writer.ts';
import { KeyRuns } from './key-runs.ts';
import type { MemoryIndex } from './memory-index.ts';
import type { Rows } from './rows.ts';
import {
  PieceBuffer,
  releaseLarge,
  type Scratch,
  type Source,
  takeLarge,
  type WriteOutSizes,
} from './write-out-source.ts';
import { writeRuns } from './write-runs.ts';

/** A layer of the size at which Neon freezes fits into one group. */
const SIZES: WriteOutSizes = {
  group: 256 * 1024 * 1024,
  piece: 2 * 1024 * 1024,
  window: 1024 * 1024,
  runs: 4096,
};

/**
 * Used while another layer fills: half of such a layer at a time takes less memory, and the thread has time to read
 * twice.
 */
export const SIZES_ON_THREAD: WriteOutSizes = { ...SIZES, group: 128 * 1024 * 1024 };

/** Rows per call of the delta writer: their keys and values fit into a fast cache. */
const BATCH_ROWS = 512;

/** Bytes; two cache lines. */
const LONGEST_TOUCHED = 128;
const WORD_SIZE = 4;

/** Rows that are written together, and the bytes that hold their values. */
interface Group {
  readonly numbers: Uint32Array;
  readonly values: Uint8Array;
  /** Position of `values` in the scratch file, if they are a part of it. */
  readonly base: number;
  /** Where each value starts in `values`, if they are not a part of the scratch file. */
  readonly starts: Uint32Array | undefined;
  /** True if consecutive rows, or their values, are not neighbours in memory. */
  readonly isScattered: boolean;
}

/** What a write-out needs in addition to the layer. Without a range of keys, the layer is an L0. */
export type WriteOutOptions = Omit<DeltaWriteOptions, 'keyRange'> & {
  readonly keyRange?: DeltaWriteOptions['keyRange'] | undefined;
};

/** With the numbers of its rows in the order of their entry keys. */
interface SortedSource extends Source {
  readonly numbers: Uint32Array;
}

export async function writeOut(
  index: MemoryIndex,
  scratch: Scratch,
  options: WriteOutOptions,
  sizes = SIZES,
): Promise<FinishedLayer> {
  const { keyRange = { start: minimumKey(), end: maximumKey() } } = options;
  const writer = await DeltaLayerWriter.create({ ...options, keyRange });
  try {
    const source = { rows: index.rows, scratch, sizes, signal: options.signal };
    const { rows } = source;
    const mayBeRuns = rows.count >= sizes.runs && !isInKeyOrder(rows);
    const runs = mayBeRuns ? KeyRuns.of(rows) : undefined;
    if (runs !== undefined) await writeRuns(source, runs, writer);
    else await writeSorted(index, source, writer);
    return await writer.finish();
  } catch (error) {
    // The first error is thrown. A temporary that cannot be removed is removed as a leftover.
    await Promise.allSettled([writer.abandon()]);
    throw error;
  }
}

async function writeSorted(
  index: MemoryIndex,
  source: Source,
  writer: DeltaLayerWriter,
): Promise<void> {
  // The read runs while this thread sorts.
  const wholeFile = isReadWhole(source) ? readWhole(source) : undefined;
  const sorted = { ...source, numbers: index.sortedRows() };
  const groups = wholeFile === undefined ? groupsOf(sorted) : oneGroup(sorted, wholeFile);
  for await (const group of groups) await writeGroup(index.rows, group, writer);
  if (wholeFile !== undefined) releaseLarge(await wholeFile);
}

async function writeGroup(rows: Rows, group: Group, writer: DeltaLayerWriter): Promise<void> {
  const batch = new OutgoingBatch(group.values);
  for (let first = 0; first < group.numbers.length; first += BATCH_ROWS) {
    const numbers = group.numbers.subarray(first, first + BATCH_ROWS);
    if (group.isScattered) batch.touchRows(rows, numbers);
    batch.fill(rows, numbers, group, first);
    if (group.isScattered) batch.touchValues();
    await writer.putEntries(batch);
  }
}

/** A batch for the delta writer; its arrays are reused. */
class OutgoingBatch implements EntryKeyBatch {
  count = 0;
  readonly #entryKeys = new ViewedBytes(new Uint8Array(BATCH_ROWS * DELTA_KEY_SIZE));
  readonly entryKeys = this.#entryKeys.bytes;
  readonly willInit = new Uint8Array(BATCH_ROWS);
  readonly starts = new Uint32Array(BATCH_ROWS);
  readonly lengths = new Uint32Array(BATCH_ROWS);
  readonly #values: ViewedBytes;
  readonly values: Uint8Array;
  /** Kept so that no compiler removes reads whose only purpose is to touch memory. */
  touched = 0;

  constructor(values: Uint8Array) {
    this.#values = new ViewedBytes(values);
    this.values = this.#values.bytes;
  }

  /** Reads a little of each row, so that many cache misses overlap. */
  touchRows(rows: Rows, numbers: Uint32Array): void {
    this.touched = rows.touch(numbers);
  }

  /** Like `touchRows`, for the values; the rest of a long value is prefetched while it is copied. */
  touchValues(): void {
    const { count, starts, lengths } = this;
    const { view } = this.#values;
    let touched = 0;
    for (let at = 0; at < count; at += 1) {
      const length = Math.min(lengths[at] as number, LONGEST_TOUCHED);
      if (length < WORD_SIZE) continue;
      const start = starts[at] as number;
      const last = start + length - WORD_SIZE;
      // Three reads cover all cache lines. A loop over lines would take twice as long.
      touched ^= view.getInt32(start, true) ^ view.getInt32(last, true);
      touched ^= view.getInt32((start + last) >>> 1, true);
    }
    this.touched = touched;
  }

  /** Loads rows of the group, starting with its row `first`. */
  fill(rows: Rows, numbers: Uint32Array, { base, starts }: Group, first: number): void {
    this.count = numbers.length;
    for (let at = 0; at < numbers.length; at += 1) {
      const row = numbers[at] as number;
      rows.copyEntryKey(row, this.#entryKeys.view, at * DELTA_KEY_SIZE);
      this.willInit[at] = rows.willInit(row);
      this.lengths[at] = rows.length(row);
      this.starts[at] =
        starts === undefined ? rows.position(row) - base : (starts[first + at] as number);
    }
  }
}

/** True if the values are known, before sorting, to lie in key order. */
function isInKeyOrder(rows: Rows): boolean {
  return rows.isAscending && rows.isInFileOrder;
}

function isReadWhole({ rows, scratch, sizes }: Source): boolean {
  return !isInKeyOrder(rows) && scratch.offset <= sizes.group;
}

function groupsOf(source: SortedSource): AsyncIterable<Group> {
  return isInFileOrder(source) ? piecesInFileOrder(source) : gatheredGroups(source);
}

function isInFileOrder({ rows, numbers }: SortedSource): boolean {
  if (isInKeyOrder(rows)) return true;
  for (let at = 1; at < numbers.length; at += 1) {
    if (rows.position(numbers[at - 1] as number) > rows.position(numbers[at] as number)) {
      return false;
    }
  }
  return true;
}

/** Each group is a piece of the file; the next one is read while it is used. */
async function* piecesInFileOrder(source: SortedSource): AsyncGenerator<Group> {
  const buffers = [new PieceBuffer(), new PieceBuffer()] as const;
  let ahead = readPiece(source, 0, buffers[0]);
  for (let number = 1; ahead !== undefined; number += 1) {
    const { numbers, base, end, values, read } = ahead;
    await read;
    ahead = readPiece(source, end, buffers[number % 2 === 0 ? 0 : 1]);
    yield { numbers, values, base, starts: undefined, isScattered: false };
  }
}

interface Piece {
  readonly numbers: Uint32Array;
  readonly base: number;
  /** Index after the last row. */
  readonly end: number;
  readonly values: Uint8Array;
  /** Resolves when the values have been read. */
  readonly read: Promise<void>;
}

function readPiece(
  { rows, scratch, numbers, sizes, signal }: SortedSource,
  first: number,
  buffer: PieceBuffer,
): Piece | undefined {
  if (first >= numbers.length) return undefined;
  throwIfAborted(signal);
  const base = rows.position(numbers[first] as number);
  let end = first;
  let valuesEnd = base;
  while (end < numbers.length && valuesEnd - base < sizes.piece) {
    const row = numbers[end] as number;
    const position = rows.position(row);
    // Replaced values lie in between; a long run of them is skipped.
    if (position - valuesEnd > sizes.window) break;
    // An empty value may start where another one does.
    valuesEnd = Math.max(valuesEnd, position + rows.length(row));
    end += 1;
  }
  const values = buffer.take(valuesEnd - base);
  const read = scratch.readExactAt(values, base);
  // The error surfaces when the piece is awaited.
  read.catch(() => {});
  return { numbers: numbers.subarray(first, end), base, end, values, read };
}

async function* oneGroup(
  { numbers }: SortedSource,
  wholeFile: Promise<Uint8Array>,
): AsyncGenerator<Group> {
  const values = await wholeFile;
  yield { numbers, values, base: 0, starts: undefined, isScattered: true };
}

/** In one read, so that a processor is left for this thread and its garbage collector. */
function readWhole({ scratch, signal }: Source): Promise<Uint8Array> {
  throwIfAborted(signal);
  const values = takeLarge(scratch.offset);
  const read = scratch.readExactAt(values, 0).then(() => values);
  // The error surfaces when the group is awaited.
  read.catch(() => {});
  return read;
}

async function* gatheredGroups(source: SortedSource): AsyncGenerator<Group> {
  const { rows, numbers } = source;
  const memory = {
    targets: new Uint32Array(rows.isInFileOrder ? rows.count : 0),
    window: new PieceBuffer(),
  };
  for (let first = 0; first < numbers.length; ) {
    const group = numbers.subarray(first, endOfGroup(source, first));
    const part = { ...source, numbers: group };
    const gathered = await (rows.isInFileOrder ? gatherInFileOrder(part, memory) : gather(part));
    yield gathered;
    releaseLarge(gathered.values);
    first += group.length;
  }
}

/** What the groups of a layer use one after the other. */
interface GatheringMemory {
  /** Of each row: where its value goes, or `NOT_IN_GROUP`. */
  readonly targets: Uint32Array;
  readonly window: PieceBuffer;
}

function endOfGroup({ rows, numbers, sizes }: SortedSource, first: number): number {
  let end = first;
  for (let size = 0; end < numbers.length; end += 1) {
    size += rows.length(numbers[end] as number);
    if (size > sizes.group && end > first) break;
  }
  return end;
}

/** As `gather`, for rows in the order of their values: goes through all rows, and copies those of the group. */
async function gatherInFileOrder(
  source: SortedSource,
  { targets, window }: GatheringMemory,
): Promise<Group> {
  const { rows, scratch, numbers, signal } = source;
  const starts = new Uint32Array(numbers.length);
  targets.fill(NOT_IN_GROUP);
  let size = 0;
  for (let at = 0; at < numbers.length; at += 1) {
    starts[at] = size;
    targets[numbers[at] as number] = size;
    size += rows.length(numbers[at] as number);
  }
  const values = new ViewedBytes(takeLarge(size));
  for (let first = 0; first < rows.count; ) {
    const { next, start, end } = windowFrom(source, targets, first);
    throwIfAborted(signal);
    if (start < end) {
      const bytes = new ViewedBytes(window.take(end - start));
      await scratch.readExactAt(bytes.bytes, start);
      for (let row = first; row < next; row += 1) {
        const target = targets[row] as number;
        if (target === NOT_IN_GROUP) continue;
        copyBytes(bytes, rows.position(row) - start, values, target, rows.length(row));
      }
    }
    first = next;
  }
  return { numbers, values: values.bytes, base: 0, starts, isScattered: true };
}

/** Above every start of a value, since a larger group has a single value. */
const NOT_IN_GROUP = 0xffff_ffff;

/** Rows from `first` up to `next`, and where their values of the group lie, which fit into one window. */
function windowFrom(
  { rows, sizes }: SortedSource,
  targets: Uint32Array,
  first: number,
): { readonly next: number; readonly start: number; readonly end: number } {
  let start = 0;
  let end = 0;
  let next = first;
  for (; next < rows.count; next += 1) {
    if (targets[next] === NOT_IN_GROUP) continue;
    const position = rows.position(next);
    if (end === 0) start = position;
    else if (position - start >= sizes.window) break;
    end = Math.max(end, position + rows.length(next));
  }
  return { next, start, end };
}

/** Reads the file window by window, and copies the value of each row to its place. */
async function gather(source: SortedSource): Promise<Group> {
  const { rows, scratch, numbers, sizes, signal } = source;
  const starts = new Uint32Array(numbers.length);
  let size = 0;
  for (let at = 0; at < numbers.length; at += 1) {
    starts[at] = size;
    size += rows.length(numbers[at] as number);
  }
  const values = takeLarge(size);
  for (const [window, members] of groupByWindow(source)) {
    throwIfAborted(signal);
    const windowStart = window * sizes.window;
    const bytes = new Uint8Array(endOfMembers(source, members) - windowStart);
    await scratch.readExactAt(bytes, windowStart);
    for (const at of members) {
      const row = numbers[at] as number;
      const from = rows.position(row) - windowStart;
      values.set(bytes.subarray(from, from + rows.length(row)), starts[at] as number);
    }
  }
  return { numbers, values, base: 0, starts, isScattered: true };
}

/** For each window of the file, in order, the indexes of the rows whose values start in it. */
function groupByWindow({ rows, numbers, sizes }: SortedSource): [number, number[]][] {
  const windows = new Map<number, number[]>();
  for (let at = 0; at < numbers.length; at += 1) {
    const window = Math.floor(rows.position(numbers[at] as number) / sizes.window);
    const members = windows.get(window);
    if (members === undefined) windows.set(window, [at]);
    else members.push(at);
  }
  return [...windows].sort(([left], [right]) => left - right);
}

function endOfMembers({ rows, numbers }: SortedSource, members: readonly number[]): number {
  let end = 0;
  for (const at of members) {
    const row = numbers[at] as number;
    end = Math.max(end, rows.position(row) + rows.length(row));
  }
  return end;
}
