/**
 * A table for people, written as it goes: the first rows decide the widths, a wider cell further
 * down pushes its line out. Cells are plain printable text, styles are put on after the alignment.
 */
import { paint, type Style } from './colour.ts';
import type { Output } from './output.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right' | undefined;
  readonly style?: Style | undefined;
  /** Of the last cell, on a terminal that is too narrow; default `wrap`. */
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
/** Narrower than this, a line that wraps is better. */
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

  /** Nothing is returned while the row is only collected. */
  row(row: Row): Promise<void> | undefined {
    if (this.#widths !== undefined) return this.#write(row, this.#widths);
    this.#waiting.push(row);
    return this.#waiting.length === ROWS_TO_MEASURE ? this.#start() : undefined;
  }

  /** Writes what waits for the widths; a table without rows writes nothing. */
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

  /** On a terminal the last cell may be cut to what is left of the line; damage never is. */
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

/** Name and value a line, the values aligned. */
export async function writeProperties(
  output: Output,
  properties: readonly (readonly [name: string, value: string])[],
): Promise<void> {
  const width = Math.max(...properties.map(([name]) => name.length));
  for (const [name, value] of properties) {
    await output.write(`${paint(output, 'dim', name.padEnd(width))}  ${value}\n`);
  }
}
