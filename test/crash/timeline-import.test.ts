/**
 * The import of a data directory as a timeline, cut at every operation of the file system: an index that is
 * there names layers that are there, whatever a crash has kept; and nothing else has a final name.
 */
import { normalize } from 'node:path';
import { expect, test } from 'vitest';
import { importTimeline } from '../../src/ingest/pgdata/import-timeline.ts';
import { loseEverything } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { pages } from '../postgres/fabricated-cluster.ts';
import { controlFileBytes } from '../support/control-file.ts';
import { relationMapBytes } from '../support/relation-map.ts';
import { checkCrashes, checkFailures, checkStored, type Files, SEED } from './storing-runs.ts';

const TENANT = '11223344556677881122334455667788';
const TIMELINE = '99aabbccddeeff0099aabbccddeeff00';
const SHARDS = ['0002', '0102'];
const STAGING = '/staging';

function directoryOf(shard: string): string {
  return `/out/tenants/${TENANT}-${shard}/timelines/${TIMELINE}`;
}

const FILES: readonly (readonly [path: string, content: Uint8Array])[] = [
  ['global/pg_control', controlFileBytes()],
  ['global/pg_filenode.map', relationMapBytes()],
  ['base/5/pg_filenode.map', relationMapBytes()],
  ['base/5/16384', pages(5, 1)],
  ['pg_xact/0000', pages(1, 2)],
  ['pg_multixact/members/0000', pages(1, 3)],
  ['pg_multixact/offsets/0000', pages(1, 4)],
  ['PG_VERSION', Buffer.from('17\n')],
  ['base/5/PG_VERSION', Buffer.from('17\n')],
];

function makeDirectory(disk: MemoryFileSystem, path: string): void {
  const parts = normalize(path).split('/').slice(1);
  for (const index of parts.keys()) {
    const directory = `/${parts.slice(0, index + 1).join('/')}`;
    if (!made.get(disk)?.has(directory)) disk.createDirectory(directory);
    made.set(disk, (made.get(disk) ?? new Set()).add(directory));
  }
}

const made = new WeakMap<MemoryFileSystem, Set<string>>();

function prepared(): MemoryFileSystem {
  const disk = new MemoryFileSystem();
  // The run makes the directories of the timelines.
  const empty = ['/pg/pg_tblspc', '/pg/pg_twophase', STAGING, '/out'];
  for (const path of [...empty, ...FILES.map(([name]) => `/pg/${name}/..`)])
    makeDirectory(disk, path);
  for (const [path, content] of FILES) disk.createFile(`/pg/${path}`, content);
  return disk;
}

/** Two shards of several layers each. */
async function run(disk: MemoryFileSystem): Promise<void> {
  await importTimeline({
    dataDirectory: '/pg',
    target: '/out',
    tenantId: TENANT,
    timelineId: TIMELINE,
    layerSize: 6 * 8192,
    shardCount: 2,
    stripeSize: 1,
    compression: { kind: 'none' },
    stagingDirectory: STAGING,
    openFiles: new OpenFiles({ fileSystem: disk }),
  });
}

/** What an undisturbed run stores, without what was there before. */
async function storedFiles(): Promise<Files> {
  const disk = prepared();
  await run(disk);
  return new Map([...disk.contents()].filter(([path]) => path.startsWith('/out/')));
}

function check(disk: MemoryFileSystem, final: Files): void {
  checkStored(disk.contents(), final, {
    isChecked: (path) => path.startsWith('/out/'),
    places: SHARDS.map((shard) => ({ directory: directoryOf(shard), generation: '00000001' })),
  });
}

test(`a crash at any operation leaves no index that names a missing layer (seed ${SEED})`, async () => {
  const final = await storedFiles();
  expect(final.size).toBeGreaterThan(8);
  const disk = prepared();
  const states = await checkCrashes(
    disk,
    () => run(disk),
    (survived) => check(survived, final),
  );
  check(disk, final);
  expect(states).toBeGreaterThan(500);
  for (const path of final.keys()) {
    expect(disk.crash(loseEverything).contents().has(path)).toBe(true);
  }
  expect([...disk.contents().keys()].filter((path) => path.startsWith(STAGING))).toEqual([]);
});

test('a failure of any operation is an error, and the run can be repeated', async () => {
  const final = await storedFiles();
  const failures = await checkFailures({
    ...{ failEvery: 11, prepared, run },
    diskOf: (disk) => disk,
    check: (disk) => check(disk, final),
    repeat: async (survived) => {
      await run(emptied(survived));
      expect([...final.keys()].filter((path) => !survived.contents().has(path))).toEqual([]);
    },
  });
  expect(failures).toBeGreaterThan(5);
});

/** Layers that were not stored are made again: leftovers of the staging directory are removed first. */
function emptied(disk: MemoryFileSystem): MemoryFileSystem {
  for (const path of disk.paths()) {
    if (path.startsWith(`${STAGING}/`)) void disk.unlink(path);
  }
  return disk;
}
