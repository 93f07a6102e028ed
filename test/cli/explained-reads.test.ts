/** Many reads of a timeline that is made of answers. */
import { expect, test } from 'vitest';
import { answersInOrder, type Read, type ReadableTimeline } from '../../src/cli/explained-reads.ts';
import { StorageError } from '../../src/errors.ts';
import { formatKey, type Key } from '../../src/layers/key.ts';
import type { Reconstruction } from '../../src/timeline/reconstruct.ts';
import { blockKey } from '../support/layers.ts';

/** Each call is noted as the blocks and the LSN that it reads. */
function timelineOf({
  atATime = 1000,
  damaged,
}: {
  atATime?: number;
  damaged?: number;
}): ReadableTimeline & { calls: string[] } {
  const calls: string[] = [];
  const read = (keys: readonly Key[], lsn: bigint): Reconstruction[] => {
    calls.push(`${keys.map(blockOf).join(' ')} at ${lsn}`);
    if (keys.length > atATime) throw new StorageError('too-large', { what: 'values of a read' });
    if (keys.map(blockOf).some((block) => block === damaged)) {
      throw new StorageError('corrupt', { what: 'layer' });
    }
    return keys.map((key) => {
      return { key, lsn, visits: [], base: undefined, records: [], outcome: 'missing' };
    });
  };
  return {
    calls,
    reconstruct: async (key, lsn) => read([key], lsn)[0] as Reconstruction,
    reconstructMany: async (keys, lsn) => read(keys, lsn),
  };
}

function blockOf(key: Key): number {
  return Number.parseInt(formatKey(key).slice(-8), 16);
}

async function answersTo(
  pairs: readonly (readonly [number, bigint])[],
  timeline: ReadableTimeline,
  { size = 10 } = {},
): Promise<string[]> {
  async function* reads(): AsyncGenerator<Read> {
    for (const [block, lsn] of pairs) yield { key: blockKey(block), lsn };
  }
  const keep = async ({ key, lsn }: Reconstruction) => ({ size, text: `${blockOf(key)} ${lsn}` });
  const answers: string[] = [];
  try {
    for await (const { text } of answersInOrder(timeline, reads(), { keep })) answers.push(text);
  } catch (error) {
    answers.push(error instanceof StorageError ? error.code : `${error}`);
  }
  return answers;
}

test('reads of one LSN are made together, and answered in the order of the reads', async () => {
  const timeline = timelineOf({});
  const answers = await answersTo(
    [
      [1, 5n],
      [2, 6n],
      [3, 5n],
      [1, 5n],
      [4, 6n],
    ],
    timeline,
  );
  expect(answers).toEqual(['1 5', '2 6', '3 5', '1 5', '4 6']);
  expect(timeline.calls).toEqual(['1 3 1 at 5', '2 4 at 6']);
});

test('reads whose values are too many together are made in smaller groups', async () => {
  const timeline = timelineOf({ atATime: 2 });
  const answers = await answersTo(
    [1, 2, 3, 4, 5].map((block) => [block, 5n]),
    timeline,
  );
  expect(answers).toEqual(['1 5', '2 5', '3 5', '4 5', '5 5']);
  expect(timeline.calls).toEqual([
    '1 2 3 4 5 at 5',
    '1 2 3 at 5',
    '1 2 at 5',
    '3 4 5 at 5',
    '3 4 at 5',
    '5 at 5',
  ]);
});

test('a read that fails ends the answers after those of the reads before it', async () => {
  const timeline = timelineOf({ damaged: 3 });
  const answers = await answersTo(
    [1, 2, 3, 4].map((block) => [block, 5n]),
    timeline,
  );
  expect(answers).toEqual(['1 5', '2 5', 'corrupt']);
});

test('while kept answers are large, only the next read is made', async () => {
  const timeline = timelineOf({});
  const pairs = [
    [1, 5n],
    [2, 6n],
    [3, 5n],
    [4, 6n],
  ] as const;
  const answers = await answersTo(pairs, timeline, { size: 16 * 1024 * 1024 });
  expect(answers).toEqual(['1 5', '2 6', '3 5', '4 6']);
  expect(timeline.calls).toEqual(['1 3 at 5', '2 at 6', '4 at 6']);
});

test('the first answers come before all reads are known', async () => {
  const timeline = timelineOf({});
  let known = 0;
  async function* endless(): AsyncGenerator<Read> {
    for (;;) yield { key: blockKey(known++), lsn: 5n };
  }
  const keep = async () => ({ size: 1 });
  for await (const _ of answersInOrder(timeline, endless(), { keep })) break;
  expect(known).toBeLessThan(1000);
});
