/** Merges ranges one after the other, on the caller's thread; or a few ahead, on others. */
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import type { MergeRange } from './merge-ranges.ts';
import { layersOnThread, MergeThread, type ThreadResult } from './merge-thread.ts';
import { RangeMerger } from './range-merge.ts';

/** On which threads ranges are merged. */
export interface RangeSourceOptions {
  /** Threads beside the caller's; none are started for layers that only the caller can read. */
  readonly threadCount: number;
  /** The program of a thread. Default: `merge-thread.js` beside this module. */
  readonly program?: URL | undefined;
}

/** Ranges that each thread has, so that one is being merged while another waits to be written. */
const RANGES_AHEAD = 2;

interface RangeAhead {
  readonly range: MergeRange;
  readonly result: Promise<ThreadResult | 'left' | 'ended'>;
}

export class RangeSource {
  readonly #merger: RangeMerger;
  readonly #threads: MergeThread[] = [];
  /** Memory of ranges that were written. */
  readonly #free: ArrayBuffer[] = [];
  #ranges: readonly MergeRange[] = [];
  readonly #ahead: RangeAhead[] = [];
  #asked = 0;

  /** Starts the threads. The readers stay the caller's. */
  constructor(readers: readonly LayerReader[], { threadCount, program }: RangeSourceOptions) {
    this.#merger = new RangeMerger(readers);
    const layers = threadCount === 0 ? undefined : layersOnThread(readers);
    for (let count = 0; layers !== undefined && count < threadCount; count += 1) {
      const thread = MergeThread.start(layers, program);
      if (thread === undefined) return;
      this.#threads.push(thread);
    }
  }

  /** Sets the ranges that `next` returns, once. */
  begin(ranges: readonly MergeRange[]): void {
    this.#ranges = ranges;
    this.#askAhead();
  }

  /**
   * The next range, merged; without rows if `LayerMerge` must merge it. Undefined at the end.
   * Throws: as `RangeMerger.merge`.
   */
  async next(): Promise<
    { readonly range: MergeRange; readonly merged: ThreadResult | undefined } | undefined
  > {
    const ahead = this.#ahead.shift();
    if (ahead === undefined) return undefined;
    const { range } = ahead;
    const result = await ahead.result;
    this.#askAhead();
    if (result === 'left') return { range, merged: undefined };
    return { range, merged: result === 'ended' ? await this.#mergeHere(range) : result };
  }

  /** Takes back the memory of rows that are not used any more. */
  release({ rows }: ThreadResult): void {
    this.#free.push(rows.memory);
  }

  /** Ends the threads. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #askAhead(): void {
    const room = Math.max(1, this.#threads.length * RANGES_AHEAD);
    while (this.#ahead.length < room) {
      const range = this.#ranges[this.#asked];
      if (range === undefined) return;
      // Each has its ranges in order, so that the first one that is awaited is merged first.
      const thread = this.#threads[this.#asked % this.#threads.length];
      this.#asked += 1;
      const result = thread?.merge(range, this.#free.pop()) ?? Promise.resolve('ended' as const);
      this.#ahead.push({ range, result });
    }
  }

  async #mergeHere(range: MergeRange): Promise<ThreadResult | undefined> {
    const rows = await this.#merger.merge(range, this.#free.pop());
    return rows && { rows, position: this.#merger.position };
  }
}
