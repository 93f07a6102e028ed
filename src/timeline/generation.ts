/**
 * Generation: how often a tenant was attached, u32. Data older than generations has none.
 *
 *   -0000000a   suffix of a remote name; nothing for no generation
 *
 * None is below all others: none < 0 < 1 < …
 * Source: Neon libs/utils/src/generation.rs.
 */
import { checkCount, checkText } from '../check-options.ts';

/** A generation; undefined for data older than generations. */
export type Generation = number | undefined;

/** The highest generation. */
export const MAXIMUM_GENERATION = 0xffff_ffff;

/** Compares for sorting: no generation first. */
export function compareGenerations(left: Generation, right: Generation): number {
  checkGeneration(left);
  checkGeneration(right);
  return (left ?? -1) - (right ?? -1);
}

/** The generation after this one; after none it is 1. Undefined after the highest. */
export function nextGeneration(generation: Generation): Generation {
  checkGeneration(generation);
  if (generation === MAXIMUM_GENERATION) return undefined;
  return generation === undefined ? 1 : generation + 1;
}

/** `-` and 8 lower-case hex digits, or nothing. */
export function formatGenerationSuffix(generation: Generation): string {
  if (generation === undefined) return '';
  checkGeneration(generation);
  return `-${generation.toString(16).padStart(8, '0')}`;
}

/** As findings name it: `generation 0000000a`, or `no generation`. */
export function describeGeneration(generation: Generation): string {
  if (generation === undefined) return 'no generation';
  return `generation ${generation.toString(16).padStart(8, '0')}`;
}

/**
 * Parses a generation, which may have any number of hex digits of either case. Returns `'invalid'` for anything else,
 * because undefined means no generation.
 */
export function parseGeneration(digits: string): number | 'invalid' {
  checkText('generation', digits);
  if (!/^0*[0-9a-fA-F]{1,8}$/.test(digits)) return 'invalid';
  return Number.parseInt(digits, 16);
}

function checkGeneration(generation: Generation): void {
  if (generation !== undefined) checkCount('generation', generation, { to: MAXIMUM_GENERATION });
}
