/** The process of one job: does it, reports, ends. */
import { buildFixture } from '../fixtures/index.mjs';
import { loadWorkload } from '../workloads/index.mjs';
import { NotAvailable } from './not-available.mjs';
import { RowContext } from './row-context.mjs';

const job = JSON.parse(process.argv[2]);

try {
  process.send(job.kind === 'fixture' ? await build() : await measure());
} catch (error) {
  const isMissing = error instanceof NotAvailable;
  if (!isMissing) console.error(error);
  process.send({ kind: isMissing ? 'missing' : 'failed', reason: error.message });
}
process.disconnect();

async function build() {
  return { kind: 'built', path: await buildFixture(job.name, job.directory, job.quick) };
}

async function measure() {
  const { groups } = await loadWorkload(job.name, job.quick);
  const row = groups[job.groupIndex].rows[job.rowIndex];
  const context = new RowContext(job);
  const { operations, bytes, note } = await row.measure(context);
  return { kind: 'measured', ...context.measured(), operations, bytes, note };
}
