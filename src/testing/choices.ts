/** Where the answers of a crash come from: fixed, from a seed, or every combination in turn. */

import { checkCount } from '../check-options.ts';

/**
 * Answers one question of a crash with an integer from 0 to `n - 1`. 0 is the durable state, `n - 1`
 * the newest one.
 */
export type Choose = (n: number) => number;

/**
 * Loses every change that is not durable.
 *
 * @throws `invalid-input` unless the number of answers is an integer from 1
 */
export const loseEverything: Choose = (n) => {
  checkAnswers(n);
  return 0;
};

/**
 * Loses nothing: what a system leaves that wrote everything back just before it crashed.
 *
 * @throws `invalid-input` unless the number of answers is an integer from 1
 */
export const loseNothing: Choose = (n) => {
  checkAnswers(n);
  return n - 1;
};

/** Throws: `invalid-input` unless the function answers with an integer from 0 to `n - 1`. */
export function answerOf(choose: Choose, n: number): number {
  const answer = choose(n);
  checkCount('answer about a crash', answer, { to: n - 1 });
  return answer;
}

function checkAnswers(n: number): void {
  checkCount('number of answers', n, { from: 1 });
}

/**
 * A pseudorandom generator (Mulberry32): the same sequence for the same seed everywhere.
 *
 * @param seed an integer; its lowest 32 bits count
 * @throws `invalid-input` for anything else
 */
export function seededChoices(seed: number): Choose {
  checkCount('seed', seed, { from: Number.MIN_SAFE_INTEGER });
  let state = seed >>> 0;
  return (n) => {
    checkAnswers(n);
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
}

/**
 * Every combination of answers, for code whose only source of chance is the yielded function. Later
 * questions may depend on earlier answers, as long as the same answers lead to the same questions.
 *
 * @returns a generator of functions; use each one before you take the next
 * @example
 * for (const choose of everyChoice()) check(disk.crash(choose));
 */
export function* everyChoice(): Generator<Choose, void, undefined> {
  const digits: { readonly value: number; readonly n: number }[] = [];
  for (;;) {
    let position = 0;
    yield (n) => {
      checkAnswers(n);
      const digit = digits[position] ?? { value: 0, n };
      digits[position] = digit;
      position += 1;
      return digit.value;
    };
    let last = digits.pop();
    while (last !== undefined && last.value === last.n - 1) last = digits.pop();
    if (last === undefined) return;
    digits.push({ value: last.value + 1, n: last.n });
  }
}
