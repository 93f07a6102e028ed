// Adds up what vitest's JSON reports say; exit status 1 unless there are tests and none has failed.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [directory] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const name of readdirSync(directory)) {
  const report = JSON.parse(readFileSync(join(directory, name), 'utf8'));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  if (!report.success) failed += report.numFailedTests === 0 ? 1 : 0;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = passed > 0 && failed === 0 ? 0 : 1;
