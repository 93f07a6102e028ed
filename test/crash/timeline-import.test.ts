/**
 * The import of a data directory as a timeline, cut at every operation of the file system: an index that is
 * there names layers that are there, whatever a crash has kept; and nothing else has a final name.
 */
import { normalize } from 'node:path';
import { expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import { importTimeline } from '../../src/ingest/pgdata/import-timeline.ts';
import { loseEverything, seededChoices } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { pages } from '../postgres/fabricated-cluster.ts';
import { controlFileBytes } from '../support/control-file.ts';
import { relationMapBytes } from '../support/relation-map.ts';

const TENANT = '11223344556677881122334455667788';
const TIMELINE = '99aabbccddeeff0099aabbccddeeff00';
const SHARDS = ['0002', '0102'];
const STAGING = '/staging';
const SEED = 20_261_129;
/** The long run looks at more states, and fails every operation. */
const IS_LONG = process.env['LAYERFILE_FAULTS'] === 'all';
const CRASHES = IS_LONG ? 20 : 2;
const FAIL_EVERY = IS_LONG ? 1 : 11;

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
  const empty = ['/pg/pg_tblspc', '/pg/pg_twophase', STAGING, ...SHARDS.map(directoryOf)];
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

type Files = ReadonlyMap<string, Uint8Array>;

/** What an undisturbed run stores, without what was there before. */
async function storedFiles(): Promise<Files> {
  const disk = prepared();
  await run(disk);
  return new Map([...disk.contents()].filter(([path]) => path.startsWith('/out/')));
}

/** Every file has its final content, and each index has its layers. */
function check(disk: MemoryFileSystem, final: Files): void {
  const files = disk.contents();
  for (const [path, content] of files) {
    if (!path.startsWith('/out/') || path.endsWith('.___temp')) continue;
    const expected = final.get(path);
    if (expected === undefined || Buffer.compare(expected, content) !== 0) {
      throw new Error(`${path}: ${content.length} bytes, expected ${expected?.length}`);
    }
  }
  for (const shard of SHARDS) {
    const content = files.get(`${directoryOf(shard)}/index_part.json-00000001`);
    if (content === undefined) continue;
    for (const [name, { fileSize }] of IndexPart.parse(content).fields.layers) {
      const layer = files.get(`${directoryOf(shard)}/${name}-00000001`);
      if (layer?.length !== Number(fileSize)) throw new Error(`${name}: missing`);
    }
  }
}

test(`a crash at any operation leaves no index that names a missing layer (seed ${SEED})`, async () => {
  const final = await storedFiles();
  expect(final.size).toBeGreaterThan(8);
  const disk = prepared();
  let states = 0;
  disk.intercept = ({ index }) => {
    check(disk.crash(loseEverything), final);
    for (let number = 0; number < CRASHES; number += 1) {
      check(disk.crash(seededChoices(SEED + index * CRASHES + number)), final);
    }
    states += 1 + CRASHES;
    return undefined;
  };
  await run(disk);
  disk.intercept = undefined;
  check(disk, final);
  expect(states).toBeGreaterThan(500);
  for (const path of final.keys()) {
    expect(disk.crash(loseEverything).contents().has(path)).toBe(true);
  }
  expect([...disk.contents().keys()].filter((path) => path.startsWith(STAGING))).toEqual([]);
});

test('a failure of any operation is an error, and the run can be repeated', async () => {
  const final = await storedFiles();
  const kinds = new Set(['write', 'sync', 'sync-data', 'link', 'sync-directory', 'rename']);
  let failures = 0;
  for (let failing = 0; ; failing += FAIL_EVERY) {
    const disk = prepared();
    let count = -1;
    disk.intercept = ({ kind }) => {
      if (!kinds.has(kind)) return undefined;
      count += 1;
      return count === failing ? { fail: 'EIO' } : undefined;
    };
    const error = await run(disk).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    disk.intercept = undefined;
    check(disk, final);
    if (count < failing) break;
    if (error === undefined) continue;
    if (!isStorageError(error)) throw error;
    failures += 1;
    const after = disk.crash(seededChoices(SEED + failing));
    check(after, final);
    await run(emptied(after));
    check(after, final);
    expect([...final.keys()].filter((path) => !after.contents().has(path))).toEqual([]);
  }
  expect(failures).toBeGreaterThan(5);
});

/** Layers that were not stored are made again: leftovers of the staging directory are removed first. */
function emptied(disk: MemoryFileSystem): MemoryFileSystem {
  for (const path of disk.paths()) {
    if (path.startsWith(`${STAGING}/`)) void disk.unlink(path);
  }
  return disk;
}
