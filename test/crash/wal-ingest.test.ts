/**
 * An ingest of WAL into a copy of its base, cut at every operation of the file system and failed at many: an index that
 * is there names layers that are there, whole, whatever a crash has kept; the timeline opens; and a run that goes on from
 * there ends with the same files as one that was not cut. A record is in the index with all of its layers, or not at all.
 */
import { expect, test } from 'vitest';
import { checkpointKey } from '../../src/postgres/key-mapping.ts';
import { type Choose, loseEverything, seededChoices } from '../../src/testing/choices.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import {
  COPY,
  continuedCluster,
  databaseCopy,
  imageOn,
  ingestWal,
  placeOn,
  STAGING,
  timelineDirectory,
  walAfterBase,
} from '../support/continued-cluster.ts';
import { HAS_ALL_ROUNDS } from '../support/rounds.ts';
import { checkFailures, SEED } from './storing-runs.ts';

/** The long run looks at more states, and goes on from more of them. */
const IS_LONG = process.env['LAYERFILE_FAULTS'] === 'all';
const CRASHES = IS_LONG ? 20 : 1;
const RESUME_EVERY = IS_LONG ? 3 : HAS_ALL_ROUNDS ? 47 : 59;
/** They change nothing that has a final name. */
const READS = ['read-directory', 'stat', 'open', 'read', 'close'];
const DIRECTORY = `${COPY}/${timelineDirectory()}`;
const INDEX = `${DIRECTORY}/index_part.json-00000001`;

type Files = ReadonlyMap<string, Uint8Array>;
type Run = NonNullable<Parameters<typeof ingestWal>[1]>;

/** Records of every kind; and databases that are copied, each of which needs several layers. */
const RUNS: readonly (readonly [what: string, run: Run])[] = [
  ['an ingest', {}],
  [
    'an ingest of databases that are copied',
    {
      recordSize: 10_000,
      wal: walAfterBase([
        imageOn(5, 2, 50),
        databaseCopy(6, 5),
        imageOn(6, 1, 51),
        databaseCopy(7, 6),
        imageOn(7, 3, 52),
      ]),
    },
  ],
];

function storedIn(disk: MemoryFileSystem): Files {
  return new Map([...disk.contents()].filter(([path]) => path.startsWith(`${COPY}/`)));
}

/** Every layer has its final content, and the index has its layers, all those of a record. Returns: the index. */
function check(disk: MemoryFileSystem, final: Files): IndexPart | undefined {
  const stored = storedIn(disk);
  for (const [path, content] of stored) {
    if (path === INDEX || path.endsWith('.___temp')) continue;
    const expected = final.get(path);
    if (expected === undefined || Buffer.compare(expected, content) !== 0) {
      throw new Error(`${path}: ${content.length} bytes, expected ${expected?.length}`);
    }
  }
  const text = stored.get(INDEX);
  if (text === undefined) return undefined;
  const index = IndexPart.parse(text);
  const { diskConsistentLsn } = index.fields.metadata;
  for (const [name, { fileSize }] of index.fields.layers) {
    const layer = stored.get(`${DIRECTORY}/${name}-00000001`);
    if (layer?.length !== Number(fileSize)) throw new Error(`${name}: missing`);
    const end = BigInt(`0x${name.slice(-16)}`);
    if (end > diskConsistentLsn + 1n) throw new Error(`${name}: above the end of the timeline`);
  }
  for (const path of final.keys()) {
    const name = path.slice(DIRECTORY.length + 1, -'-00000001'.length);
    if (!name.includes('__') || index.fields.layers.has(name)) continue;
    const end = BigInt(`0x${name.slice(-16)}`);
    if (end <= diskConsistentLsn + 1n) throw new Error(`${name}: not in the index`);
  }
  return index;
}

/** Goes on in what a crash has left. */
async function checkGoingOn(disk: MemoryFileSystem, final: Files, run: Run): Promise<void> {
  if (check(disk, final) !== undefined) {
    await using timeline = await openTimeline(placeOn(disk, COPY));
    const found = await timeline.reconstruct(checkpointKey(), timeline.lastLsn);
    expect(found.outcome).toBe('complete');
  }
  // Each run has a staging directory of its own where directories can be made.
  for (const path of disk.paths()) {
    if (path.startsWith(`${STAGING}/`)) void disk.unlink(path);
  }
  await ingestWal(disk, run);
  const stored = storedIn(disk);
  for (const [path, content] of final) expect(stored.get(path)).toEqual(content);
}

test.each(RUNS)(
  `%s that crashes at any operation leaves a timeline that opens and continues (seed ${SEED})`,
  async (_, run) => {
    const whole = await continuedCluster();
    const { layers } = await ingestWal(whole, run);
    const borders = new Set(layers.map(({ name }) => /-([0-9A-F]{16})-/.exec(name)?.[1]));
    expect(layers.length).toBeGreaterThan(3);
    const final = storedIn(whole);

    const disk = await continuedCluster();
    const cut: MemoryFileSystem[] = [];
    const reached = new Set<bigint>();
    let states = 0;
    const look = (choose: Choose) => {
      const crashed = disk.crash(choose);
      const found = check(crashed, final);
      if (found !== undefined) reached.add(found.fields.metadata.diskConsistentLsn);
      if (states % RESUME_EVERY === 0) cut.push(crashed);
      states += 1;
    };
    disk.intercept = ({ kind, index }) => {
      if (READS.includes(kind)) return undefined;
      look(loseEverything);
      for (let number = 1; number <= CRASHES; number += 1) {
        look(seededChoices(SEED + index * CRASHES + number));
      }
      return undefined;
    };
    await ingestWal(disk, run);
    disk.intercept = undefined;
    check(disk, final);
    expect(states).toBeGreaterThan(200);
    // Each border of a layer, and the base.
    expect(reached.size).toBeGreaterThan(borders.size);
    for (const path of final.keys()) {
      expect(disk.crash(loseEverything).contents().has(path)).toBe(true);
    }
    expect(cut.length).toBeGreaterThan(4);
    for (const crashed of cut) await checkGoingOn(crashed, final, run);
  },
  600_000,
);

test.each(RUNS)(
  `%s of which an operation fails leaves a timeline that continues (seed ${SEED})`,
  async (_, run) => {
    const whole = await continuedCluster();
    await ingestWal(whole, run);
    const final = storedIn(whole);
    const failures = await checkFailures({
      failEvery: HAS_ALL_ROUNDS ? 7 : 19,
      prepared: continuedCluster,
      diskOf: (disk) => disk,
      run: async (disk) => {
        await ingestWal(disk, run);
      },
      check: (disk) => check(disk, final),
      repeat: (survived) => checkGoingOn(survived, final, run),
    });
    expect(failures).toBeGreaterThan(HAS_ALL_ROUNDS ? 10 : 4);
  },
  600_000,
);
