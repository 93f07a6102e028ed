import { join } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';

/** Where continuous integration wants a report to count tests from, and under which name. */
const { LAYERFILE_REPORTS: reports, LAYERFILE_REPORT: report } = process.env;

/** Tests of delays and of processor time: nothing else runs beside them. */
const ALONE = ['test/hostile/cost.test.ts', 'test/load/stalled-syncs.test.ts'];

/** Tests that leave their process as it was: one process runs many of these files. */
const IN_ONE_PROCESS = [
  'test/*.test.ts',
  ...['blob-writer', 'cli', 'layers', 'postgres', 'testing', 'virtual-file', 'write-once'].map(
    (folder) => `test/${folder}/**/*.test.ts`,
  ),
  // Takes WebAssembly away from its process.
  'test/zstd/!(no-webassembly).test.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    globalSetup: 'test/support/nothing-left.ts',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', ...(reports === undefined ? [] : ['json'])],
    ...(reports === undefined ? {} : { outputFile: { json: join(reports, `${report}.json`) } }),
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
    },
    projects: [
      {
        extends: true,
        test: {
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...ALONE, ...IN_ONE_PROCESS],
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'in one process',
          include: IN_ONE_PROCESS,
          isolate: false,
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
