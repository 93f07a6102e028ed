/** The problems of a layer: all findings are counted, and listed up to a maximum. */
import { type StorageError, type StorageErrorCode, untracedError } from '../errors.ts';
import { formatKey, type Key } from './key.ts';
import { formatLsn, type Lsn } from './lsn.ts';

/** One problem of a layer. */
export interface Finding {
  /**
   * `error`: a value cannot be read, or a read could be wrong. `warning`: Neon's writer would not
   * write this, though its reader accepts it.
   */
  readonly severity: 'error' | 'warning';
  /** As of the `StorageError` that a read throws. */
  readonly code: StorageErrorCode;
  /** One line of text, without the path. */
  readonly message: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** 36 hex digits, if the finding is about one entry. */
  readonly key?: string | undefined;
  /** 16 hex digits, if the finding is about one entry. */
  readonly lsn?: string | undefined;
}

/** The result of `verifyLayer`. */
export interface LayerReport {
  /** As the caller gave it, or that of the source; `layer` for a source without one. */
  readonly path: string;
  /** True if there are no errors; warnings do not count. */
  readonly ok: boolean;
  /** Entries that could be read. */
  readonly entries: number;
  /** Size of the file. */
  readonly bytes: number;
  /** Distinct codes of all errors, listed or not. */
  readonly codes: readonly StorageErrorCode[];
  /** The first findings, up to `maximumFindings`. */
  readonly findings: readonly Finding[];
  /** Number of errors, listed or not. */
  readonly errors: number;
  /** Number of warnings, listed or not. */
  readonly warnings: number;
}

export class Findings {
  readonly path: string;
  readonly #maximum: number;
  readonly #listed: Finding[] = [];
  readonly #codes = new Set<StorageErrorCode>();
  #errors = 0;
  #warnings = 0;

  constructor(path: string, maximum: number) {
    this.path = path;
    this.#maximum = maximum;
  }

  add(error: StorageError, offset: number): void {
    this.#errors += 1;
    this.#codes.add(error.code);
    this.#list('error', error, offset);
  }

  warn(what: string, offset: number, key?: Key, lsn?: Lsn): void {
    this.#warnings += 1;
    if (this.#isFull) return;
    const warning = untracedError('corrupt', {
      what,
      offset,
      key: key === undefined ? undefined : formatKey(key),
      lsn: lsn === undefined ? undefined : formatLsn(lsn),
    });
    this.#list('warning', warning, offset);
  }

  report(entries: number, bytes: number): LayerReport {
    return {
      path: this.path,
      ok: this.#errors === 0,
      entries,
      bytes,
      codes: [...this.#codes],
      findings: this.#listed,
      errors: this.#errors,
      warnings: this.#warnings,
    };
  }

  get #isFull(): boolean {
    return this.#listed.length >= this.#maximum;
  }

  #list(severity: Finding['severity'], error: StorageError, offset: number): void {
    if (this.#isFull) return;
    const { code, key, lsn } = error;
    this.#listed.push({
      severity,
      code,
      // The report names the path; the message need not.
      message: error.with({ path: undefined }).message,
      offset: error.offset ?? offset,
      ...(key === undefined ? {} : { key }),
      ...(lsn === undefined ? {} : { lsn }),
    });
  }
}
