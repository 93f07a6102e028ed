/**
 * How an import is divided into image layers, for one shard.
 *
 * A single value counts 8,192 bytes, like a page. Only values and pages of the shard count.
 *
 *   fast      a layer ends before the file that would exceed the limit; a larger file has its own layer.
 *             The ranges touch, from the lowest key to the highest.
 *   classic   a layer ends at the limit, possibly within a relation. The ranges touch, from the lowest
 *             key to immediately after the checkpoint.
 *
 * A layer without images is not written: a key in no layer does not exist.
 * Source: Neon pageserver/src/tenant/timeline/import_pgdata/flow.rs.
 */
import { type Key, type KeyRange, maximumKey, minimumKey, nextKey } from '../../layers/key.ts';
import { checkpointKey, relationBlockKey, slruBlockKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { type Sharding, shardOfKey } from '../../timeline/shard-owner.ts';
import type { ImportTask, RelationTask } from './import-plan.ts';
import type { ImportWay } from './source-cluster.ts';

/** One shard of a sharded tenant. */
export interface ImportShard {
  readonly sharding: Sharding;
  readonly number: number;
}

/** One image layer. */
export interface LayerJob {
  readonly keyRange: KeyRange;
  /** In key order; parts of them may be of other shards. */
  readonly tasks: readonly ImportTask[];
  /** Values and pages of the shard, at least one. */
  readonly imageCount: number;
}

/** Consecutive pages, starting with the first page of the task's file. */
export interface PageRun {
  readonly firstPage: number;
  readonly pageCount: number;
}

/** Options of `planJobs`. */
export interface JobOptions {
  readonly way: ImportWay;
  /** Soft limit of a layer, in bytes before compression; at least one page. */
  readonly layerSize: number;
  readonly shard: ImportShard;
}

/** Cuts the tasks of an import into layers, in key order. */
export function planJobs(tasks: readonly ImportTask[], options: JobOptions): LayerJob[] {
  const jobs = new JobList(options);
  for (const task of tasks) jobs.add(task);
  return jobs.end();
}

class JobList {
  readonly #options: JobOptions;
  /** Images. */
  readonly #limit: number;
  readonly #jobs: LayerJob[] = [];
  #start: Key = minimumKey();
  #tasks: ImportTask[] = [];
  #imageCount = 0;

  constructor(options: JobOptions) {
    this.#options = options;
    this.#limit = Math.max(1, Math.floor(options.layerSize / PAGE_SIZE));
  }

  add(task: ImportTask): void {
    // A loop, because a large file may be split into more layers than the stack has frames.
    for (let rest: ImportTask | undefined = task; rest !== undefined; ) rest = this.#addPart(rest);
  }

  end(): LayerJob[] {
    this.#close(this.#options.way === 'fast' ? maximumKey() : nextKey(checkpointKey()));
    return this.#jobs;
  }

  /** Returns the rest of the task, for the next layer. */
  #addPart(task: ImportTask): ImportTask | undefined {
    const count = countImages(task, this.#options.shard);
    if (this.#imageCount + count <= this.#limit) {
      this.#put(task, count);
    } else if (this.#options.way === 'fast' || task.kind === 'value') {
      if (this.#tasks.length > 0) this.#close(task.start);
      this.#put(task, count);
    } else {
      const room = this.#limit - this.#imageCount;
      const { head, tail } = cutTask(task, room, this.#options.shard);
      if (head !== undefined) this.#put(head, room);
      this.#close(tail.start);
      return tail;
    }
    return undefined;
  }

  #put(task: ImportTask, imageCount: number): void {
    this.#tasks.push(task);
    this.#imageCount += imageCount;
  }

  #close(end: Key): void {
    const keyRange = { start: this.#start, end };
    const imageCount = this.#imageCount;
    if (imageCount > 0) this.#jobs.push({ keyRange, tasks: this.#tasks, imageCount });
    this.#start = end;
    this.#tasks = [];
    this.#imageCount = 0;
  }
}

/** Values and pages of the task that the shard has. */
export function countImages(task: ImportTask, shard: ImportShard): number {
  if (task.kind === 'value') return hasValue(task, shard) ? 1 : 0;
  let count = 0;
  for (const run of ownedRuns(task, shard)) count += run.pageCount;
  return count;
}

/** Whether the shard has the value. */
export function hasValue(
  { shards }: { readonly shards: 'all' | 'first' },
  { number }: ImportShard,
): boolean {
  return shards === 'all' || number === 0;
}

/** The pages of a task that the shard has, in runs as long as possible. */
export function* ownedRuns(
  task: Exclude<ImportTask, { readonly kind: 'value' }>,
  { sharding, number }: ImportShard,
): Generator<PageRun, void, undefined> {
  const { firstPage, pageCount } = task;
  if (task.kind === 'slru' || sharding.count < 2) {
    if (number === 0 || sharding.count < 2) yield { firstPage, pageCount };
    return;
  }
  let run = { firstPage, pageCount: 0 };
  for (const stripe of stripesOf(task, sharding)) {
    const isOwner = shardOfKey(keyOfBlock(task, stripe.firstBlock), sharding) === number;
    if (isOwner) {
      run = { firstPage: run.firstPage, pageCount: run.pageCount + stripe.pageCount };
      continue;
    }
    if (run.pageCount > 0) yield run;
    const end = stripe.firstBlock - task.firstBlock + stripe.pageCount;
    run = { firstPage: firstPage + end, pageCount: 0 };
  }
  if (run.pageCount > 0) yield run;
}

/** The parts of the task's blocks that lie in one stripe each. */
function* stripesOf(
  { firstBlock, pageCount }: RelationTask,
  { stripeSize }: Sharding,
): Generator<{ readonly firstBlock: number; readonly pageCount: number }, void, undefined> {
  const end = firstBlock + pageCount;
  for (let block = firstBlock; block < end; ) {
    const next = Math.min(end, (Math.floor(block / stripeSize) + 1) * stripeSize);
    yield { firstBlock: block, pageCount: next - block };
    block = next;
  }
}

/**
 * Cuts a task after N pages of the shard.
 *
 * Requires: the shard has more of them.
 */
function cutTask(
  task: Exclude<ImportTask, { readonly kind: 'value' }>,
  room: number,
  shard: ImportShard,
): { readonly head: ImportTask | undefined; readonly tail: ImportTask } {
  const cut = cutPage(task, room, shard);
  const headCount = cut - task.firstPage;
  const tail = { firstPage: cut, pageCount: task.pageCount - headCount };
  const head = headCount === 0 ? undefined : { ...task, pageCount: headCount };
  if (task.kind === 'slru') {
    return { head, tail: { ...task, ...tail, start: slruBlockKey({ ...task.file, blkno: cut }) } };
  }
  const firstBlock = task.firstBlock + headCount;
  return { head, tail: { ...task, ...tail, firstBlock, start: keyOfBlock(task, firstBlock) } };
}

function cutPage(
  task: Exclude<ImportTask, { readonly kind: 'value' }>,
  room: number,
  shard: ImportShard,
): number {
  if (room === 0) return task.firstPage;
  let left = room;
  for (const { firstPage, pageCount } of ownedRuns(task, shard)) {
    if (left <= pageCount) return firstPage + left;
    left -= pageCount;
  }
  return task.firstPage + task.pageCount;
}

function keyOfBlock({ fork }: RelationTask, blkno: number): Key {
  return relationBlockKey({ ...fork, blkno });
}
