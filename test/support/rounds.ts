/**
 * How many rounds a random test has. `npm test` has a quarter of them, so that it takes minutes; all of them run with
 * LAYERFILE_ROUNDS=all, as in continuous integration. Each run has other seeds, unless a test fixes them.
 */
export const HAS_ALL_ROUNDS = process.env['LAYERFILE_ROUNDS'] === 'all';

/** A quarter of all, and at least one. */
export function rounds(all: number): number {
  return HAS_ALL_ROUNDS ? all : Math.ceil(all / 4);
}
