/** Options of callers whose types nobody checked: refused where they are read, in one wording. */
import { StorageError } from './errors.ts';

interface Bounds {
  /** Default 0. */
  readonly from?: number;
  /** Default: the largest number whose neighbours are exact. */
  readonly to?: number;
}

/** Throws `invalid-input` for what is no whole number within the bounds. */
export function checkCount(what: string, value: unknown, { from = 0, to }: Bounds = {}): void {
  // Only of a number: to become one, an object would run code of its own.
  if (typeof value === 'number' && Number.isSafeInteger(value)) {
    if (value >= from && (to === undefined || value <= to)) return;
  }
  throw refused(what, `an integer from ${from}${to === undefined ? '' : ` to ${to}`}`, value);
}

/** As `checkCount` for a limit, which may be left out or be Infinity. NaN would be no limit at all. */
export function checkLimit(what: string, limit: unknown, bounds: Bounds = {}): void {
  if (limit === undefined) return;
  if (limit === Number.POSITIVE_INFINITY && bounds.to === undefined) return;
  checkCount(what, limit, bounds);
}

/** Throws `invalid-input` for what is not permission bits; undefined stands for the default. */
export function checkMode(mode: unknown): void {
  if (mode !== undefined) checkCount('mode', mode, { to: 0o7777 });
}

/** Throws `invalid-input` for what is none of the choices; undefined stands for the default. */
export function checkChoice<T extends string>(
  what: string,
  value: T | undefined,
  choices: readonly T[],
): void {
  if (value !== undefined) checkOneOf(what, value, choices);
}

/** As `checkChoice` for what has no default. */
export function checkOneOf(what: string, value: unknown, choices: readonly string[]): void {
  if (typeof value === 'string' && choices.includes(value)) return;
  throw refused(what, choices.map((choice) => `'${choice}'`).join(' or '), value);
}

/** Throws `invalid-input` for what is no text. */
export function checkText(what: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw refused(what, 'a text', value);
}

/** Throws `invalid-input` for what is neither undefined nor a signal, of whatever realm. */
export function checkSignal(signal: unknown): void {
  if (signal === undefined) return;
  const isSignal =
    typeof signal === 'object' &&
    signal !== null &&
    'aborted' in signal &&
    'addEventListener' in signal;
  if (!isSignal) throw refused('signal', 'an AbortSignal', signal);
}

function refused(what: string, expected: string, value: unknown): StorageError {
  return new StorageError('invalid-input', { what, expected, actual: describe(value) });
}

/** What is neither text nor number by its type: to be printed, an object would run code of its own. */
function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  return value === null ? 'null' : typeof value;
}
