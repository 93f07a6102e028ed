/** `wal --stats`: how many records of each kind there are, and how long they are, as pg_waldump counts. */
import { formatPgLsn } from '../layers/lsn.ts';
import type { RecordCounts } from '../wal/record-tally.ts';
import {
  KIND_COUNT,
  recordTypeOf,
  resourceManagerName,
  resourceManagers,
} from '../wal/resource-managers.ts';
import type { Format } from './context.ts';
import { encodeJson, type Json } from './json.ts';

/** What makes a row: a resource manager, or a kind of record. */
export type StatisticsRows = 'rmgr' | 'record';

/** Bytes and records of one row. */
export interface StatisticsRow {
  readonly name: string;
  readonly count: number;
  /** Bytes of the records without their page images. */
  readonly recordBytes: number;
  /** Bytes of the page images as stored. */
  readonly imageBytes: number;
}

export class WalStatistics {
  readonly #majorVersion: number;
  readonly #counts: RecordCounts;

  constructor(majorVersion: number, counts: RecordCounts) {
    this.#majorVersion = majorVersion;
    this.#counts = counts;
  }

  /** Where the records begin and end; undefined if there are none. */
  get range(): RecordCounts['range'] {
    return this.#counts.range;
  }

  /**
   * The rows in the order of pg_waldump: known resource managers have one even without records; kinds only
   * with records.
   */
  rows(rows: StatisticsRows): StatisticsRow[] {
    const version = this.#majorVersion;
    const found: StatisticsRow[] = [];
    const isBuiltIn = new Set(resourceManagers(version).map(({ id }) => id));
    for (let manager = 0; manager * 16 < KIND_COUNT; manager += 1) {
      const name = resourceManagerName(manager, version);
      const kinds = Array.from({ length: 16 }, (_, operation) => manager * 16 + operation);
      if (rows === 'record') {
        for (const index of kinds) {
          if (this.#counts.records[index] === 0) continue;
          const info = (index & 15) << 4;
          const type = recordTypeOf({ resourceManager: manager, info }, version);
          found.push(this.#row(`${name}/${type}`, [index]));
        }
        continue;
      }
      const row = this.#row(name, kinds);
      const isListed = row.count > 0 || (isBuiltIn.has(manager) && manager < FIRST_CUSTOM);
      if (isListed) found.push(row);
    }
    return found;
  }

  #row(name: string, indexes: readonly number[]): StatisticsRow {
    const sum = (values: Float64Array): number =>
      indexes.reduce((total, index) => total + (values[index] as number), 0);
    return {
      name,
      count: sum(this.#counts.records),
      recordBytes: sum(this.#counts.recordBytes),
      imageBytes: sum(this.#counts.imageBytes),
    };
  }
}

const FIRST_CUSTOM = 128;

/** Returns the table of pg_waldump, or a line for each row. */
export function formatWalStatistics(
  statistics: WalStatistics,
  { rows, format }: { readonly rows: StatisticsRows; readonly format: Format },
): string {
  if (format === 'people') return linesOf([...tableLines(statistics, rows)]);
  const objects = statistics.rows(rows).map((row) => encodeJson(rowJson(row)));
  if (format === 'ndjson') return linesOf(objects);
  return objects.length === 0 ? '[]\n' : `[\n${objects.join(',\n')}\n]\n`;
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

function rowJson({ name, count, recordBytes, imageBytes }: StatisticsRow): Json {
  return {
    name,
    records: count,
    record_bytes: recordBytes,
    fpi_bytes: imageBytes,
    bytes: recordBytes + imageBytes,
  };
}

/** The columns of pg_waldump, to the letter. */
function* tableLines(statistics: WalStatistics, by: StatisticsRows): Generator<string> {
  const { range } = statistics;
  const rows = statistics.rows(by);
  const total = rows.reduce(
    (sum, row) => ({
      count: sum.count + row.count,
      recordBytes: sum.recordBytes + row.recordBytes,
      imageBytes: sum.imageBytes + row.imageBytes,
    }),
    { count: 0, recordBytes: 0, imageBytes: 0 },
  );
  const all = total.recordBytes + total.imageBytes;
  const { start = 0n, end = 0n } = range ?? {};
  yield `WAL statistics between ${formatPgLsn(start)} and ${formatPgLsn(end)}:`;
  yield heading([
    'Type',
    'N',
    '(%)',
    'Record size',
    '(%)',
    'FPI size',
    '(%)',
    'Combined size',
    '(%)',
  ]);
  yield heading([
    '----',
    '-',
    '---',
    '-----------',
    '---',
    '--------',
    '---',
    '-------------',
    '---',
  ]);
  for (const { name, count, recordBytes, imageBytes } of rows) {
    const combined = recordBytes + imageBytes;
    const cells = [
      [count, total.count],
      [recordBytes, total.recordBytes],
      [imageBytes, total.imageBytes],
      [combined, all],
    ].map(
      ([part = 0, whole = 0]) =>
        `${String(part).padStart(20)} (${percent(part, whole).padStart(6)})`,
    );
    yield [name.padEnd(27), ...cells].join(' ');
  }
  const share = (part: number): string => `[${percent(part, all)}%]`;
  yield footing('', ['--------', '', '--------', '', '--------', '', '--------']);
  yield footing('Total', [
    ...[total.count, ''],
    ...[total.recordBytes, share(total.recordBytes)],
    ...[total.imageBytes, share(total.imageBytes)],
    ...[all, '[100%]'],
  ]);
}

function footing(type: string, cells: readonly (string | number)[]): string {
  const columns = cells.map((cell, index) =>
    index % 2 === 0 ? `${String(cell).padStart(20)} ` : String(cell).padEnd(9),
  );
  return `${type.padEnd(27)} ${columns.join('')}`.trimEnd();
}

function heading([type = '', ...titles]: readonly string[]): string {
  const cells = titles.map((title, index) => title.padStart(index % 2 === 0 ? 20 : 8));
  return [type.padEnd(27), ...cells].join(' ');
}

function percent(part: number, whole: number): string {
  return (whole === 0 ? 0 : (100 * part) / whole).toFixed(2);
}
