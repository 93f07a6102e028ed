import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** Where continuous integration wants a report to count tests from, and under which name. */
const { LAYERFILE_REPORTS: reports, LAYERFILE_REPORT: report } = process.env;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', ...(reports === undefined ? [] : ['json'])],
    ...(reports === undefined ? {} : { outputFile: { json: join(reports, `${report}.json`) } }),
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
    },
  },
});
