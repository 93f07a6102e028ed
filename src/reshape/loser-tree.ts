/**
 * The first round of a loser tree, which orders inputs by their heads: each node has the input that lost there, and
 * node 0 the winner. The leaves start at the node whose number is the number of inputs; the parent of node n is n / 2.
 * After advancing an input, the caller replays the path up from its leaf, in its own loop.
 */

/** The tree of `count` inputs. `isBefore`: whether the first input comes before the other; never true both ways. */
export function loserTree(
  count: number,
  isBefore: (one: number, other: number) => boolean,
): Int32Array {
  const tree = new Int32Array(Math.max(count, 1));
  const winners = new Int32Array(2 * count);
  for (let input = 0; input < count; input += 1) winners[count + input] = input;
  for (let node = count - 1; node > 0; node -= 1) {
    const left = winners[2 * node] as number;
    const right = winners[2 * node + 1] as number;
    const isLeft = isBefore(left, right);
    winners[node] = isLeft ? left : right;
    tree[node] = isLeft ? right : left;
  }
  tree[0] = count > 1 ? (winners[1] as number) : 0;
  return tree;
}
