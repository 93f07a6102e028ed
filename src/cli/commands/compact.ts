/** `compact`: turns the L0s of a timeline into L1s, as a pageserver does, and makes image layers. */
import { availableParallelism } from 'node:os';
import { StorageError } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import type {
  CompactedTimeline,
  CompactionProgress,
  CompactTimelineOptions,
  PlannedCompaction,
  TimelineImageOptions,
} from '../../reshape/compact-timeline.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { countArgument, lsnArgument, sizeArgument, stripeSizeArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { encodeJson, type Json, layerObject } from '../json.ts';
import { openSource, SOURCE_OPTIONS } from '../open-source.ts';
import type { Progress } from '../progress.ts';
import type { Reporter } from '../reporter.ts';
import { OUTPUT_OPTIONS, openOutput, shardOf, warnOfMissingAncestor } from '../reshape-output.ts';
import { compressionOf, JOBS, JSON_ERRORS, LAYER_OPTIONS, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  ...OUTPUT_OPTIONS,
  threshold: option(
    '--threshold <n>',
    'minimum number of L0s to compact (default: 10)',
    countArgument,
  ),
  upperLimit: option(
    '--upper-limit <n>',
    'maximum number of full-size L0s per run (default: 10)',
    countArgument,
  ),
  checkpointDistance: option(
    '--checkpoint-distance <size>',
    'size of the L1s (default: 256MiB)',
    sizeArgument,
  ),
  images: flag('--images', 'make image layers where many deltas are stacked'),
  lsn: option('--lsn <lsn>', 'LSN of the image layers (default: the last)', lsnArgument),
  imageThreshold: option(
    '--image-threshold <n>',
    'minimum number of stacked deltas for images (default: 3)',
    countArgument,
  ),
  zstd: LAYER_OPTIONS.zstd,
  compress: LAYER_OPTIONS.compress,
  ...JOBS,
  stripeSize: option(
    '--stripe-size <pages>',
    'stripe size of a sharded tenant, for a source of one shard (default: 2048)',
    stripeSizeArgument,
  ),
  dryRun: flag('--dry-run', 'print what would be compacted, without writing anything'),
  ...SOURCE_OPTIONS,
  ...READ_LIMITS,
  ...JSON_ERRORS,
};
type CompactOptions = OptionValues<typeof OPTIONS>;

export function addCompact({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'compact', OPTIONS)
    .description('Compact L0 layers of a timeline into L1 layers, as a pageserver does.')
    .argument('<source>', 'directory, index_part.json or URL of a timeline with an index')
    .action((source: string, options: CompactOptions) =>
      runner((context) => compact(context, source, options)),
    );
  addExamples(command, [
    ['layerfile compact DIR --out DIR', 'in place, as a new generation'],
    ['layerfile compact s3://BUCKET/PREFIX --out DIR --threshold 3', 'into a copy'],
    ['layerfile compact DIR --out DIR --images', 'and make image layers'],
    ['layerfile compact DIR --out DIR --dry-run', 'what would be compacted'],
  ]);
  command.addHelpText(
    'after',
    `
The new index names the L1 layers in place of the L0 layers. Layers are never deleted, and older
indices stay valid. With --images, keys whose value needs Postgres's redo are not covered by new image
layers, so that reads find them as before. Layers that the index keeps are copied if --out does not
have them. An interrupted run can be repeated: it stores only what is missing.`,
  );
}

async function compact(
  context: Context,
  source: string,
  options: CompactOptions,
): Promise<ExitStatus> {
  const images = imageOptions(options);
  const { reporter, stdout } = context;
  await using timeline = await openSource(context, source, options);
  const parts = timeline.shards.length === 0 ? [timeline] : timeline.shards;
  if (options.dryRun === true) {
    const { planCompaction } = await import('../../reshape/compact-timeline.ts');
    const { threshold, upperLimit, checkpointDistance } = options;
    const choosing = { threshold, upperLimit, checkpointDistance, images };
    const line = plannedJson(
      reporter,
      parts.map((part) => planCompaction(part, choosing)),
    );
    await stdout.write(`${encodeJson(line)}\n`);
    return CLEAN;
  }
  const { inOrder } = await import('../../timeline/in-order.ts');
  const jobs = options.jobs ?? availableParallelism();
  const together = Math.min(jobs, parts.length);
  const shared = { ...options, images, sharding: timeline.sharding };
  const concurrency = Math.max(1, Math.floor(jobs / together));
  const progress = new JointProgress(reporter);
  const results: CompactedTimeline[] = [];
  let status: ExitStatus = CLEAN;
  const onUnreadable = (error: StorageError): void => {
    reporter.error(error);
    status = FINDINGS;
  };
  try {
    const compactOne = (part: Timeline) =>
      compactPart(context, part, {
        ...{ ...shared, concurrency, onUnreadable },
        onProgress: progress.of(part),
      });
    for await (const result of inOrder(parts, together, compactOne)) results.push(result);
  } finally {
    progress.finish();
  }
  await stdout.write(`${encodeJson(compactedJson(reporter, results))}\n`);
  return status;
}

/** Undefined if no images are wanted. Throws `usage`. */
function imageOptions(options: CompactOptions): TimelineImageOptions | undefined {
  const { images, lsn, imageThreshold: threshold, zstd, compress } = options;
  if (images === true) return { lsn, threshold, compression: compressionOf(options) };
  const given = {
    '--lsn': lsn,
    '--image-threshold': threshold,
    '--zstd': zstd,
    '--no-compress': compress ? undefined : compress,
  };
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) throw new StorageError('usage', { what: `${name} needs --images` });
  }
  return undefined;
}

function plannedJson(reporter: Reporter, plans: readonly PlannedCompaction[]): Json {
  const inputs = plans.flatMap((plan) => plan.inputs);
  const ranges = plans.flatMap(({ imageRanges }) => imageRanges);
  noteInputs(reporter, inputs.length, '');
  if (ranges.length > 0) {
    reporter.note(`image layers in ${formatNumberOf(ranges.length, 'key range', 'key ranges')}`);
  }
  return {
    layers: [],
    compacted: inputs.map(({ name }) => name),
    entries: 0,
    dropped_entries: 0,
    image_ranges: ranges.map(({ start, end }) => ({
      key_start: formatKey(start),
      key_end: formatKey(end),
    })),
    index_parts: [],
  };
}

function compactedJson(reporter: Reporter, results: readonly CompactedTimeline[]): Json {
  const inputs = results.flatMap((result) => result.inputs);
  const layers = results.flatMap((result) => result.layers);
  const created = results.flatMap(({ images }) => (images === undefined ? [] : [images]));
  noteInputs(reporter, inputs.length, ` into ${formatNumberOf(layers.length, 'layer', 'layers')}`);
  const images = {
    images: sum(created.map((counts) => counts.images)),
    needs_redo: sum(created.map(({ needsRedo }) => needsRedo)),
    left_out: sum(created.map(({ leftOut }) => leftOut)),
  };
  if (created.length > 0) {
    const found = formatNumberOf(images.images, 'image', 'images');
    const keys = formatNumberOf(images.needs_redo, 'key', 'keys');
    reporter.note(
      `${found}; ${keys} without an image, for want of redo; left out: ${images.left_out}`,
    );
  }
  return {
    layers: layers.map(layerObject),
    compacted: inputs.map(({ name }) => name),
    entries: sum(results.map(({ entries }) => entries)),
    dropped_entries: sum(results.map(({ droppedEntries }) => droppedEntries)),
    ...(created.length === 0 ? {} : { images }),
    index_parts: results.flatMap(({ indexPath }) => (indexPath === undefined ? [] : [indexPath])),
  };
}

function noteInputs(reporter: Reporter, count: number, into: string): void {
  if (count === 0) reporter.note('nothing to compact: too few L0 layers');
  else reporter.note(`${formatNumberOf(count, 'L0 layer', 'L0 layers')}${into}`);
}

interface PartOptions
  extends Omit<CompactOptions, 'images'>,
    Pick<Timeline, 'sharding'>,
    Pick<CompactTimelineOptions, 'concurrency' | 'onProgress' | 'onUnreadable'> {
  readonly images: TimelineImageOptions | undefined;
}

async function compactPart(
  context: Context,
  timeline: Timeline,
  options: PartOptions,
): Promise<CompactedTimeline> {
  const { compactTimeline, planCompaction } = await import('../../reshape/compact-timeline.ts');
  const { DEFAULT_STRIPE_SIZE } = await import('../../timeline/shard-owner.ts');
  const { threshold, upperLimit, checkpointDistance, stripeSize = DEFAULT_STRIPE_SIZE } = options;
  const { images, concurrency, onProgress, onUnreadable } = options;
  const choosing = { threshold, upperLimit, checkpointDistance };
  const plan = planCompaction(timeline, { ...choosing, images });
  if (plan.inputs.length === 0 && plan.imageRanges.length === 0) return nothingOf(timeline, images);
  const shard = shardOf(timeline);
  const sharding = options.sharding ?? { count: shard.count, stripeSize };
  const isCut = shard.count >= 2;
  await using output = await openOutput(context, timeline, { ...options, shard });
  await warnOfMissingAncestor(context, timeline, output, options.out);
  // The source has a manifest with its stripe size; a copy elsewhere cannot be read without one.
  if (isCut && !(await output.hasTenantManifest())) {
    await output.putTenantManifest({ stripeSize: sharding.stripeSize, offloadedTimelines: [] });
  }
  // Awaited here: the output must not be closed before.
  return await compactTimeline(timeline, {
    ...{ output, plan, ...choosing, images, concurrency, onProgress, onUnreadable },
    signal: context.signal,
    isStored: (name, layer) => output.hasLayer(name, layer),
    shard: isCut ? { sharding, shardNumber: shard.number } : undefined,
  });
}

function nothingOf(
  { lastLsn }: Timeline,
  images: TimelineImageOptions | undefined,
): CompactedTimeline {
  const nothing = { inputs: [], layers: [], entries: 0, droppedEntries: 0, holes: [] };
  const counts = { images: 0, needsRedo: 0, leftOut: 0 };
  const created = images && { lsn: images.lsn ?? lastLsn, ...counts };
  return { ...nothing, images: created, indexPath: undefined };
}

/** Shows the progress of all shards together. */
class JointProgress {
  readonly #progress: Progress;
  readonly #parts = new Map<Timeline, CompactionProgress>();

  constructor(reporter: Reporter) {
    this.#progress = reporter.progress({ label: 'compact' });
  }

  of(part: Timeline): (progress: CompactionProgress) => void {
    return (advance) => {
      this.#parts.set(part, advance);
      const all = [...this.#parts.values()];
      const done = sum(all.map((each) => each.done));
      const total = sum(all.map((each) => each.total));
      this.#progress.update({ done, total, detail: advance.step });
    };
  }

  finish(): void {
    this.#progress.finish();
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
