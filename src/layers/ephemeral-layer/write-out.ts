/**
 * A frozen ephemeral layer becomes a delta layer: rows in (key, LSN) order, their values out of the
 * scratch file a group at a time.
 *
 * Where the values lie in the order of their keys, as after a sequential load, a group is a piece of
 * the file, and the next piece is read ahead. Else the whole file is read if it is small enough, and
 * a larger one is gathered: window by window of the file, each value to its place in the group.
 * Memory is bounded by the size of a group and the largest value.
 */
import type { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import { throwIfAborted } from '../../errors.ts';
import { DeltaLayerWriter, type DeltaWriteOptions } from '../delta-layer/writer.ts';
import { maximumKey, minimumKey } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import type { FinishedLayer } from '../layer-file/layer-writer.ts';
import type { MemoryIndex } from './memory-index.ts';

/** Bytes. */
export interface WriteOutSizes {
  /** Largest file that is read whole, and size of a gathered group. */
  readonly group: number;
  /** A piece of a file that is read in order. */
  readonly piece: number;
  /** What is read at once. */
  readonly window: number;
}

/** A layer that Neon would freeze fits in one group. */
const SIZES: WriteOutSizes = {
  group: 256 * 1024 * 1024,
  piece: 2 * 1024 * 1024,
  window: 1024 * 1024,
};

/** Reads in flight when the whole file is wanted. */
const CONCURRENT_READS = 2;

/** Rows that are handed to the delta writer at once. */
const BATCH_ROWS = 4096;

/** Rows that go out together, and the bytes that hold their values. */
interface Group {
  readonly rows: Uint32Array;
  readonly values: Uint8Array;
  /** Where in `values` the value of the row at this place in `rows` starts. */
  readonly start: (at: number) => number;
}

interface Source {
  readonly index: MemoryIndex;
  readonly scratch: BufferedWriter;
  readonly rows: Uint32Array;
  readonly sizes: WriteOutSizes;
  readonly signal: AbortSignal | undefined;
}

export async function writeOut(
  index: MemoryIndex,
  scratch: BufferedWriter,
  options: Omit<DeltaWriteOptions, 'keyRange'>,
  sizes = SIZES,
): Promise<FinishedLayer> {
  const keyRange = { start: minimumKey(), end: maximumKey() };
  const writer = await DeltaLayerWriter.create({ ...options, keyRange });
  try {
    const source = { index, scratch, rows: index.sortedRows(), sizes, signal: options.signal };
    for await (const group of groupsOf(source)) await writeGroup(index, group, writer);
    return await writer.finish();
  } catch (error) {
    // The first error counts. A temporary that cannot be removed is removed as a leftover.
    await Promise.allSettled([writer.abandon()]);
    throw error;
  }
}

async function writeGroup(
  index: MemoryIndex,
  { rows, values, start }: Group,
  writer: DeltaLayerWriter,
): Promise<void> {
  const entryKeys = new Uint8Array(BATCH_ROWS * DELTA_KEY_SIZE);
  const willInit = new Uint8Array(BATCH_ROWS);
  const starts = new Uint32Array(BATCH_ROWS);
  const lengths = new Uint32Array(BATCH_ROWS);
  for (let first = 0; first < rows.length; first += BATCH_ROWS) {
    const batch = rows.subarray(first, first + BATCH_ROWS);
    for (let at = 0; at < batch.length; at += 1) {
      const row = batch[at] as number;
      index.copyEntryKey(row, entryKeys, at * DELTA_KEY_SIZE);
      willInit[at] = index.willInit(row) ? 1 : 0;
      starts[at] = start(first + at);
      lengths[at] = index.length(row);
    }
    await writer.putEntries({
      count: batch.length,
      entryKeys,
      willInit,
      values,
      starts,
      lengths,
    });
  }
}

function groupsOf(source: Source): AsyncIterable<Group> {
  if (isInFileOrder(source)) return piecesInFileOrder(source);
  return source.scratch.offset <= source.sizes.group ? wholeFile(source) : gatheredGroups(source);
}

function isInFileOrder({ index, rows }: Source): boolean {
  for (let at = 1; at < rows.length; at += 1) {
    if (index.position(rows[at - 1] as number) > index.position(rows[at] as number)) return false;
  }
  return true;
}

/** Each group is a piece of the file; the one behind it is read while it is used. */
async function* piecesInFileOrder(source: Source): AsyncGenerator<Group> {
  let ahead = readPiece(source, 0);
  while (ahead !== undefined) {
    const { rows, end, values, read } = ahead;
    await read;
    ahead = readPiece(source, end);
    const base = source.index.position(rows[0] as number);
    yield { rows, values, start: (at) => source.index.position(rows[at] as number) - base };
  }
}

interface Piece {
  readonly rows: Uint32Array;
  /** Place behind the last row. */
  readonly end: number;
  readonly values: Uint8Array;
  /** Resolves when the values are there. */
  readonly read: Promise<void>;
}

function readPiece(
  { index, scratch, rows, sizes, signal }: Source,
  first: number,
): Piece | undefined {
  if (first >= rows.length) return undefined;
  throwIfAborted(signal);
  const start = index.position(rows[first] as number);
  let end = first;
  let valuesEnd = start;
  while (end < rows.length && valuesEnd - start < sizes.piece) {
    const row = rows[end] as number;
    const position = index.position(row);
    // What was replaced since lies between the values; a long stretch of it is not read.
    if (position - valuesEnd > sizes.window) break;
    // An empty value may lie at the start of another one.
    valuesEnd = Math.max(valuesEnd, position + index.length(row));
    end += 1;
  }
  const values = Buffer.allocUnsafeSlow(valuesEnd - start);
  const read = scratch.readExactAt(values, start);
  // Its error is met when the piece is awaited.
  read.catch(() => {});
  return { rows: rows.subarray(first, end), end, values, read };
}

/** No value has to be moved; a few reads at once. */
async function* wholeFile({ index, scratch, rows, sizes, signal }: Source): AsyncGenerator<Group> {
  // Every byte is read: what the memory held before does not show.
  const values = Buffer.allocUnsafeSlow(scratch.offset);
  let next = 0;
  const readWindows = async () => {
    while (next < values.length) {
      throwIfAborted(signal);
      const offset = next;
      next += sizes.window;
      await scratch.readExactAt(values.subarray(offset, offset + sizes.window), offset);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_READS }, readWindows));
  yield { rows, values, start: (at) => index.position(rows[at] as number) };
}

async function* gatheredGroups(source: Source): AsyncGenerator<Group> {
  const { rows } = source;
  for (let first = 0; first < rows.length; ) {
    const group = rows.subarray(first, endOfGroup(source, first));
    yield await gather({ ...source, rows: group });
    first += group.length;
  }
}

function endOfGroup({ index, rows, sizes }: Source, first: number): number {
  let end = first;
  for (let size = 0; end < rows.length; end += 1) {
    size += index.length(rows[end] as number);
    if (size > sizes.group && end > first) break;
  }
  return end;
}

/** The values of these rows alone: window by window of the file, each value to its place. */
async function gather(source: Source): Promise<Group> {
  const { index, scratch, rows, sizes, signal } = source;
  const starts = new Uint32Array(rows.length);
  let size = 0;
  for (let at = 0; at < rows.length; at += 1) {
    starts[at] = size;
    size += index.length(rows[at] as number);
  }
  const values = new Uint8Array(size);
  for (const [window, members] of groupByWindow(source)) {
    throwIfAborted(signal);
    const windowStart = window * sizes.window;
    const bytes = new Uint8Array(endOfMembers(source, members) - windowStart);
    await scratch.readExactAt(bytes, windowStart);
    for (const at of members) {
      const row = rows[at] as number;
      const from = index.position(row) - windowStart;
      values.set(bytes.subarray(from, from + index.length(row)), starts[at] as number);
    }
  }
  return { rows, values, start: (at) => starts[at] as number };
}

/** For each window of the file, in order, the places in `rows` whose values start in it. */
function groupByWindow({ index, rows, sizes }: Source): [number, number[]][] {
  const windows = new Map<number, number[]>();
  for (let at = 0; at < rows.length; at += 1) {
    const window = Math.floor(index.position(rows[at] as number) / sizes.window);
    const members = windows.get(window);
    if (members === undefined) windows.set(window, [at]);
    else members.push(at);
  }
  return [...windows].sort(([left], [right]) => left - right);
}

function endOfMembers({ index, rows }: Source, members: readonly number[]): number {
  let end = 0;
  for (const at of members) {
    const row = rows[at] as number;
    end = Math.max(end, index.position(row) + index.length(row));
  }
  return end;
}
