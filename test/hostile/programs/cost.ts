/**
 * Reads the files of a directory in every way that fits them, one after the other, with the limit
 * of a blob at 1 MiB. Prints as JSON what each cost at the least: MiB by which the resident memory
 * rose above what it was before, or milliseconds of the processor, on a processor on which a fixed task takes
 * `TASK_MS`: a slower one is not a cost of the file.
 *
 * Requires, for memory: Linux; node --expose-gc --max-semi-space-size=1, so that what is garbage is
 * counted as little as it can be, whenever the collector runs of its own. Values that a scan hands
 * out, or finds damaged, are garbage then, and collected when they are 4 MiB.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { StorageError } from '../../../src/errors.ts';
import type { SalvagedItem } from '../../../src/layers/layer-file/salvage.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { decodeControlFile } from '../../../src/postgres/control-file.ts';
import { readDocument } from '../../../src/write-once/document.ts';
import { readTenantConfig } from '../../../src/write-once/tenant-config.ts';
import { readTimelineMetadata } from '../../../src/write-once/timeline-metadata.ts';
import { parseBuildInput } from '../build-input.ts';
import type { CostlyKind } from '../costly-files.ts';

interface Input {
  readonly directory: string;
  readonly kind: CostlyKind;
  /**
   * Read several times before anything is measured, so that code is compiled and tables exist; then
   * measured, too.
   */
  readonly validDirectory: string;
  readonly what: 'memory' | 'processor';
  /** At most. */
  readonly rounds: number;
  /** What a hostile file may cost; for memory, more than a valid one. What costs no more is not read again. */
  readonly maximum: number;
}

const OPTIONS = { blockCache: null, maximumBlobLength: 1024 * 1024 } as const;

const WARM_UP_ROUNDS = 2;

const VALID_ROUNDS = 4;

/** Bytes of values that were returned. */
const COLLECTED = 4 * 1024 * 1024;

/** An estimate for the machine of docs/durability.md: where the task took 15.5 ms, the costliest file took 105 instead of 48. */
const TASK_MS = 8;

type Read = (path: string) => Promise<unknown>;

const WAYS: Readonly<Record<CostlyKind, Readonly<Record<string, Read>>>> = {
  layer: {
    verify: (path) => verifyLayer(path, OPTIONS),
    entries: async (path) => {
      await using reader = await openLayer(path, OPTIONS);
      await drain(reader.entries());
    },
    backwards: async (path) => {
      await using reader = await openLayer(path, OPTIONS);
      await drain(reader.entries({ reverse: true }));
    },
    salvage: async (path) => {
      await using reader = await openLayer(path, OPTIONS);
      await drain(salvaged(reader.salvage()));
    },
    streamed: async (path) => {
      await using reader = await openLayer(path, OPTIONS);
      for await (const item of reader.salvageStreamed()) {
        if (item.kind === 'large-entry') await item.stream(() => {});
      }
    },
  },
  document: { read: (path) => readDocument(path) },
  'tenant-config': { read: (path) => readTenantConfig(path) },
  metadata: { read: (path) => readTimelineMetadata(path) },
  'control-file': { read: async (path) => decodeControlFile(readFileSync(path)) },
  'build-input': { read: (path) => parseBuildInput([readFileSync(path)], () => {}) },
};

const { directory, validDirectory, kind, what, rounds, maximum }: Input = JSON.parse(
  process.argv[2] ?? '{}',
);
const slowness = what === 'memory' ? 1 : Math.max(1, (await taskMs()) / TASK_MS);
const measure =
  what === 'memory'
    ? risenMib
    : async (read: () => Promise<unknown>) => (await cpuMs(read)) / slowness;
for (let round = 0; round < WARM_UP_ROUNDS; round += 1) {
  for (const path of filesOf(validDirectory)) {
    for (const read of Object.values(WAYS[kind])) await survived(() => read(path));
  }
}
// A valid file is the measure of the others for memory: each is read several times, unless it costs little.
const valid = await costsOf(
  validDirectory,
  what === 'memory' ? maximum / 2 : maximum,
  VALID_ROUNDS,
);
const base = what === 'memory' ? Math.max(...valid.map(([, cost]) => cost)) : 0;
const hostile = await costsOf(directory, maximum + base, rounds);
process.stdout.write(`${JSON.stringify({ valid, hostile })}\n`);

async function costsOf(
  files: string,
  enough: number,
  most: number,
): Promise<[file: string, cost: number][]> {
  const costs: [file: string, cost: number][] = [];
  for (const path of filesOf(files)) {
    const ways = Object.entries(WAYS[kind]);
    // A hostile file that takes little memory in all ways together takes little in each.
    if (what === 'memory' && files === directory && ways.length > 1) {
      const cost = await measure(async () => {
        for (const [, read] of ways) await survived(() => read(path));
      });
      if (cost <= enough) {
        costs.push([`all ways: ${basename(path)}`, cost]);
        continue;
      }
    }
    for (const [way, read] of ways) {
      let cost = Number.POSITIVE_INFINITY;
      for (let round = 0; round < most && cost > enough; round += 1) {
        cost = Math.min(cost, await measure(() => read(path)));
      }
      costs.push([`${way}: ${basename(path)}`, cost]);
    }
  }
  return costs;
}

function filesOf(path: string): string[] {
  return readdirSync(path)
    .sort()
    .map((name) => join(path, name));
}

async function risenMib(read: () => Promise<unknown>): Promise<number> {
  collect();
  // The peak becomes what is resident now.
  writeFileSync('/proc/self/clear_refs', '5');
  const before = peakMib();
  await survived(read);
  return peakMib() - before;
}

function peakMib(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

/** What the fixed task takes at the least: text is made, parsed and sorted. */
async function taskMs(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 12; round += 1) {
    const task = async () => {
      const texts = Array.from({ length: 20_000 }, (_, at) => `item ${(at * 7919) % 20_000}`);
      const parsed: string[] = JSON.parse(JSON.stringify(texts));
      return parsed.sort().join();
    };
    least = Math.min(least, await cpuMs(task));
  }
  return least;
}

/** The threads of the collector included. */
async function cpuMs(read: () => Promise<unknown>): Promise<number> {
  const start = process.cpuUsage();
  await survived(read);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

async function survived(read: () => Promise<unknown>): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
  }
}

function collect(): void {
  globalThis.gc?.();
  // What the first one found to be free is released by the second.
  globalThis.gc?.();
}

async function drain(
  entries: AsyncIterable<{ readonly bytes: { readonly length: number } }>,
): Promise<void> {
  let handedOut = 0;
  for await (const { bytes } of entries) {
    handedOut += bytes.length;
    if (what !== 'memory' || handedOut < COLLECTED) continue;
    collectHandedOut();
    handedOut = 0;
  }
}

/** Most of it is young. What a collection of that leaves takes one of everything. */
function collectHandedOut(): void {
  globalThis.gc?.({ type: 'minor' });
  if (process.memoryUsage().arrayBuffers > COLLECTED) globalThis.gc?.();
}

/** What is damaged was decompressed, too, and let go. */
async function* salvaged(
  items: AsyncIterable<SalvagedItem>,
): AsyncGenerator<{ readonly bytes: { readonly length: number } }> {
  for await (const item of items) {
    yield item.kind === 'entry' ? item.entry : { bytes: { length: OPTIONS.maximumBlobLength } };
  }
}
