/** `check`: compares an index with the files that exist, and checks their content. */
import { availableParallelism } from 'node:os';
import { InvalidArgumentError } from 'commander';
import { StorageError, throwIfAborted } from '../../errors.ts';
import type { CheckedLayer, CheckSummary } from '../../timeline/check.ts';
import { shareArgument, sizeArgument } from '../arguments.ts';
import type { CheckWriter } from '../check-writer.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, COULD_NOT_LOOK, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { findingOptions, formatOf, JOBS, listFormat } from '../shared-options.ts';
import { shownPath } from '../shown-path.ts';

const { tenant, timeline, generation } = SOURCE_OPTIONS;
const OPTIONS = {
  deep: flag('--deep', 'read every byte of every layer'),
  against: option('--against <source>', 'a second place: bucket of a directory, or a copy', String),
  summaries: option(
    '--summaries <yes|no>',
    'read the first block of each layer, without --deep (default: yes)',
    yesOrNo,
  ),
  filesFrom: option('--files-from <file>', 'layers to check, one per line; - for stdin', String),
  shard: option(
    '--shard <i/n>',
    'only the layers whose name hashes to share I of N',
    shareArgument,
  ),
  byteBudget: option('--byte-budget <size>', 'maximum number of bytes to read', sizeArgument),
  ...JOBS,
  ...findingOptions('layer'),
  ...listFormat('one layer'),
  tenant,
  timeline,
  generation,
  ...REMOTE_OPTIONS,
};
type CheckCommandOptions = OptionValues<typeof OPTIONS>;

export function addCheck({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'check', OPTIONS)
    .description('Check a timeline: index, files, layer map; with --deep every byte.')
    .argument('[source]', 'directory, index_part.json, layer file or URL')
    .action((source: string | undefined, options: CheckCommandOptions) =>
      runner((context) => check(context, source, options)),
    );
  addExamples(command, [
    ['layerfile check s3://BUCKET/PREFIX --timeline ID', 'index and objects of a bucket'],
    ['layerfile check DIR --against s3://BUCKET/PREFIX --deep', 'a pageserver, every byte'],
    ['layerfile check --deep --files-from - --shard 3/16 --ndjson < names', 'one of 16 workers'],
  ]);
}

function yesOrNo(text: string): 'yes' | 'no' {
  if (text === 'yes' || text === 'no') return text;
  throw new InvalidArgumentError('Expected yes or no.');
}

async function check(
  context: Context,
  source: string | undefined,
  options: CheckCommandOptions,
): Promise<ExitStatus> {
  const { createCheckWriter } = await import('../check-writer.ts');
  const isQuiet = options.quiet === true;
  const writer = createCheckWriter(context.stdout, { format: formatOf(options), isQuiet });
  if (source !== undefined) return checkSource(context, { source, writer }, options);
  if (options.filesFrom === undefined) {
    throw new StorageError('usage', { what: 'a source, or --files-from, is missing' });
  }
  return checkNamedFiles(context, { filesFrom: options.filesFrom, writer }, options);
}

function depthOf({ deep, summaries }: CheckCommandOptions): 'summary' | 'every-byte' | undefined {
  if (deep) return 'every-byte';
  return summaries === 'no' ? undefined : 'summary';
}

async function checkSource(
  context: Context,
  { source, writer }: { source: string; writer: CheckWriter },
  options: CheckCommandOptions,
): Promise<ExitStatus> {
  const { TimelineCheck } = await import('../../timeline/check.ts');
  const { surveySource } = await import('../survey-source.ts');
  const { against, filesFrom, shard, byteBudget, maxFindings, jobs } = options;
  const surveys = await surveySource(context, source, options);
  const others = against === undefined ? [] : await surveySource(context, against, options);
  const only = filesFrom === undefined ? undefined : await namesOf(context, filesFrom);
  const summaries: CheckSummary[] = [];
  let isFailed = false;
  let bytesLeft = byteBudget;
  for (const survey of surveys) {
    const { location } = survey;
    const other =
      others.find((candidate) => candidate.location.shard === location.shard) ?? others[0];
    const checked = new TimelineCheck(survey, other, {
      depth: depthOf(options),
      parallel: jobs ?? availableParallelism(),
      byteBudget: bytesLeft,
      share: shard,
      only,
      maximumFindings: maxFindings,
      signal: context.signal,
    });
    for await (const layer of checked.layers()) {
      throwIfAborted(context.signal);
      isFailed ||= layer.isFailed;
      await writer.layer(layer);
    }
    summaries.push(checked.summary());
    if (bytesLeft !== undefined) bytesLeft = checked.bytesLeft;
  }
  return finish(writer, summaries, isFailed);
}

/** Names of layers, with or without a generation and a directory. */
async function namesOf(context: Context, file: string): Promise<ReadonlySet<string>> {
  const { textLines } = await import('../text-lines.ts');
  const { layerNameOf } = await import('../../layers/layer-file/open-file.ts');
  const { formatLayerName } = await import('../../layers/layer-name.ts');
  const names = new Set<string>();
  for await (const line of textLines(file, context)) {
    const text = line.trim();
    const name = layerNameOf(text);
    if (text !== '') {
      names.add(name === undefined ? text : formatLayerName({ ...name, generation: undefined }));
    }
  }
  return names;
}

async function checkNamedFiles(
  context: Context,
  { filesFrom, writer }: { filesFrom: string; writer: CheckWriter },
  options: CheckCommandOptions,
): Promise<ExitStatus> {
  const { checkFiles } = await import('../../timeline/check-files.ts');
  const { namedFiles, NamedPlaces } = await import('../named-files.ts');
  const places = new NamedPlaces(options);
  const names = namedFiles(context, filesFrom, options.shard);
  const summary = { layers: 0, ok: true, errors: 0, warnings: 0, unknown: 0 };
  let isFailed = false;
  const checked = checkFiles(names, {
    depth: depthOf(options) ?? 'summary',
    parallel: options.jobs ?? availableParallelism(),
    maximumFindings: options.maxFindings,
    signal: context.signal,
    placeOf: (name) => places.placeOf(name),
    shownName: shownPath,
  });
  for await (const layer of checked) {
    throwIfAborted(context.signal);
    countLayer(summary, layer);
    isFailed ||= layer.isFailed;
    await writer.layer(layer);
  }
  return finish(writer, [{ ...summary, holes: undefined, findings: [] }], isFailed);
}

type Counts = {
  -readonly [Name in Exclude<keyof CheckSummary, 'holes' | 'findings'>]: CheckSummary[Name];
};

function countLayer(counts: Counts, { state, ok, errors, warnings }: CheckedLayer): void {
  counts.layers += 1;
  counts.ok &&= ok;
  counts.errors += errors;
  counts.warnings += warnings;
  if (state === 'unknown') counts.unknown += 1;
}

/** Adds up the shards of a timeline. */
async function finish(
  writer: CheckWriter,
  summaries: readonly CheckSummary[],
  isFailed: boolean,
): Promise<ExitStatus> {
  const sum = (of: (summary: CheckSummary) => number): number =>
    summaries.reduce((total, summary) => total + of(summary), 0);
  const isHoleKnown = summaries.every(({ holes }) => holes !== undefined);
  const ok = summaries.every((summary) => summary.ok);
  await writer.end({
    layers: sum(({ layers }) => layers),
    ok,
    errors: sum(({ errors }) => errors),
    warnings: sum(({ warnings }) => warnings),
    unknown: sum(({ unknown }) => unknown),
    holes: isHoleKnown ? sum(({ holes = 0 }) => holes) : undefined,
    findings: summaries.flatMap(({ findings }) => findings),
  });
  if (isFailed) return COULD_NOT_LOOK;
  return ok ? CLEAN : FINDINGS;
}
