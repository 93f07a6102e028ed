/** `export pgdata`: writes the state of a timeline at an LSN as a data directory. */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { StorageError } from '../../errors.ts';
import { isStorageError } from '../../errors.ts';
import type { ExportedPgdata } from '../../ingest/export/export-pgdata.ts';
import { parseKey } from '../../layers/key.ts';
import { formatLsn, formatPgLsn } from '../../layers/lsn.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { printable } from '../../printable.ts';
import { directoryArgument, lsnArgument } from '../arguments.ts';
import {
  addCommand,
  addExamples,
  type CommandParents,
  flag,
  type OptionValues,
  option,
  requiredOption,
} from '../command.ts';
import type { Context, Format } from '../context.ts';
import { CLEAN, type ExitStatus, FINDINGS } from '../exit-status.ts';
import { formatCount, formatNumberOf } from '../human.ts';
import { encodeJson, type Json } from '../json.ts';
import { openSource, SOURCE_OPTIONS, warnOfCutoff } from '../open-source.ts';
import { startRedo, WAL_REDO } from '../redo-program.ts';
import { isUrl } from '../remote-source.ts';
import { formatOf, listFormat, READ_LIMITS } from '../shared-options.ts';

const OPTIONS = {
  out: requiredOption(
    '--out <dir>',
    'data directory to create; an existing one must be empty',
    directoryArgument,
  ),
  lsn: option(
    '--lsn <lsn>',
    'LSN of the state (default: the last one of the timeline)',
    lsnArgument,
  ),
  walRedo: WAL_REDO,
  allowMissingPages: flag(
    '--allow-missing-pages',
    'write zeros for pages that cannot be built, instead of failing',
  ),
  neon: flag('--neon', 'for a Neon compute: with neon.signal and replication slots'),
  ...SOURCE_OPTIONS,
  ...READ_LIMITS,
  ...listFormat('one page that cannot be built'),
};
type ExportOptions = OptionValues<typeof OPTIONS>;

export function addExportPgdata({ program, runner }: CommandParents): void {
  const command = addCommand(program, 'pgdata', OPTIONS)
    .description('Write the state of a timeline at an LSN as a Postgres data directory.')
    .argument('<source>', 'directory, index_part.json, or an s3:// or https:// URL')
    .action((source: string, options: ExportOptions) =>
      runner((context) => exportDirectory(context, source, options)),
    );
  addExamples(command, [
    ['layerfile export pgdata DIR --out pgdata', 'as of the last LSN'],
    ['layerfile export pgdata s3://BUCKET/PREFIX --lsn 0/1696000 --out pgdata', 'as of an LSN'],
    ['layerfile export pgdata DIR --out pgdata --wal-redo ./postgres', 'with WAL replayed'],
  ]);
  command.addHelpText(
    'after',
    `
A server of the same major version can start on the directory, run as the user that owns the files.
Pages that only Postgres can build from their WAL records are listed, and so are damaged and missing
pages; consecutive pages without a value are listed as one line with their count. Then the exit status
is 1, and nothing is written unless --allow-missing-pages is given. With --wal-redo, Neon's Postgres
builds the pages that need it.

Unlogged tables are empty, as after a crash. Tablespaces are directories in pg_tblspc instead of links.
The only settings are those that pg_control keeps: check postgresql.conf and pg_hba.conf first.`,
  );
}

async function exportDirectory(
  context: Context,
  source: string,
  options: ExportOptions,
): Promise<ExitStatus> {
  const { out, neon, allowMissingPages, walRedo } = options;
  if (!isUrl(source)) {
    const { refuseOutputWithin } = await import('../output-paths.ts');
    await refuseOutputWithin([source], existsSync(out) ? out : dirname(resolve(out)));
  }
  const { signal, reporter } = context;
  const { exportPgdata } = await import('../../ingest/export/export-pgdata.ts');
  await using timeline = await openSource(context, source, options);
  const lsn = options.lsn ?? timeline.facts.diskConsistentLsn;
  if (lsn !== undefined) warnOfCutoff(context, { timeline, lsn, source });
  const redo = walRedo === undefined ? undefined : await startRedo(walRedo);
  const progress = reporter.progress({ label: 'export' });
  const findings = new FindingWriter(context, formatOf(options));
  try {
    const exported = await exportPgdata(timeline, {
      ...{ directory: out, lsn, redo, signal },
      belowGcCutoff: 'read',
      server: neon === true ? 'neon' : 'postgres',
      missingPages: allowMissingPages === true ? 'zeros' : 'refuse',
      onMissingPage: (finding, pageCount) => findings.write(finding, pageCount),
      onProgress: (done, total) => progress.update({ done, total }),
    });
    progress.finish();
    report(context, exported);
    await findings.end(exported);
    return exported.missingPageCount > 0 ? FINDINGS : CLEAN;
  } catch (error) {
    progress.finish();
    if (!isRefusal(error, findings)) throw error;
    // Pages that cannot be built are findings, whatever their errors.
    await findings.end(undefined);
    reporter.error(error);
    return FINDINGS;
  } finally {
    progress.finish();
    await redo?.[Symbol.asyncDispose]();
  }
}

/**
 * Whether no directory was written because of pages that cannot be built: the first one is the cause.
 */
function isRefusal(error: unknown, { first }: FindingWriter): boolean {
  return isStorageError(error) && first !== undefined && error.cause === first;
}

/** Warns of what the directory lacks, or has in another form than the timeline. */
function report({ reporter }: Context, exported: ExportedPgdata): void {
  const { missingPageCount, unloggedCount, checksumCount, leftOut, lsn, directory } = exported;
  if (missingPageCount > 0) {
    const pages = formatNumberOf(missingPageCount, 'page is', 'pages are');
    reporter.warning(`${pages} zeros: this is not the state of the timeline`, directory);
  }
  if (unloggedCount > 0) {
    const relations = formatNumberOf(unloggedCount, 'unlogged relation', 'unlogged relations');
    reporter.warning(`${relations} without rows, as after a crash`, directory);
  }
  if (checksumCount > 0) {
    reporter.note(`${formatNumberOf(checksumCount, 'page', 'pages')} with a new checksum`);
  }
  for (const path of leftOut.slice(0, LISTED_FILES)) {
    reporter.warning('left out: a file of replication, or of an unknown place', path);
  }
  if (leftOut.length > LISTED_FILES) {
    const more = leftOut.length - LISTED_FILES;
    reporter.warning(`left out: ${formatNumberOf(more, 'more file', 'more files')}`);
  }
  const { pageCount, forkCount } = exported;
  const pages = formatNumberOf(pageCount, 'page', 'pages');
  const forks = formatNumberOf(forkCount, 'fork', 'forks');
  reporter.note(`${pages} of ${forks}, at ${formatPgLsn(lsn)}`);
}

const LISTED_FILES = 100;

/** Writes each page that cannot be built, and then a summary. */
class FindingWriter {
  readonly #context: Context;
  readonly #format: Format;
  #count = 0;
  #first: StorageError | undefined;

  constructor(context: Context, format: Format) {
    this.#context = context;
    this.#format = format;
  }

  get first(): StorageError | undefined {
    return this.#first;
  }

  async write(finding: StorageError, pageCount: number): Promise<void> {
    this.#first ??= finding;
    const { stdout } = this.#context;
    const isFirst = this.#count === 0;
    this.#count += 1;
    if (this.#format === 'people') {
      const more = pageCount === 1 ? '' : `, and ${formatCount(pageCount - 1)} more after it`;
      await stdout.write(`${printable(finding.message)}${more}\n`);
      return;
    }
    const line = encodeJson(findingJson(finding, pageCount));
    if (this.#format === 'ndjson') {
      await stdout.write(`${line}\n`);
      return;
    }
    if (isFirst) stdout.beginDocument(JSON_END);
    await stdout.write((isFirst ? JSON_START : ',\n') + line);
  }

  /** Undefined if no directory was written. */
  async end(exported: ExportedPgdata | undefined): Promise<void> {
    const { stdout } = this.#context;
    const summary = exported && summaryJson(exported);
    if (this.#format === 'json') {
      stdout.endDocument();
      const start = this.#count === 0 ? JSON_START.trimEnd() : '\n';
      const rest = summary === undefined ? '}' : `,"summary":${encodeJson(summary)}}`;
      await stdout.write(`${start}]${rest}\n`);
    } else if (this.#format === 'ndjson') {
      if (summary !== undefined) await stdout.write(`${encodeJson({ summary })}\n`);
    } else if (exported !== undefined) await stdout.write(`${printable(exported.directory)}\n`);
  }
}

const JSON_START = '{"missing_pages":[\n';
const JSON_END = '\n]}\n';

function findingJson(finding: StorageError, pageCount: number): Json {
  const { code, message, path, offset, key, lsn } = finding;
  const meaning = key === undefined ? undefined : describeKey(parseKey(key));
  const blkno = meaning !== undefined && 'blkno' in meaning ? meaning.blkno : undefined;
  const pages = pageCount === 1 ? undefined : pageCount;
  return { key, lsn, path, offset, blkno, pages, error: { code, message } };
}

function summaryJson(exported: ExportedPgdata): Json {
  const { directory, lsn, startLsn, control, leftOut } = exported;
  return {
    path: directory,
    lsn: formatLsn(lsn),
    start_lsn: formatLsn(startLsn),
    pg_version: control.majorVersion,
    databases: exported.databaseCount,
    forks: exported.forkCount,
    pages: exported.pageCount,
    missing_pages: exported.missingPageCount,
    new_checksums: exported.checksumCount,
    unlogged: exported.unloggedCount,
    left_out: leftOut.map(printable),
  };
}
