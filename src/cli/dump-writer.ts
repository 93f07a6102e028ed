/** The three forms of a dump: JSON objects in one list or one per line, and a table for people. */
import { isUint8Array } from 'node:util/types';
import { assert } from '../assert.ts';
import type { StorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import { formatPgLsn } from '../layers/lsn.ts';
import { explainKey } from '../postgres/key-explanation.ts';
import { shortKey } from '../postgres/short-key.ts';
import { shortened } from '../printable.ts';
import { type Format, printsContents, type ValuesMode } from './context.ts';
import type { DumpItem } from './dump-items.ts';
import { MAXIMUM_FIELDS_LENGTH, writeEntryFields } from './entry-fields.ts';
import {
  contentPieces,
  damagedBlobText,
  damagedBlockText,
  damagedEntryText,
  damagedSummaryText,
  digestOf,
  type LooseItem,
  looseBlobPieces,
  type ShownEntry,
} from './entry-json.ts';
import { formatCount } from './human.ts';
import type { JsonPiece } from './json.ts';
import { ListWriter } from './list-writer.ts';
import type { Output } from './output.ts';
import { type Column, Table } from './table.ts';
import { valuePieces } from './value-json.ts';
import type { RecordReading } from './value-record.ts';

export interface DumpWriter {
  /** Returns undefined if the text was only collected. */
  item(item: DumpItem): Promise<void> | undefined;
  end(): Promise<void>;
}

export interface DumpWriterOptions {
  readonly format: Format;
  readonly values: ValuesMode;
  /** How WAL records are described, with `--values json`; undefined if they are not. */
  readonly reading: RecordReading | undefined;
  /** Complete keys and their meaning; otherwise a table fits into 80 columns. */
  readonly isWide: boolean;
}

export function createDumpWriter(output: Output, options: DumpWriterOptions): DumpWriter {
  const { format } = options;
  return format === 'people'
    ? new TableDumpWriter(output, options)
    : new JsonDumpWriter(new ListWriter(output, format), options);
}

class JsonDumpWriter implements DumpWriter {
  readonly #list: ListWriter;
  readonly #values: ValuesMode;
  readonly #reading: RecordReading | undefined;

  constructor(list: ListWriter, { values, reading }: DumpWriterOptions) {
    this.#list = list;
    this.#values = values;
    this.#reading = reading;
  }

  item(item: DumpItem): Promise<void> | undefined {
    switch (item.kind) {
      case 'entry':
        return this.#entry(item.shown);
      case 'damaged-entry':
        return this.#list.write([damagedEntryText(item)]);
      case 'damaged-block':
        return this.#list.write([damagedBlockText(item)]);
      case 'blob':
        return this.#list.write(looseBlobPieces(item, this.#values));
      case 'damaged-blob':
        return this.#list.write([damagedBlobText(item)]);
      case 'damaged-summary':
        return this.#list.write([damagedSummaryText(item)]);
    }
  }

  end(): Promise<void> {
    return this.#list.end();
  }

  #entry(shown: ShownEntry): Promise<void> | undefined {
    return this.#list.writeFilled({
      maximumLength: MAXIMUM_FIELDS_LENGTH,
      fill: (target, at) => writeEntryFields(target, at, shown),
      rest: contentPieces(shown, this.#values, this.#reading),
    });
  }
}

const COLUMNS: readonly Column[] = [
  { title: 'KEY', style: 'cyan' },
  { title: 'LSN' },
  { title: 'TYPE' },
  { title: '' },
  { title: 'OFFSET', align: 'right' },
  { title: 'STORED', align: 'right' },
  { title: 'LENGTH', align: 'right' },
];

class TableDumpWriter implements DumpWriter {
  readonly #table: Table;
  readonly #values: ValuesMode;
  readonly #isWide: boolean;
  readonly #reading: RecordReading | undefined;

  constructor(output: Output, { values, isWide, reading }: DumpWriterOptions) {
    const title = lastTitle(values, isWide);
    const overflow = printsContents(values) ? 'cut' : 'wrap';
    this.#table = new Table(output, [...COLUMNS, { title, style: 'dim', overflow }]);
    this.#values = values;
    this.#isWide = isWide;
    this.#reading = reading;
  }

  item(item: DumpItem): Promise<void> | undefined {
    switch (item.kind) {
      case 'entry':
        return this.#table.row({ cells: this.#entryCells(item.shown) });
      case 'damaged-entry': {
        const { key, lsn, offset, error } = item;
        const where = [this.#keyText(key), formatPgLsn(lsn), 'damaged', ''];
        const what = rowMessage(error, offset);
        return this.#table.row({ cells: [...where, String(offset), '', '', what], style: 'red' });
      }
      case 'damaged-block': {
        const cells = [`index block ${item.block}`, '', 'damaged', '', '', '', ''];
        const { message } = item.error.with({ path: undefined });
        return this.#table.row({ cells: [...cells, message], style: 'red' });
      }
      case 'blob':
        return this.#table.row({ cells: blobCells(item, this.#values) });
      case 'damaged-blob': {
        const { offset, error } = item;
        const cells = ['key unknown', '', 'damaged', '', String(offset), '', ''];
        return this.#table.row({ cells: [...cells, rowMessage(error, offset)], style: 'red' });
      }
      case 'damaged-summary': {
        const cells = ['summary', '', 'damaged', '', '', '', ''];
        const { message } = item.error.with({ path: undefined });
        return this.#table.row({ cells: [...cells, message], style: 'red' });
      }
    }
  }

  end(): Promise<void> {
    return this.#table.end();
  }

  #keyText(key: Key): string {
    return this.#isWide ? formatKey(key) : shortKey(key);
  }

  /** A short key shows its meaning. */
  #entryCells(shown: ShownEntry): string[] {
    const { entry, type, length } = shown;
    const isInit = entry.willInit && type !== 'image';
    return [
      this.#keyText(entry.key),
      formatPgLsn(entry.lsn),
      type,
      [isInit ? 'init' : '', entry.compressed ? 'zstd' : ''].join(''),
      String(entry.offset),
      formatCount(entry.storedLength),
      formatCount(length),
      this.#values === 'none' && !this.#isWide ? '' : lastCell(shown, this.#values, this.#reading),
    ];
  }
}

function lastTitle(values: ValuesMode, isWide: boolean): string {
  if (values === 'none') return isWide ? 'MEANING' : '';
  return values === 'sha256' ? 'SHA-256' : 'VALUE';
}

/** Omits the path of the file, and what other cells of the row contain. */
function rowMessage(error: StorageError, offset: number): string {
  const isSamePlace = error.offset === offset;
  return error.with({
    path: undefined,
    key: undefined,
    lsn: undefined,
    ...(isSamePlace ? { offset: undefined } : {}),
  }).message;
}

function blobCells({ blob, sha256 }: LooseItem, values: ValuesMode): string[] {
  const { offset, storedLength, length, type, compressed, bytes } = blob;
  const shown = values === 'none' ? '' : (sha256 ?? hexText(bytes ?? NO_BYTES));
  const sizes = [formatCount(storedLength), formatCount(length)];
  return ['key unknown', '', type, compressed ? 'zstd' : '', String(offset), ...sizes, shown];
}

const NO_BYTES = new Uint8Array(0);

/** Maximum number of bytes of a value that a table shows. */
const SHOWN_BYTES = 4096;

function lastCell(
  shown: ShownEntry,
  values: ValuesMode,
  reading: RecordReading | undefined,
): string {
  const { entry, content } = shown;
  if (values === 'none') return explainKey(entry.key);
  if (values === 'sha256') return digestOf(shown);
  assert(content.kind === 'whole', 'content that is printed is not streamed');
  if (values === 'hex' || content.value === undefined) return hexText(content.bytes);
  const { value } = content;
  if (reading !== undefined && value.type === 'wal') return reading.text(value.bytes);
  return valuePieces(value)
    .map((piece) => (isUint8Array(piece) ? hexText(piece) : beginOf(piece)))
    .join('');
}

function beginOf(piece: Exclude<JsonPiece, Uint8Array>): string {
  const [text = ''] = typeof piece === 'string' ? [piece] : piece.texts;
  return shortened(text, 2 * SHOWN_BYTES);
}

function hexText(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, SHOWN_BYTES));
  return shown.toString('hex') + (bytes.length > SHOWN_BYTES ? '...' : '');
}
