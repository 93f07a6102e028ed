/**
 * The output forms of a comparison: a table and a verdict for people, or JSON objects followed by the counts.
 */
import { formatKey, type Key } from '../layers/key.ts';
import { formatLsn, formatPgLsn } from '../layers/lsn.ts';
import { shortKey } from '../postgres/short-key.ts';
import type { DiffSummary, EntryDifference } from '../reshape/diff/diff-layers.ts';
import type { Format } from './context.ts';
import { formatNumberOf } from './human.ts';
import { encodeJson } from './json.ts';
import { ListWriter } from './list-writer.ts';
import type { Output } from './output.ts';
import { Table } from './table.ts';

export interface DiffWriterOptions {
  readonly format: Format;
  /** Maximum number of differences that are listed. */
  readonly limit: number;
  readonly isWide: boolean;
}

export class DiffWriter {
  readonly #output: Output;
  readonly #list: ListWriter | undefined;
  readonly #table: Table;
  readonly #limit: number;
  readonly #isWide: boolean;
  #count = 0;

  constructor(output: Output, { format, limit, isWide }: DiffWriterOptions) {
    this.#output = output;
    this.#list = format === 'people' ? undefined : new ListWriter(output, format);
    this.#table = new Table(output, [
      { title: 'KEY', style: 'cyan' },
      { title: 'LSN' },
      { title: 'DIFFERENCE' },
    ]);
    this.#limit = limit;
    this.#isWide = isWide;
  }

  /** Returns undefined if the text was only collected. */
  difference(difference: EntryDifference): Promise<void> | undefined {
    this.#count += 1;
    if (this.#count > this.#limit) return undefined;
    const { key, lsn } = difference;
    if (this.#list === undefined) {
      const cells = [this.#keyText(key), formatPgLsn(lsn), differenceText(difference)];
      return this.#table.row({ cells });
    }
    const place = { key: formatKey(key), lsn: formatLsn(lsn) };
    const what =
      difference.kind === 'only' ? { only: difference.side } : { differs: difference.what };
    return this.#list.write([encodeJson({ ...place, ...what })]);
  }

  /** Ends the list with the counts. `alike` says in what way two sides without a difference are equal. */
  async end(summary: DiffSummary, alike: 'bytes' | 'entries'): Promise<void> {
    const { same, onlyA, onlyB, differ, unreadable } = summary;
    if (this.#list !== undefined) {
      const counts = { same, only_a: onlyA, only_b: onlyB, differ };
      const all = unreadable === 0 ? counts : { ...counts, unreadable };
      await this.#list.write([encodeJson({ summary: all })]);
      await this.#list.end();
      return;
    }
    await this.#table.end();
    const hidden = this.#count - this.#limit;
    if (hidden > 0) {
      await this.#output.write(`... ${formatNumberOf(hidden, 'difference', 'differences')} more\n`);
    }
    await this.#output.write(`${verdict(summary, alike)}\n`);
  }

  #keyText(key: Key): string {
    return this.#isWide ? formatKey(key) : shortKey(key);
  }
}

function differenceText(difference: EntryDifference): string {
  if (difference.kind === 'only') return `only in ${difference.side}`;
  return difference.what === 'value' ? 'values differ' : 'will_init differs';
}

function verdict(summary: DiffSummary, alike: 'bytes' | 'entries'): string {
  const { same, onlyA, onlyB, differ, unreadable, storedOtherwise } = summary;
  const entries = formatNumberOf(same, 'entry', 'entries');
  if (alike === 'bytes') return `same bytes, ${entries}`;
  const stored = counted(storedOtherwise, 'stored differently');
  const parts =
    onlyA + onlyB + differ + unreadable === 0
      ? [`same entries: ${entries}`]
      : [
          `${entries} the same`,
          ...counted(onlyA, 'only in a'),
          ...counted(onlyB, 'only in b'),
          ...counted(differ, 'different'),
          ...counted(unreadable, 'unreadable on one side'),
        ];
  return [...parts, ...stored].join(', ');
}

function counted(count: number, what: string): string[] {
  return count === 0 ? [] : [`${formatNumberOf(count, 'entry', 'entries')} ${what}`];
}
