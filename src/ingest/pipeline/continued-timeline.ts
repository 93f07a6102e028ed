/**
 * A timeline that an ingest continues, in its place or in another one, and its index there.
 *
 * In its own place it continues in a new generation, so that its old index stays. In another place, its layers are
 * copied first, so that the output is a complete timeline. Either way an index of the generation is stored before the
 * first record, and from then on says where to continue.
 */
import { realpath } from 'node:fs/promises';
import { isStorageError } from '../../errors.ts';
import type { FinishedLayer } from '../../layers/layer-file/layer-writer.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { pathOfObject } from '../../object-store/object-store.ts';
import { nextGeneration } from '../../timeline/generation.ts';
import type { IndexPart } from '../../timeline/index-part/index-part.ts';
import type { IndexLayer } from '../../timeline/index-part/layer-entry.ts';
import { openTimeline, type StoredSource } from '../../timeline/open-timeline.ts';
import { remoteTimelinePath, type TimelinePlace } from '../../timeline/remote-path.ts';
import { isUnsharded, type ShardIndex } from '../../timeline/tenant-shard.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { absolutePath, pathIn } from '../../virtual-file/absolute-path.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import type { OutputTarget } from '../output/output-target.ts';
import { TimelineOutput } from '../output/timeline-output.ts';
import { type IndexedTimeline, openIndexed, type TimelineChoice } from './base-timeline.ts';
import { copyLayers } from './copy-layers.ts';
import type { Border } from './layer-line.ts';

/** What to continue, and where. */
export interface StartOptions {
  /** The timeline to continue: a directory, an index, or a place in an object store. It needs an index. */
  readonly base: StoredSource;
  /** Which timeline of the base, if it has several; and its generation. */
  readonly baseChoice?: Omit<TimelineChoice, 'shard' | 'signal'> | undefined;
  /** Where the timeline is stored: the place of the base, or another one. */
  readonly target: OutputTarget;
  /**
   * Of new layers and the index. Default: in the place of the base the one after the base's, elsewhere the base's,
   * or 1; to resume, that of the newest index of the output.
   */
  readonly generation?: number | undefined;
  /** `resume` continues what an earlier ingest left in the output, if it left an index. Default `start`. */
  readonly mode?: 'start' | 'resume' | undefined;
  /** The shard. Default: the tenant is not sharded, or the base has only one shard. */
  readonly shard?: ShardIndex | undefined;
  /** Directory for layers in the making; see `TimelineOutputOptions`. */
  readonly stagingDirectory?: string | undefined;
  /** For layers in the making, and the output if that is a directory. Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Called with the bytes of the base's layers that were copied since the last call. */
  readonly onCopied?: ((length: number) => void) | undefined;
  /** Ends the ingest with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** Opens the timeline to continue, and stores its first index. Throws as `WalIngest.open`. */
export async function continueTimeline(options: StartOptions): Promise<ContinuedTimeline> {
  const { base, baseChoice, shard, signal } = options;
  const original = await openIndexed(base, { ...baseChoice, shard, signal });
  const earlier = options.mode === 'resume' ? await openEarlier(original, options) : undefined;
  const found = earlier ?? original;
  let output: TimelineOutput | undefined;
  try {
    output =
      earlier === undefined ? await startAfter(found, options) : await resumeAt(found, options);
    const { index = await putFirstIndex(output, found) } = output;
    const { stripeSize } = original;
    const { timeline: reader } = found;
    return new ContinuedTimeline({ output, index, stripeSize, reader, target: options.target });
  } catch (error) {
    await Promise.allSettled([output?.close(), found.timeline.close()]);
    throw error;
  }
}

/**
 * The timeline of the base in the output; the base is then closed. Undefined if the output does not have an index of
 * it, even if it has other timelines.
 */
async function openEarlier(
  { place, timeline: original }: IndexedTimeline,
  { target, generation, signal }: StartOptions,
): Promise<IndexedTimeline | undefined> {
  const { tenantId: tenant, timelineId: timeline, shard } = place;
  try {
    const earlier = await openIndexed(target, { tenant, timeline, shard, generation, signal });
    await original.close();
    return earlier;
  } catch (error) {
    if (isStorageError(error, 'not-found')) return undefined;
    await Promise.allSettled([original.close()]);
    throw error;
  }
}

function resumeAt(found: IndexedTimeline, options: StartOptions): Promise<TimelineOutput> {
  const generation = options.generation ?? found.generation ?? 1;
  return openOutput(found, options, { generation, timeline: 'continued' });
}

/** Opens the output, with all layers of the base in it. */
async function startAfter(found: IndexedTimeline, options: StartOptions): Promise<TimelineOutput> {
  const isSame = await isSamePlace(found.path, placeOfTarget(found.place, options.target));
  const generation =
    options.generation ??
    (isSame ? (nextGeneration(found.generation) as number) : (found.generation ?? 1));
  const output = await openOutput(found, options, { generation, timeline: isSame ? 'any' : 'new' });
  if (isSame) return output;
  const { signal, openFiles, onCopied: onBytes } = options;
  try {
    await copyLayers(found.layers, output, { signal, openFiles, onBytes });
    if (!isUnsharded(found.place.shard)) await putManifest(output, found.stripeSize);
    return output;
  } catch (error) {
    await Promise.allSettled([output.close()]);
    throw error;
  }
}

/** Stores the stripe size for readers of the copy. An existing manifest stays. */
async function putManifest(output: TimelineOutput, stripeSize: number): Promise<void> {
  try {
    await output.putTenantManifest({ stripeSize, offloadedTimelines: [] });
  } catch (error) {
    if (!isStorageError(error, 'exists')) throw error;
  }
}

function openOutput(
  { place }: IndexedTimeline,
  { target, stagingDirectory, openFiles, signal }: StartOptions,
  about: { readonly generation: number; readonly timeline: 'new' | 'any' | 'continued' },
): Promise<TimelineOutput> {
  return TimelineOutput.open({ ...place, ...about, target, stagingDirectory, openFiles, signal });
}

/** The index of the base, in the generation of the output: without layers that a pageserver would drop. */
async function putFirstIndex(output: TimelineOutput, found: IndexedTimeline): Promise<IndexPart> {
  const { layers: old } = found.index.fields;
  const layers = new Map<string, IndexLayer>();
  for (const [name, layer] of old) {
    if (found.layers.has(name)) layers.set(name, output.layers.get(name) ?? layer);
  }
  const index = found.index.with({ layers });
  await output.putIndex(index);
  return index;
}

/** For messages, and to be compared with the place of the base. */
function placeOfTarget(place: TimelinePlace, target: OutputTarget): string {
  const path = remoteTimelinePath(place);
  if (typeof target === 'string') return pathIn(absolutePath(target), path);
  return pathOfObject(target.store, joined(target.prefix, path));
}

function joined(prefix: string | undefined, path: string): string {
  return prefix === undefined || prefix === '' ? path : `${prefix.replace(/\/$/, '')}/${path}`;
}

async function isSamePlace(base: string, target: string): Promise<boolean> {
  const [one, other] = [base, target].map((path) => path.replace(/\/+$/, '')) as [string, string];
  if (one === other) return true;
  try {
    return (await realpath(one)) === (await realpath(other));
  } catch {
    // One of them is in an object store, or missing.
    return false;
  }
}

/** The timeline while it grows. One call at a time. */
export class ContinuedTimeline {
  readonly output: TimelineOutput;
  /** The timeline before the ingest; its reader closes it. */
  readonly reader: Timeline;
  /** End LSN of the last record that the timeline had. */
  readonly lastLsn: Lsn;
  /** End LSN of the record before; null if it is unknown. */
  readonly previousLsn: Lsn | null;
  /** Pages of a stripe of the base. */
  readonly stripeSize: number;
  readonly #target: OutputTarget;
  #index: IndexPart;

  constructor(parts: {
    readonly output: TimelineOutput;
    readonly index: IndexPart;
    readonly stripeSize: number;
    readonly reader: Timeline;
    readonly target: OutputTarget;
  }) {
    this.output = parts.output;
    this.reader = parts.reader;
    this.stripeSize = parts.stripeSize;
    this.#target = parts.target;
    this.#index = parts.index;
    const { diskConsistentLsn, prevRecordLsn } = parts.index.fields.metadata;
    this.lastLsn = diskConsistentLsn;
    this.previousLsn = prevRecordLsn;
  }

  /** Everything up to this LSN is in the index. */
  get durableLsn(): Lsn {
    return this.#index.fields.metadata.diskConsistentLsn;
  }

  /**
   * Stores layers, and then an index that names them and extends to the border.
   *
   * Returns: the layers with their paths in the output.
   * Throws: as `TimelineOutput.putLayer` and `advanceIndex`.
   */
  async advance(border: Border, finished: readonly FinishedLayer[]): Promise<FinishedLayer[]> {
    const layers = new Map(this.#index.fields.layers);
    const stored: FinishedLayer[] = [];
    for (const layer of finished) {
      const { generation, place } = this.output;
      const { name, path, size } = await this.output.putLayer(layer);
      layers.set(name, { fileSize: BigInt(size), generation, shard: place.shard });
      stored.push({ ...layer, path, name: nameOf(path) });
    }
    const index = this.#index.with({
      layers,
      metadata: { diskConsistentLsn: border.lastLsn, prevRecordLsn: border.previousLsn },
    });
    await this.output.advanceIndex(index);
    this.#index = index;
    return stored;
  }

  /** Opens the timeline in the output, with the layers of its newest index. */
  reopen(): Promise<Timeline> {
    const { output } = this;
    const target = this.#target;
    const path = remoteTimelinePath(output.place);
    const source =
      typeof target === 'string'
        ? pathIn(absolutePath(target), path)
        : { store: target.store, prefix: joined(target.prefix, path) };
    return openTimeline(source, { generation: output.generation });
  }

  /** Removes the layers that were not stored. Idempotent. */
  async close(): Promise<void> {
    await this.output.close();
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
