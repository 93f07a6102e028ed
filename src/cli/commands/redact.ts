/** `redact`: makes a layer or a timeline of the same shape without data. */
import { isStorageError } from '../../errors.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { countArgument, directoryArgument } from '../arguments.ts';
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
import { encodeJson, type Json, layerObject } from '../json.ts';
import { openSource, SOURCE_OPTIONS } from '../open-source.ts';
import { layerInput } from '../remote-source.ts';
import { OUTPUT_OPTIONS, openOutput, shardOf } from '../reshape-output.ts';
import { JSON_ERRORS, limitOptions, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  out: requiredOption(
    '--out <dir>',
    'directory for the layer; for a timeline, directory or s3:// prefix above tenants/',
    directoryArgument,
  ),
  seed: option('--seed <n>', 'seed of the replacement bytes (default: 0)', countArgument),
  newGeneration: OUTPUT_OPTIONS.newGeneration,
  ...SOURCE_OPTIONS,
  ...READ_LIMITS,
  ...JSON_ERRORS,
};
type RedactOptions = OptionValues<typeof OPTIONS>;

export function addRedact({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'redact', OPTIONS)
    .description('Copy a layer or a timeline without its data, in the same shape, to share it.')
    .argument('<source>', 'layer file, or directory, index_part.json or URL of a timeline')
    .action((source: string, options: RedactOptions) =>
      runner((context) => redact(context, source, options)),
    );
  addExamples(command, [
    ['layerfile redact FILE --out DIR', 'a layer that can go with a bug report'],
    ['layerfile redact DIR --out DIR', 'a whole timeline, with an index'],
  ]);
  command.addHelpText(
    'after',
    `
What stays:
  tenant and timeline ids, names of layers, keys, LSNs, types, lengths, will_init
  which blobs are compressed, and approximately how well
  of a page of a relation: its header (LSN, flags, offsets, oldest transaction), and pages of zeros
  sizes of relations and of SLRU segments, and the keys that mark the existence of relations
  of a WAL record: its header (transaction, previous record, kind), block references and lengths
  of Neon's own records: numbers of blocks and transactions, the time of a commit
  of an index: its metadata, and how relation sizes are stored
What is replaced by pseudorandom bytes of the same length:
  everything else on pages and in WAL records, including page images in records, which can then no
  longer be restored; SLRU pages; relation maps; directories of databases and relations; control file and
  checkpoint; two-phase files; paths (by letters) and contents of auxiliary files, such as slots
Keys reveal the numbers that identify databases, relations, prepared transactions and replication
origins; keys of auxiliary files are hashes of their names.
A damaged layer is not copied: salvage it first.`,
  );
}

async function redact(
  context: Context,
  source: string,
  options: RedactOptions,
): Promise<ExitStatus> {
  const { isTimelineArgument } = await import('../source-place.ts');
  const { signal } = context;
  if (await isTimelineArgument(source, { ...options, signal })) {
    return redactTimelines(context, source, options);
  }
  const { openLayer } = await import('../../layers/open-layer.ts');
  const { redactLayer } = await import('../../reshape/redact/redact-layer.ts');
  const { checkOutputDirectory, refuseInputAsOutput } = await import('../output-paths.ts');
  const { out, seed, newGeneration } = options;
  await checkOutputDirectory(out);
  const input = await layerInput(source, { ...options, signal });
  const limits = limitOptions(options);
  await using reader = await openLayer(input, { ...limits, nameCheck: 'ignore', signal });
  try {
    const layer = await redactLayer(reader, {
      ...{ directory: out, generation: newGeneration, seed, signal },
    });
    await print(context, { layers: [layerObject(layer)] });
    return CLEAN;
  } catch (error) {
    // The existing layer may be the source.
    const existing = isStorageError(error, 'exists') ? error.path : undefined;
    if (existing !== undefined) await refuseInputAsOutput(source, existing);
    throw error;
  }
}

/** All shards of the timeline. */
async function redactTimelines(
  context: Context,
  source: string,
  options: RedactOptions,
): Promise<ExitStatus> {
  await using timeline = await openSource(context, source, options);
  const parts = timeline.shards.length === 0 ? [timeline] : timeline.shards;
  const layers: Json[] = [];
  const indices: string[] = [];
  const progress = context.reporter.progress({ label: 'redact' });
  let done = 0;
  try {
    for (const part of parts) {
      indices.push(
        await redactPart(context, part, options, (layer, size) => {
          layers.push(layer);
          done += size;
          progress.update({ done });
        }),
      );
    }
  } finally {
    progress.finish();
  }
  await print(context, { layers, index_parts: indices });
  return CLEAN;
}

async function redactPart(
  context: Context,
  part: Timeline,
  options: RedactOptions,
  onLayer: (layer: Json, size: number) => void,
): Promise<string> {
  const { redactTimeline } = await import('../../reshape/redact/redact-timeline.ts');
  // Where the timeline is, a pageserver would take the new index for that of the timeline.
  await using output = await openOutput(context, part, {
    ...options,
    shard: shardOf(part),
    written: 'new',
  });
  const { indexPath } = await redactTimeline(part, {
    ...{ output, seed: options.seed, signal: context.signal },
    onLayer: (layer) => onLayer(layerObject(layer), layer.size),
  });
  return indexPath;
}

async function print(context: Context, line: Json): Promise<void> {
  await context.stdout.write(`${encodeJson(line)}\n`);
}
