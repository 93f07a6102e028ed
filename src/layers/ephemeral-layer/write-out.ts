/**
 * A frozen ephemeral layer becomes a delta layer: rows in (key, LSN) order, their values gathered
 * from the scratch file a group at a time, with large reads in the order of the file, whatever the
 * order of the keys. Memory is bounded by the size of a group and the largest value.
 */
import type { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import { throwIfAborted } from '../../errors.ts';
import { DeltaLayerWriter, type DeltaWriteOptions } from '../delta-layer/writer.ts';
import { KEY_SIZE, maximumKey, minimumKey } from '../key.ts';
import type { FinishedLayer } from '../layer-file/layer-writer.ts';
import type { MemoryIndex } from './memory-index.ts';

/** Values of one group, in bytes; a layer that Neon would freeze fits in one. */
const GROUP_SIZE = 256 * 1024 * 1024;

/** Rows that are handed to the delta writer at once. */
const BATCH_ROWS = 4096;

/** Bytes that are read at once. */
const WINDOW_SIZE = 1024 * 1024;

/** Reads in flight when the whole file is wanted. */
const CONCURRENT_READS = 2;

export async function writeOut(
  index: MemoryIndex,
  scratch: BufferedWriter,
  options: Omit<DeltaWriteOptions, 'keyRange'>,
): Promise<FinishedLayer> {
  const keyRange = { start: minimumKey(), end: maximumKey() };
  await using writer = await DeltaLayerWriter.create({ ...options, keyRange });
  const rows = index.sortedRows();
  for (let start = 0; start < rows.length; ) {
    const group = rows.subarray(start, endOfGroup(index, rows, start));
    await writeGroup(index, scratch, group, writer, options.signal);
    start += group.length;
  }
  return await writer.finish();
}

function endOfGroup(index: MemoryIndex, rows: Uint32Array, start: number): number {
  let end = start;
  for (let size = 0; end < rows.length; end += 1) {
    size += index.length(rows[end] as number);
    if (size > GROUP_SIZE && end > start) break;
  }
  return end;
}

async function writeGroup(
  index: MemoryIndex,
  scratch: BufferedWriter,
  rows: Uint32Array,
  writer: DeltaLayerWriter,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { values, starts } =
    scratch.offset <= GROUP_SIZE
      ? await readWhole(index, scratch, rows, signal)
      : await gather(index, scratch, rows, signal);
  const keys = new Uint8Array(BATCH_ROWS * KEY_SIZE);
  const lsns = new BigUint64Array(BATCH_ROWS);
  const willInit = new Uint8Array(BATCH_ROWS);
  const lengths = new Uint32Array(BATCH_ROWS);
  for (let first = 0; first < rows.length; first += BATCH_ROWS) {
    const count = Math.min(BATCH_ROWS, rows.length - first);
    for (let at = 0; at < count; at += 1) {
      const row = rows[first + at] as number;
      index.copyKey(row, keys, at * KEY_SIZE);
      lsns[at] = index.lsn(row);
      willInit[at] = index.willInit(row) ? 1 : 0;
      lengths[at] = index.length(row);
    }
    const batchStarts = starts.subarray(first, first + count);
    await writer.putBatch({ count, keys, lsns, willInit, values, starts: batchStarts, lengths });
  }
}

interface GatheredValues {
  readonly values: Uint8Array;
  /** Where in `values` each row's value starts. */
  readonly starts: Uint32Array;
}

/** The whole scratch file, in a few reads at once: no value has to be moved. */
async function readWhole(
  index: MemoryIndex,
  scratch: BufferedWriter,
  rows: Uint32Array,
  signal: AbortSignal | undefined,
): Promise<GatheredValues> {
  // Every byte is read: what the memory held before does not show.
  const values = Buffer.allocUnsafeSlow(scratch.offset);
  let next = 0;
  const readWindows = async () => {
    while (next < values.length) {
      throwIfAborted(signal);
      const offset = next;
      next += WINDOW_SIZE;
      await scratch.readExactAt(values.subarray(offset, offset + WINDOW_SIZE), offset);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_READS }, readWindows));
  return { values, starts: Uint32Array.from(rows, (row) => index.position(row)) };
}

/** The values of these rows alone: window by window of the file, each value to its place. */
async function gather(
  index: MemoryIndex,
  scratch: BufferedWriter,
  rows: Uint32Array,
  signal: AbortSignal | undefined,
): Promise<GatheredValues> {
  const starts = new Uint32Array(rows.length);
  let size = 0;
  for (let at = 0; at < rows.length; at += 1) {
    starts[at] = size;
    size += index.length(rows[at] as number);
  }
  const values = new Uint8Array(size);
  for (const [window, members] of groupByWindow(index, rows)) {
    throwIfAborted(signal);
    const windowStart = window * WINDOW_SIZE;
    const bytes = new Uint8Array(endOfMembers(index, rows, members) - windowStart);
    await scratch.readExactAt(bytes, windowStart);
    for (const at of members) {
      const row = rows[at] as number;
      const from = index.position(row) - windowStart;
      values.set(bytes.subarray(from, from + index.length(row)), starts[at] as number);
    }
  }
  return { values, starts };
}

/** For each window of the file, in order, the places in `rows` whose values start in it. */
function groupByWindow(index: MemoryIndex, rows: Uint32Array): [number, number[]][] {
  const windows = new Map<number, number[]>();
  for (let at = 0; at < rows.length; at += 1) {
    const window = Math.floor(index.position(rows[at] as number) / WINDOW_SIZE);
    const members = windows.get(window);
    if (members === undefined) windows.set(window, [at]);
    else members.push(at);
  }
  return [...windows].sort(([left], [right]) => left - right);
}

function endOfMembers(index: MemoryIndex, rows: Uint32Array, members: readonly number[]): number {
  let end = 0;
  for (const at of members) {
    const row = rows[at] as number;
    end = Math.max(end, index.position(row) + index.length(row));
  }
  return end;
}
