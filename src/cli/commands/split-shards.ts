/** `split-shards`: writes a timeline as shards, each with the layers of its keys. */
import { availableParallelism } from 'node:os';
import { InvalidArgumentError } from 'commander';
import type { WrittenShard } from '../../reshape/split-timeline.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { countArgument, stripeSizeArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
  requiredOption,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus } from '../exit-status.ts';
import { encodeJson, layerObject } from '../json.ts';
import { openSource, SOURCE_OPTIONS } from '../open-source.ts';
import { OUTPUT_OPTIONS, openOutput } from '../reshape-output.ts';
import { JOBS, JSON_ERRORS, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  count: requiredOption('--count <n>', 'number of shards, 2 to 255', shardCountArgument),
  ...OUTPUT_OPTIONS,
  stripeSize: option(
    '--stripe-size <pages>',
    'pages of a stripe (default: that of the source, or 2048)',
    stripeSizeArgument,
  ),
  ...JOBS,
  ...SOURCE_OPTIONS,
  ...READ_LIMITS,
  ...JSON_ERRORS,
};
type SplitOptions = OptionValues<typeof OPTIONS>;

export function addSplitShards({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'split-shards', OPTIONS)
    .description('Write a timeline as shards, each with an index and layers of its keys.')
    .argument('<source>', 'directory, index_part.json or URL of a timeline with an index')
    .action((source: string, options: SplitOptions) =>
      runner((context) => splitShards(context, source, options)),
    );
  addExamples(command, [['layerfile split-shards DIR --count 4 --out DIR', 'four shards']]);
  command.addHelpText(
    'after',
    `
Compressed values are copied unchanged. The source is not changed. If it is already sharded, the count
must be a multiple of its shard count. An interrupted run can be repeated: it stores only what is
missing.`,
  );
}

function shardCountArgument(text: string): number {
  const count = countArgument(text);
  if (count >= 2 && count <= 255) return count;
  throw new InvalidArgumentError('Expected a number from 2 to 255.');
}

async function splitShards(
  context: Context,
  source: string,
  options: SplitOptions,
): Promise<ExitStatus> {
  const { writeShard } = await import('../../reshape/split-timeline.ts');
  const { count, stripeSize } = options;
  const { reporter, signal } = context;
  await using timeline = await openSource(context, source, options);
  warnOfAncestor(context, timeline);
  const { inOrder } = await import('../../timeline/in-order.ts');
  const jobs = options.jobs ?? availableParallelism();
  const together = Math.min(jobs, count);
  const concurrency = Math.max(1, Math.floor(jobs / together));
  const progress = reporter.progress({ label: 'split-shards' });
  const shards: WrittenShard[] = [];
  let done = 0;
  const writeOne = async (number: number): Promise<WrittenShard> => {
    const shard = { number, count };
    // An earlier run may have been interrupted between the indices of two shards.
    const place = { ...options, shard, written: 'continued' } as const;
    await using output = await openOutput(context, timeline, place);
    return await writeShard(timeline, {
      ...{ output, shardNumber: number, count, stripeSize, concurrency, signal },
      onLayer: ({ size }) => {
        done += size;
        progress.update({ done });
      },
    });
  };
  try {
    const numbers = Array.from({ length: count }, (_, number) => number);
    for await (const shard of inOrder(numbers, together, writeOne)) shards.push(shard);
  } finally {
    progress.finish();
  }
  const layers = shards.flatMap((shard) => shard.layers.map(layerObject));
  const indices = shards.map(({ indexPath }) => indexPath);
  const droppedEntries = shards.reduce((total, shard) => total + shard.droppedEntries, 0);
  const line = encodeJson({ layers, dropped_entries: droppedEntries, index_parts: indices });
  await context.stdout.write(`${line}\n`);
  return CLEAN;
}

/** A pageserver that lacks the ancestor cannot attach the tenant. */
function warnOfAncestor({ reporter }: Context, timeline: Timeline): void {
  for (const { stored } of [timeline, ...timeline.shards]) {
    const ancestor = stored?.index?.fields.metadata.ancestorTimeline ?? null;
    if (ancestor === null) continue;
    reporter.warning(`the timeline is a branch: split its ancestor ${ancestor}, too`);
    return;
  }
}
