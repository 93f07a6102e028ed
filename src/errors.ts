/**
 * The error type of this library for bad files, failing disks and misuse.
 *
 * Each code stands for a decision that the caller can take; the fields give details. Decoders know
 * offsets, files know paths: the file layer adds the path once, with `withPath`.
 *
 * A StorageError is recognized by a brand shared by all copies of this package, not by its class: several
 * copies may be loaded, or one in several realms, and exchange errors.
 */
import { printable, shortened, valueText } from './printable.ts';

/** All codes. */
export const STORAGE_ERROR_CODES = [
  'corrupt',
  'truncated',
  'unsupported-version',
  'too-large',
  'out-of-order',
  'out-of-range',
  'empty',
  'exists',
  'not-found',
  'ambiguous-name',
  'needs-redo',
  'no-base',
  'gap',
  'network',
  'denied',
  'changed',
  'invalid-input',
  'usage',
  'io',
  'sync-failed',
  'aborted',
  'closed',
] as const;

/** What went wrong, as a decision for the caller. */
export type StorageErrorCode = (typeof STORAGE_ERROR_CODES)[number];

/**
 * What a failed overwrite or finish left on disk. `durable`: the new content survives a crash.
 * `not-applied`: the old state is intact. `in-doubt`: a crash may leave either.
 */
export type Outcome = 'durable' | 'not-applied' | 'in-doubt';

/** The fields of a StorageError. */
export interface StorageErrorDetails {
  /**
   * What is wrong, as a noun phrase or short clause: `blob header`. Only the first 512 characters
   * are kept.
   */
  readonly what: string;
  /** The file concerned. */
  readonly path?: string | undefined;
  /** Bytes from the start of the file (or of the decoded bytes, where there is no file). */
  readonly offset?: number | undefined;
  /** What would have been valid. */
  readonly expected?: string | undefined;
  /** What was found. May quote a file: only the first 128 characters are kept. */
  readonly actual?: string | undefined;
  /** Key of the entry concerned, as 36 upper-case hex digits. */
  readonly key?: string | undefined;
  /** LSN of the entry concerned, as 16 upper-case hex digits. */
  readonly lsn?: string | undefined;
  /** Name of the system error, such as `ENOSPC`. */
  readonly errno?: string | undefined;
  /** What is on disk after a failed overwrite or finish. */
  readonly outcome?: Outcome | undefined;
  /** The underlying error. */
  readonly cause?: unknown;
}

/** @internal What makes a StorageError. All of it can be sent to another thread. */
export interface PlainStorageError {
  readonly code: StorageErrorCode;
  readonly details: StorageErrorDetails;
}

const BRAND = Symbol.for('layerfile.StorageError');

/**
 * Thrown for damaged files, failing disks and misuse. `instanceof` is also true for errors of another copy
 * of this package. The fields are those of `StorageErrorDetails`.
 *
 * @example
 * try {
 *   await openLayer(path);
 * } catch (error) {
 *   if (!isStorageError(error, 'corrupt', 'truncated')) throw error;
 *   report(`damaged at offset ${error.offset}`);
 * }
 */
export class StorageError extends Error {
  /** The name of the class, as stacks show it. */
  override readonly name = 'StorageError';
  /** What the caller can do about it. */
  readonly code: StorageErrorCode;
  /** The file concerned, as the caller named it. */
  readonly path: string | undefined;
  /** Bytes from the start of the file, or of the decoded bytes where there is no file. */
  readonly offset: number | undefined;
  /** What should have been there. */
  readonly expected: string | undefined;
  /** What was found; at most 128 characters of it. */
  readonly actual: string | undefined;
  /** Key of the entry concerned, as 36 upper-case hex digits. */
  readonly key: string | undefined;
  /** LSN of the entry concerned, as 16 upper-case hex digits. */
  readonly lsn: string | undefined;
  /** Name of the system error, such as `ENOSPC`. */
  readonly errno: string | undefined;
  /** What is on disk after a failed overwrite or finish. */
  readonly outcome: Outcome | undefined;
  readonly #details: StorageErrorDetails;
  #original: StorageError | undefined;

  /**
   * Creates an error. Your own sources and file systems throw it to report failures.
   *
   * @param details - What is wrong, and where; long texts are shortened.
   * @throws `invalid-input` for a code that does not exist, and for details of another type.
   */
  constructor(code: StorageErrorCode, details: StorageErrorDetails) {
    checkCode(code);
    checkDetails(details);
    const bounded = boundedDetails(details);
    super(
      formatMessage(bounded),
      bounded.cause === undefined ? undefined : { cause: bounded.cause },
    );
    this.code = code;
    this.path = bounded.path;
    this.offset = bounded.offset;
    this.expected = bounded.expected;
    this.actual = bounded.actual;
    this.key = bounded.key;
    this.lsn = bounded.lsn;
    this.errno = bounded.errno;
    this.outcome = bounded.outcome;
    this.#details = bounded;
  }

  /** @internal All but the cause, to be sent to another thread. */
  toPlain(): PlainStorageError {
    return { code: this.code, details: { ...this.#details, cause: undefined } };
  }

  /**
   * A copy with some details replaced or added. Its stack is that of the original.
   *
   * @throws `invalid-input` for details of another type.
   */
  with(details: Partial<StorageErrorDetails>): StorageError {
    checkDetails(details, this.#details);
    const copy = untracedError(this.code, { ...this.#details, ...details });
    copy.#original = this;
    Reflect.deleteProperty(copy, 'stack');
    return copy;
  }

  /**
   * A damaged file may have thousands of errors, and formatting a stack costs more than everything else.
   * So the stack of a copy is formatted when it is read.
   */
  static {
    // A bundler may rename a class that refers to itself.
    Object.defineProperty(StorageError, 'name', { value: 'StorageError' });
    Object.defineProperty(StorageError.prototype, BRAND, { value: true });
    Object.defineProperty(StorageError, Symbol.hasInstance, { value: hasInstance });
    Object.defineProperty(StorageError.prototype, 'stack', {
      configurable: true,
      get(this: StorageError) {
        return stackWith(this.message, this.#original);
      },
      set(this: StorageError, value: unknown) {
        Object.defineProperty(this, 'stack', { value, writable: true, configurable: true });
      },
    });
  }
}

/** `value instanceof StorageError`; subclasses are recognized by prototype, as usual. */
function hasInstance(this: unknown, value: unknown): boolean {
  if (this === StorageError) return isStorageError(value);
  return Function.prototype[Symbol.hasInstance].call(this, value);
}

/** Enough for a layer's name. */
const MAXIMUM_ACTUAL_LENGTH = 128;
const MAXIMUM_WHAT_LENGTH = 512;

/** The details that become a part of the message as they are. */
const TEXTS = ['path', 'expected', 'actual', 'key', 'lsn'] as const;

function checkCode(code: unknown): void {
  if (STORAGE_ERROR_CODES.some((known) => known === code)) return;
  throw wrongPart('code of the error', 'one of STORAGE_ERROR_CODES', code);
}

/** Throws `invalid-input` for details of the wrong type; `what` may be missing if `others` has it. */
function checkDetails(
  details: Partial<StorageErrorDetails>,
  others?: StorageErrorDetails,
): asserts details is StorageErrorDetails {
  if (typeof details !== 'object' || details === null) {
    throw wrongPart('details of the error', 'an object', details);
  }
  const what = 'what' in details ? details.what : others?.what;
  if (typeof what !== 'string') throw wrongPart('what', 'a text', what);
  const { offset } = details;
  if (offset !== undefined && typeof offset !== 'number')
    throw wrongPart('offset', 'a number', offset);
  for (const name of TEXTS) {
    const text = details[name];
    if (text !== undefined && typeof text !== 'string') throw wrongPart(name, 'a text', text);
  }
}

function wrongPart(what: string, expected: string, value: unknown): StorageError {
  return new StorageError('invalid-input', { what, expected, actual: valueText(value) });
}

/** A quotation from a file may be megabytes long. */
function boundedDetails(details: StorageErrorDetails): StorageErrorDetails {
  const { what, actual } = details;
  if (what.length <= MAXIMUM_WHAT_LENGTH && (actual?.length ?? 0) <= MAXIMUM_ACTUAL_LENGTH) {
    return details;
  }
  return {
    ...details,
    what: shortened(what, MAXIMUM_WHAT_LENGTH),
    actual: actual === undefined ? undefined : shortened(actual, MAXIMUM_ACTUAL_LENGTH),
  };
}

/** The first line of the original is its message, which has no line breaks; the rest is the trace. */
function stackWith(message: string, original: StorageError | undefined): string {
  const stack = original?.stack ?? '';
  const placeAt = stack.indexOf('\n');
  return `StorageError: ${message}${placeAt < 0 ? '' : stack.slice(placeAt)}`;
}

/**
 * Creates an error without a stack trace, to be returned rather than thrown. A damaged file may have
 * thousands of errors, and capturing each trace costs more than everything else. If such an error is
 * thrown after all, `withPlace` adds the trace.
 */
export function untracedError(code: StorageErrorCode, details: StorageErrorDetails): StorageError {
  const { stackTraceLimit } = Error;
  // Fails harmlessly if the process has frozen Error.
  Reflect.set(Error, 'stackTraceLimit', 0);
  try {
    return new StorageError(code, details);
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  }
}

/** Adds a stack trace of the caller; returns the same error. */
export function withPlace(error: StorageError): StorageError {
  Error.captureStackTrace(error, withPlace);
  return error;
}

/**
 * Whether the value is a StorageError, of this or another copy of the package, with one of the codes if
 * any are given.
 */
export function isStorageError(error: unknown): error is StorageError;
/**
 * Tests for a `StorageError` with one of the codes.
 *
 * @param codes - The codes to look for; with none, any code will do.
 * @returns True for a `StorageError` that has one of them.
 *
 * @example
 * if (isStorageError(error, 'not-found')) return undefined;
 */
export function isStorageError<C extends StorageErrorCode>(
  error: unknown,
  ...codes: C[]
): error is StorageError & { code: C };
export function isStorageError(error: unknown, ...codes: StorageErrorCode[]): boolean {
  if (!isBranded(error)) return false;
  return codes.length === 0 || codes.includes(error.code);
}

function isBranded(error: unknown): error is StorageError {
  return typeof error === 'object' && error !== null && BRAND in error;
}

/** Adds the path to a StorageError that has none; returns anything else unchanged. */
export function withPath(error: unknown, path: string | undefined): unknown {
  const isWithout = isStorageError(error) && error.path === undefined;
  return isWithout && path !== undefined ? error.with({ path }) : error;
}

/** Adds the outcome to a StorageError that has none; returns anything else unchanged. */
export function withOutcome(error: unknown, outcome: Outcome): unknown {
  const isWithout = isStorageError(error) && error.outcome === undefined;
  return isWithout ? error.with({ outcome }) : error;
}

/** The error for bytes that violate their format. The arguments are in the order of the message. */
export function corrupt(
  what: string,
  offset: number | undefined,
  expected: string,
  actual: string,
): StorageError {
  return new StorageError('corrupt', { what, offset, expected, actual });
}

/** The error for bytes that end before what they must have. */
export function truncated(what: string, offset: number, missing: number): StorageError {
  const expected = missing === 1 ? '1 more byte' : `${missing} more bytes`;
  return new StorageError('truncated', { what, offset, expected, actual: '0' });
}

/** What exceeds a limit, and where. */
export interface Excess {
  readonly maximum: number;
  /** What the limit counts. Default: bytes. */
  readonly unit?: string;
  /** Default: `more`, if it was not counted to the end. */
  readonly actual?: number | string | undefined;
  readonly offset?: number | undefined;
  readonly path?: string | undefined;
}

/** Content that may be valid but exceeds a limit. */
export function tooLarge(what: string, excess: Excess): StorageError {
  const { maximum, unit = 'bytes', actual = 'more', offset, path } = excess;
  const expected = `at most ${maximum} ${unit}`;
  return new StorageError('too-large', { what, path, offset, expected, actual: `${actual}` });
}

/** Throws `aborted` once the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, path?: string): void {
  if (signal?.aborted) throw abortedError(signal, path);
}

export function abortedError(signal: AbortSignal, path?: string): StorageError {
  return new StorageError('aborted', { what: 'aborted by the caller', path, cause: signal.reason });
}

/** `path: what at offset N (key K, lsn L): expected E, found A`, each part only if known. */
function formatMessage(details: StorageErrorDetails): string {
  const { what, path, offset, expected, actual, key, lsn } = details;
  const where = [
    key === undefined ? '' : `key ${key}`,
    lsn === undefined ? '' : `lsn ${lsn}`,
  ].filter((part) => part !== '');
  const found = [
    expected === undefined ? '' : `expected ${expected}`,
    actual === undefined ? '' : `found ${actual}`,
  ].filter((part) => part !== '');
  const message =
    (path === undefined ? '' : `${path}: `) +
    what +
    (offset === undefined ? '' : ` at offset ${offset}`) +
    (where.length === 0 ? '' : ` (${where.join(', ')})`) +
    (found.length === 0 ? '' : `: ${found.join(', ')}`);
  return printable(message);
}
