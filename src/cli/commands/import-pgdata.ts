/** `import pgdata`: makes an image layer, or a whole timeline, from a Postgres data directory. */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { isStorageError, StorageError } from '../../errors.ts';
import type { ImportTimelineOptions } from '../../ingest/pgdata/import-timeline.ts';
import { formatLsn, type Lsn } from '../../layers/lsn.ts';
import {
  countArgument,
  directoryArgument,
  identifierArgument,
  layerLsnOrAutoArgument,
  sizeArgument,
} from '../arguments.ts';
import {
  addCommand,
  addCommandGroup,
  addExamples,
  type CommandParents,
  choice,
  flag,
  type OptionValues,
  option,
  optionWithDefault,
  requiredOption,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { countsOfImport, type ImportOutcome, Listing, reportOutcome } from '../import-report.ts';
import { encodeJson, layerLine, layerObject } from '../json.ts';
import { isUrl, outputTarget, REMOTE_OPTIONS } from '../remote-source.ts';
import { compressionOf, JSON_ERRORS, LAYER_OPTIONS } from '../shared-options.ts';
import { addImportWal } from './import-wal.ts';

const OPTIONS = {
  ...LAYER_OPTIONS,
  out: requiredOption(
    '--out <dir>',
    'directory for the layer; with --layout remote, the directory or s3:// prefix with tenants/',
    directoryArgument,
  ),
  tenant: requiredOption('--tenant <id>', 'tenant, 32 hex digits', identifierArgument),
  timeline: requiredOption('--timeline <id>', 'timeline, 32 hex digits', identifierArgument),
  ...JSON_ERRORS,
  lsn: optionWithDefault<Lsn | 'auto'>(
    '--lsn <lsn>',
    'LSN of the layer; auto is the LSN of the latest checkpoint',
    { parse: layerLsnOrAutoArgument, value: 'auto' },
  ),
  allowUnclean: flag(
    '--allow-unclean',
    'warnings instead of errors for a server that is running, was not shut down cleanly or has to ' +
      'replay WAL first, and for pages newer than the layer',
  ),
  allowDamaged: flag(
    '--allow-damaged',
    'warnings instead of errors for missing or damaged relation maps, tablespaces and segments',
  ),
  allowBadPages: flag(
    '--allow-bad-pages',
    'warnings instead of errors for pages with a wrong checksum',
  ),
  layout: choice('--layout <layout>', 'make one layer, or a whole timeline as in a bucket', [
    'layer',
    'remote',
  ]),
  classic: flag('--classic', 'like the import of a base backup, with prepared transactions'),
  layerSize: option(
    '--layer-size <size>',
    'soft limit of a layer before compression (default: 256MiB; with --classic, 128MiB)',
    sizeArgument,
  ),
  shardCount: option('--shard-count <n>', 'number of shards (default: not sharded)', countArgument),
  stripeSize: option('--stripe-size <pages>', 'pages of a stripe (default: 2048)', countArgument),
  jobs: option(
    '-j, --jobs <n>',
    'number of layers made in parallel (default: number of processors)',
    countArgument,
  ),
  verifyChecksums: flag('--verify-checksums', 'refuse a cluster without page checksums'),
  skipChecksums: flag(
    '--skip-checksums',
    'do not verify the checksums of pages, if the cluster has them',
  ).conflicts('verifyChecksums'),
  staging: option(
    '--staging <dir>',
    'existing directory for layers before they are stored',
    directoryArgument,
  ),
  ...REMOTE_OPTIONS,
};
/** Options of a whole timeline. */
const TIMELINE_OPTIONS = [
  'classic',
  'layerSize',
  'shardCount',
  'stripeSize',
  'jobs',
  'verifyChecksums',
  'skipChecksums',
  'staging',
] as const satisfies readonly (keyof typeof OPTIONS)[];

type ImportOptions = OptionValues<typeof OPTIONS>;

export function addImport({ program, runner }: CommandParents): void {
  const parent = addCommandGroup(program, 'import').description(
    'Make layers from other data: import pgdata, import wal.',
  );
  const command = addCommand(parent, 'pgdata', OPTIONS)
    .description(
      'Make an image layer or a timeline from a Postgres data directory that was shut down cleanly.',
    )
    .argument('<dir>', 'data directory')
    .action((directory: string, options: ImportOptions) =>
      runner((context) => importDirectory(context, directory, options)),
    );
  addExamples(command, [
    [
      'layerfile import pgdata /var/lib/postgresql/17/main --out DIR --tenant ID --timeline ID',
      'at the LSN of the latest checkpoint',
    ],
    [
      'layerfile import pgdata DIR --layout remote --out s3://BUCKET/PREFIX --tenant ID --timeline ID',
      'a timeline for a pageserver to attach',
    ],
  ]);
  command.addHelpText(
    'after',
    `
A layer contains the relations of all databases (every fork) and the relation maps. --layout remote
imports everything that a pageserver needs: also directories, sizes, transaction status, control file
and checkpoint, in layers with an index, which is written last. An interrupted run can be repeated:
layers that are already stored are not written again. Prepared transactions need --classic. WAL and
configuration are never imported; files that are left out are counted by reason.

The import refuses what a server would refuse: a base backup or standby that has to replay WAL, a
missing or damaged relation map or version file of a database, and, in a cluster with checksums, pages
with a wrong checksum. The --allow options turn these errors into warnings.`,
  );
  addImportWal({ program: parent, runner });
}

async function importDirectory(
  context: Context,
  directory: string,
  options: ImportOptions,
): Promise<ExitStatus> {
  const { entriesOf, refuseOutputWithin } = await import('../output-paths.ts');
  checkLayout(options);
  if (!isUrl(options.out)) {
    // Links in the directory may lead elsewhere.
    const tablespaces = await entriesOf(join(directory, 'pg_tblspc'));
    const inputs = [directory, join(directory, 'pg_wal'), ...tablespaces];
    await refuseOutputWithin(inputs, existingPart(options.out));
  }
  const { reporter } = context;
  const progress = reporter.progress({ label: 'import' });
  const badPages = new Listing(reporter, 'bad page', 'bad pages');
  const common = {
    dataDirectory: directory,
    tenantId: options.tenant,
    timelineId: options.timeline,
    lsn: options.lsn,
    allowUnclean: options.allowUnclean,
    allowDamaged: options.allowDamaged,
    allowBadPages: options.allowBadPages,
    compression: compressionOf(options),
    signal: context.signal,
    onProgress: (done: number, total: number) => progress.update({ done, total }),
    onBadPage: (finding: StorageError) => badPages.add(finding),
  };
  try {
    const importing = options.layout === 'remote' ? importRemote : importLayer;
    const { outcome, line } = await importing(common, options);
    progress.finish();
    badPages.end();
    reportOutcome(reporter, outcome);
    await context.stdout.write(line);
    return CLEAN;
  } catch (error) {
    badPages.end();
    // The problem is the directory, for example one that was not shut down, and not the command line.
    if (!isStorageError(error, 'invalid-input')) throw error;
    reporter.error(error);
    return FINDINGS;
  } finally {
    progress.finish();
  }
}

type CommonOptions = Omit<ImportTimelineOptions, 'target' | 'lsn'> &
  Required<Pick<ImportTimelineOptions, 'lsn'>>;

/** The result of an import, to report and to print. */
interface Imported {
  readonly outcome: ImportOutcome;
  readonly line: string;
}

async function importLayer(common: CommonOptions, options: ImportOptions): Promise<Imported> {
  const { checkOutputDirectory } = await import('../output-paths.ts');
  const { importPgdata } = await import('../../postgres/import.ts');
  const { out: outDirectory, lsn, generation, manifest } = options;
  await checkOutputDirectory(outDirectory);
  const layer = await importPgdata({ ...common, lsn, outDirectory, generation, manifest });
  return { outcome: layer, line: layerLine(layer, countsOfImport(layer)) };
}

async function importRemote(common: CommonOptions, options: ImportOptions): Promise<Imported> {
  const { importTimeline } = await import('../../ingest/pgdata/import-timeline.ts');
  const { generation, verifyChecksums, skipChecksums } = options;
  const timeline = await importTimeline({
    ...common,
    target: await outputTarget(options.out, options),
    generation: generation === undefined ? undefined : Number.parseInt(generation, 16),
    way: options.classic ? 'classic' : 'fast',
    layerSize: options.layerSize,
    shardCount: options.shardCount,
    stripeSize: options.stripeSize,
    concurrency: options.jobs ?? Math.min(availableParallelism(), BOUNDS.jobs[1]),
    verifyChecksums: verifyChecksums ? 'always' : skipChecksums ? 'never' : 'auto',
    stagingDirectory: options.staging,
  });
  const { shards, lsn } = timeline;
  const indices = shards.map(({ indexPath }) => indexPath);
  const line = encodeJson({
    layers: shards.flatMap(({ layers }) => layers.map(layerObject)),
    index_part: indices.length === 1 ? indices[0] : indices,
    lsn: formatLsn(lsn),
    ...countsOfImport(timeline),
  });
  return { outcome: timeline, line: `${line}\n` };
}

const BOUNDS = {
  layerSize: [8192, 4 * 1024 ** 3],
  shardCount: [0, 255],
  stripeSize: [1, 0xffff_ffff],
  jobs: [1, 64],
} as const;

/** Throws `usage` for options that the layout does not have, and for numbers out of range. */
function checkLayout(options: ImportOptions): void {
  for (const name of ['layerSize', 'shardCount', 'stripeSize', 'jobs'] as const) {
    const [minimum, maximum] = BOUNDS[name];
    const value = options[name];
    if (value === undefined || (value >= minimum && value <= maximum)) continue;
    const what = OPTIONS[name].flags;
    const expected = `${minimum} to ${maximum}`;
    throw new StorageError('usage', { what, expected, actual: String(value) });
  }
  if (options.layout === 'remote') {
    if (options.manifest !== true) return;
    // The layers are made in one place and stored in another, and may be objects.
    throw new StorageError('usage', {
      what: '--manifest with --layout remote: use manifest create once the layers are stored',
    });
  }
  const given = TIMELINE_OPTIONS.find((name) => options[name] !== undefined);
  const isRemote = isUrl(options.out);
  if (given === undefined && !isRemote) return;
  const what = isRemote ? `--out ${options.out}` : OPTIONS[given ?? 'classic'].flags;
  throw new StorageError('usage', { what, expected: '--layout remote with it' });
}

/** The path, or the nearest existing directory above it: the others will be created. */
function existingPart(path: string): string {
  let part = resolve(path);
  while (!existsSync(part) && dirname(part) !== part) part = dirname(part);
  return part;
}
