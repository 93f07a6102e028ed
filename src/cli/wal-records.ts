/** Prints or counts the selected records of a reader, for `wal`. */
import { availableParallelism } from 'node:os';
import { isStorageError, throwIfAborted } from '../errors.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import type { WalRecordBatch } from '../wal/record-batch.ts';
import type { RecordSelection } from '../wal/record-selection.ts';
import { RecordTally } from '../wal/record-tally.ts';
import type { DividedWal } from '../wal/wal-part.ts';
import type { WalReader } from '../wal/wal-reader.ts';
import type { WalSource } from '../wal/wal-source.ts';
import type { Context } from './context.ts';
import { CLEAN, type ExitStatus, statusOfCode, strongest } from './exit-status.ts';
import { isDamage, RecordPrinter } from './record-printer.ts';
import { formatOf } from './shared-options.ts';
import { ImageFiles } from './wal-images.ts';
import { noteEndOfWal } from './wal-input.ts';
import type { WalOptions } from './wal-options.ts';
import { formatWalStatistics, type StatisticsRows, WalStatistics } from './wal-statistics.ts';
import { createWalWriter, type ShownDamage } from './wal-writer.ts';

export interface WalRun {
  readonly reader: WalReader;
  readonly selection: RecordSelection;
  readonly options: WalOptions;
  /** The source, if threads can open its files by their paths. */
  readonly localSource: WalSource | undefined;
  /** Opens the same WAL for reading from another start on. */
  readonly openAt: (start: Lsn) => Promise<WalReader>;
  /** How WAL is divided among threads, for tests; the default suits large WAL. */
  readonly division?:
    | { readonly smallest: bigint; readonly partLength: bigint; readonly program: URL }
    | undefined;
}

/** Bytes. Less WAL is counted before a thread has started. */
const SMALLEST_TO_COUNT = 128n * 1024n * 1024n;

/** Bytes. Less WAL is printed before a thread has started. */
const SMALLEST_TO_PRINT = 16n * 1024n * 1024n;

const MAXIMUM_DEFAULT_THREADS = 4;

/** Throws as the reader, and errors of writing the output or a file. */
export async function printRecords(context: Context, run: WalRun): Promise<ExitStatus> {
  const { reader, selection, options } = run;
  const { saveFullpage: directory, dialect } = options;
  const { majorVersion } = reader;
  const format = formatOf(options);
  const writer = createWalWriter(context.stdout, { format, majorVersion, dialect });
  const files =
    directory === undefined ? undefined : await ImageFiles.create(directory, context.signal);
  const hasDigests = options.sha256 === true;
  const printer = new RecordPrinter(writer, { majorVersion, selection, hasDigests, files });
  try {
    const start = await printAhead(context, run);
    const rest = start === undefined ? run : { ...run, reader: await run.openAt(start) };
    const status = await walk(context, rest, {
      batch: (batch, visit) => printer.printBatch(batch, visit),
      damage: (damage) => writer.damage(damage),
    });
    await files?.finish();
    await writer.end();
    return status;
  } finally {
    await files?.settle();
  }
}

/** As `printRecords`. Damage is reported on standard error, since standard output has a table. */
export async function printStatistics(
  context: Context,
  run: WalRun & { readonly rows: StatisticsRows },
): Promise<ExitStatus> {
  const { reader, selection, rows, options } = run;
  const tally = new RecordTally(reader.majorVersion, selection);
  const start = await countAhead(context, tally, run);
  const rest = start === undefined ? run : { ...run, reader: await run.openAt(start) };
  const visitor: Visitor = {
    batch: (batch, { maximum, onDamage }) => {
      const reportRecord = (index: number, error: unknown): void => {
        if (!isDamage(error)) throw error;
        void onDamage({ lsn: batch.startLsn(index), error });
      };
      return tally.add(batch, { maximum, onDamage: reportRecord });
    },
    damage: ({ lsn, error }) =>
      void context.reporter.error(
        error.lsn === undefined ? error.with({ lsn: formatLsn(lsn) }) : error,
      ),
  };
  const format = formatOf(options);
  const text = (): string =>
    formatWalStatistics(new WalStatistics(reader.majorVersion, tally), { rows, format });
  let status: ExitStatus;
  try {
    status = await walk(context, rest, visitor);
  } catch (error) {
    // WAL that is followed usually ends in this way.
    if (options.follow && isStorageError(error, 'aborted')) context.stdout.post(text());
    throw error;
  }
  await context.stdout.write(text());
  return status;
}

/**
 * Counts large WAL in files on threads, as far as it is valid.
 *
 * Returns: start of the record at which a reader continues; undefined if nothing was counted.
 */
async function countAhead(
  context: Context,
  tally: RecordTally,
  run: WalRun,
): Promise<Lsn | undefined> {
  const divided = await dividedWal(context, run, SMALLEST_TO_COUNT);
  if (divided === undefined) return undefined;
  const { countInParallel } = await import('../wal/parallel-count.ts');
  return withProgress(context, run, (onDone) =>
    countInParallel(tally, { ...divided, signal: context.signal, onCounted: onDone }),
  );
}

/**
 * Prints large WAL in files with threads, as far as it is valid: lines, without digests or files of images.
 *
 * Returns: start of the record at which a reader continues; undefined if nothing was printed. Throws errors of writing
 * the output.
 */
async function printAhead(context: Context, run: WalRun): Promise<Lsn | undefined> {
  const { sha256, saveFullpage, dialect } = run.options;
  const format = formatOf(run.options);
  if (format === 'json' || sha256 === true || saveFullpage !== undefined) return undefined;
  const divided = await dividedWal(context, run, SMALLEST_TO_PRINT);
  if (divided === undefined) return undefined;
  const { printInParallel } = await import('./parallel-lines.ts');
  const { stdout, signal } = context;
  return withProgress(context, run, (onDone) =>
    printInParallel(stdout, { ...divided, format, dialect, signal, onPrinted: onDone }),
  );
}

/** WAL for threads, and how many of them. */
interface WalForThreads extends DividedWal {
  readonly threadCount: number;
  readonly partLength: bigint | undefined;
  readonly program: URL | undefined;
}

/**
 * Returns: undefined if a single thread does the work: WAL that is not in files, is too small, grows, or is limited.
 */
async function dividedWal(
  { signal }: Context,
  { reader, selection, options, localSource, division }: WalRun,
  smallest: bigint,
): Promise<WalForThreads | undefined> {
  const { start, end, timeline, jobs, limit, follow } = options;
  const threadCount = jobs ?? Math.min(availableParallelism(), MAXIMUM_DEFAULT_THREADS);
  if (localSource === undefined || threadCount === 1) return undefined;
  if (limit !== undefined || follow === true) return undefined;
  const { extent } = reader;
  const last = end !== undefined && end < extent.end ? end : extent.end;
  if (last - reader.start < (division?.smallest ?? smallest)) return undefined;
  const files = await localSource.list(signal);
  const paths = files.map(({ path }) => path);
  const { partLength, program } = division ?? {};
  return { paths, timeline, start, end, extent, selection, threadCount, partLength, program };
}

/** Shows the progress of the threads. */
async function withProgress<T>(
  context: Context,
  { reader }: WalRun,
  work: (onDone: (lsn: Lsn) => void) => Promise<T>,
): Promise<T> {
  const progress = context.stdoutIsFile ? context.reporter.progress({ label: 'wal' }) : undefined;
  const result = await work((lsn) => progress?.update({ done: Number(lsn - reader.start) }));
  progress?.finish();
  return result;
}

/** What to do with the records of a batch, and with damage. */
interface Visitor {
  /** Visits at most N of the selected records. Returns: how many, or a promise for that. */
  batch(batch: WalRecordBatch, options: BatchVisit): number | Promise<number>;
  damage(damage: ShownDamage): Promise<void> | undefined;
}

interface BatchVisit {
  readonly maximum: number;
  readonly onDamage: (damage: ShownDamage) => Promise<void> | undefined;
}

/** Reads to the end, or until `--limit` records were visited. */
async function walk(context: Context, run: WalRun, visitor: Visitor): Promise<ExitStatus> {
  const { reader, options } = run;
  const { limit = Number.POSITIVE_INFINITY } = options;
  const progress = context.stdoutIsFile ? context.reporter.progress({ label: 'wal' }) : undefined;
  let status: ExitStatus = CLEAN;
  const onDamage = (damage: ShownDamage): Promise<void> | undefined => {
    status = strongest(status, statusOfCode(damage.error.code));
    return visitor.damage(damage);
  };
  if (limit === 0) return CLEAN;
  let count = 0;
  for await (const batch of reader) {
    throwIfAborted(context.signal);
    if (batch.skipped !== undefined) await onDamage(batch.skipped);
    count += await visitor.batch(batch, { maximum: limit - count, onDamage });
    if (count === limit) break;
    if (batch.length > 0) {
      progress?.update({ done: Number(batch.endLsn(batch.length - 1) - reader.start) });
    }
  }
  progress?.finish();
  if (count === limit) return status;
  return strongest(status, await reportEnd(context, reader, onDamage));
}

async function reportEnd(
  { reporter }: Context,
  { end }: WalReader,
  onDamage: (damage: ShownDamage) => Promise<void> | undefined,
): Promise<ExitStatus> {
  if (end === undefined || end.kind === 'end-of-range') return CLEAN;
  const { kind, lsn, error } = end;
  noteEndOfWal(reporter, end);
  if (kind === 'end-of-wal' || error === undefined) return CLEAN;
  await onDamage({ lsn, error });
  return statusOfCode(error.code);
}
