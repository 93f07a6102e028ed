/** How much of everything: a tenth when in a hurry. */
export function scaleOf(quick) {
  return { quick, scaled: (count) => (quick ? Math.ceil(count / 10) : count) };
}
