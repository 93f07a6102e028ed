/**
 * Takes one guard after the other out of the code (`mutants.json`) and requires that a test notices.
 *
 *   node test/mutants/run.mjs             every mutant
 *   node test/mutants/run.mjs sync        those whose file or description contains `sync`
 *   node test/mutants/run.mjs sync cli/   those that contain `sync` or `cli/`
 *
 * Each mutant is applied to a copy of the project in a temporary directory, so that nothing can be
 * left behind in the working tree. A mutant that does not compile, or whose text is not found exactly
 * once, is an error of the list. Ends with exit status 1 if a mutant survives.
 *
 *   LAYERFILE_MUTANT_WORKERS   copies at work side by side; default half of the processors
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Compiler } from './compiler.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COPIED = ['src', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];

/** A mutant that makes a test wait for ever is caught, too. */
const TIMEOUT_MS = 180_000;

/** All tests together, without a mutant. */
const BASELINE_TIMEOUT_MS = 10 * TIMEOUT_MS;

/** A mutant is to be caught by what continuous integration runs, with smaller samples of crashes. */
const ENVIRONMENT = {
  ...process.env,
  LAYERFILE_ROUNDS: 'all',
  LAYERFILE_CRASH_STATES: '2000',
  LAYERFILE_ABORTS: '300',
  LAYERFILE_REPORTS: undefined,
};

const filters = process.argv.slice(2);
const mutants = Object.entries(JSON.parse(readFileSync(new URL('mutants.json', import.meta.url))))
  .flatMap(([file, ofFile]) => ofFile.map((mutant) => ({ file, ...mutant })))
  .filter(isChosen);

const copies = [];
const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    for (const child of running) process.kill(-child.pid, 'SIGKILL');
    removeCopies();
    process.exit(130);
  });
}

try {
  process.exitCode = await main();
} finally {
  removeCopies();
}

async function main() {
  if (mutants.length === 0) {
    console.error(`no mutant has ${filters.join(' or ')} in its name`);
    return 2;
  }
  const compiler = new Compiler(ROOT.replace(/\/$/, ''));
  const problems = mutants.flatMap((mutant) => problemOf(mutant, compiler) ?? []);
  if (problems.length > 0) {
    console.error(problems.join('\n'));
    return 2;
  }
  const workers = Number(
    process.env.LAYERFILE_MUTANT_WORKERS ?? Math.max(1, Math.floor(availableParallelism() / 2)),
  );
  for (let worker = 0; worker < Math.min(workers, mutants.length); worker += 1) makeCopy();

  const allTests = [...new Set(mutants.flatMap(({ tests }) => tests))];
  const baseline = await runTests(copies[0], allTests, { timeoutMs: BASELINE_TIMEOUT_MS });
  if (baseline.outcome !== 'passed') {
    console.error(`without a mutant, a test fails: ${baseline.detail}`);
    return 2;
  }

  const left = mutants.map((mutant, index) => ({ mutant, index }));
  const survivors = [];
  let killed = 0;
  await Promise.all(
    copies.map(async (copy) => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const { mutant, index } = next;
        const startedMs = performance.now();
        const { outcome, detail } = await tryMutant(copy, mutant);
        const seconds = Math.round((performance.now() - startedMs) / 1000);
        const name = `${index + 1}/${mutants.length} ${mutant.file}: ${mutant.what}`;
        if (outcome === 'passed') survivors.push(name);
        else killed += 1;
        console.log(
          outcome === 'passed' ? `SURVIVED ${name}` : `caught   ${name} (${seconds} s: ${detail})`,
        );
      }
    }),
  );
  console.log(`${killed} of ${mutants.length} mutants caught`);
  for (const name of survivors) console.log(`SURVIVED ${name}`);
  return survivors.length === 0 ? 0 : 1;
}

function isChosen({ file, what }) {
  const name = `${file} ${what}`;
  return filters.length === 0 || filters.some((filter) => name.includes(filter));
}

function makeCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'layerfile-mutants-'));
  copies.push(copy);
  for (const name of COPIED) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
}

function removeCopies() {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true });
}

function mutated({ file, find, replace }, text = readFileSync(join(ROOT, file), 'utf8')) {
  return text.replace(find, () => replace);
}

/** What is wrong with the list, or nothing. */
function problemOf(mutant, compiler) {
  const name = `${mutant.file}: ${mutant.what}`;
  const text = readFileSync(join(ROOT, mutant.file), 'utf8');
  const found = text.split(mutant.find).length - 1;
  if (found !== 1) return `${name}: its text is there ${found} times, expected once`;
  const problem = compiler.problemOf(mutant.file, mutated(mutant, text));
  return problem && `${name}: does not compile: ${problem}`;
}

async function tryMutant(copy, mutant) {
  const path = join(copy, mutant.file);
  const original = readFileSync(path, 'utf8');
  try {
    writeFileSync(path, mutated(mutant, original));
    return await runTests(copy, mutant.tests, { bail: ['--bail', '1'], timeoutMs: TIMEOUT_MS });
  } finally {
    writeFileSync(path, original);
  }
}

/** Runs the tests of the copy; tells how it ended, and by what. */
function runTests(copy, tests, { bail = [], timeoutMs }) {
  const vitest = join(copy, 'node_modules/vitest/vitest.mjs');
  const report = join(copy, 'report.json');
  rmSync(report, { force: true });
  const reporting = ['--reporter', 'json', '--outputFile', report];
  const child = spawn(process.execPath, [vitest, 'run', ...reporting, ...bail, ...tests], {
    cwd: copy,
    env: ENVIRONMENT,
    stdio: 'ignore',
    detached: true,
  });
  running.add(child);
  return new Promise((resolve) => {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      process.kill(-child.pid, 'SIGKILL');
    }, timeoutMs);
    child.once('close', (status) => {
      clearTimeout(timer);
      running.delete(child);
      if (timedOut) resolve({ outcome: 'failed', detail: 'it hangs' });
      else if (status === 0) resolve({ outcome: 'passed', detail: '' });
      else resolve({ outcome: 'failed', detail: firstFailure(report) });
    });
  });
}

function firstFailure(report) {
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
  for (const { assertionResults, message } of testResults) {
    const failed = assertionResults.find(({ status }) => status === 'failed');
    if (failed !== undefined) return failed.fullName;
    if (message !== '') return message.split('\n', 1)[0];
  }
  return 'an error outside of all tests';
}
