/**
 * The owner of a temporary file: the thread that created it. The name has 28 hex digits for it:
 *
 *   wwwwwwwwwwttttttttssssssssss
 *
 *   w  10 digits: hash of the boot, and of the namespaces of thread ids and start times. Only threads
 *      with the same hash can be compared.
 *   t  8 digits: thread id in its pid namespace
 *   s  10 digits: start time of the thread, in clock ticks since boot
 *
 * On Linux, /proc has all three, and shows whether a thread is still running. Elsewhere w and s are
 * zero, and t is the process id. Then it can be checked that a process with this id exists, but not
 * that it created the file.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';

/** Whether the thread that made a file is still running; `unknown` if that cannot be determined. */
export type OwnerState = 'running' | 'ended' | 'unknown';

/** What a file system knows about the threads that create temporary files in it. */
export interface Owners {
  /** The calling thread, as 28 hex digits. */
  own(): string;
  /** `ended` only if the owner has certainly ended. */
  stateOf(owner: string): OwnerState;
}

export const OWNER_LENGTH = 28;

const CONTEXT_LENGTH = 10;
const THREAD_LENGTH = 8;
const START_LENGTH = 10;
const NO_CONTEXT = '0'.repeat(CONTEXT_LENGTH);

/** The threads of this machine, as far as they are visible. */
export const systemOwners: Owners = {
  own: () => {
    own ??= identifyThread();
    return own;
  },
  stateOf: (owner) => {
    const mine = systemOwners.own();
    if (owner === mine) return 'running';
    const context = owner.slice(0, CONTEXT_LENGTH);
    if (context !== mine.slice(0, CONTEXT_LENGTH)) return 'unknown';
    const thread = Number.parseInt(owner.slice(CONTEXT_LENGTH, CONTEXT_LENGTH + THREAD_LENGTH), 16);
    if (context === NO_CONTEXT) return isThere(thread) ? 'running' : 'unknown';
    return stateOfThread(thread, owner.slice(-START_LENGTH));
  },
};

/** Of this thread: each worker thread loads its own copy of this module. */
let own: string | undefined;

function identifyThread(): string {
  try {
    const [processNumber, , thread] = readlinkSync('/proc/thread-self').split('/').map(Number);
    // They differ if /proc belongs to another pid namespace.
    if (processNumber === process.pid && thread !== undefined) {
      return contextOfThread() + digits(thread, THREAD_LENGTH) + statusOf(thread).start;
    }
  } catch {
    // /proc is missing or unreadable.
  }
  return NO_CONTEXT + digits(process.pid, THREAD_LENGTH) + '0'.repeat(START_LENGTH);
}

function contextOfThread(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1');
  const context = [boot, readlinkSync('/proc/self/ns/pid'), timeNamespace()].join('\n');
  return createHash('sha256').update(context).digest('hex').slice(0, CONTEXT_LENGTH);
}

/** Empty on kernels before 5.6, which have no time namespaces. */
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
    // The mount option hidepid hides the threads of other users.
    const isGone = hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH');
    return isGone && !isThere(thread) ? 'ended' : 'unknown';
  }
}

/** Fields 3 and 22 of `stat`. Field 2, the name in parentheses, may contain anything. */
function statusOf(thread: number): { readonly start: string; readonly isOver: boolean } {
  const stat = readFileSync(`/proc/${thread}/stat`, 'latin1');
  const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const start = digits(Number(fields[22 - 4]), START_LENGTH);
  // A zombie has ended, but its exit status has not been collected.
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
