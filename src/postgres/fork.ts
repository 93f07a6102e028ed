/**
 * Fork: one of the files that make up a relation.
 *
 *   0 main   16384         the rows or index entries themselves
 *   1 fsm    16384_fsm     free space map
 *   2 vm     16384_vm      visibility map
 *   3 init   16384_init    what an unlogged relation is reset to
 *
 * Source: Postgres src/common/relpath.c. A key has one byte for the fork, and Neon's reader
 * accepts any number; numbers without a name stay numbers here.
 */
import { StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';

/** Fork names in the order of their numbers. */
export const FORK_NAMES = ['main', 'fsm', 'vm', 'init'] as const;

/** Name of a fork that Postgres has. */
export type ForkName = (typeof FORK_NAMES)[number];

/** A fork in a key: its name, or a number from 4 to 255 that has none. */
export type Fork = ForkName | number;

export const MAXIMUM_FORK_NUMBER = 0xff;

export function forkOfNumber(forkNumber: number): Fork {
  return FORK_NAMES[forkNumber] ?? forkNumber;
}

/** Throws `out-of-range` for a number that does not fit into the key's byte. */
export function forkNumberOf(fork: Fork): number {
  if (typeof fork === 'string') return FORK_NAMES.indexOf(fork);
  if (Number.isInteger(fork) && fork >= 0 && fork <= MAXIMUM_FORK_NUMBER) return fork;
  throw new StorageError('out-of-range', {
    what: 'fork',
    expected: `${FORK_NAMES.join(', ')} or 0 to ${MAXIMUM_FORK_NUMBER}`,
    actual: valueText(fork),
  });
}

export function isForkName(text: string): text is ForkName {
  return FORK_NAMES.some((name) => name === text);
}
