import { join } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';

/** Where continuous integration wants a report to count tests from, and under which name. */
const { LAYERFILE_REPORTS: reports, LAYERFILE_REPORT: report } = process.env;

/** Tests of delays and of processor time: nothing else runs beside them. */
const ALONE = ['test/hostile/cost.test.ts', 'test/load/stalled-syncs.test.ts'];

/** Tests that leave their process as it was: one process runs many of these files. */
const IN_ONE_PROCESS = [
  'test/*.test.ts',
  ...[
    'blob-writer',
    'cli',
    'layers',
    'object-store',
    'postgres',
    'testing',
    'ingest',
    'reshape',
    'timeline',
    'virtual-file',
    'wal',
    'write-once',
  ].map((folder) => `test/${folder}/**/*.test.ts`),
  // Takes WebAssembly away from its process.
  'test/zstd/!(no-webassembly).test.ts',
];

/**
 * Those of them that take seconds each, because of many rounds, processes of their own or large inputs.
 * `npm run test:unit` leaves them out.
 */
const LONG = [
  'test/blob-writer/compression-pool.test.ts',
  'test/cli/{damage,process}.test.ts',
  'test/layers/{hostile-bytes,unawaited-puts}.test.ts',
  'test/layers/disk-btree/{builder,hostile-index,reader,ascending-walk}.test.ts',
  'test/layers/ephemeral-layer/write-out.test.ts',
  'test/layers/layer-file/{failing-disk,file-layout,index-store,large-value,salvage,sparse-file}.test.ts',
  'test/postgres/real-cluster.test.ts',
  'test/virtual-file/many-files.test.ts',
  'test/zstd/{compression,decompression}.test.ts',
];
const LEFT_OUT = process.env['LAYERFILE_QUICK'] === undefined ? [] : LONG;

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
          exclude: [...configDefaults.exclude, ...LEFT_OUT],
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
