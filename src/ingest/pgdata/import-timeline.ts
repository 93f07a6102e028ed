/**
 * Imports a data directory as a whole timeline: every key that a pageserver needs, in image layers, with the index for
 * attaching the timeline.
 *
 *   1  list and check the directory
 *   2  plan: values and runs of pages in key order, divided into layers, for each shard
 *   3  make all layers in the staging directory, several at a time; every page is checked
 *   4  check that the directory is still the same
 *   5  store the layers, the manifest of the tenant, and finally the index
 *
 * Nothing is stored until everything has been read and checked. The same source and options give the same layers, so a
 * run that was interrupted in step 5 can be repeated and stores what is missing.
 *
 *   fast      LSN L of the latest checkpoint; disk_consistent_lsn is L + 8 and prev_record_lsn L, as if a
 *             record of 8 bytes were there; no prepared transactions
 *   classic   like a base backup: disk_consistent_lsn is L, prev_record_lsn unknown; ingest of WAL continues
 *             with the checkpoint record at L
 *
 * Source: Neon pageserver/src/tenant/timeline/import_pgdata/flow.rs, import_datadir.rs.
 */
import {
  checkChoice,
  checkCount,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../../check-options.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import type { FinishedLayer } from '../../layers/layer-file/layer-writer.ts';
import { checkLsn, formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import type { ControlFile } from '../../postgres/control-file.ts';
import { checkLayerLsn } from '../../postgres/import.ts';
import type { LeftOutFile } from '../../postgres/left-out.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { PageInspector } from '../../postgres/page-inspector.ts';
import { type OnProgress, tellProgress } from '../../progress.ts';
import { IndexPart } from '../../timeline/index-part/index-part.ts';
import { DEFAULT_STRIPE_SIZE, type Sharding } from '../../timeline/shard-owner.ts';
import { Limiter } from '../../virtual-file/limiter.ts';
import { OpenFiles } from '../../virtual-file/open-files.ts';
import type { TimelineMetadataFields } from '../../write-once/timeline-metadata.ts';
import type { Compression } from '../../zstd/compression.ts';
import type { OutputTarget } from '../output/output-target.ts';
import { type StoredLayer, TimelineOutput } from '../output/timeline-output.ts';
import { planImport } from './import-plan.ts';
import { type ImportShard, type LayerJob, planJobs } from './layer-jobs.ts';
import {
  checkSourceStill,
  type ImportWay,
  leftOutOf,
  openSource,
  type SourceCluster,
} from './source-cluster.ts';
import { writeLayer } from './write-layer.ts';

const MIB = 1024 * 1024;
/** As a pageserver: the soft limit of a job of the fast import, and the target of an image layer. */
const DEFAULT_LAYER_SIZE: Readonly<Record<ImportWay, number>> = {
  fast: 256 * MIB,
  classic: 128 * MIB,
};
/** A layer's blobs are addressed with 40 bits, and an upload is one request. */
const MAXIMUM_LAYER_SIZE = 4 * 1024 * MIB;
const DEFAULT_CONCURRENCY = 2;
const MAXIMUM_CONCURRENCY = 64;
const LSN_ALIGNMENT = 8n;

/** Options of `importTimeline`. */
export interface ImportTimelineOptions {
  /** The Postgres data directory. It is only read. */
  readonly dataDirectory: string;
  /** Where `tenants/` is or will be. */
  readonly target: OutputTarget;
  /** 32 hex digits. */
  readonly tenantId: string;
  /** 32 hex digits. */
  readonly timelineId: string;
  /** In the names of all objects. Default 1. */
  readonly generation?: number | undefined;
  /** A multiple of 8, above 0/0; `auto`, the default, means that of the latest checkpoint. */
  readonly lsn?: Lsn | 'auto' | undefined;
  /** Default `fast`. */
  readonly way?: ImportWay | undefined;
  /** Soft limit of a layer in bytes, before compression. Default 256 MiB, or 128 MiB for `classic`. */
  readonly layerSize?: number | undefined;
  /** Number of shards, 0 to 255; the default, 0, is a tenant that is not sharded. */
  readonly shardCount?: number | undefined;
  /** Pages of a stripe. Default 2,048. */
  readonly stripeSize?: number | undefined;
  /** Number of layers that are made in parallel. Default 2. */
  readonly concurrency?: number | undefined;
  /**
   * `auto`, the default, verifies the checksums of pages if the cluster has them; `always` refuses a
   * cluster without.
   */
  readonly verifyChecksums?: 'auto' | 'always' | 'never' | undefined;
  /** As for `importPgdata`. */
  readonly allowUnclean?: boolean | undefined;
  /** As for `importPgdata`. */
  readonly allowDamaged?: boolean | undefined;
  /** As for `importPgdata`. */
  readonly allowBadPages?: boolean | undefined;
  /** Default: zstd level 1. */
  readonly compression?: Compression | undefined;
  /** See `TimelineOutputOptions`. */
  readonly stagingDirectory?: string | undefined;
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Ends the import with `aborted`; no index is left. */
  readonly signal?: AbortSignal | undefined;
  /** Called with bytes of pages read and to read. */
  readonly onProgress?: OnProgress | undefined;
  /** Called for each page with a wrong checksum; the finding has file, offset and key. */
  readonly onBadPage?: ((finding: StorageError) => void) | undefined;
}

const OPTIONS: KnownOptions<ImportTimelineOptions> = {
  dataDirectory: true,
  target: true,
  tenantId: true,
  timelineId: true,
  generation: true,
  lsn: true,
  way: true,
  layerSize: true,
  shardCount: true,
  stripeSize: true,
  concurrency: true,
  verifyChecksums: true,
  allowUnclean: true,
  allowDamaged: true,
  allowBadPages: true,
  compression: true,
  stagingDirectory: true,
  openFiles: true,
  signal: true,
  onProgress: 'function',
  onBadPage: 'function',
};

/** A layer that an import stored. */
export interface ImportedTimelineLayer
  extends StoredLayer,
    Pick<FinishedLayer, 'entryCount' | 'indexStartBlock' | 'indexRootBlock'> {}

/** One shard of a timeline that was imported; the only one if it is not sharded. */
export interface ImportedShard {
  /** Number of the shard; 0 if there is only one. */
  readonly number: number;
  /** In key order. */
  readonly layers: readonly ImportedTimelineLayer[];
  /** Path of the index, as messages name it. */
  readonly indexPath: string;
  /** Path of the tenant manifest. */
  readonly manifestPath: string;
}

/** The result of importing a timeline. */
export interface ImportedTimeline {
  /** LSN of all layers. */
  readonly lsn: Lsn;
  /** The metadata in the indices of the timeline. */
  readonly metadata: TimelineMetadataFields;
  /** In the order of their numbers. */
  readonly shards: readonly ImportedShard[];
  /** The control file of the cluster. */
  readonly control: ControlFile;
  /** Number of relation forks. */
  readonly forkCount: number;
  /** Pages of all forks. */
  readonly pageCount: number;
  /** Pages with a wrong checksum; undefined if checksums were not verified. */
  readonly badPageCount: number | undefined;
  /** Files of the data directory, and parts of files, that were not imported. */
  readonly leftOut: readonly LeftOutFile[];
  /** Problems that an option allowed, and what the timeline lacks. */
  readonly warnings: readonly StorageError[];
}

/**
 * Imports a cluster of Postgres 14 to 17 with 8,192-byte pages that was shut down cleanly, as a timeline that a
 * pageserver can attach. Memory grows with the number of relations, but not with the size of the cluster. The staging
 * directory needs space for all layers.
 *
 * Durability: the timeline survives a crash once the promise resolves. A crash before leaves no index,
 * or, of a sharded timeline, the indices of some shards, each with all its layers.
 *
 * @throws `exists` (the timeline has an index; a different layer has the name of one to be stored); `out-of-range` (a
 *   page is newer than the LSN); and as `importPgdata`. Nothing is stored of a cluster that is refused.
 * @example
 *   const timeline = await importTimeline({
 *     dataDirectory: '/var/lib/postgresql/17/main',
 *     target: 'out',
 *     tenantId: '11223344556677881122334455667788',
 *     timelineId: '99aabbccddeeff0099aabbccddeeff00',
 *   });
 */
export async function importTimeline(options: ImportTimelineOptions): Promise<ImportedTimeline> {
  checkArguments(options);
  const { openFiles = OpenFiles.shared(), signal } = options;
  throwIfAborted(signal, options.dataDirectory);
  const { dataDirectory, way = 'fast', allowUnclean, allowDamaged } = options;
  const source = await openSource({ dataDirectory, way, allowUnclean, allowDamaged, openFiles });
  const { control, files, objections } = source.cluster;
  const lsn = lsnOf(options, control);
  const inspector = inspectorOf(options, source, lsn);
  const outputs = await openOutputs(options, openFiles);
  try {
    const made = await makeLayers(outputs, source, { ...options, openFiles, lsn, inspector });
    inspector.end();
    await checkSourceStill(source, openFiles);
    const metadata = metadataOf(lsn, way, control);
    const shards = await storeShards(outputs, made, { metadata, ...shardingOf(options) });
    return {
      ...{ lsn, metadata, shards, control, warnings: objections.warnings },
      forkCount: files.forks.length,
      pageCount: files.forks.reduce((sum, fork) => sum + fork.pageCount, 0),
      badPageCount: inspector.badPageCount,
      leftOut: leftOutOf(source, way),
    };
  } finally {
    // The first error is thrown. A staging directory that cannot be removed now is removed later.
    await Promise.allSettled(outputs.map((output) => output.close()));
  }
}

function checkArguments(options: ImportTimelineOptions): void {
  checkOptions(options, OPTIONS);
  checkText('dataDirectory', options.dataDirectory);
  checkChoice('way', options.way, ['fast', 'classic']);
  checkChoice('verifyChecksums', options.verifyChecksums, ['auto', 'always', 'never']);
  const { layerSize, shardCount, stripeSize, concurrency, lsn } = options;
  if (layerSize !== undefined) {
    checkCount('layerSize', layerSize, { from: PAGE_SIZE, to: MAXIMUM_LAYER_SIZE });
  }
  if (shardCount !== undefined) checkCount('shardCount', shardCount, { to: 0xff });
  if (stripeSize !== undefined) checkCount('stripeSize', stripeSize, { from: 1, to: 0xffff_ffff });
  if (concurrency !== undefined) {
    checkCount('concurrency', concurrency, { from: 1, to: MAXIMUM_CONCURRENCY });
  }
  if (lsn !== undefined && lsn !== 'auto') checkLsn(lsn, 'lsn');
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
}

function lsnOf({ lsn = 'auto' }: ImportTimelineOptions, control: ControlFile): Lsn {
  const { checkpointLsn } = control;
  if (lsn === 'auto') {
    return ((checkpointLsn + LSN_ALIGNMENT - 1n) / LSN_ALIGNMENT) * LSN_ALIGNMENT;
  }
  checkLayerLsn(lsn);
  if (lsn % LSN_ALIGNMENT === 0n) return lsn;
  throw new StorageError('invalid-input', {
    what: 'LSN of the timeline',
    expected: 'a multiple of 8',
    actual: formatPgLsn(lsn),
  });
}

function inspectorOf(
  options: ImportTimelineOptions,
  { cluster: { control, dataDirectory, objections } }: SourceCluster,
  lsn: Lsn,
): PageInspector {
  const { verifyChecksums = 'auto', allowBadPages, onBadPage } = options;
  const hasChecksums = control.checksumVersion !== 0;
  if (verifyChecksums === 'always' && !hasChecksums) {
    throw new StorageError('invalid-input', {
      what: 'the cluster has no page checksums to verify',
      path: dataDirectory,
    });
  }
  return new PageInspector({
    ...{ lsn, onBadPage, objections },
    checksums: hasChecksums && verifyChecksums !== 'never' ? 'on' : 'off',
    allowBadPages: allowBadPages === true,
  });
}

function shardingOf({
  shardCount = 0,
  stripeSize = DEFAULT_STRIPE_SIZE,
}: ImportTimelineOptions): Sharding {
  return { count: shardCount, stripeSize };
}

async function openOutputs(
  options: ImportTimelineOptions,
  openFiles: OpenFiles,
): Promise<TimelineOutput[]> {
  const { target, tenantId, timelineId, generation = 1, stagingDirectory, signal } = options;
  const { shardCount: count = 0 } = options;
  const outputs: TimelineOutput[] = [];
  try {
    for (let number = 0; number < Math.max(1, count); number += 1) {
      const output = await TimelineOutput.open({
        ...{ target, tenantId, timelineId, generation, stagingDirectory, openFiles, signal },
        shard: { number, count },
        // An interrupted run may have stored the indices of some shards.
        timeline: count > 1 ? 'repeated' : 'new',
      });
      outputs.push(output);
    }
  } catch (error) {
    await Promise.allSettled(outputs.map((output) => output.close()));
    throw error;
  }
  return outputs;
}

interface MakeOptions extends ImportTimelineOptions {
  readonly openFiles: OpenFiles;
  readonly lsn: Lsn;
  readonly inspector: PageInspector;
}

/**
 * Makes the layers of all shards, in key order for each shard. Throws the first error, once all work in progress has
 * ended.
 */
async function makeLayers(
  outputs: readonly TimelineOutput[],
  source: SourceCluster,
  options: MakeOptions,
): Promise<readonly (readonly FinishedLayer[])[]> {
  const { way = 'fast', layerSize: given } = options;
  const layerSize = given ?? DEFAULT_LAYER_SIZE[way];
  const tasks = planImport(source, way);
  const sharding = shardingOf(options);
  const stop = new AbortController();
  const { signal: outer, concurrency } = options;
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  const limiter = new Limiter(concurrency ?? DEFAULT_CONCURRENCY);
  const failures: unknown[] = [];
  const onRead = progressOf(tasks, options.onProgress);
  const about = { ...aboutLayers(options), objections: source.cluster.objections, onRead, signal };
  const make = async (job: LayerJob, directory: string, shard: ImportShard) => {
    try {
      return await limiter.run(async () => writeLayer(job, { ...about, directory, shard }));
    } catch (error) {
      failures.push(error);
      stop.abort();
      return undefined;
    }
  };
  const made = await Promise.all(
    outputs.map(({ stagingDirectory }, number) => {
      const shard = { sharding, number };
      const jobs = planJobs(tasks, { way, layerSize, shard });
      return Promise.all(jobs.map((job) => make(job, stagingDirectory, shard)));
    }),
  );
  if (failures.length > 0) throw failures[0];
  return made.map((layers) => layers.filter((layer) => layer !== undefined));
}

function aboutLayers({
  tenantId,
  timelineId,
  lsn,
  compression,
  inspector,
  openFiles,
}: MakeOptions) {
  return { tenantId, timelineId, lsn, compression, inspector, openFiles };
}

function progressOf(
  tasks: ReturnType<typeof planImport>,
  onProgress: OnProgress | undefined,
): (byteCount: number) => void {
  const total = tasks.reduce((sum, task) => sum + (task.kind === 'value' ? 0 : task.pageCount), 0);
  let done = 0;
  return (byteCount) => {
    done += byteCount;
    tellProgress(onProgress, done, total * PAGE_SIZE);
  };
}

function metadataOf(lsn: Lsn, way: ImportWay, control: ControlFile): TimelineMetadataFields {
  return {
    diskConsistentLsn: way === 'fast' ? lsn + LSN_ALIGNMENT : lsn,
    prevRecordLsn: way === 'fast' ? lsn : null,
    ancestorTimeline: null,
    ancestorLsn: 0n,
    latestGcCutoffLsn: lsn,
    initdbLsn: lsn,
    pgVersion: control.majorVersion,
  };
}

/** Layers first, then the manifests, and the indices last. */
async function storeShards(
  outputs: readonly TimelineOutput[],
  made: readonly (readonly FinishedLayer[])[],
  { metadata, stripeSize }: { readonly metadata: TimelineMetadataFields } & Sharding,
): Promise<ImportedShard[]> {
  const layersOf = new Map<TimelineOutput, ImportedTimelineLayer[]>();
  for (const [number, output] of outputs.entries()) {
    const stored: ImportedTimelineLayer[] = [];
    for (const layer of made[number] ?? []) {
      const { entryCount, indexStartBlock, indexRootBlock } = layer;
      const about = { entryCount, indexStartBlock, indexRootBlock };
      stored.push({ ...(await output.putLayer(layer)), ...about });
    }
    layersOf.set(output, stored);
  }
  const shards: ImportedShard[] = [];
  const manifest = { stripeSize, offloadedTimelines: [] };
  const manifestPaths: string[] = [];
  for (const output of outputs) manifestPaths.push(await output.putTenantManifest(manifest));
  for (const [number, output] of outputs.entries()) {
    const index = IndexPart.create({ layers: output.layers, metadata });
    // The shards' indices are not stored atomically: after a crash, the existing ones are the same as here.
    const indexPath = await output.putIndex(index);
    const layers = layersOf.get(output) ?? [];
    shards.push({ number, layers, indexPath, manifestPath: manifestPaths[number] ?? '' });
  }
  return shards;
}
