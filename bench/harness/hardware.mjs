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

/** Load of the last minute: if it is above 0 at the start, other programs disturb the measurement. */
export function describeLoad() {
  const [lastMinute] = loadavg();
  return Number(lastMinute.toFixed(2));
}
