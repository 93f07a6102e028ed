/** What `wal` does with the records of a reader: prints those that are selected, or counts them. */
import { isStorageError, type StorageError, throwIfAborted } from '../errors.ts';
import { formatLsn, formatPgLsn } from '../layers/lsn.ts';
import type { WalRecordBatch } from '../wal/record-batch.ts';
import { scannedRecord } from '../wal/record-format.ts';
import { RecordScanner } from '../wal/record-scanner.ts';
import type { WalReader } from '../wal/wal-reader.ts';
import type { Context } from './context.ts';
import { CLEAN, type ExitStatus, statusOfCode, strongest } from './exit-status.ts';
import { formatOf } from './shared-options.ts';
import type { WalFilter } from './wal-filter.ts';
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
  readonly filter: WalFilter;
  readonly options: WalOptions;
}

/** Throws as the reader, and what keeps the output or a file from being written. */
export async function printRecords(context: Context, run: WalRun): Promise<ExitStatus> {
  const { reader, options } = run;
  const { saveFullpage: directory, dialect } = options;
  const { majorVersion } = reader;
  const format = formatOf(options);
  const writer = createWalWriter(context.stdout, { format, majorVersion, dialect });
  const files =
    directory === undefined ? undefined : await ImageFiles.create(directory, context.signal);
  const printer = new RecordPrinter(writer, { files, hasDigests: options.sha256 === true });
  try {
    const status = await walk(context, run, {
      record: (batch, index, scanner) => printer.print(batch, index, scanner),
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
  const statistics = new WalStatistics(run.reader.majorVersion);
  const status = await walk(context, run, {
    record: (batch, index, scanner) => statistics.add(batch, index, scanner),
    // Once a batch: an LSN of each record would be a bigint each.
    selected: (batch, range) => statistics.cover(batch, range),
    damage: ({ lsn, error }) =>
      void context.reporter.error(
        error.lsn === undefined ? error.with({ lsn: formatLsn(lsn) }) : error,
      ),
  });
  const { rows, options } = run;
  await writeWalStatistics(context.stdout, statistics, { rows, format: formatOf(options) });
  return status;
}

/** What is done with records that are selected, and with damage; a promise is waited for. */
interface Visitor {
  /** Throws `corrupt` and the like for a record that is damaged. */
  record(batch: WalRecordBatch, index: number, scanner: RecordScanner): Promise<void> | undefined;
  damage(damage: ShownDamage): Promise<void> | undefined;
  /** Called after the records of a batch, with the numbers of the first and the last that was selected. */
  readonly selected?: (batch: WalRecordBatch, range: { first: number; last: number }) => void;
}

/** Reads to the end, or until `--limit` records were visited. */
async function walk(context: Context, run: WalRun, visitor: Visitor): Promise<ExitStatus> {
  const { reader, filter, options } = run;
  const { limit = Number.POSITIVE_INFINITY } = options;
  const progress = context.stdoutIsFile ? context.reporter.progress({ label: 'wal' }) : undefined;
  let status: ExitStatus = CLEAN;
  const onDamage = (damage: ShownDamage): Promise<void> | undefined => {
    status = strongest(status, statusOfCode(damage.error.code));
    return visitor.damage(damage);
  };
  if (limit === 0) return CLEAN;
  let count = 0;
  const scanner = new RecordScanner(reader.majorVersion);
  for await (const batch of reader) {
    throwIfAborted(context.signal);
    if (batch.skipped !== undefined) await onDamage(batch.skipped);
    const { view } = batch.memory;
    let first = -1;
    let last = -1;
    for (let index = 0; index < batch.length && count < limit; index += 1) {
      try {
        scanner.scan(view, batch.offset(index), batch.size(index));
        if (!filter(scanner)) continue;
        const visited = visitor.record(batch, index, scanner);
        if (visited !== undefined) await visited;
      } catch (error) {
        if (!isDamage(error)) throw error;
        await onDamage({ lsn: batch.startLsn(index), error });
      }
      if (first < 0) first = index;
      last = index;
      count += 1;
    }
    if (first >= 0) visitor.selected?.(batch, { first, last });
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
