/** Jobs in separate processes: one run of a row, or a fixture. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const JOB_FILE = fileURLToPath(new URL('./job.mjs', import.meta.url));

/**
 * Returns: what the job reported, or `{ kind: 'failed', reason }` when it ended without a report,
 * as a native package does that crashes.
 */
export function runJob(job) {
  return new Promise((resolve, reject) => {
    const child = fork(JOB_FILE, [JSON.stringify(job)]);
    let report;
    child.on('message', (message) => {
      report = message;
    });
    child.on('error', reject);
    child.on('exit', (status, signal) => {
      const reason = `ended by ${signal ?? `status ${status}`}`;
      resolve(report ?? { kind: 'failed', reason });
    });
  });
}
