/**
 * The names of temporary files: what a crash may leave, so no file that is to stay may have one.
 *
 *   {stem}.{token}.___temp    a layer or an overwrite that has not taken its final name yet
 *   ephemeral-{token}         the scratch file of an ephemeral layer
 *
 * The token has 36 hex digits: the owner (`owners.ts`) and 8 random ones. Names without a token, such
 * as those of a pageserver or of older versions, are temporary files of unknown owners.
 */
import { createHash, randomBytes } from 'node:crypto';
import { OWNER_LENGTH } from './owners.ts';

/** Of a file that has not taken its final name yet. */
export const TEMPORARY_SUFFIX = '.___temp';

/** Of a scratch file, before hex digits. */
export const SCRATCH_PREFIX = 'ephemeral-';

const RANDOM_BYTES = 4;
const TOKEN = `(?<owner>[0-9a-f]{${OWNER_LENGTH}})[0-9a-f]{${2 * RANDOM_BYTES}}`;
const TEMPORARY_NAME = new RegExp(`\\.${TOKEN}\\.___temp$`);
const SCRATCH_NAME = new RegExp(`^${SCRATCH_PREFIX}${TOKEN}$`);
const HEX_DIGITS = /^[0-9a-f]+$/;

/** With token and suffix the name has at most 143 bytes: eCryptfs takes no more. */
const MAXIMUM_STEM_LENGTH = 143 - '.'.length - OWNER_LENGTH - 2 * RANDOM_BYTES - '.___temp'.length;

/** Different each time it is called. */
export function newToken(owner: string): string {
  return owner + randomBytes(RANDOM_BYTES).toString('hex');
}

/** The name of a file that is to become `{stem}`, or a hash of it where that would be too long. */
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

/** Who made the file, if its name tells. */
export function ownerOf(name: string): string | undefined {
  return (TEMPORARY_NAME.exec(name) ?? SCRATCH_NAME.exec(name))?.groups?.['owner'];
}
