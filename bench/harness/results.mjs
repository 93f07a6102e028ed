/** Results for programs: bench/results.json. */
import { writeFileSync } from 'node:fs';

const RESULTS = new URL('../results.json', import.meta.url);

/** Times are in seconds, sizes in bytes. */
export function saveResults({ hardware, loadBefore, options, groups }) {
  const { runs, quick } = options;
  const results = { hardware, loadBefore, runs, quick, groups };
  writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`);
}
