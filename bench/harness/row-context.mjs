/**
 * What a row is measured with. A row prepares its input, calls `time` once with what counts, then
 * checks what came out; preparing and checking are not timed.
 */
import { NotAvailable } from './not-available.mjs';
import { profiled } from './profile.mjs';

export class RowContext {
  /** Empty; removed afterwards. */
  directory;
  /** Of all rows of the group, removed after the last one. */
  shared;
  /** 0 for the first run of the row. */
  number;
  #fixtures;
  #profile;
  #measured;

  constructor({ directory, shared, fixtures, number, profile }) {
    this.directory = directory;
    this.shared = shared;
    this.#profile = profile;
    this.number = number;
    this.#fixtures = fixtures;
  }

  /** Path of what a fixture has built. */
  fixture(name) {
    const path = this.#fixtures[name];
    if (path === undefined) throw new NotAvailable(`fixture ${name} was not built`);
    return path;
  }

  /** Runs the action, and keeps what it cost. Returns: its result. */
  time(action) {
    return this.#profile === undefined
      ? this.#time(action)
      : profiled(this.#profile, () => this.#time(action));
  }

  async #time(action) {
    const cpuBefore = process.cpuUsage();
    const start = process.hrtime.bigint();
    const pending = action();
    const result = pending instanceof Promise ? await pending : pending;
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const { user, system } = process.cpuUsage(cpuBefore);
    const peakMemory = process.resourceUsage().maxRSS * 1024;
    this.#measured = { seconds, cpuSeconds: (user + system) / 1e6, peakMemory };
    return result;
  }

  /** For rows that measure other processes. */
  note(measured) {
    this.#measured = measured;
  }

  measured() {
    if (this.#measured === undefined) throw new Error('the row measured nothing');
    return this.#measured;
  }
}

/** Fails the run: a fast wrong result does not count. */
export function check(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: ${actual} instead of ${expected}`);
}
