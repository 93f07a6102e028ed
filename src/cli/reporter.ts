/**
 * All output on standard error: errors, warnings, notes and progress, as text for people or as one
 * JSON object per line for programs.
 */
import { isNativeError } from 'node:util/types';
import { isStorageError, type StorageError } from '../errors.ts';
import { printable } from '../printable.ts';
import { paint } from './colour.ts';
import { encodeJson, type Json } from './json.ts';
import type { Output } from './output.ts';
import { Progress, type ProgressOptions } from './progress.ts';
import { shownError, shownPath } from './shown-path.ts';

export type Audience = 'people' | 'programs';

export class Reporter {
  readonly audience: Audience;
  readonly #stderr: Output;
  readonly #dumbTerminal: boolean;
  #progress: Progress | undefined;

  constructor(stderr: Output, options: { audience: Audience; dumbTerminal: boolean }) {
    this.#stderr = stderr;
    this.audience = options.audience;
    this.#dumbTerminal = options.dumbTerminal;
  }

  error(error: unknown): void {
    if (this.audience === 'programs') {
      this.#line(encodeJson({ error: errorJson(error) }));
    } else if (isStorageError(error)) {
      const { message } = shownError(error);
      this.#line(`${paint(this.#stderr, 'red', `error[${error.code}]:`)} ${message}`);
    } else {
      this.#line(`${paint(this.#stderr, 'red', 'internal error:')} ${stackOf(error)}`);
    }
  }

  /** Reports wrong usage, with hints. */
  usage(message: string, hints: readonly string[]): void {
    if (this.audience === 'programs') {
      const sentences = [message.replace(/\.?$/, '.'), ...hints];
      this.#line(encodeJson({ error: { code: 'usage', message: sentences.join(' ') } }));
      return;
    }
    this.#line(`${paint(this.#stderr, 'red', 'error[usage]:')} ${message}`);
    for (const hint of hints) this.#line(`  ${hint}`);
  }

  help(text: string): void {
    if (this.audience === 'people') this.#stderr.post(text);
  }

  warning(message: string, about?: string): void {
    const path = about === undefined ? undefined : shownPath(about);
    if (this.audience === 'programs') {
      this.#line(encodeJson({ warning: { message: printable(message), path } }));
      return;
    }
    const where = path === undefined ? '' : `${printable(path)}: `;
    this.#line(`${paint(this.#stderr, 'yellow', 'warning:')} ${where}${printable(message)}`);
  }

  /** Only for people. */
  note(message: string): void {
    if (this.audience === 'people') this.#line(paint(this.#stderr, 'dim', printable(message)));
  }

  /** Starts to show progress, and ends the previous one. */
  progress(options: ProgressOptions): Progress {
    this.#progress?.finish();
    this.#progress = new Progress(this.#stderr, options, this.#progressStyle());
    return this.#progress;
  }

  #progressStyle(): 'bar' | 'lines' | 'none' {
    if (this.#stderr.isTerminal && !this.#dumbTerminal) return 'bar';
    return this.audience === 'people' ? 'lines' : 'none';
  }

  #line(text: string): void {
    this.#progress?.clear();
    this.#stderr.post(`${text}\n`);
  }
}

/** The JSON of an error, on standard error and within a dump. */
function errorJson(error: unknown): Json {
  if (!isStorageError(error)) return { code: 'io', message: printable(`internal: ${error}`) };
  return storageErrorJson(error);
}

export function storageErrorJson(error: StorageError): Json {
  const { code, message, path, offset, key, lsn } = shownError(error);
  return { code, message, path, offset, key, lsn };
}

function stackOf(error: unknown): string {
  const text = isNativeError(error) ? (error.stack ?? error.message) : String(error);
  return text.split('\n').map(printable).join('\n');
}
