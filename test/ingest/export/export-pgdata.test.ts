import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { StorageError } from '../../../src/errors.ts';
import {
  type ExportPgdataOptions,
  exportPgdata,
} from '../../../src/ingest/export/export-pgdata.ts';
import { planExport } from '../../../src/ingest/export/export-plan.ts';
import { readBatches } from '../../../src/ingest/export/page-reading.ts';
import {
  type ImportTimelineOptions,
  importTimeline,
} from '../../../src/ingest/pgdata/import-timeline.ts';
import { encodeAuxFiles } from '../../../src/ingest/wal/aux-files.ts';
import { formatKey, type Key, keyFromFields } from '../../../src/layers/key.ts';
import { decodeControlFile } from '../../../src/postgres/control-file.ts';
import {
  checkpointKey,
  relationBlockKey,
  relationSizeKey,
  slruSizeKey,
  twophaseDirectoryKey,
  twophaseKey,
} from '../../../src/postgres/key-mapping.ts';
import { badPageOf } from '../../../src/postgres/page.ts';
import { encodeRelationSize } from '../../../src/postgres/relation-size.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import type { Timeline } from '../../../src/timeline/timeline.ts';
import { decodeWalRecord } from '../../../src/wal/record-format.ts';
import { openWal } from '../../../src/wal/wal-reader.ts';
import { walDirectory } from '../../../src/wal/wal-source.ts';
import {
  checksummed,
  type Files,
  fabricateCluster,
  pages,
} from '../../postgres/fabricated-cluster.ts';
import type { ControlFields } from '../../support/control-file.ts';
import {
  addValues,
  filesBelow,
  TIMELINE_IDS,
  twophaseFile,
} from '../../support/exported-clusters.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { walRecord } from '../../support/wal-records.ts';

const LSN = 0x16c_3560n;
const TABLESPACE = 'pg_tblspc/16400/PG_17_202406281/5';
const FILES = {
  'base/5/16384': pages(4, 1),
  'base/5/16384.1': pages(3, 8),
  'base/5/16384_fsm': pages(1, 9),
  'base/5/16385': '',
  'base/5/20000': pages(3, 10),
  'base/5/20000_fsm': pages(1, 11),
  'base/5/20000_init': pages(1, 2),
  'base/16500/16384_vm': pages(1, 12),
  'global/1262': pages(1, 3),
  [`${TABLESPACE}/16401`]: pages(2, 13),
  'pg_xact/0000': pages(2, 4),
  'pg_multixact/members/0000': pages(1, 5),
  'pg_multixact/offsets/0000': pages(1, 6),
  'pg_twophase/00000000000002F9': twophaseFile('prepared'),
};

function clusterOf(files: Files = {}, control: ControlFields = {}): string {
  const fields = { redoLsn: LSN, segmentPageCount: 4, ...control };
  const cluster = fabricateCluster({ ...FILES, ...files }, fields);
  writeFileSync(join(cluster, TABLESPACE, 'PG_VERSION'), '17\n');
  return cluster;
}

async function importOf(
  cluster: string,
  options: Partial<ImportTimelineOptions> = {},
): Promise<string> {
  const bucket = join(temporaryDirectory(), 'bucket');
  await importTimeline({
    ...{ dataDirectory: cluster, target: bucket, ...TIMELINE_IDS, way: 'classic' },
    ...options,
  });
  return bucket;
}

/** What `clusterOf()` becomes, imported once: a copy of it, which the test may change. */
async function importedBucket(): Promise<string> {
  imported ??= await keptBucket();
  const bucket = join(temporaryDirectory(), 'bucket');
  cpSync(imported, bucket, { recursive: true });
  return bucket;
}

let imported: string | undefined;

async function keptBucket(): Promise<string> {
  const kept = mkdtempSync(join(tmpdir(), 'layerfile-imported-'));
  cpSync(await importOf(clusterOf()), kept, { recursive: true });
  return kept;
}

afterAll(() => {
  if (imported !== undefined) rmSync(imported, { recursive: true, force: true });
});

async function exportOf(bucket: string, options: Partial<ExportPgdataOptions> = {}) {
  const directory = join(temporaryDirectory(), 'out');
  await using timeline = await openTimeline(bucket);
  return { directory, exported: await exportPgdata(timeline, { directory, ...options }) };
}

/** A timeline that counts how often ranges of it are read. */
function countedReads(timeline: Timeline) {
  let count = 0;
  const counted = new Proxy(timeline, {
    get: (target, name) => {
      if (name === 'reconstructRanges') count += 1;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { counted, readCount: () => count };
}

/** Of a timeline that cannot be exported: why, what was said of pages, and that nothing is left. */
async function refusalOf(bucket: string, options: Partial<ExportPgdataOptions> = {}) {
  const findings: StorageError[] = [];
  const counts: number[] = [];
  const parent = temporaryDirectory();
  await using timeline = await openTimeline(bucket);
  const error = await storageErrorOf(
    exportPgdata(timeline, {
      ...{ directory: join(parent, 'out'), ...options },
      onMissingPage: (finding, pageCount) => {
        findings.push(finding);
        counts.push(pageCount);
      },
    }),
  );
  expect(readdirSync(parent)).toEqual([]);
  return { error, findings, counts };
}

/** What an export creates. */
const NOT_COMPARED = [
  'global/pg_control',
  'pg_hba.conf',
  'pg_ident.conf',
  'postgresql.auto.conf',
  'postgresql.conf',
  'pg_wal/000000010000000000000001',
];

/** What a cluster has after an import and an export: an unlogged relation is what its init fork has. */
function expectedFiles(cluster: string): Map<string, string> {
  const expected = filesBelow(cluster);
  expected.set('base/5/20000', expected.get('base/5/20000_init') ?? '');
  expected.delete('base/5/20000_fsm');
  for (const path of NOT_COMPARED) expected.delete(path);
  return expected;
}

function comparedFiles(directory: string): Map<string, string> {
  const files = filesBelow(directory);
  for (const path of NOT_COMPARED) expect(files.delete(path), path).toBe(true);
  return files;
}

describe('a cluster that was imported and is exported', () => {
  test.each<[string, Partial<ImportTimelineOptions>]>([
    ['the classic way', {}],
    ['in small layers', { layerSize: 2 * 8192 }],
    ['in three shards', { shardCount: 3, stripeSize: 1 }],
  ])('a cluster that was imported %s and is exported has the same bytes', async (_, options) => {
    const cluster = clusterOf();
    const { directory, exported } = await exportOf(await importOf(cluster, options));
    expect(comparedFiles(directory)).toEqual(expectedFiles(cluster));
    expect(exported).toMatchObject({
      ...{ lsn: LSN, startLsn: LSN, databaseCount: 3, forkCount: 8, pageCount: 18 },
      ...{ missingPageCount: 0, checksumCount: 0, unloggedCount: 1, leftOut: [] },
    });
  });

  test('the fast way: lacks prepared transactions alone', async () => {
    const cluster = clusterOf();
    const expected = expectedFiles(cluster);
    expected.delete('pg_twophase/00000000000002F9');
    const { directory, exported } = await exportOf(await importOf(cluster, { way: 'fast' }));
    expect(comparedFiles(directory)).toEqual(expected);
    expect(exported.startLsn).toBe(LSN + 8n);
  });

  test('a cluster that was imported and is exported can be imported again', async () => {
    const { directory } = await exportOf(await importedBucket());
    const { directory: again } = await exportOf(await importOf(directory));
    expect(filesBelow(again)).toEqual(filesBelow(directory));
  });

  test('a cluster that was imported and is exported is closed to other users, and has the directories of a server', async () => {
    const { directory } = await exportOf(await importedBucket());
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, 'base/5/16384')).mode & 0o777).toBe(0o600);
    for (const name of ['pg_notify', 'pg_wal/archive_status', 'pg_wal/summaries', 'pg_subtrans']) {
      expect(existsSync(join(directory, name)), name).toBe(true);
    }
  });

  test('a cluster that was imported and is exported has pages with checksums where they had none that is right', async () => {
    const files = Object.fromEntries(
      Object.entries(FILES).map(([path, content]) =>
        content instanceof Uint8Array && /^(base|global|pg_tblspc)/.test(path)
          ? [path, checksummed(content, path.endsWith('.1') ? 4 : 0)]
          : [path, content],
      ),
    );
    const bucket = await importOf(clusterOf(files, { checksumVersion: 1 }));
    const { exported } = await exportOf(bucket);
    expect(exported.checksumCount).toBe(0);
    const changed = checksummed(pages(1, 77), 3);
    await addValues(bucket, LSN + 0x100n, [
      {
        key: relationBlockKey({ ...RELATION, blkno: 5 }),
        value: { type: 'image', bytes: changed },
      },
    ]);
    const { directory, exported: second } = await exportOf(bucket);
    expect(second.checksumCount).toBe(1);
    const segment = readFileSync(join(directory, 'base/5/16384.1'));
    const page = segment.subarray(8192, 2 * 8192);
    expect(badPageOf(page, 5)).toBeUndefined();
    expect(page.subarray(100).equals(changed.subarray(100))).toBe(true);
  });
});

const RELATION = { spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' } as const;

const origin = {
  key: keyFromFields({ field1: 0x63, field2: 0, field3: 0, field4: 0, field5: 0, field6: 3 }),
  value: { type: 'image' as const, bytes: Buffer.from('0000000001020304', 'hex') },
};

describe('where a server begins', () => {
  test('pg_control and the WAL have the same shutdown checkpoint at the LSN', async () => {
    const { directory } = await exportOf(await importedBucket());
    const bytes = readFileSync(join(directory, 'global/pg_control'));
    const control = decodeControlFile(bytes);
    expect(control).toMatchObject({
      ...{ state: 'shut down', checkpointLsn: LSN, redoLsn: LSN, minimumRecoveryLsn: 0n },
    });
    const records = [];
    const wal = await openWal(walDirectory(join(directory, 'pg_wal')), { start: LSN });
    for await (const batch of wal) {
      for (let index = 0; index < batch.length; index += 1) {
        records.push(decodeWalRecord(batch.bytes(index).slice(), batch.majorVersion));
      }
    }
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({ resourceManager: 0, info: 0, prevLsn: 0n });
    expect(Buffer.from(records[0]?.mainData ?? []).equals(bytes.subarray(40, 128))).toBe(true);
  });

  test('the checkpoint is that of the timeline, without what only a server has', async () => {
    const bucket = await importedBucket();
    const checkpoint = new Uint8Array(88).fill(0x11);
    new DataView(checkpoint.buffer).setUint32(8, 1, true);
    await addValues(bucket, LSN + 0x100n, [
      { key: checkpointKey(), value: { type: 'image', bytes: checkpoint } },
    ]);
    const { directory } = await exportOf(bucket);
    const expected = checkpoint.slice();
    new DataView(expected.buffer).setBigUint64(0, LSN + 0x100n, true);
    expected.fill(0, 72, 84);
    const written = readFileSync(join(directory, 'global/pg_control')).subarray(40, 128);
    expect(written.toString('hex')).toBe(Buffer.from(expected).toString('hex'));
  });

  test('a data directory of a compute has no record, but signals, and the LSN as the start of recovery', async () => {
    const bucket = await importedBucket();
    await addValues(bucket, LSN + 0x100n, [origin]);
    const { directory } = await exportOf(bucket, { server: 'neon' });
    const control = decodeControlFile(readFileSync(join(directory, 'global/pg_control')));
    expect(control).toMatchObject({ checkpointLsn: 0n, redoLsn: LSN + 0x100n });
    const text = readFileSync(join(directory, 'zenith.signal'), 'latin1');
    expect(text).toBe('PREV LSN: 0/16C3658');
    expect(readFileSync(join(directory, 'neon.signal'), 'latin1')).toBe(text);
    const older = await exportOf(bucket, { server: 'neon', lsn: LSN });
    const unknown = readFileSync(join(older.directory, 'neon.signal'), 'latin1');
    expect(unknown).toBe('PREV LSN: invalid');
  });
});

describe('pages that cannot be made', () => {
  const record = walRecord({ resourceManager: 10, info: 0, blocks: [{ blkno: 6 }] });
  const values = [5, 6].map((blkno) => ({
    key: relationBlockKey({ ...RELATION, blkno }),
    value: { type: 'wal' as const, willInit: false, bytes: record },
  }));

  async function timelineWithRecords(): Promise<string> {
    const bucket = await importedBucket();
    await addValues(bucket, LSN + 0x100n, values);
    return bucket;
  }

  test('pages that cannot be made are all listed, and nothing is written', async () => {
    const { error, findings } = await refusalOf(await timelineWithRecords());
    expect(error.code).toBe('needs-redo');
    expect(error.message).toMatch(/^base\/5\/16384\.1: 2 of 18 pages cannot be built/);
    const places = findings.map(({ code, path, offset }) => [code, path, offset]);
    expect(places).toEqual([
      ['needs-redo', 'base/5/16384.1', 8192],
      ['needs-redo', 'base/5/16384.1', 2 * 8192],
    ]);
  });

  test('pages that cannot be made are zeros if the caller wants it, and counted', async () => {
    const bucket = await timelineWithRecords();
    const { directory, exported } = await exportOf(bucket, { missingPages: 'zeros' });
    expect(exported.missingPageCount).toBe(2);
    const segment = readFileSync(join(directory, 'base/5/16384.1'));
    expect(segment.subarray(0, 8192).equals(FILES['base/5/16384.1'].subarray(0, 8192))).toBe(true);
    expect(segment.subarray(8192).every((byte) => byte === 0)).toBe(true);
  });

  test('pages that cannot be made are made by a redo', async () => {
    const bucket = await timelineWithRecords();
    const made = pages(1, 99);
    const { directory, exported } = await exportOf(bucket, { redo: { apply: async () => made } });
    expect(exported.missingPageCount).toBe(0);
    const segment = readFileSync(join(directory, 'base/5/16384.1'));
    expect(segment.subarray(2 * 8192).equals(made)).toBe(true);
  });

  test('pages that cannot be made are as they were at an earlier LSN', async () => {
    const { directory } = await exportOf(await timelineWithRecords(), { lsn: LSN + 0xffn });
    const segment = readFileSync(join(directory, 'base/5/16384.1'));
    expect(segment.equals(FILES['base/5/16384.1'])).toBe(true);
  });

  /** A timeline in which the relation has that many pages, of which the first seven have a value. */
  async function timelineWithSize(blockCount: number): Promise<string> {
    const bucket = await importedBucket();
    const bytes = encodeRelationSize(blockCount);
    await addValues(bucket, LSN + 0x100n, [
      { key: relationSizeKey(RELATION), value: { type: 'image', bytes } },
    ]);
    return bucket;
  }

  test('pages that cannot be made because there is no value are one finding, even over several files', async () => {
    const { error, findings, counts } = await refusalOf(await timelineWithSize(9));
    expect(error.code).toBe('not-found');
    expect(error.message).toContain('2 of 20 pages cannot be built');
    const places = findings.map(({ path, offset, key }) => [path, offset, key]);
    const key = formatKey(relationBlockKey({ ...RELATION, blkno: 7 }));
    expect(places).toEqual([['base/5/16384.1', 3 * 8192, key]]);
    expect(counts).toEqual([2]);
  });

  test('pages that cannot be made of a size that no layer has pages for are one finding, after few reads', async () => {
    const bucket = await timelineWithSize(0xffff_ffff);
    const timeline = await openTimeline(bucket);
    const { counted, readCount } = countedReads(timeline);
    const counts: number[] = [];
    const error = await storageErrorOf(
      exportPgdata(counted, {
        directory: join(temporaryDirectory(), 'out'),
        onMissingPage: (_, pageCount) => void counts.push(pageCount),
      }),
    );
    await timeline.close();
    expect(error).toMatchObject({ code: 'not-found', path: 'base/5/16384.1' });
    expect(counts).toEqual([0xffff_ffff - 7]);
    expect(readCount()).toBeLessThan(30);
  });

  test('many files of pages that cannot be made have zeros if the caller wants it, and what follows is complete', async () => {
    const bucket = await timelineWithSize(5000);
    const last = pages(1, 77);
    await addValues(bucket, LSN + 0x200n, [
      {
        key: relationBlockKey({ ...RELATION, blkno: 4998 }),
        value: { type: 'image', bytes: last },
      },
    ]);
    const { directory, exported } = await exportOf(bucket, { missingPages: 'zeros' });
    expect(exported.missingPageCount).toBe(5000 - 8);
    const sizes = Array.from({ length: 1250 }, (_, number) => {
      const path = `base/5/16384${number === 0 ? '' : `.${number}`}`;
      return statSync(join(directory, path)).size;
    });
    expect(sizes.every((size) => size === 4 * 8192)).toBe(true);
    const end = readFileSync(join(directory, 'base/5/16384.1249'));
    expect(end.subarray(2 * 8192, 3 * 8192).equals(last)).toBe(true);
    const others = [...end.subarray(0, 2 * 8192), ...end.subarray(3 * 8192)];
    expect(others.every((byte) => byte === 0)).toBe(true);
    expect(existsSync(join(directory, 'base/5/16384.1250'))).toBe(false);
    expect(statSync(join(directory, 'base/5/16385')).size).toBe(0);
    expect(exported.pageCount).toBe(18 - 7 + 5000);
  });

  test('pages that cannot be made of a size that no layer has pages for are not zeros: very many files of them are refused', async () => {
    const bucket = await timelineWithSize(0xffff_ffff);
    const { error } = await refusalOf(bucket, { missingPages: 'zeros' });
    expect(error).toMatchObject({ code: 'too-large', expected: 'at most 4096' });
    expect(error.message).toContain('in a relation whose size claims 4294967295 pages');
    expect(error.path).toMatch(/^base\/5\/16384\.\d+$/);
  });

  /** As `timelineWithSize`, of a layer for the pages of the relation that cannot be read. */
  async function timelineWithoutPages(blockCount: number): Promise<string> {
    const bucket = await timelineWithSize(blockCount);
    const [start, end] = [0, 0xffff_fffe].map((blkno) => relationBlockKey({ ...RELATION, blkno }));
    const value = { type: 'image' as const, bytes: pages(1, 55) };
    const keyRange = { start: start as Key, end: end as Key };
    const entry = { key: relationBlockKey({ ...RELATION, blkno: 1 }), value };
    const path = await addValues(bucket, LSN + 0x200n, [entry], keyRange);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0xff, bytes.length - 8192));
    return bucket;
  }

  /** Of the fork whose pages cannot be read, after N of them; with the number of reads. */
  async function unreadable(missingPages: 'refuse' | 'zeros', maximumUnreadable: number) {
    await using timeline = await openTimeline(await timelineWithoutPages(0xffff_ff00));
    const { counted, readCount } = countedReads(timeline);
    const lsn = LSN + 0x200n;
    const about = { majorVersion: 17, segmentPageCount: 131_072 };
    const { sequences } = planExport(await timeline.directory(lsn, {}), about);
    const fork = sequences.filter(({ pageCount }) => pageCount === 0xffff_ff00);
    const reading = { timeline: counted, lsn, pgVersion: 17, redo: undefined, signal: undefined };
    let missing = 0;
    const read = async () => {
      for await (const runs of readBatches(fork, { ...reading, missingPages, maximumUnreadable })) {
        for (const { pageCount } of runs.flatMap((run) => run.missing)) missing += pageCount;
      }
    };
    const [outcome] = await Promise.allSettled([read()]);
    return { outcome, missing, readCount: readCount() };
  }

  test('pages that cannot be made because of a layer that cannot be read are one finding after many of them', async () => {
    const { outcome, missing, readCount } = await unreadable('refuse', 1000);
    expect(outcome.status).toBe('fulfilled');
    expect(missing).toBe(0xffff_ff00);
    expect(readCount).toBeLessThan(3 * 1024);
  });

  test('pages that cannot be made because of a layer that cannot be read are refused as zeros after many of them', async () => {
    const { outcome, readCount } = await unreadable('zeros', 1000);
    expect(outcome).toMatchObject({
      reason: {
        code: 'too-large',
        path: 'base/5/16384',
        offset: 0,
        expected: expect.stringContaining('salvage'),
      },
    });
    expect(readCount).toBeLessThan(3 * 1024);
  });

  test('pages of an SLRU segment that is longer than any cannot be made: its size is refused', async () => {
    const bucket = await importedBucket();
    const key = slruSizeKey({ slru: 'clog', segno: 0 });
    for (const [index, count] of [33, 32].entries()) {
      const bytes = encodeRelationSize(count);
      const lsn = LSN + 0x100n * BigInt(index + 1);
      await addValues(bucket, lsn, [{ key, value: { type: 'image', bytes } }]);
      const { error } = await refusalOf(bucket);
      if (count === 33) expect(error).toMatchObject({ code: 'corrupt', key: formatKey(key) });
      else expect(error).toMatchObject({ code: 'not-found', path: 'pg_xact/0000' });
    }
  });

  test('pages that cannot be made because of damage in a layer are only these, and the layer is named', async () => {
    const bucket = await importOf(clusterOf(), { compression: { kind: 'none' } });
    await addValues(bucket, LSN + 0x100n, [
      {
        key: relationBlockKey({ ...RELATION, blkno: 1 }),
        value: { type: 'image', bytes: pages(1, 55) },
      },
    ]);
    const { tenantId, timelineId } = TIMELINE_IDS;
    const layers = join(bucket, 'tenants', tenantId, 'timelines', timelineId);
    const name = readdirSync(layers).find((found) => found.includes(`-${'F'.repeat(36)}__`));
    const path = readdirSync(layers).filter((found) => /__\w{16}-\w{16}-/.test(found));
    expect(name).toBeDefined();
    const [delta = ''] = path;
    const bytes = readFileSync(join(layers, delta));
    // The tag of the value.
    bytes.fill(0xff, 8192 + 4, 8192 + 8);
    writeFileSync(join(layers, delta), bytes);
    const { error, findings } = await refusalOf(bucket);
    expect(error.code).toBe('corrupt');
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ code: 'corrupt', path: 'base/5/16384', offset: 8192 });
    expect(findings[0]?.message).toContain(delta.slice(0, 60));
  });
});

describe('prepared transactions and auxiliary files', () => {
  const aux = (paths: readonly string[]) => ({
    key: keyFromFields({ field1: 0x62, field2: 1, field3: 0, field4: 0, field5: 0, field6: 7 }),
    value: {
      type: 'image' as const,
      bytes: encodeAuxFiles(
        paths.map((path) => ({ path: Buffer.from(path), content: Buffer.alloc(104, path) })),
      ),
    },
  });
  const PATHS = [
    'pg_stat/pgstat.stat',
    'pg_replslot/slot/state',
    '../evil',
    'pg_stat/../../x',
    '/a',
  ];

  test('a prepared transaction from WAL gets its checksum', async () => {
    const bucket = await importedBucket();
    const file = twophaseFile('from WAL');
    const directory = Buffer.alloc(16);
    directory.writeBigUInt64BE(1n);
    directory.writeBigUInt64BE(0x1_0000_0abcn, 8);
    await addValues(bucket, LSN + 0x100n, [
      { key: twophaseDirectoryKey(), value: { type: 'image', bytes: directory } },
      { key: twophaseKey(0x1_0000_0abcn), value: { type: 'image', bytes: file.slice(0, -4) } },
    ]);
    const { directory: out } = await exportOf(bucket);
    expect(readdirSync(join(out, 'pg_twophase'))).toEqual(['0000000100000ABC']);
    const written = readFileSync(join(out, 'pg_twophase/0000000100000ABC'));
    expect(written.equals(file)).toBe(true);
  });

  test('a server gets statistics and origins, but no slots, and no path leads out', async () => {
    const bucket = await importedBucket();
    await addValues(bucket, LSN + 0x100n, [aux(PATHS), origin]);
    const { directory, exported } = await exportOf(bucket);
    expect(readdirSync(join(directory, 'pg_stat'))).toEqual(['pgstat.stat']);
    expect(readdirSync(join(directory, 'pg_replslot'))).toEqual([]);
    expect(exported.leftOut).toEqual(PATHS.slice(1));
    const origins = readFileSync(join(directory, 'pg_logical/replorigin_checkpoint'));
    expect(origins.subarray(0, 20).toString('hex')).toBe(
      'deda5712' + '0300000000000000' + '0403020100000000',
    );
    expect(origins).toHaveLength(24);
  });

  test('a compute gets the slots, too, and the lowest LSN that they need', async () => {
    const bucket = await importedBucket();
    await addValues(bucket, LSN + 0x100n, [aux(PATHS)]);
    const { directory, exported } = await exportOf(bucket, { server: 'neon' });
    expect(readdirSync(join(directory, 'pg_replslot/slot'))).toEqual(['state']);
    expect(exported.leftOut).toEqual(PATHS.slice(2));
    expect(readFileSync(join(directory, 'restart.lsn'), 'latin1')).toMatch(
      /^[0-9A-F]+\/[0-9A-F]+$/,
    );
  });
});

describe('what is refused, with nothing written', () => {
  test('an LSN after the last one, or before the first', async () => {
    const bucket = await importedBucket();
    const { error } = await refusalOf(bucket, { lsn: LSN + 1n });
    expect(error).toMatchObject({
      code: 'out-of-range',
      expected: expect.stringMatching(/0\/16C3560/),
    });
    const below = await refusalOf(bucket, { lsn: LSN - 1n });
    expect(below.error).toMatchObject({ code: 'out-of-range' });
    const empty = await refusalOf(bucket, { lsn: LSN - 1n, belowGcCutoff: 'read' });
    expect(empty.error.code).toBe('not-found');
  });

  test('one shard of several', async () => {
    const bucket = await importOf(clusterOf(), { shardCount: 2 });
    const { tenantId, timelineId } = TIMELINE_IDS;
    const shard = join(bucket, 'tenants', `${tenantId}-0002`, 'timelines', timelineId);
    const { error } = await refusalOf(shard);
    expect(error.code).toBe('invalid-input');
  });

  test('a directory that is not empty, a file, and a missing parent', async () => {
    const bucket = await importedBucket();
    const parent = temporaryDirectory();
    mkdirSync(join(parent, 'full'));
    writeFileSync(join(parent, 'full', 'file'), 'mine');
    writeFileSync(join(parent, 'file'), 'mine');
    for (const [name, code] of [
      ['full', 'exists'],
      ['file', 'exists'],
      ['missing/out', 'not-found'],
    ] as const) {
      await using timeline = await openTimeline(bucket);
      const error = await storageErrorOf(exportPgdata(timeline, { directory: join(parent, name) }));
      expect([name, error.code]).toEqual([name, code]);
    }
    expect(readdirSync(parent).sort()).toEqual(['file', 'full']);
    expect(readdirSync(join(parent, 'full'))).toEqual(['file']);
  });

  test('an empty directory is accepted', async () => {
    const bucket = await importedBucket();
    const directory = join(temporaryDirectory(), 'empty');
    mkdirSync(directory);
    await exportOf(bucket, { directory: `${directory}/` });
    expect(existsSync(join(directory, 'global/pg_control'))).toBe(true);
  });

  test('an export that is aborted', async () => {
    const bucket = await importedBucket();
    const stop = new AbortController();
    const { error } = await refusalOf(bucket, {
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    expect(error.code).toBe('aborted');
  });
});
