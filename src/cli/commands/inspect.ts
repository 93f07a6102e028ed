/** `inspect`: prints the summary of a layer file or a WAL segment. */
import { formatKey } from '../../layers/key.ts';
import type { LayerSummary } from '../../layers/layer-file/summary-format.ts';
import { formatLsn, formatPgLsn } from '../../layers/lsn.ts';
import { printable } from '../../printable.ts';
import { paint } from '../colour.ts';
import { addCommand, addExamples, type CommandParents, type OptionValues } from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatCount, formatNumberOf, formatSize } from '../human.ts';
import { encodeJson, type Json } from '../json.ts';
import type { Output } from '../output.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { formatOf, OBJECT_FORMAT } from '../shared-options.ts';
import { shownPath } from '../shown-path.ts';
import { writeProperties } from '../table.ts';

const OPTIONS = { ...OBJECT_FORMAT, ...REMOTE_OPTIONS };
type InspectOptions = OptionValues<typeof OPTIONS>;

export function addInspect({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'inspect', OPTIONS)
    .description('Print the summary of a layer file or a WAL segment, and check its name.')
    .argument('<file>', 'layer file or WAL segment, or its s3:// or https:// URL')
    .action((file: string, options: InspectOptions) =>
      runner((context) => inspect(context, file, options)),
    );
  addExamples(command, [
    ['layerfile inspect FILE', 'for people'],
    ['layerfile inspect FILE --json', 'for programs; the output is also a header for build'],
  ]);
}

export async function inspect(
  context: Context,
  file: string,
  options: InspectOptions,
): Promise<ExitStatus> {
  const { inspectWal, isWalSegment } = await import('../inspect-wal.ts');
  if (await isWalSegment(file)) {
    const { walInput } = await import('../wal-input.ts');
    const { refuseInputAsOutput, STANDARD_OUTPUT } = await import('../output-paths.ts');
    await refuseInputAsOutput(file, STANDARD_OUTPUT);
    const source = await walInput(context, [file], options);
    return inspectWal(context, { file, source, format: formatOf(options) });
  }
  const { nameMatches, openForSalvage } = await import('../open-layer.ts');
  await using reader = await openForSalvage(file, { ...options, signal: context.signal });
  const { claimedSummary: summary, placeError, size, summaryError } = reader;
  if (summary === undefined) throw summaryError;
  const matches = nameMatches(shownPath(file), summary);
  const inspected = { file, size, summary, matches };
  if (formatOf(options) === 'people') await describeLayer(context.stdout, inspected);
  else await context.stdout.write(`${encodeJson(layerJson(inspected))}\n`);
  if (placeError !== undefined) context.reporter.error(placeError);
  return matches === false || placeError !== undefined ? FINDINGS : CLEAN;
}

interface Inspected {
  readonly file: string;
  readonly size: number;
  readonly summary: LayerSummary;
  readonly matches: boolean | null;
}

function layerJson({ file, size, summary, matches }: Inspected): Json {
  const lsns =
    summary.kind === 'delta'
      ? { lsn_start: formatLsn(summary.lsnRange.start), lsn_end: formatLsn(summary.lsnRange.end) }
      : { lsn: formatLsn(summary.lsn) };
  return {
    path: shownPath(file),
    kind: summary.kind,
    size,
    format_version: summary.formatVersion,
    tenant_id: summary.tenantId,
    timeline_id: summary.timelineId,
    key_start: formatKey(summary.keyRange.start),
    key_end: formatKey(summary.keyRange.end),
    ...lsns,
    index_start_blk: summary.indexStartBlock,
    index_root_blk: summary.indexRootBlock,
    name_matches: matches,
  };
}

async function describeLayer(
  output: Output,
  { file, size, summary, matches }: Inspected,
): Promise<void> {
  const lsns =
    summary.kind === 'delta'
      ? `${formatPgLsn(summary.lsnRange.start)} up to ` +
        `${formatPgLsn(summary.lsnRange.end)} (not included)`
      : formatPgLsn(summary.lsn);
  const { indexStartBlock, indexRootBlock } = summary;
  await output.write(`${paint(output, 'bold', printable(shownPath(file)))}\n`);
  await writeProperties(output, [
    [
      'kind',
      `${paint(output, 'cyan', summary.kind)} layer, format version ${summary.formatVersion}`,
    ],
    ['size', formatSize(size)],
    ['tenant', summary.tenantId],
    ['timeline', summary.timelineId],
    ['first key', formatKey(summary.keyRange.start)],
    ['end key', `${formatKey(summary.keyRange.end)} (not included)`],
    [summary.kind === 'delta' ? 'LSNs' : 'LSN', lsns],
    [
      'index',
      `${formatNumberOf(indexRootBlock + 1, 'block', 'blocks')} from block ` +
        `${formatCount(indexStartBlock)} on; the root is the last`,
    ],
    ['name', describeName(output, matches)],
  ]);
}

function describeName(output: Output, matches: boolean | null): string {
  if (matches === null) return 'not the name of a layer';
  return matches
    ? paint(output, 'green', 'agrees with the summary')
    : paint(output, 'red', 'disagrees with the summary');
}
