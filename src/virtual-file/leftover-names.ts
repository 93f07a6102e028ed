/** The names of what a crash may leave: no file that is to stay may have one. */

/** Of a file that has not taken its final name yet. */
export const TEMPORARY_SUFFIX = '.___temp';

/** Of a scratch file, in front of a number. */
export const SCRATCH_PREFIX = 'ephemeral-';

/** True for unfinished layers and overwrites, and for scratch files of ephemeral layers. */
export function isLeftoverName(name: string): boolean {
  if (name.startsWith(SCRATCH_PREFIX) && HEX_DIGITS.test(name.slice(SCRATCH_PREFIX.length))) {
    return true;
  }
  return name.endsWith(TEMPORARY_SUFFIX) && name.length > TEMPORARY_SUFFIX.length;
}

const HEX_DIGITS = /^[0-9a-f]+$/;
