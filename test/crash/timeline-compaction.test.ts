/**
 * A compaction of a timeline, cut at every operation of the file system: an index of the new generation names layers
 * that are there, whatever a crash has kept; what was there before stays as it was.
 */
import { expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import { TimelineOutput } from '../../src/ingest/output/timeline-output.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { compactTimeline } from '../../src/reshape/compact-timeline.ts';
import { loseEverything, seededChoices } from '../../src/testing/choices.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import { UNSHARDED } from '../../src/timeline/tenant-shard.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { blockKey, DIRECTORY, IDS, type MemoryDisk, memoryDisk, noise } from '../support/layers.ts';
import { memoryTimeline } from '../support/memory-output.ts';
import { EVERYTHING } from '../support/random-layers.ts';

const STAGING = '/staging';
/** What a failed run has left in the first one is not touched. */
const OTHER_STAGING = '/staging/again';
const PLACE = `/out/tenants/${IDS.tenantId}/timelines/${IDS.timelineId}`;
const INDEX = `${PLACE}/index_part.json-00000002`;
const SEED = 20_261_129;
/** The long run looks at more states, and fails every operation. */
const IS_LONG = process.env['LAYERFILE_FAULTS'] === 'all';
const CRASHES = IS_LONG ? 20 : 2;
const FAIL_EVERY = IS_LONG ? 1 : 9;

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

type Files = ReadonlyMap<string, Uint8Array>;

/** Every file has its final content, and the index has its layers. */
function check(disk: MemoryFileSystem, final: Files): void {
  const files = disk.contents();
  for (const [path, content] of files) {
    if (path.startsWith(STAGING) || path.endsWith('.___temp')) continue;
    const expected = final.get(path);
    if (expected === undefined || Buffer.compare(expected, content) !== 0) {
      throw new Error(`${path}: ${content.length} bytes, expected ${expected?.length}`);
    }
  }
  for (const path of final.keys()) {
    if (path.startsWith(DIRECTORY) && !files.has(path)) throw new Error(`${path}: gone`);
  }
  const content = files.get(INDEX);
  if (content === undefined) return;
  for (const [name, { fileSize }] of IndexPart.parse(content).fields.layers) {
    const layer = files.get(`${PLACE}/${name}-00000002`);
    if (layer?.length !== Number(fileSize)) throw new Error(`${name}: missing`);
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
  let states = 0;
  fileSystem.intercept = ({ index }) => {
    check(fileSystem.crash(loseEverything), final);
    for (let number = 0; number < CRASHES; number += 1) {
      check(fileSystem.crash(seededChoices(SEED + index * CRASHES + number)), final);
    }
    states += 1 + CRASHES;
    return undefined;
  };
  await run(started);
  fileSystem.intercept = undefined;
  expect(states).toBeGreaterThan(100);
  const survived = fileSystem.crash(loseEverything).contents();
  for (const path of final.keys()) expect(survived.has(path)).toBe(true);
});

test('a failure of any operation is an error, and the run can be repeated', async () => {
  const final = await finalFiles();
  const kinds = new Set(['write', 'sync', 'sync-data', 'link', 'sync-directory', 'rename']);
  let failures = 0;
  for (let failing = 0; ; failing += FAIL_EVERY) {
    const started = await prepared();
    const { fileSystem } = started.disk;
    let count = -1;
    fileSystem.intercept = ({ kind }) => {
      if (!kinds.has(kind)) return undefined;
      count += 1;
      return count === failing ? { fail: 'EIO' } : undefined;
    };
    const error = await run(started).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    fileSystem.intercept = undefined;
    check(fileSystem, final);
    if (count < failing) break;
    if (error === undefined) continue;
    failures += 1;
    if (!isStorageError(error)) throw error;
    if (fileSystem.contents().has(INDEX)) continue;
    // The machine has started again: a directory whose sync failed stays failed in a process.
    const after = fileSystem.crash(seededChoices(SEED + failing));
    check(after, final);
    if (after.contents().has(INDEX)) continue;
    const disk = { fileSystem: after, openFiles: new OpenFiles({ fileSystem: after }) };
    await run({ disk, names: started.names }, OTHER_STAGING);
    check(after, final);
    expect(after.contents().has(INDEX)).toBe(true);
  }
  expect(failures).toBeGreaterThan(1);
});
