/**
 * The benchmark: `npm run bench -- --only delta,points --runs 5 --quick`.
 *
 * Works in a fresh clone: what is missing is installed, and the library is built, before anything is
 * measured.
 */
import { main } from './harness/main.mjs';
import { parseOptions, USAGE } from './harness/options.mjs';
import { setUp } from './harness/set-up.mjs';

const options = parseOptions(process.argv.slice(2));
if (options.help) {
  console.log(USAGE);
} else {
  setUp(options);
  process.exitCode = await main(options);
}
