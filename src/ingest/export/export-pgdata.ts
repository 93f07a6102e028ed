/**
 * Exports a timeline at an LSN as a data directory from which a server can start, with the content of a pageserver's
 * full base backup.
 *
 *   1  the lists of the timeline are read, and small files written
 *   2  pages are read in batches, in key order, and written file by file
 *   3  pg_control and the WAL that it begins at are written
 *   4  everything is synced, and the directory takes its name
 *
 * Page checksums are recomputed if the cluster has them: those of values from WAL and redo are outdated.
 * Source: Neon pageserver/src/basebackup.rs.
 */
import {
  checkChoice,
  checkMethod,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../../check-options.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import { checkLsn, formatLsn, formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { type ControlFile, decodeControlFile } from '../../postgres/control-file.ts';
import { checkLayerLsn } from '../../postgres/import.ts';
import { controlFileKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { type OnProgress, tellProgress } from '../../progress.ts';
import type { RedoRunner } from '../../timeline/materialize.ts';
import { parseShardIndex } from '../../timeline/tenant-shard.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { OpenFiles } from '../../virtual-file/open-files.ts';
import type { SparseWalFile } from '../../wal/first-segment.ts';
import { auxiliaryFiles } from './auxiliary-files.ts';
import { DirectoryOutput } from './directory-output.ts';
import { type ExportPlan, planExport } from './export-plan.ts';
import { PageFileWriter } from './page-files.ts';
import { joinedPages, type MissingPages, type PageReading, readBatches } from './page-reading.ts';
import {
  configurationFiles,
  databaseFiles,
  type ServerKind,
  type SmallFile,
  serverDirectories,
  signalFiles,
  startOfServer,
  twophaseFiles,
} from './server-files.ts';
import { ValueReader } from './value-reader.ts';

/** Options of `exportPgdata`. */
export interface ExportPgdataOptions {
  /** The data directory: a path that does not exist, or an empty directory. Its parent must exist. */
  readonly directory: string;
  /** LSN of the state, inclusive. Default: the last LSN of the timeline. Needed if the source has no index. */
  readonly lsn?: Lsn | undefined;
  /** As for `Timeline.readPage`. */
  readonly belowGcCutoff?: 'refuse' | 'read' | undefined;
  /** Applies WAL records that only Postgres can apply, such as a `RedoProcess`. Default: none. */
  readonly redo?: RedoRunner | undefined;
  /**
   * The kind of server. `postgres`, the default, starts from a checkpoint in the WAL. `neon` is a compute, with
   * `neon.signal` and its replication slots.
   */
  readonly server?: ServerKind | undefined;
  /**
   * What to do if pages cannot be built because they need redo, or are damaged or missing. `refuse`, the default: no
   * directory is made. `zeros`: they become zeros, and the directory is not the exact state of the timeline.
   */
  readonly missingPages?: 'refuse' | 'zeros' | undefined;
  /**
   * Called for each page that cannot be built: where it would be, and why. Consecutive pages that have no value, or
   * that cannot be read for the same reason, are one finding, with the place of the first page and their number.
   */
  readonly onMissingPage?:
    | ((finding: StorageError, pageCount: number) => void | Promise<void>)
    | undefined;
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Ends the export with `aborted`; nothing is left. */
  readonly signal?: AbortSignal | undefined;
  /** Called with bytes of pages done and of all pages. */
  readonly onProgress?: OnProgress | undefined;
}

const OPTIONS: KnownOptions<ExportPgdataOptions> = {
  directory: true,
  lsn: true,
  belowGcCutoff: true,
  redo: true,
  server: true,
  missingPages: true,
  onMissingPage: 'function',
  openFiles: true,
  signal: true,
  onProgress: 'function',
};

/** The result of exporting a timeline. */
export interface ExportedPgdata {
  /** As given. */
  readonly directory: string;
  /** LSN of the state. */
  readonly lsn: Lsn;
  /** Where the server starts: for Postgres, the record of its checkpoint. */
  readonly startLsn: Lsn;
  /** The control file that was written. */
  readonly control: ControlFile;
  /** Databases, without the shared catalogs. */
  readonly databaseCount: number;
  /** Forks of relations. */
  readonly forkCount: number;
  /** Pages of all forks and of transaction state. */
  readonly pageCount: number;
  /** Pages that are zeros because they could not be built. */
  readonly missingPageCount: number;
  /** Pages whose stored checksum did not match their content; 0 if the cluster has no checksums. */
  readonly checksumCount: number;
  /** Unlogged relations, which are empty, as after a crash. */
  readonly unloggedCount: number;
  /** Paths of auxiliary files that were left out: those of replication slots, and paths that a server does not use. */
  readonly leftOut: readonly string[];
}

/**
 * Writes the state of a timeline at an LSN as a data directory. Memory grows with the number of relations, but not with
 * their size. User tablespaces become directories in `pg_tblspc`, instead of links.
 *
 * Durability: the directory survives a crash once the promise resolves. A crash before that leaves no directory of this
 * name; a temporary one next to it is removed by the next export of the same name.
 *
 * @param timeline All shards of it.
 * @returns What was written.
 * @throws `exists` (the path is taken); `needs-redo`, `no-base`, `not-found` and others for pages that cannot be built,
 *   once all of them are known, unless they may be zeros; `not-found`, `corrupt`, `truncated` (lists, sizes or small
 *   files); `out-of-range` (an LSN after the last one, or below the GC cutoff); `invalid-input` (one shard of several;
 *   no LSN; a page size other than 8,192); `too-large` (zeros for more than 4,096 files without a value, or after
 *   262,144 consecutive pages that cannot be read for the same reason); `io`, `network`, `denied`, `changed`,
 *   `sync-failed`, `aborted`, `closed`; errors of `redo`.
 * @example
 *   await using timeline = await openTimeline('bucket');
 *   await exportPgdata(timeline, { directory: 'restored' });
 */
export async function exportPgdata(
  timeline: Timeline,
  options: ExportPgdataOptions,
): Promise<ExportedPgdata> {
  checkArguments(timeline, options);
  const { directory, signal, server = 'postgres', missingPages = 'refuse' } = options;
  const { openFiles = OpenFiles.shared() } = options;
  throwIfAborted(signal, directory);
  const lsn = lsnOf(timeline, options.lsn);
  const { belowGcCutoff } = options;
  const listing = await timeline.directory(lsn, { belowGcCutoff, signal });
  const values = new ValueReader(timeline, lsn, signal);
  const controlBytes = await values.read(controlFileKey(), 'control file', (bytes) => {
    checkPageSize(decodeControlFile(bytes));
    return bytes.slice();
  });
  const control = decodeControlFile(controlBytes);
  const { majorVersion } = control;
  const plan = planExport(listing, control);
  const auxiliary = await auxiliaryFiles(values, server);
  const start = await startOfServer(values, { lsn, controlBytes, control, server });
  const configuration = configurationFiles(controlBytes, auxiliary.originCount);

  const output = await DirectoryOutput.create(directory, openFiles);
  try {
    await makeDirectories(output, plan, majorVersion);
    const signals = server === 'neon' ? signalFiles(prevRecordLsnOf(timeline, lsn)) : [];
    const databases = await databaseFiles(values, plan, majorVersion);
    await writeFiles(output, [...configuration, ...signals, ...auxiliary.files, ...databases]);
    for await (const file of twophaseFiles(values, majorVersion)) await writeFiles(output, [file]);
    const { redo, onMissingPage, onProgress } = options;
    const reading = { timeline, lsn, pgVersion: majorVersion, redo, missingPages, signal };
    const checksums = control.checksumVersion === 0 ? 'off' : 'on';
    const writing = { checksums, missingPages, onMissingPage, onProgress } as const;
    const written = await writePages(output, plan, { reading, ...writing });
    await writeWal(output, start.wal, signal);
    // Last: without it, the directory is not one of a cluster.
    await writeFiles(output, [start.control]);
    await output.finish(signal);
    return {
      ...{ directory, lsn, startLsn: start.startLsn, ...written },
      control: decodeControlFile(start.control.bytes),
      databaseCount: plan.databases.filter(({ dbnode }) => dbnode !== 0).length,
      forkCount: plan.forkCount,
      unloggedCount: plan.unloggedCount,
      leftOut: auxiliary.leftOut,
    };
  } finally {
    // The first error is thrown. Anything that cannot be removed now is removed by the next export of the name.
    await Promise.allSettled([output.abandon()]);
  }
}

function checkArguments(timeline: Timeline, options: ExportPgdataOptions): void {
  checkMethod('timeline', timeline, 'reconstructRanges');
  checkOptions(options, OPTIONS);
  checkText('directory', options.directory);
  if (options.directory === '') {
    throw new StorageError('invalid-input', {
      what: 'directory',
      expected: 'a path',
      actual: "''",
    });
  }
  checkChoice('server', options.server, ['postgres', 'neon']);
  checkChoice('missingPages', options.missingPages, ['refuse', 'zeros']);
  if (options.redo !== undefined) checkMethod('redo', options.redo, 'apply');
  if (options.lsn !== undefined) checkLsn(options.lsn, 'lsn');
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
}

/** Throws `invalid-input`, `out-of-range`. */
function lsnOf(timeline: Timeline, wanted: Lsn | undefined): Lsn {
  const { diskConsistentLsn: last, shard, timelineId } = timeline.facts;
  if (shard !== undefined && parseShardIndex(shard).count > 1) {
    throw new StorageError('invalid-input', {
      what: `shard ${shard} of timeline ${timelineId}, which has only some of the pages`,
      expected: 'all shards of the tenant',
    });
  }
  const lsn = wanted ?? last;
  if (lsn === undefined) {
    throw new StorageError('invalid-input', {
      what: 'lsn is required: the source has no index with the last LSN',
    });
  }
  checkLayerLsn(lsn);
  if (last === undefined || lsn <= last) return lsn;
  throw new StorageError('out-of-range', {
    what: 'LSN of the export',
    expected: `at most ${formatPgLsn(last)}, the last one of the timeline`,
    actual: formatPgLsn(lsn),
  });
}

function checkPageSize({ pageSize }: ControlFile): void {
  if (pageSize === PAGE_SIZE) return;
  throw new StorageError('invalid-input', {
    what: 'page size of the cluster',
    expected: `${PAGE_SIZE} bytes`,
    actual: `${pageSize}`,
  });
}

/** Known only of the last record. */
function prevRecordLsnOf(timeline: Timeline, lsn: Lsn): Lsn | undefined {
  const parts = timeline.shards.length === 0 ? [timeline] : timeline.shards;
  const metadata = parts[0]?.stored?.index?.fields.metadata;
  if (metadata?.diskConsistentLsn !== lsn) return undefined;
  return metadata.prevRecordLsn ?? undefined;
}

async function makeDirectories(
  output: DirectoryOutput,
  { databases }: ExportPlan,
  majorVersion: number,
): Promise<void> {
  for (const path of serverDirectories(majorVersion)) await output.makeDirectory(path);
  for (const { path } of databases) await output.makeDirectory(path);
}

async function writeFiles(output: DirectoryOutput, files: readonly SmallFile[]): Promise<void> {
  for (const { path, bytes } of files) {
    // That of a replication slot has its name.
    if (path.includes('/')) await output.makeDirectory(path.slice(0, path.lastIndexOf('/')));
    await output.writeFile(path, bytes);
  }
}

interface PageOptions
  extends Pick<ExportPgdataOptions, 'onMissingPage' | 'onProgress' | 'missingPages'> {
  readonly reading: PageReading;
  readonly checksums: 'on' | 'off';
}

interface WrittenPages {
  readonly pageCount: number;
  readonly missingPageCount: number;
  readonly checksumCount: number;
}

/** Throws the error of the first page that cannot be built, with the number of all, unless they may be zeros. */
async function writePages(
  output: DirectoryOutput,
  { sequences }: ExportPlan,
  { reading, checksums, missingPages, onMissingPage, onProgress }: PageOptions,
): Promise<WrittenPages> {
  const pageCount = sequences.reduce((sum, sequence) => sum + sequence.pageCount, 0);
  const missing = new MissingLog(onMissingPage);
  let done = 0;
  const { signal } = reading;
  await using writer = new PageFileWriter(output, sequences, { checksums, signal });
  for await (const batch of readBatches(sequences, reading)) {
    for (const run of batch) {
      for (const pages of run.missing) await missing.add(pages);
      // If the directory will not be made, only the other pages that cannot be built are of interest.
      if (missing.first === undefined || missingPages === 'zeros') await writer.write(run);
      done += run.pageCount;
    }
    tellProgress(onProgress, done * PAGE_SIZE, pageCount * PAGE_SIZE);
  }
  await missing.end();
  const { first, pageCount: missingPageCount } = missing;
  if (first !== undefined && missingPages !== 'zeros') {
    throw refusal(first, { missingPageCount, pageCount, lsn: reading.lsn });
  }
  await writer.finish();
  return { pageCount, missingPageCount, checksumCount: writer.checksumCount };
}

/** Joins findings across batches, and passes them on. */
class MissingLog {
  readonly #onMissingPage: ExportPgdataOptions['onMissingPage'];
  #last: MissingPages | undefined;
  first: StorageError | undefined;
  pageCount = 0;

  constructor(onMissingPage: ExportPgdataOptions['onMissingPage']) {
    this.#onMissingPage = onMissingPage;
  }

  async add(pages: MissingPages): Promise<void> {
    this.first ??= pages.error;
    this.pageCount += pages.pageCount;
    const joined = this.#last && joinedPages(this.#last, pages);
    if (joined === undefined) await this.end();
    this.#last = joined ?? pages;
  }

  /** Passes on the last finding, which no more pages extend. */
  async end(): Promise<void> {
    if (this.#last !== undefined)
      await this.#onMissingPage?.(this.#last.error, this.#last.pageCount);
    this.#last = undefined;
  }
}

function refusal(
  first: StorageError,
  counts: { readonly missingPageCount: number; readonly pageCount: number; readonly lsn: Lsn },
): StorageError {
  return new StorageError(first.code, {
    what: `${counts.missingPageCount} of ${counts.pageCount} pages cannot be built; the first one`,
    ...{ path: first.path, offset: first.offset, key: first.key },
    lsn: formatLsn(counts.lsn),
    cause: first,
  });
}

const ZEROS = new Uint8Array(1024 * 1024);

/** The zeros are actually written, as a server does, so that a segment has space on the disk before it is used. */
async function writeWal(
  output: DirectoryOutput,
  files: readonly SparseWalFile[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const { name, size, pages } of files) {
    await using file = await output.createFile(`pg_wal/${name}`);
    for (let offset = 0; offset < size; offset += ZEROS.length) {
      throwIfAborted(signal);
      await file.writeAllAt(ZEROS.subarray(0, Math.min(ZEROS.length, size - offset)), offset);
    }
    for (const { offset, bytes } of pages) await file.writeAllAt(bytes, offset);
    file.finish();
  }
}
