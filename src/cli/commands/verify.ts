/** `verify`: reads every block and every blob of files and of the layers below directories. */
import { basename } from 'node:path';
import { isStorageError, throwIfAborted } from '../../errors.ts';
import type { FoundFile } from '../../layers/find-layers.ts';
import type { LayerReport } from '../../layers/findings.ts';
import type { PageChecks, PageCounts } from '../../postgres/page-checks.ts';
import { countArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import {
  CLEAN,
  type ExitStatus,
  FINDINGS,
  statusOfError,
  strongest,
  UNKNOWN_VERSION,
} from '../exit-status.ts';
import { formatCount, formatNumberOf } from '../human.ts';
import type { NamedInputs } from '../named-files.ts';
import { REMOTE_OPTIONS } from '../remote-source.ts';
import { createReportWriter } from '../report-writer.ts';
import { formatOf, limitOptions, listFormat, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  ...listFormat('one file'),
  maxFindings: option(
    '--max-findings <n>',
    'maximum number of findings listed per file (default: 1000)',
    countArgument,
  ),
  quiet: flag('-q, --quiet', 'only files with findings'),
  pageChecksums: flag('--page-checksums', 'check of the checksums of Postgres pages; see below'),
  ...READ_LIMITS,
  ...REMOTE_OPTIONS,
};
type VerifyOptions = OptionValues<typeof OPTIONS>;

export function addVerify({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'verify', OPTIONS)
    .description('Read every block and every blob, and report what is wrong.')
    .argument(
      '<path...>',
      'layer files, directories to search, URLs of layers, or s3://BUCKET/PREFIX/',
    )
    .action((paths: string[], options: VerifyOptions) =>
      runner((context) => verify(context, paths, options)),
    );
  addExamples(command, [
    ['layerfile verify FILE', 'one file'],
    ['layerfile verify tenants --ndjson', 'all layers below a directory, for programs'],
    ['layerfile verify s3://BUCKET/PREFIX/ --ndjson', 'all layers below a prefix that ends with /'],
    ['layerfile verify FILE --page-checksums', 'a layer of an imported cluster with checksums'],
  ]);
  command.addHelpText(
    'after',
    `
--page-checksums finds a flipped bit inside a page, in layers of a cluster that has checksums. A
pageserver does not maintain them: a page that it made from WAL has a stale checksum or none, so
a mismatch in its own layers is not damage. Pages without a checksum are counted.`,
  );
}

/** Throws `usage` if standard output is one of the layers. */
export async function verify(
  context: Context,
  paths: readonly string[],
  options: VerifyOptions,
): Promise<ExitStatus> {
  const { foundLayers } = await import('../found-layers.ts');
  const { NamedInputs } = await import('../named-files.ts');
  const { PageChecks } = await import('../../postgres/page-checks.ts');
  if (context.stdoutIsFile) await refuseLayersAsOutput(paths);
  const writer = createReportWriter(
    context.stdout,
    formatOf(options),
    options.quiet ? 'quiet' : 'all',
  );
  let status: ExitStatus = CLEAN;
  const pageChecks = options.pageChecksums ? new PageChecks() : undefined;
  let fileCount = 0;
  let otherCount = 0;
  const inputs = new NamedInputs(options, context.signal);
  for await (const found of foundLayers(paths, options, context.signal)) {
    throwIfAborted(context.signal);
    if (found.kind === 'layer') {
      const result = await verifyFile(context, found, { options, pageChecks, inputs });
      fileCount += 1;
      if (result.kind === 'report') await writer.report(result.report);
      status = strongest(status, result.status);
    } else {
      if (found.kind === 'other') otherCount += 1;
      const reason = NOT_READ.get(found.kind);
      if (reason !== undefined) context.reporter.warning(reason, found.path);
      if (found.kind === 'failed') {
        context.reporter.error(found.error);
        status = strongest(status, statusOfError(found.error));
      }
    }
  }
  if (otherCount > 0) {
    const others = formatNumberOf(otherCount, 'other file', 'other files');
    context.reporter.warning(`${others} without the name of a layer, not read`);
  }
  if (fileCount === 0 && status === CLEAN) context.reporter.warning('no layer found');
  if (pageChecks !== undefined) notePages(context, pageChecks.counts);
  await writer.end(status);
  return status;
}

/** Runs before anything is printed: the lines of one layer must not end up in another. */
async function refuseLayersAsOutput(paths: readonly string[]): Promise<void> {
  const { findLayers } = await import('../../layers/find-layers.ts');
  const { refuseInputAsOutput, STANDARD_OUTPUT } = await import('../output-paths.ts');
  for await (const { kind, path } of findLayers(paths)) {
    if (kind === 'layer') await refuseInputAsOutput(path, STANDARD_OUTPUT);
  }
}

function notePages({ reporter }: Context, counts: PageCounts): void {
  const words = [
    `${formatCount(counts.good)} good`,
    `${formatCount(counts.bad)} bad`,
    `${formatCount(counts.without)} without one`,
    `${formatCount(counts.new)} new`,
  ];
  reporter.note(`page checksums: ${words.join(', ')}`);
}

/** Why a file that is named in a warning is not read. */
const NOT_READ: ReadonlyMap<FoundFile['kind'], string> = new Map([
  ['temporary', 'left by a writer that did not finish, not read'],
  ['download', 'a download that did not finish, not read'],
  ['directory-link', 'a link to a directory, not followed'],
]);

type FileResult =
  | { kind: 'report'; report: LayerReport; status: ExitStatus }
  | { kind: 'failed'; status: ExitStatus };

/** A file that cannot be read is an error; the others are still verified. */
async function verifyFile(
  context: Context,
  found: Extract<FoundFile, { kind: 'layer' }>,
  {
    options,
    pageChecks,
    inputs,
  }: { options: VerifyOptions; pageChecks: PageChecks | undefined; inputs: NamedInputs },
): Promise<FileResult> {
  const { verifyLayer } = await import('../../layers/verify.ts');
  const progress = context.reporter.progress({ label: 'verify' });
  const detail = basename(found.path);
  try {
    const input = await inputs.open(found.path);
    const report = await verifyLayer(input, {
      ...limitOptions(options),
      maximumFindings: options.maxFindings,
      inspectValue: pageChecks?.inspect,
      signal: context.signal,
      onProgress: (done, total) => progress.update({ done, total, detail }),
    });
    return { kind: 'report', report, status: statusOfReport(report) };
  } catch (error) {
    if (!isStorageError(error) || error.code === 'aborted') throw error;
    context.reporter.error(error);
    return { kind: 'failed', status: statusOfError(error) };
  } finally {
    progress.finish();
  }
}

function statusOfReport(report: LayerReport): ExitStatus {
  if (report.ok) return CLEAN;
  return report.codes.includes('unsupported-version') ? UNKNOWN_VERSION : FINDINGS;
}
