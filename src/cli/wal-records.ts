/** What `wal` does with the records of a reader: prints those that are selected, or counts them. */
import { availableParallelism } from 'node:os';
import { isStorageError, type StorageError, throwIfAborted } from '../errors.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../layers/lsn.ts';
import type { WalRecordBatch } from '../wal/record-batch.ts';
import { scannedRecord } from '../wal/record-format.ts';
import { RecordScanner } from '../wal/record-scanner.ts';
import { type RecordSelection, recordFilter } from '../wal/record-selection.ts';
import { RecordTally } from '../wal/record-tally.ts';
import type { WalReader } from '../wal/wal-reader.ts';
import type { WalSource } from '../wal/wal-source.ts';
import type { Context } from './context.ts';
import { CLEAN, type ExitStatus, statusOfCode, strongest } from './exit-status.ts';
import { formatOf } from './shared-options.ts';
import { ImageFiles, imageDigests } from './wal-images.ts';
import type { WalOptions } from './wal-options.ts';
import { type StatisticsRows, WalStatistics, writeWalStatistics } from './wal-statistics.ts';
import {
  createWalWriter,
  type ShownDamage,
  type ShownRecord,
  type WalWriter,
} from './wal-writer.ts';

export interface WalRun {
  readonly reader: WalReader;
  readonly selection: RecordSelection;
  readonly options: WalOptions;
  /** The source, if threads can open its files by their paths. */
  readonly localSource: WalSource | undefined;
  /** Opens the same WAL for reading from another start on. */
  readonly openAt: (start: Lsn) => Promise<WalReader>;
}

/** Less WAL is counted before a thread has started. */
const SMALLEST_FOR_THREADS = 128n * 1024n * 1024n;

const MAXIMUM_DEFAULT_THREADS = 4;

/** Throws as the reader, and what keeps the output or a file from being written. */
export async function printRecords(context: Context, run: WalRun): Promise<ExitStatus> {
  const { reader, selection, options } = run;
  const { saveFullpage: directory, dialect } = options;
  const { majorVersion } = reader;
  const format = formatOf(options);
  const writer = createWalWriter(context.stdout, { format, majorVersion, dialect });
  const files =
    directory === undefined ? undefined : await ImageFiles.create(directory, context.signal);
  const printer = new RecordPrinter(writer, { files, hasDigests: options.sha256 === true });
  const scanner = new RecordScanner(majorVersion);
  const filter = recordFilter(selection);
  try {
    const status = await walk(context, run, {
      batch: async (batch, { maximum, onDamage }) => {
        const { view } = batch.memory;
        let count = 0;
        for (let index = 0; index < batch.length && count < maximum; index += 1) {
          try {
            scanner.scan(view, batch.offset(index), batch.size(index));
            if (filter !== undefined && !filter(scanner)) continue;
            const printed = printer.print(batch, index, scanner);
            if (printed !== undefined) await printed;
          } catch (error) {
            if (!isDamage(error)) throw error;
            await onDamage({ lsn: batch.startLsn(index), error });
          }
          count += 1;
        }
        return count;
      },
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
  const status = await walk(context, rest, {
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
  });
  const statistics = new WalStatistics(reader.majorVersion, tally);
  await writeWalStatistics(context.stdout, statistics, { rows, format: formatOf(options) });
  return status;
}

/**
 * Counts large WAL in files on threads, as far as it is valid.
 *
 * Returns: start of the record with which a reader goes on; undefined if nothing was counted.
 */
async function countAhead(
  context: Context,
  tally: RecordTally,
  { reader, selection, options, localSource }: WalRun,
): Promise<Lsn | undefined> {
  const { start, end, timeline, jobs, limit, follow } = options;
  const threadCount = jobs ?? Math.min(availableParallelism(), MAXIMUM_DEFAULT_THREADS);
  if (localSource === undefined || threadCount === 1) return undefined;
  if (limit !== undefined || follow === true) return undefined;
  const { extent } = reader;
  if (extent.end - reader.start < SMALLEST_FOR_THREADS) return undefined;
  const { signal } = context;
  const files = await localSource.list(signal);
  const paths = files.map(({ path }) => path);
  const { countInParallel } = await import('../wal/parallel-count.ts');
  const progress = context.stdoutIsFile ? context.reporter.progress({ label: 'wal' }) : undefined;
  const position = await countInParallel(tally, {
    ...{ paths, timeline, start, end, extent, selection, threadCount, signal },
    onCounted: (lsn) => progress?.update({ done: Number(lsn - reader.start) }),
  });
  progress?.finish();
  return position;
}

/** What is done with the records of a batch, and with damage. */
interface Visitor {
  /** Visits at most N of the selected records. Returns: how many, or a promise of it. */
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

/** The errors of a record, in contrast to those of the output. */
const DAMAGE = [
  'corrupt',
  'truncated',
  'too-large',
  'unsupported-version',
  'invalid-input',
] as const;

function isDamage(error: unknown): error is StorageError {
  return isStorageError(error, ...DAMAGE);
}

async function reportEnd(
  { reporter }: Context,
  { end }: WalReader,
  onDamage: (damage: ShownDamage) => Promise<void> | undefined,
): Promise<ExitStatus> {
  if (end === undefined || end.kind === 'end-of-range') return CLEAN;
  const { kind, lsn, error } = end;
  if (kind === 'end-of-wal') {
    const reason = error === undefined ? '' : `: ${error.message}`;
    reporter.note(`the WAL ends at ${formatPgLsn(lsn)}${reason}`);
    return CLEAN;
  }
  if (error === undefined) return CLEAN;
  await onDamage({ lsn, error });
  return statusOfCode(error.code);
}

/** Prints records, with the digests and the files of their images if these are wanted. */
class RecordPrinter {
  readonly #writer: WalWriter;
  readonly #hasDigests: boolean;
  readonly #files: ImageFiles | undefined;

  constructor(
    writer: WalWriter,
    { hasDigests, files }: { hasDigests: boolean; files: ImageFiles | undefined },
  ) {
    this.#writer = writer;
    this.#hasDigests = hasDigests;
    this.#files = files;
  }

  print(batch: WalRecordBatch, index: number, scanner: RecordScanner): Promise<void> | undefined {
    const shown = {
      startLsn: batch.startLsn(index),
      endLsn: batch.endLsn(index),
      length: batch.size(index),
      record: scannedRecord(batch.memory.bytes, scanner),
      digests: undefined,
    };
    const hasImages = this.#hasDigests || this.#files !== undefined;
    return hasImages
      ? this.#printWithImages(shown, batch.timelineId(index))
      : this.#writer.record(shown);
  }

  async #printWithImages(shown: ShownRecord, timelineId: number): Promise<void> {
    const { record, startLsn } = shown;
    const digests = this.#hasDigests ? await imageDigests(record) : undefined;
    await this.#files?.save(record, { timelineId, startLsn });
    await this.#writer.record({ ...shown, digests });
  }
}
