/** Records counted in parts, against the same records counted by one reader. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { countInParallel, type ParallelCountOptions } from '../../src/wal/parallel-count.ts';
import { type RecordCounts, RecordTally } from '../../src/wal/record-tally.ts';
import { openWal, type WalReadOptions } from '../../src/wal/wal-reader.ts';
import { walFiles } from '../../src/wal/wal-source.ts';
import { SEGMENTS, walDirectoryOfTest } from '../cli/golden-wal.ts';
import { type BundledProgram, bundleProgram } from '../support/programs.ts';
import { rounds } from '../support/rounds.ts';

const RUNS = Number(process.env['LAYERFILE_COUNT_RUNS'] ?? rounds(6));
const FIRST = 0x160_0000n;
const LENGTH = 0x30_0000;

const MAJOR_VERSION = 15;

interface Counted {
  readonly counts: RecordCounts;
  readonly damaged: number;
  readonly end: readonly [string | undefined, bigint | undefined, string | undefined];
}

function pathsIn(directory: string, names: readonly string[] = SEGMENTS): string[] {
  return [...names, '00000002.history'].map((name) => join(directory, name));
}

async function countAlone(
  paths: readonly string[],
  options: WalReadOptions,
  tally = new RecordTally(MAJOR_VERSION, {}),
): Promise<Counted> {
  const reader = await openWal(walFiles(paths), options);
  let damaged = 0;
  const onDamage = (): void => {
    damaged += 1;
  };
  for await (const batch of reader) {
    if (batch.skipped !== undefined) damaged += 1;
    tally.add(batch, { onDamage });
  }
  const { kind, lsn, error } = reader.end ?? {};
  return { counts: tally.counts(), damaged, end: [kind, lsn, error?.message] };
}

/** In parts first, then by a reader that goes on. */
async function countSplit(
  paths: readonly string[],
  options: WalReadOptions,
  parallel: Pick<ParallelCountOptions, 'partLength' | 'threadCount' | 'program' | 'onCounted'>,
): Promise<Counted> {
  const tally = new RecordTally(MAJOR_VERSION, {});
  const { extent } = await openWal(walFiles(paths), options);
  const { start, end, timeline } = options;
  const position = await countInParallel(tally, {
    ...{ paths, timeline, start, end, extent, selection: {} },
    ...parallel,
  });
  return countAlone(paths, { ...options, start: position ?? start }, tally);
}

describe('parts of the WAL hold together what one reader counts', () => {
  test('parts of the WAL over both timelines hold together what one reader counts', async () => {
    const paths = pathsIn(walDirectoryOfTest());
    const told: bigint[] = [];
    const split = await countSplit(
      paths,
      {},
      { threadCount: 1, partLength: 0x3_0000n, onCounted: (lsn) => told.push(lsn) },
    );
    expect(split).toEqual(await countAlone(paths, {}));
    expect(told.length).toBeGreaterThan(10);
    expect(told).toEqual([...told].sort((left, right) => Number(left - right)));
  });

  test('parts of the WAL hold together what one reader counts from any start to any end', async () => {
    const paths = pathsIn(walDirectoryOfTest());
    const lsns = fc.tuple(fc.nat(LENGTH), fc.nat(LENGTH));
    const lengths = fc.constantFrom(0x4_0000n, 0x8_0000n, 0x10_0000n);
    await fc.assert(
      fc.asyncProperty(lsns, fc.boolean(), lengths, async (pair, isOpen, partLength) => {
        const [from, to] = pair.sort((left, right) => left - right);
        const start = FIRST + BigInt(from ?? 0);
        const end = isOpen ? undefined : FIRST + BigInt(to ?? 0);
        const split = await countSplit(paths, { start, end }, { threadCount: 1, partLength });
        expect(split).toEqual(await countAlone(paths, { start, end }));
      }),
      { numRuns: RUNS },
    );
  });
});

function damagedAt(original: Buffer, from: number, length: number): Buffer {
  return Buffer.from(original).fill(0x5a, from, Math.min(from + length, original.length));
}

test('parts of the WAL hold together what one reader counts with damage anywhere, what is counted and how the WAL ends are the same', async () => {
  const directory = walDirectoryOfTest();
  const change = fc.record({
    segment: fc.nat(3),
    offset: fc.nat(0xf_ffff),
    length: fc.nat(20_000),
  });
  await fc.assert(
    fc.asyncProperty(change, fc.boolean(), async ({ segment, offset, length }, skipCorrupt) => {
      const path = join(directory, SEGMENTS[segment] as string);
      const original = readFileSync(path);
      writeFileSync(path, damagedAt(original, offset, length));
      try {
        const paths = pathsIn(directory);
        const split = await countSplit(
          paths,
          { skipCorrupt },
          { threadCount: 1, partLength: 0x4_0000n },
        );
        expect(split).toEqual(await countAlone(paths, { skipCorrupt }));
      } finally {
        writeFileSync(path, original);
      }
    }),
    { numRuns: RUNS },
  );
});

test('a missing and a truncated segment end the WAL as for one reader', async () => {
  const directory = walDirectoryOfTest();
  const parallel = { threadCount: 1, partLength: 0x4_0000n };
  const gap = pathsIn(directory, [SEGMENTS[0], SEGMENTS[2]] as string[]);
  expect(await countSplit(gap, {}, parallel)).toEqual(await countAlone(gap, {}));
  truncateSync(join(directory, SEGMENTS[1] as string), 300_000);
  const cut = pathsIn(directory);
  expect(await countSplit(cut, {}, parallel)).toEqual(await countAlone(cut, {}));
});

describe('on threads', () => {
  let program: BundledProgram;
  beforeAll(async () => {
    program = await bundleProgram(new URL('../../src/entry/wal-count-thread.ts', import.meta.url));
  });
  afterAll(() => program.remove());

  const parallel = () => ({
    threadCount: 3,
    partLength: 0x8_0000n,
    program: pathToFileURL(program.path),
  });

  test('the counts are the same', async () => {
    const paths = pathsIn(walDirectoryOfTest());
    expect(await countSplit(paths, {}, parallel())).toEqual(await countAlone(paths, {}));
  });

  test('a file that disappears meanwhile is reported by the reader that continues', async () => {
    const directory = walDirectoryOfTest();
    const paths = pathsIn(directory);
    const extent = { start: FIRST, end: FIRST + BigInt(LENGTH) };
    rmSync(join(directory, SEGMENTS[1] as string));
    const tally = new RecordTally(MAJOR_VERSION, {});
    const position = await countInParallel(tally, {
      ...{ paths, timeline: 1, start: undefined, end: undefined, extent, selection: {} },
      ...parallel(),
    });
    expect(position).toBeLessThanOrEqual(FIRST + 0x10_0000n);
  });

  test('a program that cannot be loaded leaves the work to the caller', async () => {
    const paths = pathsIn(walDirectoryOfTest());
    const missing = { ...parallel(), program: new URL('missing.mjs', pathToFileURL(program.path)) };
    expect(await countSplit(paths, {}, missing)).toEqual(await countAlone(paths, {}));
  });
});
