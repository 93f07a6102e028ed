/**
 * Writes a delta layer from rows of which many have the same key. The file is read window by window, and each value is
 * copied to the place of its blob, after the header. So blobs follow each other, and many are put by one copy.
 *
 * If the values exceed a group, the file is read once for each group, and only the parts that the group needs.
 */
import { writePlainHeader } from '../../blob-writer/blob-format.ts';
import { throwIfAborted } from '../../errors.ts';
import type { DeltaLayerWriter } from '../delta-layer/writer.ts';
import { BlobMemory, type Moves, WINDOW_SIZE } from './blob-moves.ts';
import type { BlobRange, KeyRuns } from './key-runs.ts';
import type { Source } from './write-out-source.ts';

/** The rows of a group, and where their blobs go. */
interface Part {
  readonly targets: Uint32Array;
  readonly range: BlobRange;
  readonly blobs: Uint8Array;
}

/** Rows whose values of the group are read together. */
interface Window {
  /** Number of the row after them. */
  readonly end: number;
  /** Resolves when the values have been read. */
  readonly read: Promise<void>;
}

export async function writeRuns(
  source: Source,
  runs: KeyRuns,
  writer: DeltaLayerWriter,
): Promise<void> {
  for (;;) {
    const range = runs.nextRange(source.sizes.group);
    if (range === undefined) return;
    const size = range.end - range.from;
    const memory = takeMemory(size);
    const blobs = memory.blobs.subarray(0, size);
    await gatherBlobs(source, { targets: runs.targets, range, blobs }, memory.moves);
    for (const batch of runs.batches(range, blobs)) await writer.putBlobEntries(batch);
    // After an error, a read may still write to it.
    spare = new WeakRef(memory);
  }
}

/** Groups have nearly the same size. */
const SIZE_STEP = 16 * 1024 * 1024;

/** Memory of the group that was written last, until a write-out takes it or it is garbage-collected. */
let spare: WeakRef<BlobMemory> | undefined;

/** Returns: memory that no other write-out uses, until it becomes the spare one. */
function takeMemory(size: number): BlobMemory {
  const found = spare?.deref();
  spare = undefined;
  return found !== undefined && found.blobs.length >= size
    ? found
    : new BlobMemory(Math.ceil(size / SIZE_STEP) * SIZE_STEP);
}

async function gatherBlobs(
  source: Source,
  part: Part,
  moves: readonly [Moves, Moves],
): Promise<void> {
  let ahead = readWindow(source, part, 0, moves[0]);
  for (let number = 1; ahead !== undefined; number += 1) {
    const { end, read } = ahead;
    await read;
    const filled = moves[number % 2 === 0 ? 1 : 0];
    ahead = readWindow(source, part, end, moves[number % 2 === 0 ? 0 : 1]);
    filled.copy();
  }
}

/** Begins to read the next values of a group; undefined if there are none. */
function readWindow(
  { rows, scratch, signal }: Source,
  { targets, range: { from, end }, blobs }: Part,
  first: number,
  moves: Moves,
): Window | undefined {
  throwIfAborted(signal);
  moves.clear();
  let position = -1;
  let valuesEnd = 0;
  let row = first;
  for (; row < rows.count; row += 1) {
    const target = targets[row] as number;
    if (target < from || target >= end) continue;
    const start = rows.position(row);
    const length = rows.length(row);
    if (position < 0) position = start;
    if (start + length - position > WINDOW_SIZE || moves.isFull) break;
    moves.add(start - position, length, target - from);
    // Values of a batch may overlap, and then the last one need not reach farthest.
    valuesEnd = Math.max(valuesEnd, start + length);
  }
  if (row === rows.count && position < 0) return undefined;
  if (!moves.isEmpty) {
    const read = scratch.readExactAt(moves.window.subarray(0, valuesEnd - position), position);
    // The error surfaces when the window is awaited.
    read.catch(() => {});
    return { end: row, read };
  }
  // The first value is longer than a window.
  const at = (targets[row] as number) - from;
  const length = rows.length(row);
  const start = at + writePlainHeader(blobs, at, length);
  const read = scratch.readExactAt(blobs.subarray(start, start + length), position);
  read.catch(() => {});
  return { end: row + 1, read };
}
