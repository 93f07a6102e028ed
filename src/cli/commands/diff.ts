/** `diff`: compares the entries of two layers or two timelines. */
import type { StorageError } from '../../errors.ts';
import { maximumKey, minimumKey } from '../../layers/key.ts';
import { ALL_LSNS, type LsnRange } from '../../layers/lsn.ts';
import type { DiffSummary } from '../../reshape/diff/diff-layers.ts';
import { countArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS, statusOfCode, strongest } from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { isEmptyRange, KEY_RANGE_OPTIONS, keyRangeOf } from '../key-range.ts';
import { SOURCE_OPTIONS } from '../open-source.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { formatOf, LSN_RANGE, listFormat, READ_LIMITS, WIDE } from '../shared-options.ts';

const { tenant, timeline, generation } = SOURCE_OPTIONS;
const OPTIONS = {
  ...listFormat('one difference'),
  ...KEY_RANGE_OPTIONS,
  ...LSN_RANGE,
  limit: option(
    '--limit <n>',
    'maximum number of differences listed; all are counted',
    countArgument,
  ),
  wide: WIDE,
  tenant,
  timeline,
  generation,
  ...READ_LIMITS,
  ...REMOTE_OPTIONS,
};
type DiffCommandOptions = OptionValues<typeof OPTIONS>;

export function addDiff({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'diff', OPTIONS)
    .description('Compare two layers, or two timelines, entry by entry.')
    .argument('<a>', 'layer file, directory, index_part.json or URL')
    .argument('<b>', 'what to compare with it')
    .action((a: string, b: string, options: DiffCommandOptions) =>
      runner((context) => diff(context, [a, b], options)),
    );
  addExamples(command, [
    ['layerfile diff FILE COPY', 'a layer and its copy'],
    ['layerfile diff FILE COPY --ndjson', 'for programs: one difference per line, then the counts'],
    [
      'layerfile diff DIR s3://BUCKET/PREFIX/ --timeline ID',
      'a timeline, and what a bucket has of it',
    ],
    [
      'layerfile diff DIR/index_part.json-00000001 DIR/index_part.json-00000002',
      'two generations of a timeline',
    ],
    ['layerfile diff A B --rel 1663/5/16384 --limit 20', 'one relation, 20 lines'],
  ]);
  command.addHelpText(
    'after',
    `
An entry is a value of a key at an LSN. For a timeline, the entries of all layers are compared, across
all shards; the same key and LSN in several layers count once. Damage is reported on stderr, and the
rest is compared: an entry that may have been in an unreadable part does not count as missing. Values
with equal stored bytes are equal, and are not decoded: to find damage that both sides share, use
verify.`,
  );
}

/** Maximum number of errors that are listed. */
const LISTED_DAMAGE = 1000;

export async function diff(
  context: Context,
  sources: readonly [string, string],
  options: DiffCommandOptions,
): Promise<ExitStatus> {
  const { openSide } = await import('../compared-layers.ts');
  const { DiffWriter } = await import('../diff-writer.ts');
  const { diffLayers } = await import('../../reshape/diff/diff-layers.ts');
  const { reporter, signal, stdout } = context;
  const { limit = Number.POSITIVE_INFINITY, wide } = options;
  const keyRange = keyRangeOf(options);
  const lsnRange = lsnRangeOf(options);
  await using a = await openSide(context, sources[0], options);
  await using b = await openSide(context, sources[1], options);
  let status: ExitStatus = CLEAN;
  let damage = 0;
  const report = (error: StorageError): void => {
    status = strongest(status, statusOfCode(error.code));
    damage += 1;
    if (damage <= LISTED_DAMAGE) reporter.error(error);
  };
  for (const { error } of [...a.failed, ...b.failed]) report(error);
  const writer = new DiffWriter(stdout, {
    format: formatOf(options),
    limit,
    isWide: wide === true,
  });
  const isEmpty = isEmptyRange(keyRange ?? ALL_KEYS) || isEmptyLsnRange(lsnRange ?? ALL_LSNS);
  const [left, right] = isEmpty ? [NOTHING, NOTHING] : [a.side, b.side];
  const summary = await diffLayers(left, right, {
    keyRange,
    lsnRange,
    signal,
    onDifference: (difference) => writer.difference(difference),
    onDamage: report,
  });
  if (damage > LISTED_DAMAGE) {
    const more = formatNumberOf(damage - LISTED_DAMAGE, 'error', 'errors');
    reporter.warning(`${more} more, not listed`);
  }
  const isSame = isWithoutDifference(summary);
  const isAll = keyRange === undefined && lsnRange === undefined;
  const areBytesSame = isSame && isAll && damage === 0 && (await a.hasSameBytes(b));
  await writer.end(summary, areBytesSame ? 'bytes' : 'entries');
  return isSame ? status : strongest(status, FINDINGS);
}

const ALL_KEYS = { start: minimumKey(), end: maximumKey() };
const NOTHING = { layers: [] };

function lsnRangeOf({ lsnStart, lsnEnd }: DiffCommandOptions): LsnRange | undefined {
  if (lsnStart === undefined && lsnEnd === undefined) return undefined;
  return { start: lsnStart ?? ALL_LSNS.start, end: lsnEnd ?? ALL_LSNS.end };
}

function isEmptyLsnRange({ start, end }: LsnRange): boolean {
  return start >= end;
}

function isWithoutDifference({ onlyA, onlyB, differ }: DiffSummary): boolean {
  return onlyA + onlyB + differ === 0;
}
