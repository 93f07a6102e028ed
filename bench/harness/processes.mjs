/** Whole processes, timed from outside; they report their own processor time and memory. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** Writes what the process has used to descriptor 3 when it ends. */
const REPORT_USAGE = `data:text/javascript,
  import { writeSync } from 'node:fs';
  process.on('exit', () => writeSync(3, JSON.stringify(process.resourceUsage())));`;

/**
 * Runs node with standard output going to /dev/null, or to `onOutput`.
 * Returns: what it cost. Throws unless it ends with status 0.
 */
export async function timeNode(args, { reportsUsage = true, onOutput } = {}) {
  const preload = reportsUsage ? ['--import', REPORT_USAGE] : [];
  const stdout = onOutput === undefined ? 'ignore' : 'pipe';
  const start = process.hrtime.bigint();
  const child = spawn(process.execPath, [...preload, ...args], {
    stdio: ['ignore', stdout, 'inherit', 'pipe'],
  });
  child.stdout?.on('data', onOutput);
  let usage = '';
  child.stdio[3].on('data', (data) => {
    usage += data;
  });
  const { status, seconds } = await ended(child, start);
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with status ${status}`);
  return { seconds, ...(usage === '' ? {} : describe(JSON.parse(usage))) };
}

/** Timed at the exit; output may still be on its way until the process is closed. */
function ended(child, start) {
  return new Promise((resolve, reject) => {
    let seconds;
    child.on('error', reject);
    child.on('exit', () => {
      seconds = Number(process.hrtime.bigint() - start) / 1e9;
    });
    child.on('close', (status) => resolve({ status, seconds }));
  });
}

function describe({ userCPUTime, systemCPUTime, maxRSS }) {
  return { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakMemory: maxRSS * 1024 };
}
