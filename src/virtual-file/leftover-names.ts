/**
 * The names of temporary files. A crash may leave such files, so no permanent file may have such a name.
 *
 *   {stem}.{token}.___temp    a layer or an overwrite before it takes its final name
 *   ephemeral-{token}         the scratch file of an ephemeral layer
 *
 * The token has 36 hex digits: the owner (`owners.ts`) and 8 random ones. A name without a token, as a
 * pageserver or an older version makes, is a temporary file of an unknown owner.
 */
import { createHash, randomBytes } from 'node:crypto';
import { OWNER_LENGTH } from './owners.ts';

/** Suffix of a file before it takes its final name. */
export const TEMPORARY_SUFFIX = '.___temp';

/** Prefix of a scratch file; hex digits follow. */
export const SCRATCH_PREFIX = 'ephemeral-';

const RANDOM_BYTES = 4;
const TOKEN = `(?<owner>[0-9a-f]{${OWNER_LENGTH}})[0-9a-f]{${2 * RANDOM_BYTES}}`;
const TEMPORARY_NAME = new RegExp(`\\.${TOKEN}\\.___temp$`);
const SCRATCH_NAME = new RegExp(`^${SCRATCH_PREFIX}${TOKEN}$`);
const HEX_DIGITS = /^[0-9a-f]+$/;

/** With token and suffix the name has at most 143 bytes, the limit of eCryptfs. */
const MAXIMUM_STEM_LENGTH = 143 - '.'.length - OWNER_LENGTH - 2 * RANDOM_BYTES - '.___temp'.length;

/** A new token at each call. */
export function newToken(owner: string): string {
  return owner + randomBytes(RANDOM_BYTES).toString('hex');
}

/** The temporary name of `{stem}`; a long stem is replaced by its hash. */
export function temporaryName(stem: string, token: string): string {
  const isShort = Buffer.byteLength(stem) <= MAXIMUM_STEM_LENGTH;
  const known = isShort ? stem : createHash('sha256').update(stem).digest('hex').slice(0, 32);
  return `${known}.${token}${TEMPORARY_SUFFIX}`;
}

/** True for unfinished layers and overwrites, and for scratch files of ephemeral layers. */
export function isLeftoverName(name: string): boolean {
  if (name.startsWith(SCRATCH_PREFIX) && HEX_DIGITS.test(name.slice(SCRATCH_PREFIX.length))) {
    return true;
  }
  return name.endsWith(TEMPORARY_SUFFIX) && name.length > TEMPORARY_SUFFIX.length;
}

/** The owner in a temporary name; undefined if it has none. */
export function ownerOf(name: string): string | undefined {
  return (TEMPORARY_NAME.exec(name) ?? SCRATCH_NAME.exec(name))?.groups?.['owner'];
}
