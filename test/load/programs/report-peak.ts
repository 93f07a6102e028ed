/**
 * Loaded before a program: tells on standard error, when it ends, how much memory it took at most.
 * That is the kernel's figure for this program alone; `maxRSS` of `process.resourceUsage()` counts
 * what the process that started it had, too.
 */
import { readFileSync, writeSync } from 'node:fs';

process.on('exit', () => {
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  writeSync(2, `\npeak ${peak} KiB\n`);
});
