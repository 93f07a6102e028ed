/**
 * The one error type that leaves this library for bad files, failing disks and misuse.
 *
 * A code stands for a decision that the caller can take; the fields say where and what. Decoders
 * know offsets, files know paths: the file layer adds the path once, with `withPath`.
 *
 * A StorageError is known by a brand that all copies of this package share, not by its class: two
 * copies may be loaded, or one in several realms, and errors pass from one to the other.
 */
import { printable, shortened } from './printable.ts';

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
  'invalid-input',
  'usage',
  'io',
  'sync-failed',
  'aborted',
  'closed',
] as const;

export type StorageErrorCode = (typeof STORAGE_ERROR_CODES)[number];

/**
 * What a failed overwrite or finish left on disk: `durable` the new content survives a crash,
 * `not-applied` the old state is intact, `in-doubt` a crash may leave either.
 */
export type Outcome = 'durable' | 'not-applied' | 'in-doubt';

export interface StorageErrorDetails {
  /**
   * What is wrong, as a noun phrase or short clause: `blob header`. Only the first 512 characters
   * are kept.
   */
  readonly what: string;
  readonly path?: string | undefined;
  /** Bytes from the start of the file (or of the decoded bytes, where there is no file). */
  readonly offset?: number | undefined;
  readonly expected?: string | undefined;
  /** May quote a file: only the first 128 characters are kept. */
  readonly actual?: string | undefined;
  /** 36 upper-case hex digits. */
  readonly key?: string | undefined;
  /** 16 upper-case hex digits. */
  readonly lsn?: string | undefined;
  /** Name of the system's error, such as `ENOSPC`. */
  readonly errno?: string | undefined;
  readonly outcome?: Outcome | undefined;
  readonly cause?: unknown;
}

const BRAND = Symbol.for('layerfile.StorageError');

/**
 * Thrown for damaged files, failing disks and misuse. `instanceof` is true also for the errors of
 * another copy of this package.
 */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly code: StorageErrorCode;
  readonly path: string | undefined;
  readonly offset: number | undefined;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
  readonly key: string | undefined;
  readonly lsn: string | undefined;
  readonly errno: string | undefined;
  readonly outcome: Outcome | undefined;
  readonly #details: StorageErrorDetails;
  #original: StorageError | undefined;

  constructor(code: StorageErrorCode, unbounded: StorageErrorDetails) {
    const details = boundedDetails(unbounded);
    super(
      formatMessage(details),
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.code = code;
    this.path = details.path;
    this.offset = details.offset;
    this.expected = details.expected;
    this.actual = details.actual;
    this.key = details.key;
    this.lsn = details.lsn;
    this.errno = details.errno;
    this.outcome = details.outcome;
    this.#details = details;
  }

  /** The same error with some details replaced or added; its stack is where the first was made. */
  with(details: Partial<StorageErrorDetails>): StorageError {
    const copy = describedError(this.code, { ...this.#details, ...details });
    copy.#original = this;
    Reflect.deleteProperty(copy, 'stack');
    return copy;
  }

  /**
   * A damaged file may have thousands of errors, and the text of a stack costs more than all the
   * rest of one: that of a copy is made when somebody looks.
   */
  static {
    // A bundler may rename a class that speaks of itself.
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

/** `value instanceof StorageError`; a class derived from it is known by its prototype, as usual. */
function hasInstance(this: unknown, value: unknown): boolean {
  if (this === StorageError) return isStorageError(value);
  return Function.prototype[Symbol.hasInstance].call(this, value);
}

/** A layer's name fits. */
const MAXIMUM_ACTUAL_LENGTH = 128;
const MAXIMUM_WHAT_LENGTH = 512;

/** A file may have texts of megabytes where a message quotes it. */
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

/** The first line repeats the message, which has no line breaks; the others are the place. */
function stackWith(message: string, original: StorageError | undefined): string {
  const stack = original?.stack ?? '';
  const placeAt = stack.indexOf('\n');
  return `StorageError: ${message}${placeAt < 0 ? '' : stack.slice(placeAt)}`;
}

/**
 * An error that is handed out, not thrown. A damaged file may have thousands, and to find out from
 * where each was called costs more than all the rest of it: `withPlace` does so where one is thrown
 * after all.
 */
export function describedError(code: StorageErrorCode, details: StorageErrorDetails): StorageError {
  const { stackTraceLimit } = Error;
  // Where the process has frozen it, errors cost what they cost.
  Reflect.set(Error, 'stackTraceLimit', 0);
  try {
    return new StorageError(code, details);
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  }
}

/** The same error, with a stack that leads to the caller. */
export function withPlace(error: StorageError): StorageError {
  Error.captureStackTrace(error, withPlace);
  return error;
}

/**
 * True for a StorageError with one of the codes, or with any code when none is named; also for one
 * of another copy of this package.
 */
export function isStorageError(error: unknown): error is StorageError;
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

/** Adds the outcome to a StorageError that tells none; returns anything else unchanged. */
export function withOutcome(error: unknown, outcome: Outcome): unknown {
  const isWithout = isStorageError(error) && error.outcome === undefined;
  return isWithout ? error.with({ outcome }) : error;
}

/** Throws `aborted` once the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, path?: string): void {
  if (signal?.aborted) throw abortedError(signal, path);
}

export function abortedError(signal: AbortSignal, path?: string): StorageError {
  return new StorageError('aborted', { what: 'aborted by the caller', path, cause: signal.reason });
}

/** `path: what at offset N (key K, lsn L): expected E, found A`, each part only where known. */
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
