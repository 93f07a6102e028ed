/** The three forms of the reports of verify: one document, one line per file, text for people. */
import type { Finding } from '../layers/findings.ts';
import { printable } from '../printable.ts';
import { paint } from './colour.ts';
import type { Format } from './context.ts';
import { CLEAN, type ExitStatus } from './exit-status.ts';
import { formatBytes, formatCount, formatNumberOf } from './human.ts';
import { encodeJson, type Json } from './json.ts';
import type { Output } from './output.ts';
import { shownPath } from './shown-path.ts';

/** The result for one file. */
export interface FileReport {
  readonly path: string;
  readonly ok: boolean;
  /** Of a layer that was verified. */
  readonly entries?: number;
  /** Of a file that was compared with its manifest. */
  readonly blocks?: number;
  readonly bytes: number;
  readonly findings: readonly FileFinding[];
  readonly errors: number;
  readonly warnings: number;
  /** Where a copy without the flipped bits is. */
  readonly mended?: string | undefined;
}

/** A finding; for a flipped bit, with its place. */
export interface FileFinding extends Finding {
  readonly bit?: { readonly offset: number; readonly bit: number } | undefined;
}

export interface ReportWriter {
  report(report: FileReport): Promise<void>;
  end(status: ExitStatus): Promise<void>;
}

/** Quiet: only files with findings are reported; people get a summary only if there are any. */
export function createReportWriter(
  output: Output,
  format: Format,
  verbosity: 'all' | 'quiet' = 'all',
): ReportWriter {
  const writer = writerOf(output, format);
  return verbosity === 'all' ? writer : new QuietWriter(writer, format);
}

function writerOf(output: Output, format: Format): ReportWriter {
  switch (format) {
    case 'json':
      return new DocumentWriter(output);
    case 'ndjson':
      return new LineWriter(output);
    case 'people':
      return new PeopleWriter(output);
  }
}

class QuietWriter implements ReportWriter {
  readonly #writer: ReportWriter;
  readonly #format: Format;
  #isAny = false;

  constructor(writer: ReportWriter, format: Format) {
    this.#writer = writer;
    this.#format = format;
  }

  async report(report: FileReport): Promise<void> {
    if (report.errors + report.warnings === 0) return;
    this.#isAny = true;
    await this.#writer.report(report);
  }

  async end(status: ExitStatus): Promise<void> {
    if (this.#isAny || this.#format !== 'people') await this.#writer.end(status);
  }
}

/** `ok` is the last field because it is known last. */
class DocumentWriter implements ReportWriter {
  readonly #output: Output;
  #count = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  async report(report: FileReport): Promise<void> {
    if (this.#count === 0) this.#output.beginDocument('\n],"ok":false}\n');
    const before = this.#count === 0 ? '{"files":[\n' : ',\n';
    this.#count += 1;
    await this.#output.write(before + encodeJson(reportJson(report)));
  }

  async end(status: ExitStatus): Promise<void> {
    this.#output.endDocument();
    const before = this.#count === 0 ? '{"files":[' : '\n';
    await this.#output.write(`${before}],"ok":${status === CLEAN}}\n`);
  }
}

/** The line of a file is written before the next file is read. */
class LineWriter implements ReportWriter {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  async report(report: FileReport): Promise<void> {
    await this.#output.write(`${encodeJson(reportJson(report))}\n`);
    await this.#output.flush();
  }

  async end(): Promise<void> {}
}

const COUNT_WIDTH = 12;
const SIZE_WIDTH = 8;

class PeopleWriter implements ReportWriter {
  readonly #output: Output;
  #fileCount = 0;
  #badCount = 0;
  #bytes = 0;
  #warnings = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  async report(report: FileReport): Promise<void> {
    this.#warnings += report.warnings;
    const output = this.#output;
    this.#fileCount += 1;
    this.#bytes += report.bytes;
    if (!report.ok) this.#badCount += 1;
    const verdict = report.ok ? paint(output, 'green', 'ok     ') : paint(output, 'red', 'damaged');
    const { entries, blocks = 0 } = report;
    const count = formatCount(entries ?? blocks).padStart(COUNT_WIDTH);
    const unit = entries === undefined ? 'blocks ' : 'entries';
    const extent = `${count} ${unit}  ${formatBytes(report.bytes).padStart(SIZE_WIDTH)}`;
    await output.write(
      `${verdict}${paint(output, 'dim', extent)}  ${printable(shownPath(report.path))}\n`,
    );
    for (const finding of report.findings) await this.#finding(finding);
    const hidden = report.errors + report.warnings - report.findings.length;
    if (hidden > 0) {
      const more = formatNumberOf(hidden, 'more finding', 'more findings');
      await output.write(`  ${paint(output, 'dim', `... ${more}`)}\n`);
    }
    if (report.mended !== undefined) {
      await output.write(`  mended copy: ${printable(shownPath(report.mended))}\n`);
    }
    await output.flush();
  }

  async end(status: ExitStatus): Promise<void> {
    if (this.#fileCount < 2) return;
    const files = formatNumberOf(this.#fileCount, 'file', 'files');
    await this.#output.write(`${files}, ${formatBytes(this.#bytes)}: ${this.#verdict(status)}\n`);
  }

  #verdict(status: ExitStatus): string {
    if (this.#badCount > 0) {
      return paint(this.#output, 'red', `${formatCount(this.#badCount)} damaged`);
    }
    if (status !== CLEAN) {
      return paint(this.#output, 'yellow', 'no errors, but some files could not be read');
    }
    if (this.#warnings === 0) return paint(this.#output, 'green', 'all valid');
    const warnings = formatNumberOf(this.#warnings, 'warning', 'warnings');
    return paint(this.#output, 'yellow', `no errors, ${warnings}`);
  }

  async #finding({ severity, code, message }: Finding): Promise<void> {
    const style = severity === 'error' ? 'red' : 'yellow';
    await this.#output.write(
      `  ${paint(this.#output, style, `${severity}[${code}]:`)} ${printable(message)}\n`,
    );
  }
}

function reportJson(report: FileReport): Json {
  return {
    path: shownPath(report.path),
    ok: report.ok,
    entries: report.entries,
    blocks: report.blocks,
    bytes: report.bytes,
    findings: report.findings.map(({ severity, code, message, offset, key, lsn, bit }) => ({
      severity,
      code,
      message,
      offset,
      key,
      lsn,
      bit: bit && { offset: bit.offset, bit: bit.bit },
    })),
    errors: report.errors,
    warnings: report.warnings,
    mended: report.mended,
  };
}
