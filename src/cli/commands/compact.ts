/** `compact`: L0s of a timeline into L1s, as a pageserver does it. */
import type { CompactedTimeline } from '../../reshape/compact-timeline.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { countArgument, sizeArgument, stripeSizeArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { encodeJson } from '../json.ts';
import { openSource, SOURCE_OPTIONS } from '../open-source.ts';
import {
  layerJson,
  OUTPUT_OPTIONS,
  openOutput,
  shardOf,
  warnOfMissingAncestor,
} from '../reshape-output.ts';
import { JSON_ERRORS, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  ...OUTPUT_OPTIONS,
  threshold: option(
    '--threshold <n>',
    'L0s below which nothing is done (default: 10)',
    countArgument,
  ),
  upperLimit: option(
    '--upper-limit <n>',
    'L0s of the usual size that are compacted at once (default: 10)',
    countArgument,
  ),
  checkpointDistance: option(
    '--checkpoint-distance <size>',
    'size of the L1s (default: 256MiB)',
    sizeArgument,
  ),
  stripeSize: option(
    '--stripe-size <pages>',
    'stripe of a sharded tenant, for a source of one shard (default: 2048)',
    stripeSizeArgument,
  ),
  dryRun: flag('--dry-run', 'say what would be compacted, write nothing'),
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
    ['layerfile compact DIR --out DIR --dry-run', 'what would be compacted'],
  ]);
  command.addHelpText(
    'after',
    `
The new index names the L1 layers in place of the L0 layers. No layer is deleted, and older indices
stay valid. Layers that stay are copied if --out does not have them. A run that was interrupted can be
repeated: it stores only what is missing.`,
  );
}

async function compact(
  context: Context,
  source: string,
  options: CompactOptions,
): Promise<ExitStatus> {
  await using timeline = await openSource(context, source, options);
  const parts = timeline.shards.length === 0 ? [timeline] : timeline.shards;
  const results: CompactedTimeline[] = [];
  for (const part of parts) {
    results.push(
      options.dryRun === true
        ? await planOf(part, options)
        : await compactPart(context, part, { ...options, sharding: timeline.sharding }),
    );
  }
  const inputs = results.flatMap((result) => result.inputs);
  const layers = results.flatMap((result) => result.layers);
  const { reporter } = context;
  if (inputs.length === 0) reporter.note('nothing to compact: too few L0 layers');
  else {
    const to =
      options.dryRun === true ? '' : ` into ${formatNumberOf(layers.length, 'layer', 'layers')}`;
    reporter.note(`${formatNumberOf(inputs.length, 'L0 layer', 'L0 layers')}${to}`);
  }
  const line = encodeJson({
    layers: layers.map(layerJson),
    compacted: inputs.map(({ name }) => name),
    entries: sum(results.map(({ entries }) => entries)),
    dropped_entries: sum(results.map(({ droppedEntries }) => droppedEntries)),
    index_parts: results.flatMap(({ indexPath }) => (indexPath === undefined ? [] : [indexPath])),
  });
  await context.stdout.write(`${line}\n`);
  return CLEAN;
}

async function planOf(timeline: Timeline, options: CompactOptions): Promise<CompactedTimeline> {
  const { chooseLevel0 } = await import('../../reshape/level0.ts');
  const { threshold, upperLimit, checkpointDistance } = options;
  const choosing = { threshold, upperLimit, checkpointDistance };
  const inputs = chooseLevel0(timeline.map.layers(), choosing);
  return { inputs, layers: [], entries: 0, droppedEntries: 0, holes: [], indexPath: undefined };
}

async function compactPart(
  context: Context,
  timeline: Timeline,
  options: CompactOptions & Pick<Timeline, 'sharding'>,
): Promise<CompactedTimeline> {
  const { compactTimeline } = await import('../../reshape/compact-timeline.ts');
  const { DEFAULT_STRIPE_SIZE } = await import('../../timeline/shard-owner.ts');
  const { threshold, upperLimit, checkpointDistance, stripeSize = DEFAULT_STRIPE_SIZE } = options;
  const plan = await planOf(timeline, options);
  if (plan.inputs.length === 0) return plan;
  const shard = shardOf(timeline);
  const sharding = options.sharding ?? { count: shard.count, stripeSize };
  await using output = await openOutput(context, timeline, { ...options, shard });
  await warnOfMissingAncestor(context, timeline, output, options.out);
  const { signal, reporter } = context;
  const total = plan.inputs.reduce((bytes, { size }) => bytes + Number(size ?? 0n), 0);
  const progress = reporter.progress({ label: 'compact' });
  let done = 0;
  try {
    return await compactTimeline(timeline, {
      ...{ output, threshold, upperLimit, checkpointDistance, signal },
      isStored: (name, layer) => output.hasLayer(name, layer),
      shard: shard.count < 2 ? undefined : { sharding, shardNumber: shard.number },
      onLayer: ({ size }) => {
        done += size;
        progress.update({ done, total });
      },
    });
  } finally {
    progress.finish();
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
