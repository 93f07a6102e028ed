/** A thread that merges ranges of layers: its messages, its program, and how the caller sees it. */
import { isDeepStrictEqual } from 'node:util';
import type { MessagePort } from 'node:worker_threads';
import { StorageError } from '../errors.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import type { LocalFile } from '../layers/layer-file/open-file.ts';
import { openLayer } from '../layers/open-layer.ts';
import { SerialThread, serveInOrder } from '../threads.ts';
import type { MergeRange } from './merge-ranges.ts';
import type { MergedRows } from './merged-rows.ts';
import { RangeMerger } from './range-merge.ts';

/** If both names stood in one `new URL`, bundlers would treat the file as an asset. */
const PROGRAM = './merge-thread.js';
const HERE = import.meta.url;

/** A layer that a thread opens for itself. */
export interface LayerOnThread {
  readonly file: LocalFile;
  readonly maximumBlobLength: number;
}

interface MergeRequest {
  readonly range: MergeRange;
  /** Transferred. */
  readonly memory: ArrayBuffer | undefined;
}

/** A range that a thread has merged, as plain data. */
interface MergeReply extends Pick<MergedRows, 'count' | 'blobsSize' | 'gaps' | 'memory'> {
  readonly position: number;
}

/** Undefined unless a thread can open all of these layers itself. */
export function layersOnThread(
  readers: readonly LayerReader[],
): readonly LayerOnThread[] | undefined {
  const layers: LayerOnThread[] = [];
  for (const { localFile: file, blobs } of readers) {
    if (file === undefined) return undefined;
    layers.push({ file, maximumBlobLength: blobs.bounds.maximumLength });
  }
  return layers;
}

/**
 * A thread that merges ranges; it leaves to the caller those that must be merged differently or cannot be read.
 */
export type MergeThread = SerialThread<MergeRequest, MergeReply>;

/** Returns: as `SerialThread.start`. Default of `program`: `merge-thread.js` next to this module. */
export function startMergeThread(
  layers: readonly LayerOnThread[],
  program: URL = new URL(PROGRAM, HERE),
): MergeThread | undefined {
  return SerialThread.start(program, layers);
}

/** Serves until the thread is terminated. `layers`: what the thread was started with. */
export function serveMerging(port: MessagePort, layers: readonly LayerOnThread[]): void {
  const opening = openAll(layers);
  // Each merge awaits it and receives the error.
  opening.catch(() => {});
  // One after the other, since a merger has the memory of one range.
  serveInOrder(
    port,
    async ({ range, memory }: MergeRequest): Promise<MergeReply | undefined> => {
      try {
        const merger = await opening;
        const rows = await merger.merge(range, memory);
        if (rows === undefined) return undefined;
        const { count, blobsSize, gaps, memory: filled } = rows;
        return { count, blobsSize, gaps, memory: filled, position: merger.position };
      } catch {
        // The caller's own merge will report what is wrong.
        return undefined;
      }
    },
    ({ memory }) => [memory],
  );
}

async function openAll(layers: readonly LayerOnThread[]): Promise<RangeMerger> {
  const readers: LayerReader[] = [];
  for (const { file, maximumBlobLength } of layers) {
    const options = { maximumBlobLength, nameCheck: 'ignore', readMode: 'sync' } as const;
    const reader = await openLayer(file.path, options);
    // Another file may have taken the name since the caller opened this one.
    if (!isDeepStrictEqual(reader.localFile, file)) {
      throw new StorageError('corrupt', { what: 'layer has been replaced', path: file.path });
    }
    readers.push(reader);
  }
  return new RangeMerger(readers);
}
