/** Executes the fuzzer. Prints each failure as a line of JSON on standard error, and the result as one at the end. */
import { fuzzFrom } from '../fuzz-run.ts';

const result = await fuzzFrom(JSON.parse(process.argv[2] ?? '{}'));
for (const failure of result.failures) process.stderr.write(`${JSON.stringify(failure)}\n`);
process.stdout.write(`${JSON.stringify(result)}\n`);
