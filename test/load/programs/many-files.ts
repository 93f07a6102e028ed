/**
 * Random reads of very many files over few descriptors, each checked byte for byte, while
 * directories are synced. Counts the descriptors itself, from before each open to after each close.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { StorageError } from '../../../src/errors.ts';
import { seededChoices } from '../../../src/testing/choices.ts';
import type { FileSystem, OpenFile } from '../../../src/virtual-file/file-system.ts';
import { nodeFileSystem } from '../../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../../src/virtual-file/virtual-file.ts';
import { delegatingFile } from '../../support/delegating-file.ts';

export interface ManyFilesInput {
  readonly directory: string;
  readonly fileCount: number;
  readonly readCount: number;
  readonly capacity: number;
  readonly seed: number;
}

export interface ManyFilesResult {
  readonly reads: number;
  readonly opens: number;
  readonly mostFiles: number;
  readonly mostDirectories: number;
  /** How often the system had no descriptor left. */
  readonly outOfDescriptors: number;
  readonly openAtEnd: number;
  /** What the system allows this process. */
  readonly descriptorLimit: number;
  readonly seconds: number;
}

const FILES_PER_DIRECTORY = 1000;
const WORKERS = 250;
const MAXIMUM_LENGTH = 300;
/** One in N files is synced when its descriptor is needed for another. */
const DURABLE_ONE_OF = 64;
/** One in N reads goes to few files, which are therefore used again while they are open. */
const HOT_ONE_OF = 4;
const HOT_FILES = 50;
const READS_PER_DIRECTORY_SYNC = 5000;

const [, , text = ''] = process.argv;
const input: ManyFilesInput = JSON.parse(text);
const counts = { opens: 0, files: 0, mostFiles: 0, directories: 0, mostDirectories: 0 };
let outOfDescriptors = 0;

const fileSystem: FileSystem = {
  ...nodeFileSystem,
  async open(path, options) {
    counts.opens += 1;
    counts.files += 1;
    counts.mostFiles = Math.max(counts.mostFiles, counts.files);
    try {
      return countedOnClose(await nodeFileSystem.open(path, options));
    } catch (error) {
      counts.files -= 1;
      throw noted(error);
    }
  },
  async syncDirectory(path) {
    counts.directories += 1;
    counts.mostDirectories = Math.max(counts.mostDirectories, counts.directories);
    try {
      await nodeFileSystem.syncDirectory(path);
    } catch (error) {
      throw noted(error);
    } finally {
      counts.directories -= 1;
    }
  },
};

function countedOnClose(file: OpenFile): OpenFile {
  return delegatingFile(file, {
    close: async () => {
      await file.close();
      counts.files -= 1;
    },
  });
}

function noted(error: unknown): unknown {
  if (error instanceof StorageError && error.errno === 'EMFILE') outOfDescriptors += 1;
  return error;
}

function lengthOf(file: number): number {
  return 1 + ((Math.imul(file, 2654435761) >>> 8) % MAXIMUM_LENGTH);
}

function byteAt(file: number, index: number): number {
  return ((Math.imul(file + 1, 2654435761) >>> ((index & 3) * 8)) ^ (index >> 2)) & 0xff;
}

function directoryOf(file: number): string {
  return join(input.directory, String(Math.floor(file / FILES_PER_DIRECTORY)));
}

const openFiles = new OpenFiles({ capacity: input.capacity, fileSystem });
const files: VirtualFile[] = new Array(input.fileCount);

async function createFile(file: number): Promise<void> {
  const virtualFile = await VirtualFile.open(join(directoryOf(file), String(file)), {
    read: true,
    write: true,
    createNew: true,
    openFiles,
    durability: file % DURABLE_ONE_OF === 0 ? 'sync' : 'scratch',
  });
  files[file] = virtualFile;
  const content = Uint8Array.from({ length: lengthOf(file) }, (_, index) => byteAt(file, index));
  await virtualFile.writeAllAt(content, 0);
}

async function readSomewhere(file: number, choose: (n: number) => number): Promise<void> {
  const offset = choose(MAXIMUM_LENGTH);
  const target = new Uint8Array(1 + choose(100));
  const length = (await files[file]?.readAt(target, offset)) ?? -1;
  const expected = Math.max(0, Math.min(target.length, lengthOf(file) - offset));
  if (length !== expected) {
    throw new Error(`file ${file}: ${length} bytes at ${offset}, not ${expected}`);
  }
  for (let index = 0; index < length; index += 1) {
    if (target[index] === byteAt(file, offset + index)) continue;
    throw new Error(`file ${file}: byte ${offset + index} is ${target[index]}`);
  }
}

/** Runs `work` for 0 to count - 1, as many concurrently as there are workers. */
async function spread(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await work(next - 1);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, worker));
}

/** Node raises its soft limit to the hard one, so that only this file tells. */
function descriptorLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1]);
}

const start = performance.now();
for (let file = 0; file < input.fileCount; file += FILES_PER_DIRECTORY)
  mkdirSync(directoryOf(file));
await spread(input.fileCount, createFile);
const choose = seededChoices(input.seed);
await spread(input.readCount, async (index) => {
  const isHot = choose(HOT_ONE_OF) === 0;
  const file = choose(isHot ? Math.min(HOT_FILES, input.fileCount) : input.fileCount);
  if (index % READS_PER_DIRECTORY_SYNC < 4) await openFiles.syncDirectory(directoryOf(file));
  await readSomewhere(file, choose);
});
await spread(input.fileCount, async (file) => files[file]?.close());
const result: ManyFilesResult = {
  reads: input.readCount,
  opens: counts.opens,
  mostFiles: counts.mostFiles,
  mostDirectories: counts.mostDirectories,
  outOfDescriptors,
  openAtEnd: counts.files,
  descriptorLimit: descriptorLimit(),
  seconds: (performance.now() - start) / 1000,
};
console.log(JSON.stringify(result));
