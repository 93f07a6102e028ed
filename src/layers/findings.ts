/** What is found wrong with a layer: counted in full, listed as far as somebody wants to read. */
import { describedError, type StorageError, type StorageErrorCode } from '../errors.ts';
import { formatKey, type Key } from './key.ts';
import { formatLsn, type Lsn } from './lsn.ts';

export interface Finding {
  readonly severity: 'error' | 'warning';
  readonly code: StorageErrorCode;
  readonly message: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly key?: string | undefined;
  readonly lsn?: string | undefined;
}

export interface LayerReport {
  readonly path: string;
  /** No errors; warnings do not count. */
  readonly ok: boolean;
  /** Entries that could be read. */
  readonly entries: number;
  /** Size of the file. */
  readonly bytes: number;
  /** Of all errors, listed or not. */
  readonly codes: readonly StorageErrorCode[];
  /** The first ones, up to the maximum; the counters count all. */
  readonly findings: readonly Finding[];
  readonly errors: number;
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
    const warning = describedError('corrupt', {
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
