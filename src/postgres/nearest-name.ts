/** "Did you mean": the candidate that a mistyped name is closest to. */

/**
 * An unknown name for an error: `unknown fork "fms"; did you mean "fsm"?`, or, where none is near,
 * all names that there are.
 */
export function unknownName(
  kind: string,
  name: string,
  candidates: readonly string[],
): { readonly what: string; readonly expected?: string } {
  const nearest = nearestName(name, candidates);
  const what = `unknown ${kind} ${JSON.stringify(name)}`;
  if (nearest === undefined) return { what, expected: candidates.join(', ') };
  return { what: `${what}; did you mean "${nearest}"?` };
}

/** The nearest candidate within two typing mistakes, or undefined. Inputs are short. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  const limit = Math.min(MAXIMUM_MISTAKES, Math.floor(name.length / 2));
  if (name.length > MAXIMUM_LENGTH) return undefined;
  let nearest: string | undefined;
  let nearestDistance = limit + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate);
    if (distance < nearestDistance) {
      nearest = candidate;
      nearestDistance = distance;
    }
  }
  return nearest;
}

const MAXIMUM_MISTAKES = 2;
/** Longer text is no mistyped name; the distance costs the product of both lengths. */
const MAXIMUM_LENGTH = 64;

/** Insertions, deletions, replacements and swaps of neighbours that turn one into the other. */
function editDistance(left: string, right: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const replaced = left[row - 1] === right[column - 1] ? 0 : 1;
      let best = Math.min(
        at(previous, column) + 1,
        at(current, column - 1) + 1,
        at(previous, column - 1) + replaced,
      );
      const swapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (swapped) best = Math.min(best, at(beforePrevious, column - 2) + 1);
      current.push(best);
    }
    beforePrevious = previous;
    previous = current;
  }
  return at(previous, right.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
