/** The report of `import pgdata`: warnings, files that were left out, and how much was imported. */
import type { StorageError } from '../errors.ts';
import type { LeftOutFile } from '../postgres/left-out.ts';
import { formatNumberOf } from './human.ts';
import type { Reporter } from './reporter.ts';

/** The result of an import of either layout. */
export interface ImportOutcome {
  readonly pageCount: number;
  readonly forkCount: number;
  readonly badPageCount: number | undefined;
  readonly leftOut: readonly LeftOutFile[];
  readonly warnings: readonly StorageError[];
}

/** The counts of an import, for its JSON. */
export function countsOfImport({ leftOut, badPageCount }: ImportOutcome) {
  return { left_out: countsOf(leftOut, jsonNameOf), bad_pages: badPageCount };
}

export function reportOutcome(reporter: Reporter, outcome: ImportOutcome): void {
  const warnings = new Listing(reporter, 'warning', 'warnings');
  for (const warning of outcome.warnings) warnings.add(warning);
  warnings.end();
  const unknown = new Listing(reporter, 'file', 'files');
  for (const { path, reason } of outcome.leftOut) {
    if (reason === 'unknown name') unknown.addText('left out: not the name of a relation', path);
  }
  unknown.end();
  const { pageCount, forkCount } = outcome;
  const pages = formatNumberOf(pageCount, 'page', 'pages');
  reporter.note(`${pages} of ${formatNumberOf(forkCount, 'fork', 'forks')}`);
  const counts = Object.entries(countsOf(outcome.leftOut, (reason) => reason));
  if (counts.length === 0) return;
  const words = counts.map(([reason, count]) => `${reason} (${count})`).join(', ');
  reporter.note(`left out, by reason: ${words}`);
}

function jsonNameOf(reason: string): string {
  return reason.toLowerCase().replaceAll(/\W/g, '_');
}

function countsOf(
  leftOut: readonly LeftOutFile[],
  nameOf: (reason: string) => string,
): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { reason } of leftOut) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const ordered = [...counts].sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(ordered.map(([reason, count]) => [nameOf(reason), count]));
}

const MAXIMUM_LISTED = 100;

/** Prints the first hundred warnings and counts the others: there may be millions. */
export class Listing {
  readonly #reporter: Reporter;
  readonly #one: string;
  readonly #many: string;
  #count = 0;

  constructor(reporter: Reporter, one: string, many: string) {
    this.#reporter = reporter;
    this.#one = one;
    this.#many = many;
  }

  add(error: StorageError): void {
    this.addText(error.with({ path: undefined }).message, error.path);
  }

  addText(message: string, path: string | undefined): void {
    this.#count += 1;
    if (this.#count <= MAXIMUM_LISTED) this.#reporter.warning(message, path);
  }

  end(): void {
    const hidden = this.#count - MAXIMUM_LISTED;
    if (hidden <= 0) return;
    this.#reporter.warning(formatNumberOf(hidden, `more ${this.#one}`, `more ${this.#many}`));
  }
}
