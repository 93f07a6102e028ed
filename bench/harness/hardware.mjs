/** What the numbers were measured on. */
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';

export function describeHardware() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown processor',
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    node: process.version,
    kernel: `${type()} ${release()}`,
  };
}
