/**
 * Progress of long operations: on a terminal one line that is redrawn several times per second,
 * elsewhere a plain line every ten seconds. A short operation shows nothing.
 */
import { printable } from '../printable.ts';
import { formatBytes, formatDuration } from './human.ts';
import type { Output } from './output.ts';

export interface ProgressOptions {
  /** Name of the operation: `verify`. */
  readonly label: string;
}

/** In bytes. */
export interface Advance {
  readonly done: number;
  readonly total?: number | undefined;
  /** May contain any text, such as a file name. */
  readonly detail?: string | undefined;
}

export type ProgressStyle = 'bar' | 'lines' | 'none';

const BAR_INTERVAL_MS = 150;
const BAR_DELAY_MS = 400;
const LINE_INTERVAL_MS = 10_000;
const BAR_LENGTH = 24;

export class Progress {
  readonly #stderr: Output;
  readonly #options: ProgressOptions;
  readonly #style: ProgressStyle;
  readonly #startedMs = performance.now();
  #nextMs: number;
  #drawnLength = 0;

  constructor(stderr: Output, options: ProgressOptions, style: ProgressStyle) {
    this.#stderr = stderr;
    this.#options = options;
    this.#style = style;
    this.#nextMs = this.#startedMs + (style === 'bar' ? BAR_DELAY_MS : LINE_INTERVAL_MS);
  }

  /** Cheap enough for every block. */
  update(advance: Advance): void {
    if (this.#style === 'none') return;
    const nowMs = performance.now();
    if (nowMs < this.#nextMs) return;
    const text = this.#describe(advance, nowMs - this.#startedMs);
    if (this.#style === 'bar') this.#draw(text);
    else this.#stderr.post(`${text}\n`);
    this.#nextMs = nowMs + (this.#style === 'bar' ? BAR_INTERVAL_MS : LINE_INTERVAL_MS);
  }

  /** Clears the line for another message; the next update redraws the bar. */
  clear(): void {
    if (this.#drawnLength === 0) return;
    this.#stderr.post(`\r${' '.repeat(this.#drawnLength)}\r`);
    this.#drawnLength = 0;
  }

  finish(): void {
    this.clear();
    this.#nextMs = Number.POSITIVE_INFINITY;
  }

  #draw(text: string): void {
    const line = text.slice(0, this.#stderr.columns - 1);
    this.#stderr.post(`\r${line.padEnd(this.#drawnLength)}`);
    this.#drawnLength = line.length;
  }

  #describe({ done, total, detail }: Advance, elapsedMs: number): string {
    const parts = [this.#options.label];
    const bytesPerMs = done / Math.max(elapsedMs, 1);
    const rate = `${formatBytes(Math.round(bytesPerMs * 1000))}/s`;
    if (total === undefined || total === 0) {
      parts.push(formatBytes(done), rate);
    } else {
      const share = Math.min(done / total, 1);
      if (this.#style === 'bar') parts.push(bar(share));
      parts.push(
        `${Math.floor(share * 100)}%`.padStart(4),
        `${formatBytes(done)} of ${formatBytes(total)}`,
        rate,
      );
      if (bytesPerMs > 0) parts.push(`${formatDuration((total - done) / bytesPerMs)} left`);
    }
    if (detail !== undefined) parts.push(printable(detail));
    return parts.join('  ');
  }
}

function bar(share: number): string {
  const filled = Math.round(share * BAR_LENGTH);
  return `[${'='.repeat(filled)}${' '.repeat(BAR_LENGTH - filled)}]`;
}
