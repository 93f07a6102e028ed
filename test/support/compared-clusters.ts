/** Compares what a timeline says at its end with the files of the cluster that was stopped there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { formatKey, type Key } from '../../src/layers/key.ts';
import { readControlFile } from '../../src/postgres/data-directory.ts';
import {
  describeKey,
  type RelationForkId,
  relationBlockKey,
  relationMapKey,
  relationSizeKey,
  type SlruName,
  slruBlockKey,
} from '../../src/postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../src/postgres/page.ts';
import { findRelationFiles } from '../../src/postgres/relation-files.ts';
import { decodeRelationSize } from '../../src/postgres/relation-size.ts';
import type { Timeline } from '../../src/timeline/timeline.ts';
import { nodeFileSystem } from '../../src/virtual-file/node-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';

export interface Comparison {
  /** Pages of the cluster that the layers change. */
  readonly changedPages: number;
  /** Those of them that can be made without redo; all are compared. */
  readonly comparedPages: number;
  /** Pages that only redo can make. */
  readonly needRedo: number;
  readonly forks: number;
  readonly slruPages: number;
  readonly differences: readonly Difference[];
}

/** Where a timeline and the files of a cluster differ. */
export type Difference =
  | ({ readonly kind: 'size'; readonly blocks: number | undefined } & FileDifference)
  | ({ readonly kind: 'page'; readonly blkno: number; readonly page: Uint8Array } & FileDifference)
  | { readonly kind: 'other'; readonly what: string };

interface FileDifference {
  readonly fork: RelationForkId;
  /** Whether the relation has an init fork, so that no other fork of it is logged. */
  readonly isUnlogged: boolean;
  /** The whole fork in the cluster, or the page. */
  readonly bytes: Uint8Array;
}

/** Keys of relation blocks in delta layers. */
export async function changedBlocks(
  readers: readonly DeltaLayerReader[],
): Promise<Map<string, Key>> {
  const keys = new Map<string, Key>();
  for (const reader of readers) {
    for await (const { key } of reader.keys()) {
      if (describeKey(key).kind === 'rel_block') keys.set(formatKey(key), key);
    }
  }
  return keys;
}

export async function compareWithCluster(
  timeline: Timeline,
  dataDirectory: string,
  changed: ReadonlyMap<string, Key>,
): Promise<Comparison> {
  const lsn = timeline.lastLsn;
  const differences: Difference[] = [];
  const counts = { changedPages: 0, comparedPages: 0, needRedo: 0, forks: 0, slruPages: 0 };
  const control = await readControlFile(dataDirectory, OpenFiles.shared());
  const files = await findRelationFiles({ dataDirectory, ...control }, nodeFileSystem);
  const unlogged = new Set(files.forks.filter(({ fork }) => fork === 'init').map(nameOf));
  for (const fork of files.forks) {
    counts.forks += 1;
    const isUnlogged = fork.fork !== 'init' && unlogged.has(nameOf(fork));
    const size = await timeline.readPage(relationSizeKey(fork), lsn);
    const blocks = size.kind === 'page' ? decodeRelationSize(size.bytes) : undefined;
    if (blocks !== fork.pageCount) {
      const bytes = Buffer.concat(segmentsOf(fork).map(({ path }) => readFileSync(path)));
      differences.push({ kind: 'size', fork, isUnlogged, blocks, bytes });
    }
    for (const { path, firstBlock } of segmentsOf(fork)) {
      const bytes = readFileSync(path);
      for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
        const blkno = firstBlock + at / PAGE_SIZE;
        const key = relationBlockKey({ ...fork, blkno });
        if (!changed.has(formatKey(key))) continue;
        counts.changedPages += 1;
        const read = await timeline.readPage(key, lsn);
        if (read.kind === 'needs-redo') counts.needRedo += 1;
        if (read.kind !== 'page') continue;
        counts.comparedPages += 1;
        const page = bytes.subarray(at, at + PAGE_SIZE);
        if (samePage(read.bytes, page, fork.fork)) continue;
        differences.push({ kind: 'page', fork, isUnlogged, blkno, page: read.bytes, bytes: page });
      }
    }
  }
  const inFiles = new Set(files.forks.map(forkName));
  for (const { relations, ...database } of (await timeline.directory(lsn)).databases) {
    for (const relation of relations ?? []) {
      const name = forkName({ ...database, ...relation });
      if (!inFiles.has(name)) differences.push({ kind: 'other', what: `${name} has no file` });
    }
  }
  for (const map of files.maps) {
    const read = await timeline.readPage(relationMapKey(map), lsn);
    const isEqual = read.kind === 'page' && readFileSync(map.path).equals(read.bytes);
    if (!isEqual) differences.push({ kind: 'other', what: map.path });
  }
  for (const [folder, slru] of [['pg_xact', 'clog']] as const) {
    counts.slruPages += await compareSlru(timeline, { dataDirectory, folder, slru }, differences);
  }
  return { ...counts, differences };
}

function nameOf({ spcnode, dbnode, relnode }: RelationForkId): string {
  return `${spcnode}/${dbnode}/${relnode}`;
}

function forkName(fork: RelationForkId): string {
  return `${nameOf(fork)} ${fork.fork}`;
}

async function compareSlru(
  timeline: Timeline,
  { dataDirectory, folder, slru }: { dataDirectory: string; folder: string; slru: SlruName },
  differences: Difference[],
): Promise<number> {
  let pages = 0;
  for (const name of readdirSync(join(dataDirectory, folder))) {
    const bytes = readFileSync(join(dataDirectory, folder, name));
    for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
      const block = { slru, segno: Number.parseInt(name, 16), blkno: at / PAGE_SIZE };
      const read = await timeline.readPage(slruBlockKey(block), timeline.lastLsn);
      pages += 1;
      const page = bytes.subarray(at, at + PAGE_SIZE);
      const isEqual = read.kind === 'page' && page.equals(read.bytes.subarray(0, PAGE_SIZE));
      const what = `${folder}/${name} page ${block.blkno}: ${read.kind}`;
      if (!isEqual) differences.push({ kind: 'other', what });
    }
  }
  return pages;
}

function segmentsOf(fork: {
  readonly segments: readonly { readonly path: string; readonly size: number }[];
}): { readonly path: string; readonly firstBlock: number }[] {
  let firstBlock = 0;
  const found: { path: string; firstBlock: number }[] = [];
  for (const { path, size } of fork.segments) {
    if (existsSync(path)) found.push({ path, firstBlock });
    firstBlock += size / PAGE_SIZE;
  }
  return found;
}

/** Equal but for what WAL does not hold: the hole, the checksum, and hints. */
function samePage(ours: Uint8Array, theirs: Uint8Array, fork: string): boolean {
  const one = masked(ours, fork);
  return one.equals(masked(theirs, fork));
}

const CHECKSUM = 8;
const FLAGS = 10;
const LOWER = 12;
const UPPER = 14;
const SPECIAL = 16;
const PRUNE_XID = 20;
const LINE_POINTERS = 24;
const INFOMASK = 20;
const HINTS = 0x0f00;
/** Dead: a hint in indexes. */
const DEAD = 3;

function masked(bytes: Uint8Array, fork: string): Buffer {
  const page = Buffer.from(bytes);
  const upper = page.readUInt16LE(UPPER);
  if (upper === 0) return page;
  const lower = page.readUInt16LE(LOWER);
  page.writeUInt16LE(0, CHECKSUM);
  page.writeUInt16LE(page.readUInt16LE(FLAGS) & ~3, FLAGS);
  // The free space map is a hint as a whole, and is logged only now and then.
  if (fork === 'fsm') return page.fill(0);
  // Neon sets the LSN of a visibility map whose bits it clears; Postgres does not.
  if (fork === 'vm') page.fill(0, 0, CHECKSUM);
  if (fork !== 'main') return page;
  page.fill(0, lower, upper);
  page.writeUInt32LE(0, PRUNE_XID);
  const isHeap = page.readUInt16LE(SPECIAL) === PAGE_SIZE;
  for (let at = LINE_POINTERS; at < lower; at += 4) {
    const pointer = page.readUInt32LE(at);
    const flags = (pointer >>> 15) & 3;
    if (!isHeap && flags === DEAD) page.writeUInt32LE(((pointer & ~0x18000) | 0x8000) >>> 0, at);
    if (!isHeap || flags !== 1) continue;
    const tuple = pointer & 0x7fff;
    page.writeUInt16LE(page.readUInt16LE(tuple + INFOMASK) & ~HINTS, tuple + INFOMASK);
  }
  return page;
}
