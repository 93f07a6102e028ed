/** `import wal`: continues a timeline with WAL. */
import { InvalidArgumentError } from 'commander';
import { isStorageError, StorageError } from '../../errors.ts';
import type { WalIngest, WalIngestResult } from '../../ingest/pipeline/wal-ingest.ts';
import type { WalIngestOptions } from '../../ingest/pipeline/wal-ingest-options.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import type { StoredSource } from '../../timeline/open-timeline.ts';
import type { WalReader } from '../../wal/wal-reader.ts';
import {
  countArgument,
  directoryArgument,
  generationArgument,
  identifierArgument,
  jobsArgument,
  lsnArgument,
  sizeArgument,
  stripeSizeArgument,
} from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
  requiredOption,
} from '../command.ts';
import type { Context } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatNumberOf } from '../human.ts';
import { encodeJson, layerObject } from '../json.ts';
import { DIALECT } from '../record-options.ts';
import { startRedo } from '../redo-program.ts';
import { outputTarget, REMOTE_OPTIONS } from '../remote-source.ts';
import { JSON_ERRORS } from '../shared-options.ts';

const OPTIONS = {
  base: requiredOption('--base <source>', 'timeline to continue; needs an index', sourceArgument),
  wal: option(
    '--wal <path>',
    'segment, directory or s3:// prefix of WAL; repeatable (required)',
    (path: string, previous: readonly string[] | undefined) => [...(previous ?? []), path],
  ),
  out: requiredOption(
    '--out <dir>',
    'directory or s3:// prefix with tenants/: that of the base, or another one',
    directoryArgument,
  ),
  tenant: option('--tenant <id>', 'tenant, if the base has several', identifierArgument),
  timeline: option('--timeline <id>', 'timeline, if the base has several', identifierArgument),
  end: option('--end <lsn>', 'LSN at or before which the last record ends', lsnArgument),
  checkpointDistance: option(
    '--checkpoint-distance <size>',
    'bytes of values or of WAL per layer (default: 256MiB)',
    sizeArgument,
  ),
  resume: flag('--resume', 'continue where an earlier run into the same output ended'),
  generation: option(
    '--generation <hex8>',
    'generation of the new layers and the index (default: in the base itself, the next one)',
    generationArgument,
  ),
  dialect: DIALECT,
  walRedo: option(
    '--wal-redo <program>',
    'program that replays WAL, run as PROGRAM --wal-redo, for pages that records copy',
    String,
  ),
  shardNumber: option('--shard-number <n>', 'number of the shard', countArgument),
  shardCount: option('--shard-count <n>', 'number of shards (default: not sharded)', countArgument),
  stripeSize: option(
    '--stripe-size <pages>',
    'pages of a stripe (default: that of the base, or 2048)',
    stripeSizeArgument,
  ),
  jobs: option(
    '-j, --jobs <n>',
    'number of threads; a second one writes layers (default: number of processors, at most 2)',
    jobsArgument,
  ),
  staging: option(
    '--staging <dir>',
    'existing directory for layers before they are stored',
    directoryArgument,
  ),
  ...JSON_ERRORS,
  ...REMOTE_OPTIONS,
};

type ImportOptions = OptionValues<typeof OPTIONS>;

export function addImportWal({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'wal', OPTIONS)
    .description('Continue a timeline with WAL, as a pageserver ingests it.')
    .action((options: ImportOptions) => runner((context) => importWal(context, options)));
  addExamples(command, [
    ['layerfile import wal --base DIR --wal pg_wal --out DIR', 'in place, as the next generation'],
    [
      'layerfile import wal --base DIR --wal s3://BUCKET/WAL --out s3://BUCKET/PREFIX --resume',
      'into a bucket; can be interrupted and repeated',
    ],
  ]);
  command.addHelpText(
    'after',
    `
WAL is read from disk_consistent_lsn of the base. The values that a pageserver would put for each
record become L0 delta layers, and the index advances after each layer is durable. If the output is
not the base itself, it first gets copies of the base's layers. WAL of another cluster or version, or
that does not follow the base, is refused. A record that cannot be ingested ends the import, and the
error has its LSN; everything before it is stored. Run it again with --resume to continue.

The copy of a database by file needs its pages. If WAL must be replayed to build one, the import ends
with needs-redo, unless --wal-redo names Neon's Postgres.`,
  );
}

function sourceArgument(text: string): string {
  if (text === '' || text === '-') throw new InvalidArgumentError('Expected a timeline.');
  return text;
}

async function importWal(context: Context, options: ImportOptions): Promise<ExitStatus> {
  const { reporter, signal } = context;
  const { wal: paths, end } = options;
  if (paths === undefined) {
    throw new StorageError('usage', { what: 'option --wal <path> is missing' });
  }
  const [{ noteEndOfWal, walInput }, { openWal }, { WalIngest }] = await Promise.all([
    import('../wal-input.ts'),
    import('../../wal/wal-reader.ts'),
    import('../../ingest/pipeline/wal-ingest.ts'),
  ]);
  const source = await walInput(context, paths, options);
  const opening = await ingestOptions(context, options);
  // Fails before the layers of the base are copied.
  await openWal(source, { signal });
  const progress = reporter.progress({ label: 'import' });
  const { onProgress, onCopied } = progressOf(progress, () => ingest, end);
  const redo = options.walRedo === undefined ? undefined : await startRedo(options.walRedo);
  let ingest: WalIngest | undefined;
  let result: WalIngestResult;
  let wal: WalReader;
  try {
    try {
      ingest = await WalIngest.open({ ...opening, redo, onProgress, onCopied });
      checkEnd(end, ingest.startLsn);
      wal = await openWal(source, { start: ingest.startLsn, end, signal });
      result = await ingest.ingest(wal);
    } finally {
      progress.finish();
      await ingest?.close();
      await redo?.[Symbol.asyncDispose]();
    }
  } catch (error) {
    if (ingest === undefined) throw error;
    const reached = formatPgLsn(ingest.durableLsn);
    reporter.note(`everything up to ${reached} is stored; continue with --resume`);
    // The problem is the WAL, for example that of another cluster, and not the command line.
    if (!isStorageError(error, 'invalid-input')) throw error;
    reporter.error(error);
    return FINDINGS;
  }
  await context.stdout.write(`${encodeJson(resultObject(result))}\n`);
  const records = formatNumberOf(result.recordCount, 'record', 'records');
  const layers = formatNumberOf(result.layers.length, 'layer', 'layers');
  reporter.note(`${records} in ${layers}, up to ${formatPgLsn(result.endLsn)}`);
  noteEndOfWal(reporter, wal.end);
  return CLEAN;
}

/** Throws `usage`: the LSN can only be checked against the base. */
function checkEnd(end: Lsn | undefined, startLsn: Lsn): void {
  if (end === undefined || end >= startLsn) return;
  throw new StorageError('usage', {
    what: '--end',
    expected: `${formatPgLsn(startLsn)}, where the timeline ends, or above`,
    actual: formatPgLsn(end),
  });
}

async function ingestOptions(
  { signal }: Context,
  options: ImportOptions,
): Promise<WalIngestOptions> {
  const { tenant, timeline, generation, shardNumber, shardCount } = options;
  if ((shardNumber === undefined) !== (shardCount === undefined)) {
    throw new StorageError('usage', {
      what: '--shard-number and --shard-count must be given together',
    });
  }
  const isSharded = shardNumber !== undefined && shardCount !== undefined;
  return {
    base: await baseOf(options, signal),
    baseChoice: { tenant, timeline },
    target: await outputTarget(options.out, options),
    generation: generation === undefined ? undefined : Number.parseInt(generation, 16),
    mode: options.resume ? 'resume' : 'start',
    shard: isSharded ? { number: shardNumber, count: shardCount } : undefined,
    stripeSize: options.stripeSize,
    dialect: options.dialect,
    checkpointDistance: options.checkpointDistance,
    stagingDirectory: options.staging,
    threadCount: options.jobs,
    signal,
  };
}

/**
 * Throws `usage` for a source without an index, and for one with several timelines if none is chosen.
 */
async function baseOf(options: ImportOptions, signal: AbortSignal): Promise<StoredSource> {
  const { base, tenant, timeline } = options;
  const { placeOfArgument, shardsOfTimeline } = await import('../source-place.ts');
  const place = await placeOfArgument(base, options);
  if (place.kind === 'lone-index') {
    const slash = place.key.lastIndexOf('/') + 1;
    const [prefix, indexName] = [place.key.slice(0, slash), place.key.slice(slash)];
    return { store: place.store, prefix, indexName };
  }
  if (place.kind !== 'timelines') {
    throw new StorageError('usage', {
      what: '--base is a layer: give the timeline to continue',
      path: base,
    });
  }
  await shardsOfTimeline(place, { source: base, tenant, timeline }, signal);
  const { root, prefix, indexName } = place;
  return root.directory === undefined ? { store: root.store, prefix, indexName } : base;
}

/** Bytes that are copied come first, then bytes of WAL; their total is known if the end is. */
function progressOf(
  progress: ReturnType<Context['reporter']['progress']>,
  current: () => WalIngest | undefined,
  end: bigint | undefined,
) {
  let copied = 0;
  return {
    onCopied(length: number): void {
      copied += length;
      progress.update({ done: copied, detail: 'layers of the base' });
    },
    onProgress(lsn: bigint): void {
      const start = current()?.startLsn ?? lsn;
      const total = end === undefined || end <= start ? undefined : Number(end - start);
      progress.update({ done: Number(lsn - start), total, detail: formatPgLsn(lsn) });
    },
  };
}

function resultObject({ layers, startLsn, endLsn, recordCount, indexPath }: WalIngestResult) {
  return {
    layers: layers.map(layerObject),
    start_lsn: formatLsn(startLsn),
    end_lsn: formatLsn(endLsn),
    records: recordCount,
    index_part: indexPath,
  };
}
