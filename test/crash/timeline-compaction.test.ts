/**
 * A compaction of a timeline, cut at every operation of the file system: an index of the new generation names layers
 * that are there, whatever a crash has kept; what was there before stays as it was.
 */
import { expect, test } from 'vitest';
import { TimelineOutput } from '../../src/ingest/output/timeline-output.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { compactTimeline } from '../../src/reshape/compact-timeline.ts';
import { loseEverything } from '../../src/testing/choices.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { UNSHARDED } from '../../src/timeline/tenant-shard.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { blockKey, DIRECTORY, IDS, type MemoryDisk, memoryDisk, noise } from '../support/layers.ts';
import { memoryTimeline } from '../support/memory-output.ts';
import { EVERYTHING } from '../support/random-layers.ts';
import { checkCrashes, checkFailures, checkStored, type Files, SEED } from './storing-runs.ts';

const STAGING = '/staging';
/** What a failed run has left in the first one is not touched. */
const OTHER_STAGING = '/staging/again';
const PLACE = `/out/tenants/${IDS.tenantId}/timelines/${IDS.timelineId}`;
const INDEX = `${PLACE}/index_part.json-00000002`;

/** Three L0s in a directory, and an empty place for the output. */
async function prepared(): Promise<{ disk: MemoryDisk; names: string[] }> {
  const disk = memoryDisk();
  const parts = PLACE.split('/').slice(1);
  for (const index of parts.keys()) {
    disk.fileSystem.createDirectory(`/${parts.slice(0, index + 1).join('/')}`);
  }
  for (const path of [STAGING, OTHER_STAGING]) disk.fileSystem.createDirectory(path);
  const names: string[] = [];
  for (const start of [0x10n, 0x20n, 0x30n]) {
    await using writer = await DeltaLayerWriter.create({
      ...{ directory: DIRECTORY, ...IDS, keyRange: EVERYTHING, openFiles: disk.openFiles },
      lsnRange: { start, end: start + 0x10n },
    });
    for (let block = 0; block < 30; block += 1) {
      const bytes = noise(700, block + Number(start));
      await writer.put(blockKey(block), start + 8n, { type: 'image', bytes });
    }
    const { path } = await writer.finish();
    names.push(path.slice(DIRECTORY.length + 1));
  }
  return { disk, names };
}

/** L1s of several sizes, an image layer, and the index of generation 2. */
async function run(
  { disk, names }: Awaited<ReturnType<typeof prepared>>,
  stagingDirectory = STAGING,
): Promise<void> {
  // A failed sync stays with the table of descriptors in which it failed.
  const openFiles = new OpenFiles({ fileSystem: disk.fileSystem });
  await using timeline = memoryTimeline(disk, names, { lastLsn: 0x3fn });
  await using output = await TimelineOutput.open({
    ...{ ...IDS, shard: UNSHARDED, generation: 2, target: '/out', openFiles },
    stagingDirectory,
  });
  await compactTimeline(timeline, {
    ...{ output, openFiles, threshold: 3, checkpointDistance: 30_000 },
    images: { threshold: 1, compression: { kind: 'none' } },
  });
}

function check(disk: MemoryFileSystem, final: Files): void {
  const files = disk.contents();
  checkStored(files, final, {
    isChecked: (path) => !path.startsWith(STAGING),
    places: [{ directory: PLACE, generation: '00000002' }],
  });
  for (const path of final.keys()) {
    if (path.startsWith(DIRECTORY) && !files.has(path)) throw new Error(`${path}: gone`);
  }
}

/** What an undisturbed run leaves. */
async function finalFiles(): Promise<Files> {
  const started = await prepared();
  await run(started);
  return started.disk.fileSystem.contents();
}

test(`a crash at any operation leaves no index that names a missing layer (seed ${SEED})`, async () => {
  const final = await finalFiles();
  expect(final.size).toBeGreaterThan(6);
  const started = await prepared();
  const { fileSystem } = started.disk;
  const states = await checkCrashes(
    fileSystem,
    () => run(started),
    (survived) => check(survived, final),
  );
  expect(states).toBeGreaterThan(100);
  const survived = fileSystem.crash(loseEverything).contents();
  for (const path of final.keys()) expect(survived.has(path)).toBe(true);
});

test('a failure of any operation is an error, and the run can be repeated', async () => {
  const final = await finalFiles();
  const failures = await checkFailures({
    ...{ failEvery: 9, prepared, run },
    diskOf: ({ disk }) => disk.fileSystem,
    check: (disk) => check(disk, final),
    repeat: async (survived, { names }) => {
      if (survived.contents().has(INDEX)) return;
      const disk = { fileSystem: survived, openFiles: new OpenFiles({ fileSystem: survived }) };
      await run({ disk, names }, OTHER_STAGING);
      expect(survived.contents().has(INDEX)).toBe(true);
    },
  });
  expect(failures).toBeGreaterThan(1);
});
