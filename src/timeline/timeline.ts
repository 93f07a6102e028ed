/** A timeline that is open for reading: its layers, those of its ancestors, and the reads of both. */
import {
  checkArray,
  checkCount,
  checkObject,
  checkOneOf,
  checkOptions,
  checkSignal,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { checkKey, checkKeyRange, formatKey, type Key, type KeyRange } from '../layers/key.ts';
import {
  ALL_LSNS,
  checkLsn,
  checkWantedLsns,
  formatLsn,
  formatPgLsn,
  type Lsn,
} from '../layers/lsn.ts';
import { readDirectory, type TimelineDirectory } from './directory.ts';
import type { Generation } from './generation.ts';
import { historyOf } from './history.ts';
import type { IndexPart } from './index-part/index-part.ts';
import { singleKey } from './key-space.ts';
import type { HeldLayer, LayerFiles } from './layer-files.ts';
import type { LayerMap } from './layer-map/layer-map.ts';
import type { RedoRunner } from './materialize.ts';
import { type PageResult, type ReadKeys, readPageOf } from './read-page.ts';
import {
  isInherited,
  type Reconstruction,
  type TimelineEntry,
  type WalkedTimeline,
  type WalkResult,
  walk,
} from './reconstruct.ts';
import { withRelationNames } from './relation-names.ts';
import { type Sharding, shardOfKey } from './shard-owner.ts';
import { formatShardIndex } from './tenant-shard.ts';
import { walkShards } from './walk-shards.ts';

/** Options of all reads of a timeline. */
export interface TimelineReadOptions {
  /** Ends the read with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of reads that reconstruct values. */
export interface ReconstructOptions extends TimelineReadOptions {
  /**
   * Maximum number of bytes of all values of the read together; more is `too-large`. Default: that of the timeline,
   * which it cannot exceed.
   */
  readonly maximumBytes?: number | undefined;
}

/** Which versions `Timeline.history` returns. */
export interface HistoryOptions extends TimelineReadOptions {
  /** Lowest LSN, inclusive. Default: 0. */
  readonly lsnStart?: Lsn | undefined;
  /** Highest LSN, exclusive. Default: no limit. */
  readonly lsnEnd?: Lsn | undefined;
}

/** Options of `Timeline.readPage`. */
export interface ReadPageOptions extends TimelineReadOptions {
  /**
   * `read`: reads even below the GC cutoff, where layers may be gone and the result may be too old. Default: such a
   * read is refused, as by a pageserver.
   */
  readonly belowGcCutoff?: 'refuse' | 'read' | undefined;
  /** Applies WAL records that only Postgres can apply. Default: such a page is `needs-redo`. */
  readonly redo?: RedoRunner | undefined;
}

/** Options of `Timeline.directory`. */
export interface DirectoryOptions extends ReadPageOptions {
  /** `read`: names of relations are read from pg_class of each database. Default: `none`. */
  readonly names?: 'read' | 'none' | undefined;
}

/** The result of reading key ranges. */
export interface RangeReconstruction {
  /** Keys that have a value, ascending. */
  readonly found: readonly Reconstruction[];
  /** Ranges without a value, except for sparse keys: a pageserver would fail for them. */
  readonly missing: readonly KeyRange[];
  /** How many times a layer was read. */
  readonly visitCount: number;
}

/** The branch point of a timeline. */
export interface TimelineAncestor {
  /** 32 hex digits. */
  readonly timelineId: string;
  /** LSN up to which the ancestor is read. */
  readonly lsn: Lsn;
}

/** What is known about a timeline. */
export interface TimelineFacts {
  /** 32 hex digits; undefined if it is not known from the source. */
  readonly timelineId: string | undefined;
  /** 32 hex digits; undefined if it is not known from the source. */
  readonly tenantId: string | undefined;
  /** Shard number and count, 4 hex digits; undefined if the tenant is not sharded, or if all shards are read. */
  readonly shard: string | undefined;
  /** Undefined without an ancestor, and without an index. */
  readonly ancestor: TimelineAncestor | undefined;
  /** Everything up to this LSN is in layers, in all shards; undefined without an index. */
  readonly diskConsistentLsn: Lsn | undefined;
  /** Below it, layers may have been removed; undefined without an index. */
  readonly latestGcCutoffLsn: Lsn | undefined;
  /** Major version of Postgres; undefined if it is unknown. */
  readonly pgVersion: number | undefined;
  /** From which LSN on relations are listed under separate keys; undefined if they are not, or without an index. */
  readonly relationsMovedAt: Lsn | undefined;
}

/** @internal Shards of a timeline that are read as one. */
export interface TimelineShards {
  readonly sharding: Sharding;
  /** By number; some may be missing. The timeline closes them. */
  readonly timelines: ReadonlyMap<number, Timeline>;
}

/** @internal The index of a timeline, and the generation in its name. */
export interface StoredIndexPart {
  /** Undefined if the source has none. */
  readonly index: IndexPart | undefined;
  readonly generation: Generation;
}

/** @internal The parts of a timeline. */
export interface TimelineParts {
  readonly facts: TimelineFacts;
  readonly map: LayerMap;
  readonly files: LayerFiles;
  /** Opens an ancestor, which this timeline then closes. */
  readonly openAncestor: (timelineId: string) => Promise<Timeline>;
  /** If given, all reads go to them. */
  readonly shards?: TimelineShards | undefined;
  readonly stored?: StoredIndexPart | undefined;
  /** Limit for all values of one read together. */
  readonly maximumBytes: number;
}

const READ_OPTIONS: KnownOptions<TimelineReadOptions> = { signal: true };
const PAGE_OPTIONS: KnownOptions<ReadPageOptions> = {
  ...READ_OPTIONS,
  redo: true,
  belowGcCutoff: true,
};
const RECONSTRUCT_OPTIONS: KnownOptions<ReconstructOptions> = {
  ...READ_OPTIONS,
  maximumBytes: true,
};

/**
 * A timeline that is open for reading. Reads may run concurrently. Layers are opened when a read needs them. A layer
 * that is missing, damaged or changed makes that read fail; the key is never reported as absent.
 *
 * @example
 * await using timeline = await openTimeline('/data/tenants/…/timelines/…');
 * const { base, records } = await timeline.reconstruct(key, lsn);
 */
export class Timeline {
  /** What is known about the timeline. */
  readonly facts: TimelineFacts;
  /** The shards that are read as one, by number, each with its own layers; empty for a single shard. */
  readonly shards: readonly Timeline[];
  readonly #parts: TimelineParts;
  #ancestor: Promise<Timeline> | undefined;
  #walked: WalkedTimeline | undefined;

  /** @internal For `openTimeline`. */
  constructor(parts: TimelineParts) {
    this.facts = parts.facts;
    this.shards = [...(parts.shards?.timelines.values() ?? [])];
    this.#parts = parts;
  }

  /**
   * Its layers, without those of its ancestors.
   *
   * @throws `invalid-input` for a timeline that is read from several shards: each shard has its own map.
   */
  get map(): LayerMap {
    const { map, shards } = this.#parts;
    if (shards === undefined) return map;
    throw new StorageError('invalid-input', {
      what: 'layer map of a timeline',
      expected: 'a timeline of one shard: ask mapOf(key), or the maps of `shards`',
      actual: `${shards.timelines.size} shards`,
    });
  }

  /**
   * The layers among which a key is searched: those of the shard that owns it, without those of its ancestors.
   *
   * @throws `not-found` if that shard is not in the source; `invalid-input`.
   */
  mapOf(key: Key): LayerMap {
    checkKey(key);
    const { shards } = this.#parts;
    return shards === undefined ? this.map : shardAt(shards, shardOfKey(key, shards.sharding)).map;
  }

  /** @internal Undefined for a timeline that is read from several shards. */
  get stored(): StoredIndexPart | undefined {
    return this.#parts.stored;
  }

  /** @internal How the tenant is sharded; undefined unless it is read from several shards. */
  get sharding(): Sharding | undefined {
    return this.#parts.shards?.sharding;
  }

  /** @internal Opens a layer of the map. Release it when done. Throws as `reconstruct`. */
  async acquireLayer(name: string, signal?: AbortSignal | undefined): Promise<HeldLayer> {
    return this.#parts.files.acquire(name, signal);
  }

  /** LSN at which a read finds the newest values: the last one in layers, or above all of them without an index. */
  get lastLsn(): Lsn {
    return this.facts.diskConsistentLsn ?? ALL_LSNS.end - 1n;
  }

  /**
   * Finds what the value of a key at an LSN is built from, as a pageserver's read does.
   *
   * @param lsn Inclusive.
   * @returns The layers that are read, the base image, and the records above it.
   * @throws `not-found` if a layer or an ancestor that is needed is missing; `corrupt`, `truncated` and others for
   * damaged layers; `too-large`; `io`, `network`, `denied`, `changed`, `aborted`, `closed`, `invalid-input`,
   * `out-of-range` for a key that a pageserver cannot hold.
   */
  async reconstruct(key: Key, lsn: Lsn, options: ReconstructOptions = {}): Promise<Reconstruction> {
    const [found] = await this.reconstructMany([key], lsn, options);
    return found as Reconstruction;
  }

  /**
   * As `reconstruct` for many keys, reading each layer once for all of them. All values are in memory at the same time.
   *
   * @returns Reconstructions in the order of the keys.
   * @throws As `reconstruct`.
   */
  async reconstructMany(
    keys: readonly Key[],
    lsn: Lsn,
    options: ReconstructOptions = {},
  ): Promise<Reconstruction[]> {
    checkArray('keys', keys);
    for (const key of keys) checkKey(key);
    const { found } = await this.#walk(keys.map(singleKey), lsn, options);
    return keys.map((key) => found.get(formatKey(key)) as Reconstruction);
  }

  /**
   * As `reconstruct` for all keys in some ranges that have a value. All values are in memory at the same time.
   *
   * @throws As `reconstruct`.
   */
  async reconstructRanges(
    ranges: readonly KeyRange[],
    lsn: Lsn,
    options: ReconstructOptions = {},
  ): Promise<RangeReconstruction> {
    checkArray('ranges', ranges);
    for (const range of ranges) checkKeyRange(range);
    const { found, missing, visitCount } = await this.#walk(ranges, lsn, options);
    const values = [...found].filter(([, { outcome }]) => outcome !== 'missing');
    const sorted = values.sort(([left], [right]) => (left < right ? -1 : 1));
    return { found: sorted.map(([, value]) => value), missing, visitCount };
  }

  /**
   * Every version of a key, newest first, lazily. A version that is in several layers is returned for each of them.
   * Continues in the ancestor, at and below the branch point.
   *
   * @returns Entries that are copies.
   * @throws As `reconstruct`.
   */
  async *history(key: Key, options: HistoryOptions = {}): AsyncGenerator<TimelineEntry> {
    checkKey(key);
    checkOptions(options, { ...READ_OPTIONS, lsnStart: true, lsnEnd: true });
    checkSignal(options.signal);
    const { lsnStart = 0n, lsnEnd = ALL_LSNS.end, signal } = options;
    const lsnRange = { start: lsnStart, end: lsnEnd };
    checkWantedLsns(lsnRange);
    const { facts } = this;
    const { files, map, shards } = this.#parts;
    if (shards !== undefined) {
      yield* shardAt(shards, shardOfKey(key, shards.sharding)).history(key, options);
      return;
    }
    const source = {
      timelineId: facts.timelineId,
      map,
      acquire: (name: string) => files.acquire(name, signal),
    };
    yield* historyOf(source, { key, lsnRange, signal });
    const { ancestor } = facts;
    if (ancestor === undefined || !isInherited(key) || ancestor.lsn < lsnStart) return;
    const branchEnd = ancestor.lsn + 1n;
    const above = await this.openAncestor();
    yield* above.history(key, { ...options, lsnEnd: lsnEnd < branchEnd ? lsnEnd : branchEnd });
  }

  /**
   * Reads a page, or another value, at an LSN. A block beyond the end of its relation is zeros, as in a pageserver.
   *
   * @param lsn Inclusive.
   * @returns The page; or `needs-redo`, `missing` or `no-base`, with what was found.
   * @throws As `reconstruct`; `out-of-range` for an LSN below the GC cutoff; `corrupt` for records that cannot be
   * applied; what `redo` throws.
   */
  async readPage(key: Key, lsn: Lsn, options: ReadPageOptions = {}): Promise<PageResult> {
    checkKey(key);
    checkLsn(lsn);
    checkOptions(options, PAGE_OPTIONS);
    const { redo, signal } = options;
    this.#checkCutoff(lsn, options);
    return readPageOf((wanted) => this.reconstructMany(wanted, lsn, { signal }), {
      key,
      pgVersion: this.facts.pgVersion,
      redo,
      signal,
    });
  }

  /**
   * Lists the content of the timeline at an LSN: databases, the forks of their relations, and segments of SLRUs, all
   * with their sizes. Anything that the timeline does not have is undefined, never 0 or empty. Without an index,
   * relation directories are assumed to be current, as they are unless relations have moved to separate keys.
   *
   * Names are read from the pages of pg_class that can be built without redo, or with `redo`; `catalog` says how many
   * could not be read.
   *
   * @param lsn Inclusive.
   * @throws As `reconstruct`; `out-of-range` for an LSN below the GC cutoff; `not-found` without a list of databases; `corrupt` or `truncated` for lists, sizes and,
   * if names are read, pages and relation maps that cannot be read; `too-large` for more than 10 million items; what
   * `redo` throws.
   */
  async directory(lsn: Lsn, options: DirectoryOptions = {}): Promise<TimelineDirectory> {
    checkLsn(lsn);
    checkOptions(options, { ...PAGE_OPTIONS, names: true });
    const { signal, redo, names = 'none' } = options;
    checkOneOf('names', names, ['read', 'none']);
    this.#checkCutoff(lsn, options);
    const { pgVersion, relationsMovedAt } = this.facts;
    const read: ReadKeys = (keys) => this.reconstructMany(keys, lsn, { signal });
    const directory = await readDirectory({
      lsn,
      read,
      readRange: async (range) => (await this.reconstructRanges([range], lsn, { signal })).found,
      hasMovedRelations: relationsMovedAt !== undefined && lsn >= relationsMovedAt,
      signal,
    });
    if (names === 'none') return directory;
    const making = { pgVersion, redo, signal };
    const databases = await withRelationNames({ read, making }, directory.databases);
    return { ...directory, databases };
  }

  /** Closes all layers, and the ancestors that were opened. Idempotent. */
  async close(): Promise<void> {
    await this.#parts.files.close();
    for (const shard of this.shards) await shard.close();
    const [ancestor] = await Promise.allSettled([this.#ancestor]);
    if (ancestor?.status === 'fulfilled') await ancestor.value?.close();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #checkCutoff(lsn: Lsn, { belowGcCutoff = 'refuse' }: ReadPageOptions): void {
    checkOneOf('belowGcCutoff', belowGcCutoff, ['refuse', 'read']);
    const { latestGcCutoffLsn } = this.facts;
    if (belowGcCutoff === 'read' || latestGcCutoffLsn === undefined || lsn >= latestGcCutoffLsn)
      return;
    throw new StorageError('out-of-range', {
      what: 'LSN of a read below the GC cutoff, where layers may be gone',
      lsn: formatLsn(lsn),
      expected: `${formatPgLsn(latestGcCutoffLsn)} or above, or belowGcCutoff: 'read'`,
      actual: formatPgLsn(lsn),
    });
  }

  async #walk(
    keys: readonly KeyRange[],
    lsn: Lsn,
    options: ReconstructOptions,
  ): Promise<WalkResult> {
    checkObject('keys', keys);
    checkLsn(lsn);
    checkOptions(options, RECONSTRUCT_OPTIONS);
    checkSignal(options.signal);
    const { signal, maximumBytes: wanted } = options;
    if (wanted !== undefined) checkCount('maximumBytes', wanted);
    const { shards, maximumBytes: most } = this.#parts;
    const request = { keys, lsn, signal, maximumBytes: Math.min(wanted ?? most, most) };
    if (shards === undefined) return walk(this.#asWalked(), request);
    const walked = (shardNumber: number) => shardAt(shards, shardNumber).#asWalked();
    return walkShards({ sharding: shards.sharding, shardAt: walked }, request);
  }

  #asWalked(): WalkedTimeline {
    const { ancestor, timelineId } = this.facts;
    this.#walked ??= {
      timelineId,
      map: this.#parts.map,
      withLayer: (name, use, signal) => this.#parts.files.withLayer(name, use, signal),
      ancestor: ancestor && {
        lsn: ancestor.lsn,
        open: async () => (await this.openAncestor()).#asWalked(),
      },
    };
    return this.#walked;
  }

  /** @internal The timeline that this one branched off, and which it closes. Throws `not-found` if there is none. */
  async openAncestor(): Promise<Timeline> {
    const { ancestor } = this.facts;
    if (ancestor === undefined) throw new StorageError('not-found', { what: 'no ancestor' });
    this.#ancestor ??= this.#parts.openAncestor(ancestor.timelineId);
    const opening = this.#ancestor;
    try {
      return await opening;
    } catch (error) {
      // The reason why it could not be opened may be gone the next time.
      if (this.#ancestor === opening) this.#ancestor = undefined;
      throw error;
    }
  }
}

/** Without its shard, it is unknown whether a key exists. */
function shardAt({ sharding, timelines }: TimelineShards, number: number): Timeline {
  const timeline = timelines.get(number);
  if (timeline !== undefined) return timeline;
  const name = formatShardIndex({ number, count: sharding.count });
  throw new StorageError('not-found', { what: `shard ${name} is not in the source` });
}
