/** A cluster of a few pages, imported into memory as a timeline of any number of shards, and WAL that continues it. */
import { createHash } from 'node:crypto';
import { normalize } from 'node:path';
import { importTimeline } from '../../src/ingest/pgdata/import-timeline.ts';
import { WalIngest, type WalIngestResult } from '../../src/ingest/pipeline/wal-ingest.ts';
import type { WalIngestOptions } from '../../src/ingest/pipeline/wal-ingest-options.ts';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { formatKey } from '../../src/layers/key.ts';
import type { FinishedLayer } from '../../src/layers/layer-file/layer-writer.ts';
import { formatLsn } from '../../src/layers/lsn.ts';
import { directoryStore } from '../../src/object-store/directory-store.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type { StoredSource } from '../../src/timeline/open-timeline.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { openWal } from '../../src/wal/wal-reader.ts';
import { walBytes } from '../../src/wal/wal-source.ts';
import { pages } from '../postgres/fabricated-cluster.ts';
import { controlFileBytes } from './control-file.ts';
import { relationMapBytes } from './relation-map.ts';
import { type HandMadeRecord, u32, walRecord, words } from './wal-records.ts';
import { WalBuilder } from './wal-segments.ts';

const TENANT = '11223344556677881122334455667788';
const TIMELINE = '99aabbccddeeff0099aabbccddeeff00';
const SYSTEM_IDENTIFIER = 7_711_059_869_370_089_514n;
const WAL_START = 0x20_0000n;
/** After the long header of its page. */
const CHECKPOINT_LSN = WAL_START + 40n;
export const TABLE = 16_384;
const NEW_TABLE = 16_385;

/** With it the layers of all shards have different names, so that they are made in one directory. */
const SHARD_LAYER_SIZE = 5 * 8192;

export const BASE = '/base';
export const COPY = '/copy';
export const STAGING = '/staging';

const FILES: readonly (readonly [path: string, content: Uint8Array])[] = [
  ['global/pg_control', controlFileBytes({ checkpointLsn: CHECKPOINT_LSN })],
  ['global/pg_filenode.map', relationMapBytes()],
  ['base/5/pg_filenode.map', relationMapBytes()],
  [`base/5/${TABLE}`, pages(6, 1)],
  [`base/5/${TABLE}_vm`, pages(1, 2)],
  ['pg_xact/0000', pages(1, 3)],
  ['pg_multixact/members/0000', pages(1, 4)],
  ['pg_multixact/offsets/0000', pages(1, 5)],
  ['PG_VERSION', Buffer.from('17\n')],
  ['base/5/PG_VERSION', Buffer.from('17\n')],
];

/** `tenants/…` of a shard, in `BASE` and `COPY`. */
export function timelineDirectory(shard = ''): string {
  return `tenants/${TENANT}${shard}/timelines/${TIMELINE}`;
}

/** A disk with the timeline in `BASE`, and the directories of its copy. */
export async function continuedCluster(shardCount = 0): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem();
  const made = new Set<string>();
  const makeDirectory = (path: string): void => {
    const parts = normalize(path).split('/').slice(1);
    for (const index of parts.keys()) {
      const directory = `/${parts.slice(0, index + 1).join('/')}`;
      if (!made.has(directory)) disk.createDirectory(directory);
      made.add(directory);
    }
  };
  const timelines = suffixesOf(shardCount).flatMap((suffix) => [
    `${BASE}/${timelineDirectory(suffix)}`,
    `${COPY}/${timelineDirectory(suffix)}`,
  ]);
  const files = FILES.map(([name]) => `/pg/${name}/..`);
  for (const path of ['/pg/pg_tblspc', '/pg/pg_twophase', STAGING, ...timelines, ...files]) {
    makeDirectory(path);
  }
  for (const [path, content] of FILES) disk.createFile(`/pg/${path}`, content);
  await importTimeline({
    ...{ dataDirectory: '/pg', target: BASE, tenantId: TENANT, timelineId: TIMELINE },
    ...{ shardCount, stripeSize: 1, stagingDirectory: STAGING, compression: { kind: 'none' } },
    layerSize: shardCount === 0 ? undefined : SHARD_LAYER_SIZE,
    openFiles: new OpenFiles({ fileSystem: disk }),
  });
  return disk;
}

/** In the names of directories of tenants; one empty suffix without shards. */
export function suffixesOf(shardCount: number): readonly string[] {
  if (shardCount === 0) return [''];
  return Array.from({ length: shardCount }, (_, number) => `-${hex(number)}${hex(shardCount)}`);
}

function hex(number: number): string {
  return number.toString(16).padStart(2, '0');
}

/** A directory of the disk as a source or a target. */
export function placeOn(disk: MemoryFileSystem, directory: string): Exclude<StoredSource, string> {
  const openFiles = new OpenFiles({ fileSystem: disk });
  return { store: directoryStore(directory, { openFiles }), prefix: '' };
}

/** Ingests the WAL into the copy of a shard, after what is there. */
export async function ingestWal(
  disk: MemoryFileSystem,
  {
    number = 0,
    shardCount = 0,
    wal = WAL,
    ...options
  }: Partial<WalIngestOptions> & {
    readonly number?: number;
    readonly shardCount?: number;
    readonly wal?: WalBuilder;
  } = {},
): Promise<WalIngestResult> {
  await using ingest = await WalIngest.open({
    base: placeOn(disk, BASE),
    target: placeOn(disk, COPY),
    mode: 'resume',
    shard: shardCount === 0 ? undefined : { number, count: shardCount },
    ...{ checkpointDistance: 16_384, stagingDirectory: STAGING },
    openFiles: new OpenFiles({ fileSystem: disk }),
    ...options,
  });
  return await ingest.ingest(await openWal(walBytes(wal.files), { start: ingest.startLsn }));
}

/** Values by key and LSN, as `entryText`. */
export type Entries = Map<string, string>;

/** What the layers on a disk have. Throws if an entry is there twice. */
export async function entriesOn(
  disk: MemoryFileSystem,
  layers: readonly Pick<FinishedLayer, 'path'>[],
): Promise<Entries> {
  const entries: Entries = new Map();
  const openFiles = new OpenFiles({ fileSystem: disk });
  for (const { path } of layers) {
    await using reader = await DeltaLayerReader.open(path, { nameCheck: 'ignore', openFiles });
    for await (const { key, lsn, willInit, bytes } of reader.entries()) {
      const name = `${formatKey(key)} ${formatLsn(lsn)}`;
      if (entries.has(name)) throw new Error(`${name} is there twice`);
      entries.set(name, entryText(willInit, bytes));
    }
  }
  return entries;
}

export function entryText(willInit: boolean, bytes: Uint8Array): string {
  return `${willInit} ${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;
}

const WAL = continuingWal();

/** WAL of the cluster: the checkpoint that the base ends with, and these records. */
export function walAfterBase(records: readonly HandMadeRecord[]): WalBuilder {
  const builder = new WalBuilder({ start: WAL_START });
  builder.systemIdentifier = SYSTEM_IDENTIFIER;
  const checkpoint = { resourceManager: 0, info: 0, mainData: new Uint8Array(88) };
  for (const record of [checkpoint, ...records]) builder.append(walRecord(record));
  return builder;
}

/** A database becomes a copy of another one, file by file. */
export function databaseCopy(target: number, source: number): HandMadeRecord {
  return { resourceManager: 4, info: 0, mainData: words(target, 1663, source, 1663) };
}

/** An image of a block of the table; `seed` makes it differ from others. */
export function imageOn(dbnode: number, blkno: number, seed: number): HandMadeRecord {
  const image = { page: pages(1, seed) };
  const blocks = [{ relation: [1663, dbnode, TABLE] as const, blkno, image }];
  return { resourceManager: 0, info: 0xb0, blocks };
}

/** Blocks that change, fork that grow over gaps, are made, cut and dropped, and what is not about blocks. */
function continuingWal(): WalBuilder {
  const builder = new WalBuilder({ start: WAL_START });
  builder.systemIdentifier = SYSTEM_IDENTIFIER;
  const append = (record: HandMadeRecord) => builder.append(walRecord(record));
  const checkpoint = { resourceManager: 0, mainData: new Uint8Array(88) };
  const insert = { resourceManager: 10, info: 0, mainData: Uint8Array.of(1, 0, 0) };
  const table = [1663, 5, TABLE] as const;
  const added = [1663, 5, NEW_TABLE] as const;
  append({ ...checkpoint, info: 0 });
  for (let count = 0; count < 30; count += 1) {
    const data = new Uint8Array(1500).fill(count + 1);
    append({ ...insert, xid: 700 + count, blocks: [{ relation: table, blkno: count % 6, data }] });
  }
  const image = { page: pages(1, 9), hole: [200, 4000] as const };
  append({ resourceManager: 0, info: 0xb0, blocks: [{ relation: table, blkno: 2, image }] });
  append({ resourceManager: 2, info: 0x10, xid: 731, mainData: words(1663, 5, NEW_TABLE, 0) });
  for (const blkno of [0, 5, 1, 9]) {
    const data = new Uint8Array(900).fill(blkno + 1);
    append({
      ...insert,
      info: 0x80,
      xid: 731,
      blocks: [{ relation: added, blkno, willInit: true, data }],
    });
  }
  const siblings = [1, 4].map((blkno) => ({ relation: table, blkno, data: Uint8Array.of(blkno) }));
  append({
    resourceManager: 11,
    info: 0x30,
    xid: 731,
    blocks: siblings,
    mainData: new Uint8Array(10),
  });
  // Clears bits of the visibility map.
  for (const blkno of [0, 3]) {
    const mainData = Uint8Array.of(...u32(732), 1, 0, 0, 1);
    append({
      resourceManager: 10,
      info: 0x10,
      xid: 732,
      blocks: [{ relation: table, blkno }],
      mainData,
    });
  }
  append({ resourceManager: 1, info: 0, xid: 731, mainData: words(9, 0) });
  append({ resourceManager: 1, info: 0x20, xid: 732, mainData: words(9, 0) });
  append({ resourceManager: 0, info: 0x30, mainData: words(24_576) });
  append({
    resourceManager: 21,
    info: 0,
    mainData: auxFileMessage('pg_logical/mappings/m', 'abc'),
  });
  append({ resourceManager: 19, info: 0, mainData: words(0x77, 0, 1, 0) });
  append({ resourceManager: 2, info: 0x20, mainData: words(4, 1663, 5, TABLE, 1) });
  const dropped = words(9, 0, 4, 1, 1663, 5, NEW_TABLE);
  append({ resourceManager: 1, info: 0x80, xid: 733, mainData: dropped });
  for (let count = 0; count < 20; count += 1) {
    const data = new Uint8Array(1500).fill(count + 100);
    append({ ...insert, xid: 740 + count, blocks: [{ relation: table, blkno: count % 5, data }] });
  }
  append({ ...checkpoint, info: 0x10 });
  return builder;
}

function auxFileMessage(path: string, content: string): Uint8Array {
  const prefix = Buffer.from(`neon-file:${path}\0`);
  const message = Buffer.from(content);
  const head = words(5, 0, prefix.length, 0, message.length, 0);
  return Uint8Array.from(Buffer.concat([head, prefix, message]));
}
