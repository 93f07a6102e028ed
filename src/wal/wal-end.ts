/** How reading WAL ends, as data. */
import { type StorageError, untracedError } from '../errors.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../layers/lsn.ts';

/** How reading WAL ends. */
export interface WalEnd {
  /**
   * - `end-of-range`  the end that the caller wants
   * - `end-of-wal`    no WAL follows: no file, zeros, or remains of an earlier use of the file. It may
   *                   follow later; an incomplete record at the end is not returned
   * - `gap`           a segment is missing, and later ones exist
   * - `truncated`     a file is shorter than its segment, and a part of a record or later WAL is missing
   * - `corrupt`       the WAL at this place is not valid, and valid WAL follows
   */
  readonly kind: 'end-of-range' | 'end-of-wal' | 'gap' | 'truncated' | 'corrupt';
  /** Start of the first record that was not returned, or where it would begin. */
  readonly lsn: Lsn;
  /** Why no record could be read here; undefined at the end of a range. */
  readonly error: StorageError | undefined;
}

/** WAL that was skipped because it cannot be read. */
export interface WalSkip {
  /** Start of the first record that cannot be read. */
  readonly lsn: Lsn;
  /** The record or the page at which reading continues. */
  readonly resumesAt: Lsn;
  /** What is wrong. */
  readonly error: StorageError;
}

/** What ended a run of records; only the WAL after it shows whether it is damage or the end. */
export interface WalFault {
  readonly kind: 'gap' | 'truncated' | 'corrupt';
  readonly lsn: Lsn;
  readonly error: StorageError;
  /** True if it is damage even if nothing follows. */
  readonly isCertain?: boolean;
}

/** Decides what faults mean. */
export class WalOutcome {
  /** The fault after which no valid WAL has been found so far. */
  fault: WalFault | undefined;
  /** The WAL that was skipped, until it is reported. */
  skip: WalSkip | undefined;
  end: WalEnd | undefined;
  readonly #damage: 'stop' | 'skip';
  readonly #pathAt: (lsn: Lsn) => string | undefined;

  /** Requires: `options.pathAt` returns the path of the file with an LSN, if it has one. */
  constructor(options: {
    readonly damage: 'stop' | 'skip';
    readonly pathAt: (lsn: Lsn) => string | undefined;
  }) {
    this.#damage = options.damage;
    this.#pathAt = options.pathAt;
  }

  /** `seenAt`: where the fault was found, if not at the start of the record. Damage gets the path of that file. */
  fail(fault: WalFault, seenAt = fault.lsn): void {
    const { kind, error } = fault;
    const path = error.path ?? (kind === 'corrupt' ? this.#pathAt(seenAt) : undefined);
    this.fault = { ...fault, error: error.with({ lsn: formatLsn(fault.lsn), path }) };
  }

  /** Valid WAL was found: the fault before it, if any, ends the WAL or is skipped. */
  continueAt(resumesAt: Lsn): 'end' | 'skip' | 'no-fault' {
    const { fault } = this;
    if (fault === undefined) return 'no-fault';
    const { kind, lsn, error } = fault;
    if (this.#damage === 'stop') {
      this.end = { kind, lsn, error };
      return 'end';
    }
    this.fault = undefined;
    this.skip = { lsn, resumesAt, error };
    return 'skip';
  }

  takeSkip(): WalSkip | undefined {
    const { skip } = this;
    this.skip = undefined;
    return skip;
  }

  /** No more WAL: the fault before it, if any, is the end. */
  finish(position: Lsn, reason: StorageError): void {
    const { kind, lsn, error, isCertain } = this.fault ?? {
      kind: 'end-of-wal',
      lsn: position,
      error: reason.with({ lsn: formatLsn(position) }),
      isCertain: true,
    };
    this.end = { kind: isCertain === true ? kind : 'end-of-wal', lsn, error };
  }

  /** No more WAL is wanted. */
  finishRange(lsn: Lsn): void {
    if (this.fault === undefined) this.end = { kind: 'end-of-range', lsn, error: undefined };
    else this.finish(lsn, this.fault.error);
  }

  reset(): void {
    this.fault = undefined;
    this.end = undefined;
  }
}

/** A field of a page or record that is not as expected. Errors that are data have no stack. */
export function badWal(what: string, expected: string, actual: string): StorageError {
  return untracedError('corrupt', { what, expected, actual });
}

/** The error where WAL ends because there is no more. */
export function noMoreWal(expected: string): StorageError {
  return untracedError('not-found', { what: 'no more WAL', expected });
}

/** An LSN, as shown in messages about WAL. */
export function lsnText(high: number, low: number): string {
  return formatPgLsn((BigInt(high) << 32n) | BigInt(low));
}
