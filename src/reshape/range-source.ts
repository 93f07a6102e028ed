/** Merges ranges one after the other on the caller's thread, or a few ahead on other threads. */
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import type { MergeRange } from './merge-ranges.ts';
import { layersOnThread, type MergeThread, startMergeThread } from './merge-thread.ts';
import { MergedRows } from './merged-rows.ts';
import { RangeMerger } from './range-merge.ts';

/** The threads on which ranges are merged. */
export interface RangeSourceOptions {
  /**
   * Number of threads in addition to the caller's; none are started for layers that only the caller can read.
   */
  readonly threadCount: number;
  /** The program of a thread. Default: `merge-thread.js` next to this module. */
  readonly program?: URL | undefined;
}

/** Number of ranges that each thread has, so that one is being merged while another waits to be written. */
const RANGES_AHEAD = 2;

interface RangeAhead {
  readonly range: MergeRange;
  /** Undefined for a range that the caller's thread merges. */
  readonly thread: MergeThread | undefined;
  readonly reply: ReturnType<MergeThread['ask']> | undefined;
}

/** A range that was merged. */
export interface MergedRange {
  readonly rows: MergedRows;
  /** Bytes of the layers before its end. */
  readonly position: number;
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
      const thread = startMergeThread(layers, program);
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
    { readonly range: MergeRange; readonly merged: MergedRange | undefined } | undefined
  > {
    const ahead = this.#ahead.shift();
    if (ahead === undefined) return undefined;
    const { range, thread } = ahead;
    const reply = await ahead.reply;
    this.#askAhead();
    if (reply !== undefined) {
      return { range, merged: { rows: new MergedRows(reply), position: reply.position } };
    }
    // A range that a thread leaves goes to `LayerMerge`; the ranges of a thread that has ended are merged here.
    if (thread?.isRunning) return { range, merged: undefined };
    return { range, merged: await this.#mergeHere(range) };
  }

  /** Accepts the memory of unused rows for reuse. */
  release({ rows }: MergedRange): void {
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
      this.#ahead.push({ range, thread, reply: thread && this.#askThread(thread, range) });
    }
  }

  #askThread(thread: MergeThread, range: MergeRange): ReturnType<MergeThread['ask']> {
    const memory = this.#free.pop();
    return thread.ask({ range, memory }, memory === undefined ? [] : [memory]);
  }

  async #mergeHere(range: MergeRange): Promise<MergedRange | undefined> {
    const rows = await this.#merger.merge(range, this.#free.pop());
    return rows && { rows, position: this.#merger.position };
  }
}
