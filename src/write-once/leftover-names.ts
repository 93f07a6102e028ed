/** The names of what a crash may leave: no file that is to stay may have one. */

/** Of a file that has not taken its final name yet. */
export const TEMPORARY_SUFFIX = '.___temp';

/** True for unfinished layers and overwrites, and for scratch files of ephemeral layers. */
export function isLeftoverName(name: string): boolean {
  const isTemporary = name.endsWith(TEMPORARY_SUFFIX) && name.length > TEMPORARY_SUFFIX.length;
  return isTemporary || /^ephemeral-[0-9a-f]+$/.test(name);
}
