/**
 * A table for people, written incrementally: the first rows determine the widths, and a wider cell
 * further down shifts its line. Cells are plain printable text; styles are added after alignment.
 */
import { paint, type Style } from './colour.ts';
import type { Output } from './output.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right' | undefined;
  readonly style?: Style | undefined;
  /** For the last cell, on a terminal that is too narrow; default `wrap`. */
  readonly overflow?: 'wrap' | 'cut' | undefined;
}

export interface Row {
  readonly cells: readonly string[];
  /** For the whole row, such as red for damage. */
  readonly style?: Style | undefined;
}

const ROWS_TO_MEASURE = 200;
const GAP = '  ';
const CUT = '...';
/** A cell is not cut to less than this; the line wraps instead. */
const MINIMUM_CUT = 24;

export class Table {
  readonly #output: Output;
  readonly #columns: readonly Column[];
  readonly #waiting: Row[] = [];
  #widths: number[] | undefined;

  constructor(output: Output, columns: readonly Column[]) {
    this.#output = output;
    this.#columns = columns;
  }

  /** Returns undefined if the row was only collected. */
  row(row: Row): Promise<void> | undefined {
    if (this.#widths !== undefined) return this.#write(row, this.#widths);
    this.#waiting.push(row);
    return this.#waiting.length === ROWS_TO_MEASURE ? this.#start() : undefined;
  }

  /** Writes the rows that wait for the widths; a table without rows writes nothing. */
  async end(): Promise<void> {
    if (this.#widths === undefined && this.#waiting.length > 0) await this.#start();
  }

  async #start(): Promise<void> {
    const titles = this.#columns.map((column) => column.title);
    const widths = titles.map((title, index) =>
      this.#waiting.reduce(
        (width, row) => Math.max(width, row.cells[index]?.length ?? 0),
        title.length,
      ),
    );
    this.#widths = widths;
    await this.#write({ cells: titles, style: 'bold' }, widths);
    for (const row of this.#waiting.splice(0)) await this.#write(row, widths);
  }

  #write(row: Row, widths: readonly number[]): Promise<void> | undefined {
    const last = row.cells.length - 1;
    const cells = this.#fit(row, widths).map((text, index) => {
      const { align, style } = this.#columns[index] ?? {};
      const width = widths[index] ?? 0;
      const aligned =
        align === 'right' ? text.padStart(width) : index === last ? text : text.padEnd(width);
      return row.style === undefined && style !== undefined
        ? paint(this.#output, style, aligned)
        : aligned;
    });
    const line = cells.join(GAP).trimEnd();
    const painted = row.style === undefined ? line : paint(this.#output, row.style, line);
    return this.#output.write(`${painted}\n`);
  }

  /** On a terminal the last cell may be cut to the rest of the line, except for damage. */
  #fit({ cells, style }: Row, widths: readonly number[]): readonly string[] {
    const last = cells.length - 1;
    if (style !== undefined || this.#columns[last]?.overflow !== 'cut') return cells;
    const text = cells[last] ?? '';
    const before = widths.slice(0, last).reduce((sum, width) => sum + width + GAP.length, 0);
    const room = Math.max(this.#output.columns - before, MINIMUM_CUT);
    if (text.length <= room) return cells;
    return [...cells.slice(0, last), `${text.slice(0, room - CUT.length)}${CUT}`];
  }
}

/** Writes one name and value per line, with aligned values. */
export async function writeProperties(
  output: Output,
  properties: readonly (readonly [name: string, value: string])[],
): Promise<void> {
  const width = Math.max(...properties.map(([name]) => name.length));
  for (const [name, value] of properties) {
    await output.write(`${paint(output, 'dim', name.padEnd(width))}  ${value}\n`);
  }
}
