/** Where the choices of a crash come from: all of them in turn, or a seeded generator. */
import type { Choose } from '../../src/virtual-file/memory-file.ts';

/**
 * Runs the scenario once for every combination of what it chooses; returns how many there were.
 * What is asked later may depend on what was chosen before.
 */
export function forEveryChoice(scenario: (choose: Choose) => void, maximum = 100_000): number {
  const digits: { value: number; readonly n: number }[] = [];
  for (let runs = 1; ; runs += 1) {
    if (runs > maximum) throw new Error(`more than ${maximum} combinations`);
    let position = 0;
    scenario((n) => {
      const digit = digits[position] ?? { value: 0, n };
      digits[position] = digit;
      position += 1;
      return digit.value;
    });
    while (digits.length > 0) {
      const last = digits[digits.length - 1];
      if (last === undefined || last.value + 1 < last.n) break;
      digits.pop();
    }
    const last = digits[digits.length - 1];
    if (last === undefined) return runs;
    last.value += 1;
  }
}

/** Mulberry32: small, fast, and the same sequence for the same seed everywhere. */
export function seededChoices(seed: number): Choose {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
}

/** Of each thing, what the system itself would keep if it lost nothing: the newest. */
export const loseNothing: Choose = (n) => n - 1;

/** Only what was synced. */
export const loseEverything: Choose = () => 0;
