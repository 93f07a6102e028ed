/** `space`: shows what takes up space in a timeline. */
import { InvalidArgumentError } from 'commander';
import { StorageError, throwIfAborted } from '../../errors.ts';
import type { AnyLayerReader } from '../../timeline/layer-versions.ts';
import { SPACE_GROUPS, type SpaceRow } from '../../timeline/space.ts';
import { countArgument, zstdLevelArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  choice,
  flag,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, statusOfCode, statusOfError, strongest } from '../exit-status.ts';
import { isEmptyRange, KEY_RANGE_OPTIONS, keyRangeOf } from '../key-range.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { formatOf, listFormat, READ_LIMITS } from '../shared-options.ts';
import { writeSpace } from '../space-writer.ts';

const { tenant, timeline, generation, pgVersion } = SOURCE_OPTIONS;
const OPTIONS = {
  by: choice('--by <what>', 'what to group entries by', SPACE_GROUPS),
  limit: option('--limit <n>', 'maximum number of groups; the largest are shown', countArgument),
  recompress: option(
    '--recompress <levels>',
    'measure a sample of the images at zstd levels, such as 1,3,9,none',
    levelsArgument,
  ),
  csv: flag('--csv', 'output as CSV').conflicts(['json', 'ndjson']),
  parquet: option('--parquet <file>', 'output to a Parquet file', String).conflicts([
    'json',
    'ndjson',
    'csv',
  ]),
  ...listFormat('one group'),
  ...KEY_RANGE_OPTIONS,
  tenant,
  timeline,
  generation,
  pgVersion,
  ...REMOTE_OPTIONS,
  ...READ_LIMITS,
};
type SpaceOptions = OptionValues<typeof OPTIONS>;

export function addSpace({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'space', OPTIONS)
    .description('Show what takes up space in a timeline.')
    .argument('<source>', 'directory, index_part.json, layer file or URL')
    .action((source: string, options: SpaceOptions) =>
      runner((context) => space(context, source, options)),
    );
  addExamples(command, [
    ['layerfile space DIR', 'by relation'],
    ['layerfile space DIR --by type --csv', 'by type of value, for a spreadsheet'],
    ['layerfile space DIR --by record', 'by kind of WAL record'],
    ['layerfile space FILE --recompress 1,3,9,none', 'what other levels of zstd would save'],
    ['layerfile space DIR --parquet space.parquet', 'for DuckDB'],
  ]);
}

/** Throws InvalidArgumentError. */
function levelsArgument(text: string): (number | 'none')[] {
  const levels = text.split(',').map((word) => (word === 'none' ? word : zstdLevelArgument(word)));
  if (levels.length <= 32) return levels;
  throw new InvalidArgumentError('Expected at most 32 levels.');
}

async function space(context: Context, source: string, options: SpaceOptions): Promise<ExitStatus> {
  const { SpaceCounter } = await import('../../timeline/space.ts');
  const { ImageSample, recompress } = await import('../../timeline/recompression.ts');
  const { openSurveyed } = await import('../surveyed-layers.ts');
  const { limit = Number.POSITIVE_INFINITY, recompress: choices = [] } = options;
  const keyRange = keyRangeOf(options);
  if (options.parquet === '-' && context.stdout.isTerminal) {
    throw new StorageError('usage', { what: 'standard output is a terminal: use --parquet FILE' });
  }
  if (options.parquet !== undefined) await refuseInputs(source, options.parquet);
  const sample = new ImageSample();
  const onImage = choices.length === 0 ? undefined : (bytes: Uint8Array) => sample.add(bytes);
  const counter = new SpaceCounter(options.by, onImage);
  let status: ExitStatus = CLEAN;
  const progress = context.reporter.progress({ label: 'space' });
  try {
    for await (const layer of openSurveyed(context, source, options)) {
      throwIfAborted(context.signal);
      if ('error' in layer) {
        context.reporter.error(layer.error);
        status = strongest(status, statusOfError(layer.error));
        continue;
      }
      const { reader, name, done, total } = layer;
      progress.update({ done, total, detail: name });
      if (keyRange !== undefined && isEmptyRange(keyRange)) continue;
      const majorVersion = options.by === 'record' ? versionOf(layer, options) : undefined;
      const { signal } = context;
      for (const error of await counter.addLayer(reader, name, {
        keyRange,
        signal,
        majorVersion,
      })) {
        context.reporter.error(error);
        status = strongest(status, statusOfCode(error.code));
      }
    }
  } finally {
    progress.finish();
  }
  const rows = [...limited(counter.rows(), limit)];
  const recompressed = [];
  for (const choiceOfZstd of choices) {
    throwIfAborted(context.signal);
    recompressed.push(await recompress(sample.images, choiceOfZstd));
  }
  const form = options.csv ? 'csv' : formatOf(options);
  await writeSpace(context, { rows, recompressed }, { form, parquet: options.parquet });
  return status;
}

/** Throws `usage` if the version is unknown: names of records depend on it. */
function versionOf(
  { reader, pgVersion }: { reader: AnyLayerReader; pgVersion: number | undefined },
  options: SpaceOptions,
): number | undefined {
  const version = pgVersion ?? options.pgVersion;
  if (version !== undefined || reader.summary.kind === 'image') return version;
  throw new StorageError('usage', {
    what: '--by record needs --pg-version if there is no index with the version of Postgres',
  });
}

/** Throws `usage` if the output is one of the files that are read. */
async function refuseInputs(source: string, output: string): Promise<void> {
  const { isUrl } = await import('../remote-source.ts');
  if (output === '-' || isUrl(source)) return;
  const { findLayers } = await import('../../layers/find-layers.ts');
  const { refuseInputAsOutput } = await import('../output-paths.ts');
  for await (const { path } of findLayers([source])) await refuseInputAsOutput(path, output);
}

/** Groups beyond the limit are added up; overhead is always shown. */
function limited(rows: readonly SpaceRow[], limit: number): SpaceRow[] {
  const groups = rows.filter(({ entries }) => entries > 0);
  const overhead = rows.filter(({ entries }) => entries === 0);
  const rest = groups.slice(limit);
  if (rest.length === 0) return [...groups, ...overhead];
  const sum = (of: (row: SpaceRow) => number): number =>
    rest.reduce((total, row) => total + of(row), 0);
  const others = {
    name: '(others)',
    entries: sum(({ entries }) => entries),
    bytes: sum(({ bytes }) => bytes),
    storedBytes: sum(({ storedBytes }) => storedBytes),
  };
  return [...groups.slice(0, limit), others, ...overhead];
}
