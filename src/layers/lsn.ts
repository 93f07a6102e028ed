/**
 * LSN: a byte position in Postgres's write-ahead log, u64.
 *
 *   0000000001696000   16 upper-case hex digits, in file names and JSON
 *   0/1696000          high and low 32 bits in hex, as Postgres prints it; surrounding blanks are
 *                      ignored
 */
import { checkText } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { U64_MAXIMUM } from '../integers.ts';
import { valueText } from '../printable.ts';

/** An LSN; from 0 to `MAXIMUM_LSN`. */
export type Lsn = bigint;

/** The highest LSN. */
export const MAXIMUM_LSN: Lsn = U64_MAXIMUM;

/** Half-open: `start` is inside, `end` is not. */
export interface LsnRange {
  /** First LSN, inclusive. */
  readonly start: Lsn;
  /** Last LSN, exclusive. */
  readonly end: Lsn;
}

/** The end is one above the highest LSN. */
export const ALL_LSNS: LsnRange = { start: 0n, end: MAXIMUM_LSN + 1n };

/**
 * Parses either form: 1 to 16 hex digits, or `HI/LO`.
 *
 * @throws `invalid-input`.
 */
export function parseLsn(text: string): Lsn {
  checkText('LSN', text);
  const halves = /^([0-9a-fA-F]{1,8})\/([0-9a-fA-F]{1,8})$/.exec(text.trim());
  if (halves !== null) return (BigInt(`0x${halves[1]}`) << 32n) | BigInt(`0x${halves[2]}`);
  if (/^[0-9a-fA-F]{1,16}$/.test(text)) return BigInt(`0x${text}`);
  throw new StorageError('invalid-input', {
    what: 'LSN',
    expected: '1 to 16 hex digits, or HI/LO',
    actual: JSON.stringify(text),
  });
}

/** 16 upper-case hex digits. */
export function formatLsn(lsn: Lsn): string {
  checkLsn(lsn);
  return lsn.toString(16).toUpperCase().padStart(16, '0');
}

/** Formats an LSN like Postgres: `HI/LO`, such as `0/1696000`. */
export function formatPgLsn(lsn: Lsn): string {
  checkLsn(lsn);
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffff_ffffn).toString(16)}`.toUpperCase();
}

/** Throws `out-of-range` unless the value is an unsigned 64-bit integer. */
export function checkLsn(lsn: Lsn, what = 'LSN'): void {
  if (typeof lsn !== 'bigint' || lsn < 0n || lsn > MAXIMUM_LSN) {
    throw new StorageError('out-of-range', { what, expected: 'u64', actual: valueText(lsn) });
  }
}

/** Whether an LSN lies in a range; without a range, always true. */
export function isInLsnRange(lsn: Lsn, range: LsnRange | undefined): boolean {
  return range === undefined || (lsn >= range.start && lsn < range.end);
}

/** For a range that is searched: its end may be that of `ALL_LSNS`. Throws `out-of-range` above it. */
export function checkWantedLsns(range: LsnRange): void {
  checkLsn(range?.start, 'start of the LSN range');
  if (range.end !== ALL_LSNS.end) checkLsn(range.end, 'end of the LSN range');
}

/** Throws `out-of-range` unless start < end, both u64. */
export function checkLsnRange(range: LsnRange): void {
  checkLsn(range?.start, 'start of the LSN range');
  checkLsn(range?.end, 'end of the LSN range');
  if (range.start >= range.end) {
    throw new StorageError('out-of-range', {
      what: 'LSN range',
      expected: 'start below end',
      actual: `${formatLsn(range.start)}-${formatLsn(range.end)}`,
    });
  }
}
