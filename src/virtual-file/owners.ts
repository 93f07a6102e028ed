/**
 * Who made a temporary file. Its name holds 28 hex digits that identify the thread:
 *
 *   wwwwwwwwwwttttttttssssssssss
 *
 *   w  10 digits: hash of the boot and of the namespaces that thread numbers and start times
 *      belong to. Threads can be compared only where it is the same.
 *   t  8 digits: number of the thread, in its pid namespace
 *   s  10 digits: when it started, in clock ticks since the boot
 *
 * Linux tells all three in /proc, and whether a thread is still running. Elsewhere w and s are
 * zero and t is the number of the process: that a process has the number can be known, but not
 * that it is the one that made the file.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';

export type OwnerState = 'running' | 'ended' | 'unknown';

/** What a file system knows of the threads that make temporary files in it. */
export interface Owners {
  /** The calling thread, as 28 hex digits. */
  own(): string;
  /** `ended` only if the owner is certainly gone. */
  stateOf(owner: string): OwnerState;
}

export const OWNER_LENGTH = 28;

const WORLD_LENGTH = 10;
const THREAD_LENGTH = 8;
const START_LENGTH = 10;
const NO_WORLD = '0'.repeat(WORLD_LENGTH);

/** The threads of this machine, as far as this one can see them. */
export const systemOwners: Owners = {
  own: () => {
    own ??= identifyThread();
    return own;
  },
  stateOf: (owner) => {
    const mine = systemOwners.own();
    if (owner === mine) return 'running';
    const world = owner.slice(0, WORLD_LENGTH);
    if (world !== mine.slice(0, WORLD_LENGTH)) return 'unknown';
    const thread = Number.parseInt(owner.slice(WORLD_LENGTH, WORLD_LENGTH + THREAD_LENGTH), 16);
    if (world === NO_WORLD) return isThere(thread) ? 'running' : 'unknown';
    return stateOfThread(thread, owner.slice(-START_LENGTH));
  },
};

/** Of this thread; worker threads have modules of their own. */
let own: string | undefined;

function identifyThread(): string {
  try {
    const [processNumber, , thread] = readlinkSync('/proc/thread-self').split('/').map(Number);
    // Not so where /proc is that of another pid namespace.
    if (processNumber === process.pid && thread !== undefined) {
      return worldOfThread() + digits(thread, THREAD_LENGTH) + statusOf(thread).start;
    }
  } catch {
    // There is no /proc, or it may not be read.
  }
  return NO_WORLD + digits(process.pid, THREAD_LENGTH) + '0'.repeat(START_LENGTH);
}

function worldOfThread(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1');
  const world = [boot, readlinkSync('/proc/self/ns/pid'), timeNamespace()].join('\n');
  return createHash('sha256').update(world).digest('hex').slice(0, WORLD_LENGTH);
}

/** Kernels before 5.6 have only one. */
function timeNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/time');
  } catch {
    return '';
  }
}

function stateOfThread(thread: number, start: string): OwnerState {
  try {
    const found = statusOf(thread);
    return found.start === start && !found.isOver ? 'running' : 'ended';
  } catch (error) {
    // With the mount option hidepid, threads of other users are not listed.
    const isGone = hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH');
    return isGone && !isThere(thread) ? 'ended' : 'unknown';
  }
}

/** From fields 3 and 22 of its `stat`. Field 2, the name, is in parentheses and may hold anything. */
function statusOf(thread: number): { readonly start: string; readonly isOver: boolean } {
  const stat = readFileSync(`/proc/${thread}/stat`, 'latin1');
  const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const start = digits(Number(fields[22 - 4]), START_LENGTH);
  // A zombie: killed, but nobody has asked for its exit status yet.
  return { start, isOver: state === 'Z' || state === 'X' };
}

function isThere(thread: number): boolean {
  try {
    process.kill(thread, 0);
    return true;
  } catch (error) {
    return !hasCode(error, 'ESRCH');
  }
}

function digits(number: number, length: number): string {
  return number.toString(16).padStart(length, '0').slice(-length);
}

function hasCode(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}
