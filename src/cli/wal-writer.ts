/**
 * The output forms of `wal`: lines like those of pg_waldump, or objects with the names of pg_walinspect. Damage is
 * reported where it occurs.
 */
import { asciiBytes, writeAscii } from '../ascii.ts';
import type { StorageError } from '../errors.ts';
import { formatPgLsn, type Lsn } from '../layers/lsn.ts';
import { printable } from '../printable.ts';
import { describeWalRecord, descriptionOf } from '../wal/describe/describe.ts';
import { maximumLineLength, waldumpLine, writeWaldumpLine } from '../wal/describe/waldump-line.ts';
import type { HeapDialect } from '../wal/heap-dialect.ts';
import type { WalRecord } from '../wal/record-format.ts';
import { paint } from './colour.ts';
import type { Format } from './context.ts';
import { encodeJson } from './json.ts';
import { ListWriter } from './list-writer.ts';
import type { Output } from './output.ts';
import { storageErrorJson } from './reporter.ts';
import { blocksJson, imageBytesOf } from './wal-record-json.ts';

/** A record and its place. */
export interface ShownRecord {
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  /** Bytes, without padding. */
  readonly length: number;
  readonly record: WalRecord;
  /** As in `BlockJsonOptions`. */
  readonly digests: readonly (string | undefined)[] | undefined;
}

/** WAL that could not be read, or a record that could not be described. */
export interface ShownDamage {
  readonly lsn: Lsn;
  /** Where reading continues, if WAL was skipped. */
  readonly resumesAt?: Lsn | undefined;
  readonly error: StorageError;
}

/** For one caller: each call only after the promise of the previous one has settled. */
export interface WalWriter {
  /** Returns undefined if the record was only collected. Throws `corrupt` for a record that cannot be described. */
  record(shown: ShownRecord): Promise<void> | undefined;
  damage(damage: ShownDamage): Promise<void> | undefined;
  end(): Promise<void>;
}

export interface WalWriterOptions {
  readonly format: Format;
  readonly majorVersion: number;
  readonly dialect: HeapDialect | undefined;
}

export function createWalWriter(output: Output, options: WalWriterOptions): WalWriter {
  const { format } = options;
  return format === 'people'
    ? new LineWriter(output, options)
    : new JsonWriter(new ListWriter(output, format), options);
}

class LineWriter implements WalWriter {
  readonly #output: Output;
  readonly #options: WalWriterOptions;

  constructor(output: Output, options: WalWriterOptions) {
    this.#output = output;
    this.#options = options;
  }

  record(shown: ShownRecord): Promise<void> | undefined {
    const { majorVersion, dialect } = this.#options;
    const { record } = shown;
    const text = descriptionOf(record, { majorVersion, dialect, times: 'waldump' });
    const options = { majorVersion, description: text };
    const maximumLength = maximumLineLength(record, text) + LINE_FEED.length;
    let isWritten = false;
    const fill = (target: Uint8Array, at: number): number => {
      const end = writeWaldumpLine(target, at, record, shown, options);
      isWritten = end >= 0;
      return isWritten ? writeAscii(target, end, LINE_FEED) : at;
    };
    const written = this.#output.writeFilled(maximumLength, fill, []);
    if (isWritten) return written;
    const description = printable(text);
    return this.#output.write(`${waldumpLine(record, shown, { majorVersion, description })}\n`);
  }

  damage({ lsn, resumesAt, error }: ShownDamage): Promise<void> | undefined {
    const { message } = error.with({ lsn: undefined });
    const resumed = resumesAt === undefined ? '' : `; continues at ${formatPgLsn(resumesAt)}`;
    const text = printable(`damaged at ${formatPgLsn(lsn)}: ${message}${resumed}`);
    return this.#output.write(`${paint(this.#output, 'red', text)}\n`);
  }

  async end(): Promise<void> {}
}

const LINE_FEED = asciiBytes('\n');

class JsonWriter implements WalWriter {
  readonly #list: ListWriter;
  readonly #options: WalWriterOptions;

  constructor(list: ListWriter, options: WalWriterOptions) {
    this.#list = list;
    this.#options = options;
  }

  record({ startLsn, endLsn, length, record, digests }: ShownRecord): Promise<void> | undefined {
    const { majorVersion, dialect } = this.#options;
    const described = describeWalRecord(record, { majorVersion, dialect });
    const line = encodeJson({
      start_lsn: formatPgLsn(startLsn),
      end_lsn: formatPgLsn(endLsn),
      prev_lsn: formatPgLsn(record.prevLsn),
      xid: record.xid,
      resource_manager: described.resourceManager,
      record_type: described.recordType,
      record_length: length,
      main_data_length: record.mainData.length,
      fpi_length: imageBytesOf(record),
      description: described.description,
      blocks: blocksJson(record, { majorVersion, digests }),
    });
    return this.#list.write([line]);
  }

  damage({ lsn, resumesAt, error }: ShownDamage): Promise<void> | undefined {
    const line = encodeJson({
      lsn: formatPgLsn(lsn),
      resumes_at: resumesAt === undefined ? undefined : formatPgLsn(resumesAt),
      error: storageErrorJson(error),
    });
    return this.#list.write([line]);
  }

  end(): Promise<void> {
    return this.#list.end();
  }
}
