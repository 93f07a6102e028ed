/**
 * Reads the files of a directory in every way, one after the other, with the limit of a blob at
 * 1 MiB. Prints the peak of resident memory, and what the files cost of the processor at the least,
 * as one line of JSON.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { StorageError } from '../../../src/errors.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';

interface Input {
  readonly directory: string;
  readonly rounds: number;
  readonly ways?: readonly string[];
}

const OPTIONS = { blockCache: null, maximumBlobLength: 1024 * 1024 } as const;

const WAYS: Record<string, (path: string) => Promise<unknown>> = {
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
    await drain(reader.salvage());
  },
  streamed: async (path) => {
    await using reader = await openLayer(path, OPTIONS);
    for await (const item of reader.salvageStreamed()) {
      if (item.kind === 'large-entry') await item.stream(() => {});
    }
  },
};

const { directory, rounds, ways = Object.keys(WAYS) }: Input = JSON.parse(process.argv[2] ?? '{}');
const names = readdirSync(directory).sort();
const cheapest = new Map<string, number>();
for (let round = 0; round < rounds; round += 1) {
  for (const name of names) {
    for (const [way, read] of Object.entries(WAYS)) {
      if (!ways.includes(way)) continue;
      const ms = await cost(() => read(join(directory, name)));
      cheapest.set(`${way}: ${name}`, Math.min(cheapest.get(`${way}: ${name}`) ?? Infinity, ms));
    }
  }
}
const slowest = [...cheapest].sort((left, right) => right[1] - left[1]).slice(0, 8);
// `maxRSS` of `process.resourceUsage()` counts what the process that started this one had, too.
const peakKib = Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
process.stdout.write(
  `${JSON.stringify({ files: names.length, peakMib: peakKib / 1024, slowest })}\n`,
);

/** Milliseconds of the processor, the threads of the collector included. */
async function cost(read: () => Promise<unknown>): Promise<number> {
  const start = process.cpuUsage();
  try {
    await read();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
  }
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

async function drain(items: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of items) count += 1;
  return count;
}
