/** Scale of all inputs: a tenth with `--quick`. */
export function scaleOf(quick) {
  return { quick, scaled: (count) => (quick ? Math.ceil(count / 10) : count) };
}
