/** WAL that `wal` divides among threads, against the same WAL on one thread: bytes, messages and exit status. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isReaderGone, Output, type OutputStream } from '../../src/cli/output.ts';
import { Reporter } from '../../src/cli/reporter.ts';
import type { WalOptions } from '../../src/cli/wal-options.ts';
import { printRecords, printStatistics, type WalRun } from '../../src/cli/wal-records.ts';
import type { RecordSelection } from '../../src/wal/record-selection.ts';
import { openWal, type WalReader } from '../../src/wal/wal-reader.ts';
import { type WalSource, walDirectory } from '../../src/wal/wal-source.ts';
import { type BundledProgram, bundleProgram } from '../support/programs.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { walRecord } from '../support/wal-records.ts';
import { SEGMENT_SIZE, WalBuilder } from '../support/wal-segments.ts';
import { SEGMENTS, walDirectoryOfTest } from './golden-wal.ts';

const RUNS = Number(process.env['LAYERFILE_COUNT_RUNS'] ?? rounds(4));
const FIRST = 0x160_0000n;
const LENGTH = 0x30_0000;

type Division = NonNullable<WalRun['division']>;

interface Setup {
  readonly options?: WalOptions;
  readonly selection?: RecordSelection;
  readonly division?: Division | undefined;
  readonly signal?: AbortSignal;
  readonly stdout?: OutputStream;
  /** Told when the source is listed for threads. */
  readonly onList?: () => void;
}

interface Printed {
  readonly status: number;
  readonly text: string;
  readonly messages: string;
}

class Collected implements OutputStream {
  text = '';

  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
    this.text += Buffer.from(chunk).toString();
    setImmediate(done);
    return true;
  }

  on(): this {
    return this;
  }
}

/** As the command does, on as many threads as the division and `jobs` say. */
async function print(directory: string, setup: Setup): Promise<Printed> {
  const { options = {}, selection = {}, division, onList } = setup;
  const { start, end, timeline, skipCorrupt, stats } = options;
  const { signal = new AbortController().signal } = setup;
  const source = walDirectory(directory);
  const openAt = (from: bigint | undefined): Promise<WalReader> =>
    openWal(source, { start: from, end, timeline, skipCorrupt, signal });
  const reader = await openAt(start);
  const localSource: WalSource = {
    path: source.path,
    list: (listSignal) => {
      onList?.();
      return source.list(listSignal);
    },
  };
  const stdout = new Collected();
  const stderr = new Collected();
  const outputOf = (stream: OutputStream): Output =>
    new Output(stream, { name: 'standard output', isTerminal: false, colour: false, signal });
  const context = {
    stdin: () => {
      throw new Error('nothing reads standard input');
    },
    ...{ stdinIsTerminal: false, stdinSize: undefined, stdoutIsFile: false, signal },
    stdout: outputOf(setup.stdout ?? stdout),
    reporter: new Reporter(outputOf(stderr), { audience: 'people', dumbTerminal: true }),
  };
  const run = { reader, selection, options, localSource, openAt, division };
  const status =
    stats === undefined
      ? await printRecords(context, run)
      : await printStatistics(context, { ...run, rows: stats.rows });
  await context.stdout.flush();
  return { status, text: stdout.text, messages: stderr.text };
}

let lineThread: BundledProgram;
let countThread: BundledProgram;
beforeAll(async () => {
  lineThread = await bundleProgram(new URL('../../src/cli/wal-line-thread.ts', import.meta.url));
  countThread = await bundleProgram(
    new URL('../../src/entry/wal-count-thread.ts', import.meta.url),
  );
});
afterAll(() => {
  lineThread.remove();
  countThread.remove();
});

function divided(partLength = 0x4_0000n, program = lineThread): Division {
  return { smallest: 0n, partLength, program: pathToFileURL(program.path) };
}

/** Prints with and without threads. Returns: what both printed, which is the same. */
async function printBoth(directory: string, setup: Setup): Promise<Printed> {
  const alone = await print(directory, { ...setup, options: { ...setup.options, jobs: 1 } });
  let isListed = false;
  const together = await print(directory, {
    ...setup,
    options: { ...setup.options, jobs: 3 },
    division: setup.division ?? divided(),
    onList: () => {
      isListed = true;
    },
  });
  expect(together).toEqual(alone);
  expect(isListed).toBe(true);
  return alone;
}

describe('lines by threads are those of one thread', () => {
  test.each<[string, Setup]>([
    ['as text', {}],
    ['as NDJSON', { options: { ndjson: true } }],
    ['of one timeline', { options: { timeline: 1 } }],
    ['of a transaction, which few parts have', { selection: { xid: 35958 } }],
    ['with page images, in NDJSON', { selection: { hasImage: true }, options: { ndjson: true } }],
    ['in a dialect', { options: { dialect: 'vanilla' } }],
  ])('lines printed by threads are those of one thread: %s', async (_, setup) => {
    const { text, status } = await printBoth(walDirectoryOfTest(), setup);
    expect(text.split('\n').length).toBeGreaterThan(5);
    expect(status).toBe(0);
  });

  test('lines by threads are those of one thread up to records that contradict the dialect, and after them', async () => {
    const { text, status } = await printBoth(walDirectoryOfTest(), {
      options: { dialect: 'neon' },
    });
    expect(text).toMatch(/^damaged at .*dialect/m);
    expect(status).toBe(1);
  });

  test('lines by threads are those of one thread from any start to any end, in parts of any length', async () => {
    const directory = walDirectoryOfTest();
    const lsns = fc.tuple(fc.nat(LENGTH), fc.nat(LENGTH));
    const lengths = fc.constantFrom(0x2_0000n, 0x5_0000n, 0x10_0000n);
    const forms = fc.constantFrom<WalOptions>({}, { ndjson: true });
    await fc.assert(
      fc.asyncProperty(lsns, lengths, forms, async (pair, partLength, form) => {
        const [from = 0, to = 0] = pair.sort((left, right) => left - right);
        const options = { ...form, start: FIRST + BigInt(from), end: FIRST + BigInt(to) };
        await printBoth(directory, { options, division: divided(partLength) });
      }),
      { numRuns: RUNS },
    );
  });

  test('lines by threads are those of one thread with damage anywhere', async () => {
    const directory = walDirectoryOfTest();
    const change = fc.record({
      segment: fc.nat(3),
      offset: fc.nat(0xf_ffff),
      length: fc.nat(20_000),
    });
    const behaviours = fc.constantFrom<WalOptions>({}, { skipCorrupt: true });
    await fc.assert(
      fc.asyncProperty(change, behaviours, async ({ segment, offset, length }, options) => {
        const path = join(directory, SEGMENTS[segment] as string);
        const original = readFileSync(path);
        const end = Math.min(offset + length, original.length);
        writeFileSync(path, Buffer.from(original).fill(0x5a, offset, end));
        try {
          await printBoth(directory, { options });
        } finally {
          writeFileSync(path, original);
        }
      }),
      { numRuns: RUNS },
    );
  });

  test('lines by threads are those of one thread before a gap, and in a truncated segment', async () => {
    const gap = walDirectoryOfTest([SEGMENTS[0], SEGMENTS[2]] as string[]);
    expect((await printBoth(gap, {})).status).not.toBe(0);
    const cut = walDirectoryOfTest();
    truncateSync(join(cut, SEGMENTS[1] as string), 300_000);
    expect((await printBoth(cut, {})).status).not.toBe(0);
  });

  test('lines by threads are those of one thread if the program of the threads cannot be loaded', async () => {
    const program = new URL('missing.mjs', pathToFileURL(lineThread.path));
    await printBoth(walDirectoryOfTest(), { division: { ...divided(), program } });
  });
});

test('the statistics by threads are those of one thread', async () => {
  const options: WalOptions = { stats: { rows: 'record', path: undefined } };
  const division = divided(0x4_0000n, countThread);
  const { text } = await printBoth(walDirectoryOfTest(), { options, division });
  expect(text).toContain('Heap/INSERT');
});

describe('threads print nothing', () => {
  test.each<[string, WalOptions]>([
    ['of a limited number of records', { limit: 3 }],
    ['of one JSON document', { json: true, limit: undefined }],
    ['with digests of page images', { ndjson: true, sha256: true }],
    ['with -j 1', { jobs: 1 }],
  ])('threads print nothing %s', async (_, options) => {
    let isListed = false;
    const onList = (): void => {
      isListed = true;
    };
    const setup = { options: { jobs: 3, ...options }, division: divided(), onList };
    const { status } = await print(walDirectoryOfTest(), setup);
    expect(status).toBe(0);
    expect(isListed).toBe(false);
  });

  test('threads print nothing to a pipe whose reader has gone', async () => {
    class ClosedPipe extends Collected {
      override write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
        if (this.text === '') return super.write(chunk, done);
        setImmediate(() => done(Object.assign(new Error('closed'), { code: 'EPIPE' })));
        return false;
      }
    }
    const stdout = new ClosedPipe();
    const setup = { options: { jobs: 3 }, division: divided(), stdout };
    const printing = print(walDirectoryOfTest(), setup);
    const error = await printing.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(isReaderGone(error)).toBe(true);
    expect(stdout.text.length).toBeGreaterThan(0);
  });

  test('threads print nothing after an abort', async () => {
    const controller = new AbortController();
    class Aborting extends Collected {
      override write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
        controller.abort();
        return super.write(chunk, done);
      }
    }
    const { signal } = controller;
    const setup = { options: { jobs: 3 }, division: divided(), stdout: new Aborting(), signal };
    await expect(print(walDirectoryOfTest(), setup)).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('WAL is divided from a length on', () => {
  const MEBIBYTE = 1024 * 1024;

  /** Segments at both ends of N MiB; what lies between them is missing. */
  function spread(mebibytes: number): string {
    const directory = temporaryDirectory();
    for (const start of [SEGMENT_SIZE, mebibytes * MEBIBYTE]) {
      const builder = new WalBuilder({ start: BigInt(start) });
      builder.append(walRecord({ resourceManager: 10, info: 0, mainData: Uint8Array.of(1, 0, 0) }));
      for (const { name = '', bytes } of builder.files) writeFileSync(join(directory, name), bytes);
    }
    return directory;
  }

  test.each<[string, number, boolean, WalOptions]>([
    ['lines of less than 16 MiB are not', 15, false, {}],
    ['lines of 16 MiB are', 16, true, {}],
    ['128 MiB whose end is given before 16 MiB are not', 128, false, { end: 0xff_ffffn }],
    ['lines of less than 16 MiB after the start are not', 128, false, { start: 0x710_0001n }],
    [
      'statistics of less than 128 MiB are not',
      127,
      false,
      { stats: { rows: 'rmgr', path: undefined } },
    ],
    ['statistics of 128 MiB are', 128, true, { stats: { rows: 'rmgr', path: undefined } }],
  ])('%s divided among threads', async (_, mebibytes, isDivided, options) => {
    let isListed = false;
    const onList = (): void => {
      isListed = true;
    };
    const directory = spread(mebibytes);
    const result = await print(directory, { options: { ...options, jobs: 2 }, onList });
    expect(isListed).toBe(isDivided);
    const alone = await print(directory, { options: { ...options, jobs: 1 } });
    expect(result).toEqual(alone);
  });
});
