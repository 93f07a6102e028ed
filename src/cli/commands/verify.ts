/** `verify`: reads every block and every blob of files, and of the layers below directories. */
import { basename } from 'node:path';
import { isStorageError, throwIfAborted } from '../../errors.ts';
import { type FoundFile, findLayers } from '../../layers/find-layers.ts';
import type { LayerReport } from '../../layers/findings.ts';
import { verifyLayer } from '../../layers/verify.ts';
import { PageChecks, type PageCounts } from '../../postgres/page-checks.ts';
import type { Context, Format } from '../context.ts';
import {
  CLEAN,
  type ExitStatus,
  FINDINGS,
  statusOfError,
  strongest,
  UNKNOWN_VERSION,
} from '../exit-status.ts';
import { formatCount, formatNumberOf } from '../human.ts';
import { limitOptions, type ReadLimits } from '../open-layer.ts';
import { refuseInputAsOutput, STANDARD_OUTPUT } from '../output-paths.ts';
import { createReportWriter } from '../report-writer.ts';

export interface VerifyOptions extends ReadLimits {
  readonly paths: readonly string[];
  readonly format: Format;
  readonly maximumFindings: number | undefined;
  readonly pageChecksums?: boolean | undefined;
}

/** Throws `usage` where standard output goes into a layer that is to be read. */
export async function verify(context: Context, options: VerifyOptions): Promise<ExitStatus> {
  if (context.stdoutIsFile) await refuseLayersAsOutput(options.paths);
  const writer = createReportWriter(context.stdout, options.format);
  let status: ExitStatus = CLEAN;
  const pageChecks = options.pageChecksums === true ? new PageChecks() : undefined;
  let fileCount = 0;
  let otherCount = 0;
  for await (const found of findLayers(options.paths)) {
    throwIfAborted(context.signal);
    if (found.kind === 'layer') {
      const result = await verifyFile(context, found, { ...options, pageChecks });
      fileCount += 1;
      if (result.kind === 'report') await writer.report(result.report);
      status = strongest(status, result.status);
    } else {
      if (found.kind === 'other') otherCount += 1;
      if (found.kind in NOT_READ) {
        context.reporter.warning(NOT_READ[found.kind as keyof typeof NOT_READ], found.path);
      }
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

/** Before anything is written: the lines of one layer must not end up in another. */
async function refuseLayersAsOutput(paths: readonly string[]): Promise<void> {
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

/** What is named, and not read, and why. */
const NOT_READ = {
  temporary: 'left by a writer that did not finish, not read',
  download: 'a download that did not finish, not read',
  'directory-link': 'a link to a directory, not followed',
} as const;

type FileResult =
  | { kind: 'report'; report: LayerReport; status: ExitStatus }
  | { kind: 'failed'; status: ExitStatus };

/** A file that cannot be looked at is an error on its own; the others are still verified. */
async function verifyFile(
  context: Context,
  found: Extract<FoundFile, { kind: 'layer' }>,
  {
    maximumFindings,
    pageChecks,
    ...limits
  }: VerifyOptions & { readonly pageChecks: PageChecks | undefined },
): Promise<FileResult> {
  const progress = context.reporter.progress({ label: 'verify' });
  const detail = basename(found.path);
  try {
    const report = await verifyLayer(found.path, {
      ...limitOptions(limits),
      maximumFindings,
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
