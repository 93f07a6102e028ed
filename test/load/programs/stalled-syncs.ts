/**
 * Syncs that hold a thread of the pool each, for as long as a slow disk would, and reads of other
 * files meanwhile. A blocking read of a FIFO holds the thread: no CPU is used, so that what the
 * reads wait for is the pool and nothing else.
 */
import { execFileSync } from 'node:child_process';
import { constants, openSync, read, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { FileSystem, OpenFile } from '../../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../../src/virtual-file/virtual-file.ts';
import { delegatingFile } from '../../support/delegating-file.ts';

export interface StalledSyncsInput {
  readonly directory: string;
  readonly stallMs: number;
  /** `unbounded`: past the library, to see that the stall is one. */
  readonly syncs: 'bounded' | 'unbounded';
}

export interface StalledSyncsResult {
  readonly reads: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
  /** Of the same reads before any sync: what the machine does to them by itself. */
  readonly undisturbedP99Ms: number;
  /** Highest number that held a thread at the same time. */
  readonly mostStalled: number;
  readonly totalMs: number;
}

const FILE_SYNCS = 12;
const DIRECTORY_SYNCS = 4;
const READ_FILES = 200;
const READERS = 4;
const READ_LENGTH = 8192;
const UNDISTURBED_MS = 500;

const [, , text = ''] = process.argv;
const input: StalledSyncsInput = JSON.parse(text);
const fifo = join(input.directory, 'fifo');
execFileSync('mkfifo', [fifo]);
const fifoDescriptor = openSync(fifo, constants.O_RDWR);
let stalled = 0;
let mostStalled = 0;

async function holdThread(): Promise<void> {
  stalled += 1;
  mostStalled = Math.max(mostStalled, stalled);
  setTimeout(() => writeSync(fifoDescriptor, 'x'), input.stallMs);
  await new Promise<void>((resolve, reject) => {
    read(fifoDescriptor, new Uint8Array(1), 0, 1, null, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
  stalled -= 1;
}

const fileSystem: FileSystem = {
  ...nodeFileSystem,
  async open(path, options) {
    const file = await nodeFileSystem.open(path, options);
    return delegatingFile(file, {
      async sync() {
        await holdThread();
        await file.sync();
      },
      async syncData() {
        await holdThread();
        await file.syncData();
      },
    });
  },
  async syncDirectory(path) {
    await holdThread();
    await nodeFileSystem.syncDirectory(path);
  },
};

const openFiles = new OpenFiles({ capacity: 64, fileSystem });

/** Half of the files by each of the two ways. */
function syncOneWay(file: Pick<OpenFile, 'sync' | 'syncData'>, index: number): Promise<void> {
  return index % 2 === 0 ? file.sync() : file.syncData();
}

async function startSyncs(): Promise<void> {
  const paths = Array.from({ length: FILE_SYNCS }, (_, n) => join(input.directory, `synced-${n}`));
  if (input.syncs === 'unbounded') {
    const files = await Promise.all(
      paths.map((path) => fileSystem.open(path, { write: true, createNew: true })),
    );
    await Promise.all(files.map(syncOneWay));
    await Promise.all(files.map((file) => file.close()));
    return;
  }
  const files = await Promise.all(
    paths.map((path) => VirtualFile.open(path, { write: true, createNew: true, openFiles })),
  );
  await Promise.all(files.map((file) => file.writeAllAt(new Uint8Array(READ_LENGTH), 0)));
  await Promise.all([
    ...files.map(syncOneWay),
    ...Array.from({ length: DIRECTORY_SYNCS }, () => openFiles.syncDirectory(input.directory)),
  ]);
  await Promise.all(files.map((file) => file.close()));
}

const readFiles: VirtualFile[] = [];
for (let n = 0; n < READ_FILES; n += 1) {
  const path = join(input.directory, `read-${n}`);
  writeFileSync(path, new Uint8Array(READ_LENGTH).fill(n));
  readFiles.push(await VirtualFile.open(path, { read: true, openFiles }));
}

/** Milliseconds of each read while the work is under way, ascending. */
async function readWhile(work: Promise<void>): Promise<number[]> {
  const latencies: number[] = [];
  let working = true;
  const readOn = async (reader: number): Promise<void> => {
    const target = new Uint8Array(READ_LENGTH);
    for (let n = reader; working; n = (n + READERS) % READ_FILES) {
      const start = performance.now();
      await readFiles[n]?.readExactAt(target, 0);
      latencies.push(performance.now() - start);
      if (target[0] !== n || target[READ_LENGTH - 1] !== n) throw new Error(`file ${n} is wrong`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  const done = work.finally(() => {
    working = false;
  });
  await Promise.all([done, ...Array.from({ length: READERS }, (_, reader) => readOn(reader))]);
  return latencies.sort((left, right) => left - right);
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)] ?? 0;
}

const undisturbed = await readWhile(new Promise((resolve) => setTimeout(resolve, UNDISTURBED_MS)));
const start = performance.now();
const latencies = await readWhile(startSyncs());
const result: StalledSyncsResult = {
  reads: latencies.length,
  p50Ms: quantile(latencies, 0.5),
  p99Ms: quantile(latencies, 0.99),
  slowestMs: latencies.at(-1) ?? 0,
  undisturbedP99Ms: quantile(undisturbed, 0.99),
  mostStalled,
  totalMs: performance.now() - start,
};
console.log(JSON.stringify(result));
