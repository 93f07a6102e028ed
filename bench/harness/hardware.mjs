/** What the numbers were measured on. */
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';

export function describeHardware() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown processor',
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    node: process.version,
    kernel: `${type()} ${release()}`,
  };
}

/** Processes that wanted a processor in the last minute: above 0 at the start, others disturb. */
export function describeLoad() {
  const [lastMinute] = loadavg();
  return Number(lastMinute.toFixed(2));
}
