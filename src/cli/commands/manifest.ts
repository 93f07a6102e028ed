/** `manifest`: checksums of the blocks of files, to find and repair bits that flip in storage. */
import { directoryArgument, shareArgument } from '../arguments.ts';
import {
  addCommand,
  addCommandGroup,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, statusOfError, strongest } from '../exit-status.ts';
import type { ManifestRun, RunFile } from '../manifest-run.ts';
import { isUrl, REMOTE_OPTIONS } from '../remote-source.ts';
import type { FileReport } from '../report-writer.ts';
import { findingOptions, formatOf, JOBS, listFormat } from '../shared-options.ts';
import { shownPath } from '../shown-path.ts';

const WHICH = {
  ...listFormat('one file'),
  manifests: option(
    '--manifests <dir>',
    'directory or s3:// prefix of the manifests (default: next to each file)',
    String,
  ),
  filesFrom: option('--files-from <file>', 'files, one per line; - for stdin', String),
  shard: option('--shard <i/n>', 'only the files whose name hashes to share I of N', shareArgument),
  ...JOBS,
  ...REMOTE_OPTIONS,
};
const CREATE_OPTIONS = {
  skipExisting: flag('--skip-existing', 'skip files that have a manifest'),
  ...WHICH,
};
const CHECK_OPTIONS = {
  mend: option(
    '--mend <dir>',
    'write a repaired copy of each file whose only damage is flipped bits',
    directoryArgument,
  ),
  ...findingOptions('file'),
  ...WHICH,
};
type CreateOptions = OptionValues<typeof CREATE_OPTIONS>;
type CheckOptions = OptionValues<typeof CHECK_OPTIONS>;

const PATHS = 'files, directories to search for layers, URLs, or s3://BUCKET/PREFIX/';

export function addManifest({ program, runner }: CommandParents): void {
  const parent = addCommandGroup(program, 'manifest').description(
    'Record checksums of files, and find later changes, down to a single bit.',
  );
  const create = addCommand(parent, 'create', CREATE_OPTIONS)
    .description('Write a manifest for each file: checksums of its blocks, and its SHA-256.')
    .argument('[path...]', PATHS)
    .action((paths: string[], options: CreateOptions) =>
      runner((context) => createManifests(context, paths, options)),
    );
  const check = addCommand(parent, 'check', CHECK_OPTIONS)
    .description('Compare files with their manifests.')
    .argument('[path...]', PATHS)
    .action((paths: string[], options: CheckOptions) =>
      runner((context) => checkManifests(context, paths, options)),
    );
  addExamples(create, [
    ['layerfile manifest create FILE', 'manifest-FILE, next to it'],
    [
      'layerfile manifest create DIR --manifests MANIFESTS',
      'for all layers below DIR, in another directory',
    ],
    ['layerfile manifest create s3://BUCKET/PREFIX/ --shard 3/16', 'one of 16 workers'],
  ]);
  create.addHelpText(
    'after',
    `
A pageserver does not load a tenant with unknown files in its directories: keep the manifests of its
layers elsewhere. Existing manifests are never replaced.`,
  );
  addExamples(check, [
    ['layerfile manifest check DIR', 'all layers below DIR'],
    ['layerfile manifest check DIR --manifests MANIFESTS', 'including layers that are gone'],
    ['layerfile manifest check FILE --mend DIR', 'a repaired copy of FILE, in another directory'],
    ['layerfile manifest check --files-from - --ndjson < names', 'for programs'],
  ]);
}

async function createManifests(
  context: Context,
  paths: readonly string[],
  options: CreateOptions,
): Promise<ExitStatus> {
  const { ManifestRun } = await import('../manifest-run.ts');
  const { createManifest } = await import('../manifest-create.ts');
  const { CreatedWriter } = await import('../manifest-writer.ts');
  const { manifests } = options;
  if (manifests !== undefined && !isUrl(manifests)) await checkOutput(manifests);
  const run = await ManifestRun.begin(context, paths, options);
  const writer = new CreatedWriter(context.stdout, formatOf(options));
  let status: ExitStatus = CLEAN;
  const skip = options.skipExisting === true;
  for await (const result of run.results((file) => createManifest(run, file, { skip }))) {
    if (result.kind === 'failed') {
      context.reporter.error(result.error);
      status = strongest(status, statusOfError(result.error));
    } else if (result.value !== undefined) await writer.created(result.value);
  }
  await writer.end();
  return withoutFiles(context, run, status);
}

async function checkManifests(
  context: Context,
  paths: readonly string[],
  options: CheckOptions,
): Promise<ExitStatus> {
  const { ManifestRun } = await import('../manifest-run.ts');
  const { checkFile } = await import('../manifest-check.ts');
  const { createReportWriter } = await import('../report-writer.ts');
  const { mend, maxFindings: maximumFindings } = options;
  if (mend !== undefined) await checkOutput(mend);
  const run = await ManifestRun.begin(context, paths, { ...options, manifestsStandFor: 'files' });
  const verbosity = options.quiet ? 'quiet' : 'all';
  const writer = createReportWriter(context.stdout, formatOf(options), verbosity);
  let status: ExitStatus = CLEAN;
  const check = (file: RunFile) => checkFile(run, file, { mend, maximumFindings });
  for await (const result of run.results(check)) {
    if (result.kind === 'failed') {
      context.reporter.error(result.error);
      status = strongest(status, statusOfError(result.error));
      continue;
    }
    const { report, status: found, failure } = result.value;
    await writer.report(report);
    const advice = adviceOn(report, mend);
    if (failure === undefined && advice !== undefined) context.reporter.note(advice);
    status = strongest(status, found);
    if (failure === undefined) continue;
    context.reporter.error(failure);
    status = strongest(status, statusOfError(failure));
  }
  await writer.end(strongest(status, run.status));
  return withoutFiles(context, run, status);
}

async function checkOutput(directory: string): Promise<void> {
  const { checkOutputDirectory } = await import('../output-paths.ts');
  await checkOutputDirectory(directory);
}

/** Tells people what they can do about a damaged file. */
function adviceOn({ ok, path, blocks, findings, mended }: FileReport, mend: string | undefined) {
  // No block of a file without a manifest was compared.
  if (ok || blocks === undefined || mended !== undefined) return undefined;
  if (mend === undefined && findings.some(({ bit }) => bit !== undefined)) {
    return `${shownPath(path)}: --mend DIR writes a copy without flipped bits`;
  }
  if (mend === undefined) return undefined;
  return `${shownPath(path)}: not mended, because more than single bits has changed: layerfile salvage makes a layer of what is left`;
}

function withoutFiles({ reporter }: Context, run: ManifestRun, status: ExitStatus): ExitStatus {
  const all = strongest(status, run.status);
  if (run.fileCount === 0 && all === CLEAN) reporter.warning('no file found');
  return all;
}
