/** "Did you mean": the candidate closest to a mistyped name. */

/**
 * Describes an unknown name for an error: `unknown fork "fms"; did you mean "fsm"?`. If no
 * candidate is near, `expected` lists all of them.
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

/** Returns the nearest candidate within two typing mistakes, or undefined. */
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
/** Longer text is not a mistyped name, and the distance costs the product of both lengths. */
const MAXIMUM_LENGTH = 64;

/**
 * Counts the insertions, deletions, replacements and swaps of adjacent characters between two names.
 */
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
