/** Prints the selected records of WAL. */
import { isStorageError, type StorageError } from '../errors.ts';
import { lazyRecord } from '../wal/lazy-record.ts';
import type { WalRecordBatch } from '../wal/record-batch.ts';
import { RecordScanner } from '../wal/record-scanner.ts';
import { type RecordFilter, type RecordSelection, recordFilter } from '../wal/record-selection.ts';
import { type ImageFiles, imageDigests } from './wal-images.ts';
import type { ShownDamage, ShownRecord, WalWriter } from './wal-writer.ts';

export interface RecordPrinterOptions {
  readonly majorVersion: number;
  readonly selection: RecordSelection;
  /** Whether the digests of page images are shown; default false. */
  readonly hasDigests?: boolean;
  /** Where the page images go; undefined for nowhere. */
  readonly files?: ImageFiles | undefined;
}

/** What to print of a batch. */
export interface PrintedRange {
  /** Number after that of the last record; default: all. */
  readonly to?: number;
  /** Maximum number of selected records; default: all. */
  readonly maximum?: number;
  /** Called for records that cannot be scanned or described; they count towards the maximum. */
  readonly onDamage: (damage: ShownDamage) => Promise<void> | undefined;
}

/** Prints records, with the digests and the files of their images if these are wanted. */
export class RecordPrinter {
  readonly #writer: WalWriter;
  readonly #scanner: RecordScanner;
  readonly #filter: RecordFilter | undefined;
  readonly #hasDigests: boolean;
  readonly #files: ImageFiles | undefined;

  constructor(writer: WalWriter, options: RecordPrinterOptions) {
    const { majorVersion, selection, hasDigests = false, files } = options;
    this.#writer = writer;
    this.#scanner = new RecordScanner(majorVersion);
    this.#filter = recordFilter(selection);
    this.#hasDigests = hasDigests;
    this.#files = files;
  }

  /** Returns: how many records were printed, or are damaged. Throws errors of writing the output or a file. */
  async printBatch(
    batch: WalRecordBatch,
    { to = batch.length, maximum = batch.length, onDamage }: PrintedRange,
  ): Promise<number> {
    const scanner = this.#scanner;
    const filter = this.#filter;
    const { view } = batch.memory;
    let count = 0;
    for (let index = 0; index < to && count < maximum; index += 1) {
      try {
        scanner.scan(view, batch.offset(index), batch.size(index));
        if (filter !== undefined && !filter(scanner)) continue;
        const printed = this.#print(batch, index, scanner);
        if (printed !== undefined) await printed;
      } catch (error) {
        if (!isDamage(error)) throw error;
        await onDamage({ lsn: batch.startLsn(index), error });
      }
      count += 1;
    }
    return count;
  }

  #print(batch: WalRecordBatch, index: number, scanner: RecordScanner): Promise<void> | undefined {
    const shown = {
      startLsn: batch.startLsn(index),
      endLsn: batch.endLsn(index),
      length: batch.size(index),
      record: lazyRecord(batch.memory.bytes, scanner),
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

/** The errors of a record, in contrast to those of the output. */
const DAMAGE = [
  'corrupt',
  'truncated',
  'too-large',
  'unsupported-version',
  'invalid-input',
] as const;

export function isDamage(error: unknown): error is StorageError {
  return isStorageError(error, ...DAMAGE);
}
