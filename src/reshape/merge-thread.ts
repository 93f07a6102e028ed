/** A thread that merges ranges of layers: its messages, its program, and how the caller sees it. */
import { type MessagePort, Worker } from 'node:worker_threads';
import { StorageError } from '../errors.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import { openLayer } from '../layers/open-layer.ts';
import type { MergeRange } from './merge-ranges.ts';
import { MergedRows, type RowGap } from './merged-rows.ts';
import { RangeMerger } from './range-merge.ts';

/** If both names stood in one `new URL`, bundlers would treat the file as an asset. */
const PROGRAM = './merge-thread.js';
const HERE = import.meta.url;

/** A layer that a thread opens for itself, and by what it is known to be the same. */
interface LayerOnThread {
  readonly path: string;
  readonly size: number;
  readonly indexStartBlock: number;
  readonly indexRootBlock: number;
  readonly maximumBlobLength: number;
}

type MergeRequest =
  | { readonly kind: 'open'; readonly layers: readonly LayerOnThread[] }
  | {
      readonly kind: 'merge';
      readonly range: MergeRange;
      readonly memory: ArrayBuffer | undefined;
    };

/** `left`: the range is for another way of merging, which may tell what is wrong. */
type MergeReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'left' }
  | {
      readonly kind: 'merged';
      readonly count: number;
      readonly blobsSize: number;
      readonly gaps: RowGap[];
      readonly memory: ArrayBuffer;
      readonly position: number;
    };

/** A range that a thread has merged. */
export interface ThreadResult {
  readonly rows: MergedRows;
  /** Bytes of the layers that lie before its end. */
  readonly position: number;
}

/** Undefined unless a thread can open all of these layers itself. */
export function layersOnThread(
  readers: readonly LayerReader[],
): readonly LayerOnThread[] | undefined {
  const layers: LayerOnThread[] = [];
  for (const { localPath: path, size, summary, blobs } of readers) {
    if (path === undefined) return undefined;
    const { indexStartBlock, indexRootBlock } = summary;
    const { maximumLength: maximumBlobLength } = blobs.bounds;
    layers.push({ path, size, indexStartBlock, indexRootBlock, maximumBlobLength });
  }
  return layers;
}

/** Serves until the thread is terminated. */
export function serveMerging(port: MessagePort): void {
  let opening: Promise<RangeMerger> | undefined;
  let last: Promise<void> = Promise.resolve();
  const merge = async (range: MergeRange, memory: ArrayBuffer | undefined): Promise<void> => {
    const merger = await opening;
    const rows = await merger?.merge(range, memory);
    if (merger === undefined || rows === undefined) return reply({ kind: 'left' });
    const { count, blobsSize, gaps, memory: filled } = rows;
    const { position } = merger;
    reply({ kind: 'merged', count, blobsSize, gaps, position, memory: filled }, [filled]);
  };
  const reply = (message: MergeReply, transferred: ArrayBuffer[] = []): void =>
    port.postMessage(message, transferred);
  port.on('message', (request: MergeRequest) => {
    if (request.kind === 'open') {
      opening = openAll(request.layers);
      // Each merge hears of it.
      opening.catch(() => {});
      return;
    }
    // One after the other, since a merger has the memory of one range.
    const { range, memory } = request;
    last = last.then(() => merge(range, memory)).catch(() => reply({ kind: 'left' }));
  });
  reply({ kind: 'ready' });
}

async function openAll(layers: readonly LayerOnThread[]): Promise<RangeMerger> {
  const readers: LayerReader[] = [];
  for (const { path, maximumBlobLength, ...expected } of layers) {
    const options = { maximumBlobLength, nameCheck: 'ignore', readMode: 'sync' } as const;
    const reader = await openLayer(path, options);
    const { indexStartBlock, indexRootBlock } = reader.summary;
    const isSame =
      reader.size === expected.size &&
      indexStartBlock === expected.indexStartBlock &&
      indexRootBlock === expected.indexRootBlock;
    if (!isSame) throw new StorageError('corrupt', { what: 'layer is another by now', path });
    readers.push(reader);
  }
  return new RangeMerger(readers);
}

/** A thread answers its requests in their order. */
export class MergeThread {
  readonly #worker: Worker;
  readonly #pending: ((result: ThreadResult | 'left' | 'ended') => void)[] = [];
  #isRunning = true;

  /**
   * Returns: undefined if a policy forbids threads, or the program is not in a file. Default of `program`:
   * `merge-thread.js` beside this module.
   */
  static start(
    layers: readonly LayerOnThread[],
    program: URL = new URL(PROGRAM, HERE),
  ): MergeThread | undefined {
    try {
      // Without the options of the process: its loaders and hooks would cost more than the thread itself.
      return new MergeThread(new Worker(program, { execArgv: [] }), layers);
    } catch {
      return undefined;
    }
  }

  private constructor(worker: Worker, layers: readonly LayerOnThread[]) {
    this.#worker = worker;
    const onEnd = (): void => {
      this.#isRunning = false;
      for (const resolve of this.#pending.splice(0)) resolve('ended');
    };
    worker.on('message', (reply: MergeReply) => this.#take(reply));
    worker.on('error', onEnd);
    worker.on('exit', onEnd);
    const request: MergeRequest = { kind: 'open', layers };
    worker.postMessage(request);
  }

  /**
   * As `RangeMerger.merge`; `memory` is transferred. Returns: `left` for a range that must be merged in another way,
   * also if it cannot be read; `ended` if the thread is not there.
   */
  merge(
    range: MergeRange,
    memory: ArrayBuffer | undefined,
  ): Promise<ThreadResult | 'left' | 'ended'> {
    return new Promise((resolve) => {
      if (!this.#isRunning) return resolve('ended');
      this.#pending.push(resolve);
      const request: MergeRequest = { kind: 'merge', range, memory };
      this.#worker.postMessage(request, memory === undefined ? [] : [memory]);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #take(reply: MergeReply): void {
    if (reply.kind === 'ready') return;
    const resolve = this.#pending.shift();
    if (reply.kind === 'merged') {
      resolve?.({ rows: new MergedRows(reply), position: reply.position });
    } else {
      resolve?.('left');
    }
  }
}
