/**
 * The two layers as a timeline in a bucket: under the names of remote storage, with the index that a pageserver
 * reads when it attaches the tenant. The command draws it and explains how a page is read.
 */
import { link, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DeltaLayerReader } from 'layerfile/layers';
import { relationBlockKey } from 'layerfile/postgres';
import {
  IndexPart,
  openTimeline,
  remoteLayerPath,
  remoteTimelinePath,
  UNSHARDED,
  writeIndexPart,
} from 'layerfile/timeline';
import { pagesOf } from './changes.mjs';
import { layerfile } from './command.mjs';

const GENERATION = 1;

/** Writes the timeline below `bucket`; returns the path of its index. */
export async function writeTimeline({ bucket, ids, image, delta, lsn, pgVersion }) {
  const place = { ...ids, shard: UNSHARDED };
  const layers = new Map();
  for (const { name, path, size } of [image, delta]) {
    const target = join(bucket, remoteLayerPath({ place, name, generation: GENERATION }));
    await mkdir(dirname(target), { recursive: true });
    await link(path, target);
    layers.set(name, { fileSize: BigInt(size), generation: GENERATION, shard: UNSHARDED });
  }
  const index = IndexPart.create({
    layers,
    metadata: {
      diskConsistentLsn: lsn,
      prevRecordLsn: null,
      ancestorTimeline: null,
      ancestorLsn: 0n,
      latestGcCutoffLsn: image.lsn,
      initdbLsn: image.lsn,
      pgVersion,
    },
  });
  const directory = join(bucket, remoteTimelinePath(place));
  return writeIndexPart(index, { directory, generation: GENERATION });
}

/** Draws the timeline; returns the path of the page and its size. */
export async function drawTimeline(bucket, out) {
  return JSON.parse(await layerfile('map', bucket, '--out', out));
}

/**
 * Reads a page that did not change, of a relation that did: the delta layer is searched first, and does not have it.
 *
 * @returns The arguments of `explain`, what it prints, and whether the page is that of the file.
 */
export async function explainPage({ bucket, delta, changes }) {
  const { fork, blkno, page } = await unchangedPage(delta, changes);
  const key = relationBlockKey({ ...fork, blkno });
  const timeline = await openTimeline(bucket);
  const read = await timeline.readPage(key, timeline.lastLsn);
  await timeline.close();
  const { spcnode, dbnode, relnode } = fork;
  const words = [`rel=${spcnode}/${dbnode}/${relnode}`, `blkno=${blkno}`];
  return {
    words,
    printed: (await layerfile('explain', bucket, ...words)).trimEnd().split('\n'),
    isEqual: read.kind === 'page' && page.equals(read.bytes),
  };
}

async function unchangedPage({ path }, changes) {
  const delta = await DeltaLayerReader.open(path);
  try {
    return await firstUnchanged(delta, changes);
  } finally {
    await delta.close();
  }
}

async function firstUnchanged(delta, changes) {
  const changed = changes
    .filter(({ fork, kind, pagesPut }) => fork.fork === 'main' && kind !== 'new' && pagesPut > 0)
    .sort((left, right) => right.pagesAfter - left.pagesAfter);
  for (const { fork } of changed) {
    for await (const { blkno, page } of pagesOf(fork)) {
      const entry = await delta.get(relationBlockKey({ ...fork, blkno }));
      if (entry === undefined) return { fork, blkno, page };
    }
  }
  throw new Error('every page of every relation that changed has changed');
}
