import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';

/** Where continuous integration wants a report to count tests from, and under which name. */
const { LAYERFILE_REPORTS: reports, LAYERFILE_REPORT: report } = process.env;

/**
 * One more than there are processors: a sixth of the time of two workers goes by in waiting, for the disk, for processes
 * and for what comes after a while.
 */
const WORKERS = availableParallelism() + 1;

/** Measures delays: nothing else runs beside it. */
const ALONE = ['test/load/stalled-syncs.test.ts'];

/** Tests that leave their process as it was: one process runs many of these files. */
const IN_ONE_PROCESS = [
  'test/*.test.ts',
  ...[
    'blob-writer',
    'cli',
    'layers',
    'manifest',
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
  // Measures the memory of its process.
  'test/crash/!(abort).test.ts',
  'test/hostile/!(classes).test.ts',
  'test/{map,package,process}/*.test.ts',
];

/**
 * Those of them that take a second of a processor or more each, because of many rounds, processes of their own or
 * large inputs. `npm run test:unit` leaves them out, and needs no build.
 */
const LONG = [
  'test/crash/!(abort).test.ts',
  'test/hostile/!(classes).test.ts',
  'test/{package,process}/*.test.ts',
  'test/map/{browser,draw-map}.test.ts',
  'test/blob-writer/{blob-reader,blob-scanner,blob-stream,buffered-writer-model,compression-pool,unawaited-appends}.test.ts',
  'test/{checksum,on-abort,printable}.test.ts',
  'test/cli/{bucket-failures,corrupt,damage,golden,index-part,json,ndjson-lines,output-paths,page-header}.test.ts',
  'test/cli/{parallel-wal,process,remote,remote-timeline,run,s3-timelines,shards,usage}.test.ts',
  'test/cli/commands/{build,check,diff,export-pgdata,import-pgdata,import-wal,ls-space,manifest}.test.ts',
  'test/cli/commands/{dump,export-page,get,map,record,redact,reshape,salvage,timeline}.test.ts',
  'test/cli/commands/{verify,wal,wal-remote}.test.ts',
  'test/ingest/export/export-pgdata.test.ts',
  'test/ingest/output/timeline-output.test.ts',
  'test/ingest/pgdata/{golden-import,import-timeline}.test.ts',
  'test/ingest/pipeline/{copied-database,golden-cluster,layer-line,real-cluster,sharded-ingest,wal-ingest}.test.ts',
  'test/ingest/wal/{blocks,golden-records,hostile-records,plain-kernel}.test.ts',
  'test/layers/{corrupt,golden,hostile-bytes,unawaited-puts,value-format,verify}.test.ts',
  'test/layers/delta-layer/{batch-writer,writer}.test.ts',
  'test/layers/disk-btree/{ascending-walk,builder,hostile-index,reader}.test.ts',
  'test/layers/ephemeral-layer/{ephemeral-layer,key-runs,memory-index,write-out,write-out-thread}.test.ts',
  'test/layers/image-layer/{compression-queue,writer}.test.ts',
  'test/layers/layer-file/{blob-order,direct,entry-batch,failing-disk,file-layout,index-store,large-value,large-values}.test.ts',
  'test/layers/layer-file/{layer-reader,layer-writer,refusals,request-cost,salvage,sparse-file}.test.ts',
  'test/manifest/flipped-bit.test.ts',
  'test/object-store/{object-source,put-file,s3-faults,s3-suite,sdk-store}.test.ts',
  'test/postgres/{import,import-objections,real-cluster,relation-files}.test.ts',
  'test/reshape/{compact-level0,compact-timeline,create-images,golden,merge,merged-ranges}.test.ts',
  'test/reshape/{copy-layer,holes,split-timeline,split-writers}.test.ts',
  'test/reshape/{diff,redact,salvage}/*.test.ts',
  'test/timeline/{check,check-pool,directory,exact-json,golden,hostile,read-page}.test.ts',
  'test/timeline/{reconstruct-model,shards}.test.ts',
  'test/timeline/layer-map/{golden,hostile,model}.test.ts',
  'test/timeline/wal-redo/*.test.ts',
  'test/virtual-file/{direct-file,many-files,owners}.test.ts',
  'test/wal/{damaged-wal,golden-wal,parallel-count,record-kernel,wal-reader}.test.ts',
  'test/wal/describe/{describe,golden-wal}.test.ts',
  'test/write-once/{document,overwrite,preserve,tenant-config}.test.ts',
  'test/zstd/{compression,decompression,frame}.test.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    globalSetup: 'test/support/nothing-left.ts',
    setupFiles: 'test/support/quick-byte-equality.ts',
    // On a quiet machine none takes a quarter of a minute; on a busy one, twenty times as long.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Each project transforms its modules by itself, and so does each run: one cache serves them all.
    experimental: { fsModuleCache: true },
    // A second, the default, may pass on a busy machine before a process has had a turn.
    expect: { poll: { timeout: 20_000 } },
    reporters: ['default', ...(reports === undefined ? [] : ['json'])],
    ...(reports === undefined ? {} : { outputFile: { json: join(reports, `${report}.json`) } }),
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
    },
    // Those of one group start in the order of their names: so that no long file is the last one, for which the other
    // processors wait, the long ones come before the short ones.
    projects: [
      {
        extends: true,
        test: {
          name: 'isolated',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...ALONE, ...IN_ONE_PROCESS],
          maxWorkers: WORKERS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'long',
          include: LONG,
          isolate: false,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'short',
          include: IN_ONE_PROCESS,
          exclude: [...configDefaults.exclude, ...LONG],
          isolate: false,
          maxWorkers: WORKERS,
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
