/**
 * Tries what writes with every amount of free space, 4 KiB apart, on a file system of its own.
 * Runs in a mount namespace of its own, so that nothing stays mounted whatever happens.
 *
 * An operation that has succeeded several times in a row has had all the room that it needs. LAYERFILE_FULL_DISK=all
 * tries it with more nevertheless.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { StorageError } from '../../../src/errors.ts';
import { type FullDiskOperation, OPERATIONS } from '../full-disk-operations.ts';

export interface FullDiskInput {
  readonly kind: 'tmpfs' | 'ext4';
  /** For what is mounted. */
  readonly directory: string;
}

export interface FullDiskResult {
  readonly operation: string;
  readonly refusedAtLeast: number;
  /** Steps that ended in success, with the new content. */
  readonly applied: number;
  /** Steps that ended in an error, with the old content. */
  readonly refused: number;
  /** Free 4 KiB units of the steps, as the file system told them. */
  readonly freeUnits: readonly number[];
}

const UNIT = 4096;

/** More than any operation needs. */
const MAXIMUM_FREE_UNITS = 48;

/** Successes in a row that end the steps of an operation. */
const ENOUGH_APPLIED = process.env['LAYERFILE_FULL_DISK'] === 'all' ? Number.POSITIVE_INFINITY : 5;

/** For what an operation finds in its directory. */
const SPARE_UNITS = 32;

const [, , text = ''] = process.argv;
const input: FullDiskInput = JSON.parse(text);
const imageDirectory = join(input.directory, 'memory');
const image = join(imageDirectory, 'image');
const mountPoint = join(input.directory, 'mount');
const directory = join(mountPoint, 'data');

/** Takes all the room but what the steps work with. */
const fixedBallast = join(mountPoint, 'fixed-ballast');
/** A unit each, so that the file system needs no block of its own to find their blocks. */
const ballast = Array.from({ length: MAXIMUM_FREE_UNITS + SPARE_UNITS }, (_, index) =>
  join(mountPoint, `ballast-${index}`),
);
const FULL_UNIT = new Uint8Array(UNIT);

function mountTmpfs(path: string, size: string): void {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]);
}

function mountImage(): void {
  mkdirSync(mountPoint, { recursive: true });
  execFileSync('mount', ['-o', 'loop', image, mountPoint]);
}

function prepare(): void {
  if (input.kind === 'tmpfs') mountTmpfs(mountPoint, '1m');
  else {
    // In memory, so that thousands of syncs cost nothing.
    mountTmpfs(imageDirectory, '32m');
    writeFileSync(image, '');
    truncateSync(image, 16 * 1024 * 1024);
    execFileSync('mkfs.ext4', ['-q', '-m', '0', '-b', String(UNIT), image]);
    mountImage();
  }
  mkdirSync(directory);
  for (const path of ballast) writeAndSync(path, '');
  const excess = freeUnits() - ballast.length;
  writeAndSync(fixedBallast, new Uint8Array(excess * UNIT));
}

function freeUnits(): number {
  const { bavail, bsize } = statfsSync(mountPoint);
  return Math.floor((bavail * bsize) / UNIT);
}

function writeAndSync(path: string, content: string | Uint8Array): void {
  writeFileSync(path, content, { flush: true });
}

/** Returns how much is free now, by the file system's own account. */
function leaveFree(units: number): number {
  for (const path of ballast.slice(0, freeUnits() - units)) writeFileSync(path, FULL_UNIT);
  return freeUnits();
}

function releaseAll(): void {
  for (const path of ballast) truncateSync(path, 0);
  // Only now are the blocks of what was deleted free.
  const descriptor = openSync(directory, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}

/** True where it succeeded. Throws unless it is "old and an error" or "new and success". */
async function tryOnce(operation: FullDiskOperation): Promise<boolean> {
  const namesBefore = readdirSync(directory);
  try {
    await operation.run(directory);
  } catch (error) {
    if (!(error instanceof StorageError) || error.errno !== 'ENOSPC') throw error;
    if (!operation.outcomesOfFailure.includes(error.outcome)) {
      throw new Error(`outcome ${error.outcome}`, { cause: error });
    }
    await operation.checkOld(directory);
    if (readdirSync(directory).join() !== namesBefore.join()) {
      throw new Error(`left behind: ${readdirSync(directory)}`);
    }
    return false;
  }
  await operation.checkNew(directory);
  return true;
}

async function sweep(operation: FullDiskOperation): Promise<FullDiskResult> {
  const steps = { applied: 0, refused: 0 };
  const free: number[] = [];
  let appliedInRow = 0;
  for (let units = 0; units < MAXIMUM_FREE_UNITS && appliedInRow < ENOUGH_APPLIED; units += 1) {
    emptyDirectory();
    releaseAll();
    await operation.prepare(directory);
    free.push(leaveFree(units));
    if (await tryOnce(operation)) {
      steps.applied += 1;
      appliedInRow += 1;
    } else {
      steps.refused += 1;
      appliedInRow = 0;
    }
  }
  // The last step had room. What it wrote is there when the file system comes back.
  if (input.kind === 'ext4') {
    execFileSync('umount', [mountPoint]);
    execFileSync('e2fsck', ['-fn', image], { stdio: 'ignore' });
    mountImage();
    await operation.checkNew(directory);
  }
  emptyDirectory();
  const { name, refusedAtLeast } = operation;
  return { operation: name, refusedAtLeast, ...steps, freeUnits: free };
}

function emptyDirectory(): void {
  for (const name of readdirSync(directory)) rmSync(join(directory, name));
}

prepare();
const results: FullDiskResult[] = [];
for (const operation of OPERATIONS) results.push(await sweep(operation));
execFileSync('umount', [mountPoint]);
console.log(JSON.stringify(results));
