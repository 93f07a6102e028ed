import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ImportTask } from '../../../src/ingest/pgdata/import-plan.ts';
import {
  countImages,
  type ImportShard,
  type LayerJob,
  ownedRuns,
  planJobs,
} from '../../../src/ingest/pgdata/layer-jobs.ts';
import { compareKeys, formatKey, maximumKey, minimumKey } from '../../../src/layers/key.ts';
import { relationBlockKey, relationSizeKey } from '../../../src/postgres/key-mapping.ts';
import { shardKeeps } from '../../../src/timeline/shard-owner.ts';
import { rounds } from '../../support/rounds.ts';

const SEED = 20_261_129;
const ALONE: ImportShard = { sharding: { count: 0, stripeSize: 2048 }, number: 0 };
const PAGE = 8192;

/** Relations of N pages, each in one file, with their sizes. */
function tasksOf(pageCounts: readonly number[], fork: 'main' | 'init' = 'main'): ImportTask[] {
  return pageCounts.flatMap((pageCount, index): ImportTask[] => {
    const relation = { spcnode: 1663, dbnode: 5, relnode: 16_384 + index, fork } as const;
    const stat = { size: pageCount * PAGE, fileSize: pageCount * PAGE, identity: '' };
    const segment = { segmentNumber: 0, path: `${relation.relnode}`, ...stat };
    const place = { firstBlock: 0, firstPage: 0, pageCount };
    const start = relationBlockKey({ ...relation, blkno: 0 });
    const sizeKey = relationSizeKey(relation);
    return [
      ...(pageCount === 0
        ? []
        : [
            {
              kind: 'relation',
              start,
              fork: { ...relation, pageCount, segments: [segment] },
              segment,
              ...place,
            } as const,
          ]),
      { kind: 'value', start: sizeKey, value: new Uint8Array(4), shards: 'all' },
    ];
  });
}

/** The keys of a job, in order. */
function keysOf(job: LayerJob, shard: ImportShard): string[] {
  return job.tasks.flatMap((task) => {
    if (task.kind === 'value') return [formatKey(task.start)];
    return [...ownedRuns(task, shard)].flatMap(({ firstPage, pageCount }) =>
      Array.from({ length: pageCount }, (_, page) => {
        if (task.kind === 'slru') throw new Error('no SLRU here');
        const blkno = task.firstBlock + firstPage - task.firstPage + page;
        return formatKey(relationBlockKey({ ...task.fork, blkno }));
      }),
    );
  });
}

function allKeys(pageCounts: readonly number[]): string[] {
  return pageCounts.flatMap((pageCount, index) => {
    const relation = { spcnode: 1663, dbnode: 5, relnode: 16_384 + index, fork: 'main' } as const;
    const blocks = Array.from({ length: pageCount }, (_, blkno) =>
      formatKey(relationBlockKey({ ...relation, blkno })),
    );
    return [...blocks, formatKey(relationSizeKey(relation))];
  });
}

const counts = fc.array(fc.nat(40), { minLength: 1, maxLength: 8 });
const shards = fc
  .record({ count: fc.nat(5), stripeSize: fc.integer({ min: 1, max: 9 }) })
  .chain((sharding) =>
    fc.nat(Math.max(0, sharding.count - 1)).map((number): ImportShard => ({ sharding, number })),
  );

test.each(['fast', 'classic'] as const)(
  `%s layers have each key of the shard once, in touching ranges (seed ${SEED})`,
  (way) => {
    const property = fc.property(
      counts,
      shards,
      fc.integer({ min: 1, max: 30 }),
      (pageCounts, shard, limit) => {
        const jobs = planJobs(tasksOf(pageCounts), { way, layerSize: limit * PAGE, shard });
        const { sharding, number } = shard;
        const wanted = allKeys(pageCounts).filter((key) =>
          shardKeeps(Buffer.from(key, 'hex'), sharding, number),
        );
        expect(jobs.flatMap((job) => keysOf(job, shard))).toEqual(wanted);
        let end = minimumKey();
        for (const job of jobs) {
          const { keyRange, imageCount } = job;
          expect(compareKeys(end, keyRange.start)).toBeLessThanOrEqual(0);
          end = keyRange.end;
          const keys = keysOf(job, shard);
          expect(keys).toHaveLength(imageCount);
          expect(keys.every((key) => key >= formatKey(keyRange.start))).toBe(true);
          expect(keys.every((key) => key < formatKey(keyRange.end))).toBe(true);
          if (way === 'classic') expect(imageCount).toBeLessThanOrEqual(limit);
          else if (imageCount > limit) {
            const large = job.tasks.filter((task) => countImages(task, shard) > 0);
            expect(large).toHaveLength(1);
          }
        }
      },
    );
    fc.assert(property, { seed: SEED, numRuns: rounds(40) });
  },
);

describe('the cuts', () => {
  const namesOf = (jobs: readonly LayerJob[]) =>
    jobs.map(({ keyRange: { start, end }, imageCount }) => [
      formatKey(start).slice(-18),
      formatKey(end).slice(-18),
      imageCount,
    ]);

  test('fast: a file above the limit has its own layer, and one at the limit fits', () => {
    const options = { way: 'fast', layerSize: 4 * PAGE, shard: ALONE } as const;
    expect(namesOf(planJobs(tasksOf([3, 5, 4]), options))).toEqual([
      ['000000000000000000', '000040010000000000', 4],
      ['000040010000000000', '0000400100FFFFFFFF', 5],
      ['0000400100FFFFFFFF', '000040020000000000', 1],
      ['000040020000000000', '0000400200FFFFFFFF', 4],
      ['0000400200FFFFFFFF', formatKey(maximumKey()).slice(-18), 1],
    ]);
  });

  test('classic: a layer ends within a relation, up to the checkpoint', () => {
    const options = { way: 'classic', layerSize: 4 * PAGE, shard: ALONE } as const;
    expect(namesOf(planJobs(tasksOf([3, 5]), options))).toEqual([
      ['000000000000000000', '000040010000000000', 4],
      ['000040010000000000', '000040010000000004', 4],
      ['000040010000000004', '000000000000000002', 2],
    ]);
  });

  test('classic: a file of many pages is cut into a layer for each of them', () => {
    const jobs = planJobs(tasksOf([20_000]), { way: 'classic', layerSize: PAGE, shard: ALONE });
    expect(jobs).toHaveLength(20_001);
  });

  test('init forks are on the first shard only', () => {
    const [task] = tasksOf([20], 'init');
    const sharding = { count: 3, stripeSize: 1 };
    const of = (number: number) => (task ? countImages(task, { sharding, number }) : -1);
    expect([of(0), of(1), of(2)]).toEqual([20, 0, 0]);
  });

  test('a shard without images in a range has no layer there', () => {
    const tasks = tasksOf([4]).filter(({ kind }) => kind === 'relation');
    const sharding = { count: 4, stripeSize: 2048 };
    const made = [0, 1, 2, 3].map(
      (number) =>
        planJobs(tasks, { way: 'fast', layerSize: PAGE, shard: { sharding, number } }).length,
    );
    expect(made.sort()).toEqual([0, 0, 0, 1]);
  });
});
