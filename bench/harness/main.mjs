/**
 * Runs the workloads: every run of every row in a separate process, the rows of a group in turn,
 * so that other programs on the machine affect all of them alike.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadWorkload, selectNames } from '../workloads/index.mjs';
import { describeHardware, describeLoad } from './hardware.mjs';
import { runJob } from './jobs.mjs';
import { printGroup, printHardware } from './report.mjs';
import { saveResults } from './results.mjs';
import { summarize } from './statistics.mjs';

const PROFILES = fileURLToPath(new URL('../profiles', import.meta.url));

export async function main(options) {
  const root = mkdtempSync(join(tmpdir(), 'layerfile-bench-'));
  const removeRoot = () => rmSync(root, { recursive: true, force: true });
  process.once('SIGINT', () => {
    removeRoot();
    process.exit(130);
  });
  const hardware = describeHardware();
  const loadBefore = describeLoad();
  printHardware(hardware, loadBefore);
  const run = { root, options, fixtures: new Map(), results: [], failures: 0 };
  try {
    for (const name of selectNames(options.only)) await runWorkload(name, run);
  } finally {
    removeRoot();
  }
  saveResults({ hardware, loadBefore, options, groups: run.results });
  return run.failures === 0 ? 0 : 1;
}

async function runWorkload(name, run) {
  const { groups } = await loadWorkload(name, run.options.quick);
  for (const [groupIndex, group] of groups.entries()) {
    const rows = group.rows.map((row) => ({ ...row, runs: [], missing: undefined }));
    await buildFixtures(group.fixtures ?? [], run);
    const shared = join(run.root, 'shared');
    mkdirSync(shared);
    for (let number = 0; number < (group.runs ?? run.options.runs); number += 1) {
      for (const [rowIndex, row] of rows.entries()) {
        if (row.missing === undefined) {
          await runRow({ name, groupIndex, rowIndex, number, shared }, row, run);
        }
      }
    }
    rmSync(shared, { recursive: true });
    const summary = { workload: name, title: group.title, rows: summarize(rows) };
    run.results.push(summary);
    printGroup(summary);
  }
}

async function runRow(place, row, run) {
  const directory = join(run.root, 'run');
  mkdirSync(directory);
  const outcome = await runJob({
    kind: 'row',
    ...place,
    directory,
    fixtures: Object.fromEntries(run.fixtures),
    quick: run.options.quick,
    profile: run.options.profile ? profilePath(place, row) : undefined,
  });
  rmSync(directory, { recursive: true });
  if (outcome.kind === 'measured') {
    row.runs.push(outcome);
    return;
  }
  row.missing = outcome.reason;
  // A peer that crashes is a gap in the table, like a missing one.
  if (outcome.kind === 'failed' && row.role !== 'peer') run.failures += 1;
}

function profilePath({ name, groupIndex, number }, row) {
  const rowName = row.name.replaceAll(/[^a-z0-9-]+/gi, '-');
  return join(PROFILES, `${name}-${groupIndex}-${rowName}-${number}.cpuprofile`);
}

async function buildFixtures(names, run) {
  for (const name of names) {
    if (run.fixtures.has(name)) continue;
    const directory = join(run.root, `fixture-${name}`);
    mkdirSync(directory);
    const outcome = await runJob({ kind: 'fixture', name, directory, quick: run.options.quick });
    run.fixtures.set(name, outcome.kind === 'built' ? outcome.path : undefined);
    if (outcome.kind !== 'built') console.error(`fixture ${name}: ${outcome.reason}`);
  }
}
