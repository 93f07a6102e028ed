/**
 * The export of a timeline as a data directory, cut at every operation of the file system: a directory that has its name
 * is complete, whatever a crash has kept.
 */
import { expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import { exportPgdata } from '../../src/ingest/export/export-pgdata.ts';
import { importTimeline } from '../../src/ingest/pgdata/import-timeline.ts';
import { loseEverything, seededChoices } from '../../src/testing/choices.ts';
import type { FileSystemOperationKind } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { fabricateCluster, pages } from '../postgres/fabricated-cluster.ts';
import { controlFileBytes, seal } from '../support/control-file.ts';
import { TIMELINE_IDS, twophaseFile } from '../support/exported-clusters.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const SEED = 20_261_129;
/** The long run looks at more states, and fails every operation. */
const IS_LONG = process.env['LAYERFILE_FAULTS'] === 'all';
const CRASHES = IS_LONG ? 20 : 1;
const FAIL_EVERY = IS_LONG ? 1 : 11;
/** Operations before which a crash differs from one before the operation before. */
const CHANGES: ReadonlySet<FileSystemOperationKind> = new Set([
  'make-directory',
  'open',
  'write',
  'sync',
  'sync-directory',
  'rename',
]);
const PLACE = '/place';
const OUT = `${PLACE}/out`;

/** With small segments of WAL: each state is a copy. */
function smallControlFile(): Uint8Array {
  const bytes = controlFileBytes({ redoLsn: 0x16c_3560n, segmentPageCount: 2 });
  new DataView(bytes.buffer).setUint32(228, 1024 * 1024, true);
  return seal(bytes);
}

async function timelineOf(): Promise<string> {
  const dataDirectory = fabricateCluster({
    'base/5/16384': pages(2, 1),
    'base/5/16384.1': pages(1, 2),
    'base/5/16385': '',
    'pg_xact/0000': pages(1, 3),
    'pg_multixact/members/0000': pages(1, 4),
    'pg_multixact/offsets/0000': pages(1, 5),
    'pg_twophase/00000000000002F9': twophaseFile('prepared'),
    'global/pg_control': smallControlFile(),
  });
  const target = temporaryDirectory();
  await importTimeline({ dataDirectory, target, ...TIMELINE_IDS, way: 'classic' });
  return target;
}

async function run(disk: MemoryFileSystem, source: string, signal?: AbortSignal): Promise<void> {
  await using timeline = await openTimeline(source);
  const openFiles = new OpenFiles({ fileSystem: disk });
  await exportPgdata(timeline, { directory: OUT, openFiles, signal });
}

function prepared(): MemoryFileSystem {
  const disk = new MemoryFileSystem();
  disk.createDirectory(PLACE);
  return disk;
}

type Files = ReadonlyMap<string, Uint8Array>;

function outputOf(disk: MemoryFileSystem): Files {
  return new Map([...disk.contents()].filter(([path]) => path.startsWith(`${OUT}/`)));
}

/** Nothing, or all of it with its content. */
function check(disk: MemoryFileSystem, final: Files): void {
  const files = outputOf(disk);
  if (files.size === 0) return;
  for (const [path, content] of final) {
    const found = files.get(path);
    if (found === undefined || Buffer.compare(found, content) !== 0) {
      throw new Error(`${path}: ${found?.length} bytes, expected ${content.length}`);
    }
  }
  if (files.size !== final.size) throw new Error(`${files.size} files, expected ${final.size}`);
}

function checkComplete(disk: MemoryFileSystem, final: Files): void {
  check(disk, final);
  expect(outputOf(disk).size).toBe(final.size);
}

function leftoversOf(disk: MemoryFileSystem): string[] {
  return disk.paths().filter((path) => path.includes('.___temp'));
}

/** What an undisturbed run writes. */
async function finalOf(source: string): Promise<Files> {
  const disk = prepared();
  await run(disk, source);
  return outputOf(disk);
}

test(`a crash at any operation leaves a complete directory or none (seed ${SEED})`, async () => {
  const source = await timelineOf();
  const final = await finalOf(source);
  expect(final.size).toBeGreaterThan(15);
  const disk = prepared();
  let states = 0;
  disk.intercept = ({ index, kind }) => {
    if (!CHANGES.has(kind)) return undefined;
    check(disk.crash(loseEverything), final);
    for (let number = 0; number < CRASHES; number += 1) {
      check(disk.crash(seededChoices(SEED + index * CRASHES + number)), final);
    }
    states += 1 + CRASHES;
    return undefined;
  };
  await run(disk, source);
  disk.intercept = undefined;
  expect(states).toBeGreaterThan(150);
  // Once it has resolved, nothing of it can be lost.
  checkComplete(disk.crash(loseEverything), final);
  expect(leftoversOf(disk)).toEqual([]);
});

test('a failure of any operation is an error that leaves nothing, and the run can be repeated', async () => {
  const source = await timelineOf();
  const final = await finalOf(source);
  let failures = 0;
  for (let failing = 0; ; failing += FAIL_EVERY) {
    const disk = prepared();
    let count = -1;
    disk.intercept = ({ kind }) => {
      if (!CHANGES.has(kind)) return undefined;
      count += 1;
      return count === failing ? { fail: 'EIO' } : undefined;
    };
    const error = await run(disk, source).catch((reason: unknown) => reason);
    disk.intercept = undefined;
    check(disk, final);
    if (count < failing) break;
    if (!isStorageError(error)) throw error;
    failures += 1;
    expect([error.errno, leftoversOf(disk)]).toEqual(['EIO', []]);
    expect(disk.openCount).toBe(0);
    // The parent may have the directory already: only its sync has failed.
    const after = disk.crash(seededChoices(SEED + failing));
    check(after, final);
    if (outputOf(after).size > 0) continue;
    await run(after, source);
    checkComplete(after, final);
    expect(leftoversOf(after)).toEqual([]);
  }
  expect(failures).toBeGreaterThan(9);
});

test('leftovers of a killed run are removed by the next one', async () => {
  const source = await timelineOf();
  const final = await finalOf(source);
  const disk = prepared();
  let killed: MemoryFileSystem | undefined;
  disk.intercept = ({ kind }) => {
    if (kind === 'rename') killed = disk.clone();
    return undefined;
  };
  await run(disk, source);
  if (killed === undefined) throw new Error('no rename');
  expect(leftoversOf(killed)).toHaveLength(final.size);
  await run(killed, source);
  expect(leftoversOf(killed)).toEqual([]);
  checkComplete(killed, final);
});

test('an export that is aborted at any operation leaves nothing', async () => {
  const source = await timelineOf();
  const final = await finalOf(source);
  let aborted = 0;
  for (let at = 5; ; at += IS_LONG ? 1 : 61) {
    const disk = prepared();
    const stop = new AbortController();
    disk.intercept = ({ index }) => {
      if (index === at) stop.abort();
      return undefined;
    };
    const error = await run(disk, source, stop.signal).catch((reason: unknown) => reason);
    check(disk, final);
    if (error === undefined) break;
    if (!isStorageError(error, 'aborted')) throw error;
    aborted += 1;
    expect(disk.paths()).toEqual([]);
  }
  expect(aborted).toBeGreaterThan(1);
});

const isSyncOfLastFile = ({ kind, path }: { kind: FileSystemOperationKind; path: string }) =>
  kind === 'sync' && path.endsWith('/global/pg_control');

test('the directory gets its name only after a slow sync of the last file', async () => {
  const disk = prepared();
  let isSynced = false;
  let whenNamed: boolean | undefined;
  disk.intercept = (operation) => {
    if (operation.kind === 'rename') whenNamed = isSynced;
    if (!isSyncOfLastFile(operation)) return undefined;
    const delay = new Promise<void>((resolve) => setTimeout(resolve, 300)).then(() => {
      isSynced = true;
    });
    return { delay };
  };
  await run(disk, await timelineOf());
  expect(whenNamed).toBe(true);
});

test('a failed sync of the last file is an error, and there is no directory', async () => {
  const disk = prepared();
  disk.intercept = (operation) => (isSyncOfLastFile(operation) ? { fail: 'EIO' } : undefined);
  const error = await run(disk, await timelineOf()).catch((reason: unknown) => reason);
  expect(isStorageError(error, 'sync-failed')).toBe(true);
  expect(disk.paths()).toEqual([]);
});
