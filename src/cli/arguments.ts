/** Parsers of arguments and option values; their errors are wrong usage. */
import { InvalidArgumentError } from 'commander';
import { isStorageError, StorageError } from '../errors.ts';
import { formatIdentifier, parseIdentifier } from '../layers/identifier.ts';
import type { Key } from '../layers/key.ts';
import { type Lsn, parseLsn } from '../layers/lsn.ts';
import { parseKeyText } from '../postgres/key-fields.ts';
import type { WorkShare } from '../timeline/work-share.ts';
import { DEFAULT_ZSTD_LEVEL, MAXIMUM_ZSTD_LEVEL, MINIMUM_ZSTD_LEVEL } from '../zstd/level.ts';

export function lsnArgument(text: string): Lsn {
  return parsing(() => parseLsn(text));
}

/** The LSN of a layer, above 0/0: a pageserver never reads at 0. */
export function layerLsnOrAutoArgument(text: string): Lsn | 'auto' {
  if (text === 'auto') return 'auto';
  const lsn = parsing(() => parseLsn(text), ', or auto');
  if (lsn > 0n) return lsn;
  throw new InvalidArgumentError('Expected an LSN above 0/0, or auto.');
}

/** The output directory of a layer. */
export function directoryArgument(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected a directory.');
  if (text !== '-') return text;
  throw new InvalidArgumentError(
    'Expected a directory, not standard output; ./- is a directory named -.',
  );
}

/** A file to write, or `-`. */
export function outputFileArgument(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected a file, or - for standard output.');
  return text;
}

/** Parses a key that may take several words: 36 hex digits, or fields. Throws `usage`. */
export function parseKeyWords(words: readonly string[]): Key {
  try {
    return parseKeyText(words);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw new StorageError('usage', { what: error.message, cause: error });
  }
}

export function identifierArgument(text: string): string {
  return parsing(() => formatIdentifier(parseIdentifier(text, 'id')));
}

export function countArgument(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(count)) return count;
  throw new InvalidArgumentError('Expected an integer of at least 0.');
}

const HIGHEST_POSTGRES_NUMBER = 0xffff_ffff;

/** A number that Postgres stores in 32 bits: a transaction, without its epoch, or a block. */
export function postgresNumberArgument(text: string): number {
  const number = Number(text);
  if (/^\d{1,10}$/.test(text) && number <= HIGHEST_POSTGRES_NUMBER) return number;
  throw new InvalidArgumentError(`Expected an integer from 0 to ${HIGHEST_POSTGRES_NUMBER}.`);
}

const OLDEST_POSTGRES = 14;
const NEWEST_POSTGRES = 17;

/** A major version of Postgres whose WAL is known. */
export function majorVersionArgument(text: string): number {
  const version = countArgument(text);
  if (version >= OLDEST_POSTGRES && version <= NEWEST_POSTGRES) return version;
  throw new InvalidArgumentError(`Expected ${OLDEST_POSTGRES} to ${NEWEST_POSTGRES}.`);
}

const MAXIMUM_STRIPE_SIZE = 0xffff_ffff;

/** Pages of a stripe. */
export function stripeSizeArgument(text: string): number {
  const pages = countArgument(text);
  if (pages >= 1 && pages <= MAXIMUM_STRIPE_SIZE) return pages;
  throw new InvalidArgumentError(`Expected 1 to ${MAXIMUM_STRIPE_SIZE} pages.`);
}

const MAXIMUM_JOBS = 1024;

/** Number of layers at a time. */
export function jobsArgument(text: string): number {
  const count = countArgument(text);
  if (count >= 1 && count <= MAXIMUM_JOBS) return count;
  throw new InvalidArgumentError(`Expected a number from 1 to ${MAXIMUM_JOBS}.`);
}

const SIZE_UNITS = ['', 'k', 'm', 'g', 't'] as const;

/** `1048576`, `512KiB`, `1.5GiB`; a unit is a power of 1,024, and may be one letter. */
export function sizeArgument(text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,3})?) ?(?:([kmgt])(?:i?b)?|b)?$/i.exec(text);
  const unit = SIZE_UNITS.findIndex((name) => name === (match?.[2] ?? '').toLowerCase());
  const size = Math.floor(Number(match?.[1]) * 1024 ** unit);
  if (Number.isSafeInteger(size)) return size;
  throw new InvalidArgumentError('Expected a size such as 1048576, 512KiB or 1.5GiB.');
}

/** Returns 8 lower-case hex digits, as in file names. */
export function generationArgument(text: string): string {
  if (/^[0-9a-fA-F]{8}$/.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('Expected 8 hex digits.');
}

/** 0 means zstd's own default. */
export function zstdLevelArgument(text: string): number {
  const level = Number(text);
  if (/^[+-]?\d{1,3}$/.test(text) && level >= MINIMUM_ZSTD_LEVEL && level <= MAXIMUM_ZSTD_LEVEL) {
    return level === 0 ? DEFAULT_ZSTD_LEVEL : level;
  }
  const expected = `a level from ${MINIMUM_ZSTD_LEVEL} to ${MAXIMUM_ZSTD_LEVEL}`;
  throw new InvalidArgumentError(`Expected ${expected}.`);
}

function parsing<T>(parse: () => T, alternative = ''): T {
  try {
    return parse();
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw new InvalidArgumentError(`Expected ${error.expected}${alternative}.`);
  }
}

/** A share of work that is divided by names: `3/16`. */
export function shareArgument(text: string): WorkShare {
  const match = /^(\d{1,9})\/(\d{1,9})$/.exec(text);
  const share = { index: Number(match?.[1]), count: Number(match?.[2]) };
  if (share.index < share.count) return share;
  throw new InvalidArgumentError('Expected I/N with 0 <= I < N.');
}
