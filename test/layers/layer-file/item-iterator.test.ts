/** Items out of groups, one by one: as an async generator would hand them out. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  groupOf,
  type ItemGroup,
  ItemIterator,
} from '../../../src/layers/layer-file/item-iterator.ts';

class Trace {
  started = 0;
  closed = 0;
}

async function* groupsOf(
  groups: readonly (readonly number[])[],
  trace: Trace,
  failure?: Error,
): AsyncGenerator<ItemGroup<number>> {
  trace.started += 1;
  try {
    for (const group of groups) yield groupOf(group);
    if (failure !== undefined) throw failure;
  } finally {
    trace.closed += 1;
  }
}

async function* itemsOf(
  groups: readonly (readonly number[])[],
  failure?: Error,
): AsyncGenerator<number, undefined, undefined> {
  // A delegation to an array would ask it for a `throw` that it does not have.
  for (const group of groups) for (const item of group) yield item;
  if (failure !== undefined) throw failure;
  return undefined;
}

type Call = 'next' | 'return' | 'throw' | 'wait';

/** Makes the calls without waiting but where it says so; tells how each was settled. */
async function outcomes(
  iterator: AsyncGenerator<number, undefined, undefined>,
  calls: readonly Call[],
): Promise<unknown[]> {
  const made: Promise<unknown>[] = [];
  for (const call of calls) {
    if (call === 'next') made.push(iterator.next());
    else if (call === 'return') made.push(iterator.return(undefined));
    else if (call === 'throw') made.push(iterator.throw(new Error('thrown')));
    else await Promise.allSettled(made);
  }
  const settled = await Promise.allSettled(made);
  return settled.map((outcome) =>
    outcome.status === 'fulfilled' ? outcome.value : String(outcome.reason),
  );
}

describe('items one by one', () => {
  it('items one by one are those that a generator yields, whichever of next, return and throw is called', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(), { maxLength: 3 }), { maxLength: 4 }),
        fc.array(fc.constantFrom<Call>('next', 'next', 'next', 'wait', 'return', 'throw'), {
          maxLength: 14,
        }),
        fc.boolean(),
        async (groups, calls, fails) => {
          const failure = fails ? new Error('failed') : undefined;
          const iterator = new ItemIterator(groupsOf(groups, new Trace(), failure));
          expect(await outcomes(iterator, calls)).toEqual(
            await outcomes(itemsOf(groups, failure), calls),
          );
        },
      ),
    );
  });

  it('items one by one begin with the first call, and close what they come from when a loop is left', async () => {
    const trace = new Trace();
    const iterator = new ItemIterator(groupsOf([[1, 2], [3]], trace));
    await Promise.resolve();
    expect(trace.started).toBe(0);
    for await (const item of iterator) if (item === 2) break;
    expect(trace).toMatchObject({ started: 1, closed: 1 });
    expect(await iterator.next()).toEqual({ value: undefined, done: true });
    const disposed = new Trace();
    {
      await using items = new ItemIterator(groupsOf([[1]], disposed));
      await items.next();
    }
    expect(disposed.closed).toBe(1);
  });
});
