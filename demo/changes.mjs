/**
 * What differs between two states of a data directory, as entries of a delta layer.
 *
 * A page that differs or is new: its image. A fork whose length differs or that is new: its size.
 * A fork that is shorter keeps its old pages in the image layer; the smaller size hides them. A
 * fork that is gone gets an empty image at its size key: a tombstone. (Neon notes that in its
 * relation directory, which an import does not make.)
 */
import { open, readFile } from 'node:fs/promises';
import {
  encodeRelationSize,
  PAGE_SIZE,
  relationBlockKey,
  relationMapKey,
  relationSizeKey,
} from 'layerfile/postgres';

const EMPTY = new Uint8Array(0);
const PIECE_SIZE = 128 * PAGE_SIZE;

/** Calls `put(key, bytes)` for each difference; returns the differences by fork. */
export async function putChanges(before, after, put) {
  const changes = [];
  for (const { old, now } of pairUp(before.forks, after.forks)) {
    changes.push(now === undefined ? await putGone(old, put) : await putFork(old, now, put));
  }
  for (const { old, now } of pairUp(before.maps, after.maps)) {
    const bytes = now === undefined ? EMPTY : await readFile(now.path);
    const same = old !== undefined && now !== undefined && bytes.equals(await readFile(old.path));
    if (!same) await put(relationMapKey(now ?? old), bytes);
  }
  return changes;
}

async function putGone(fork, put) {
  await put(relationSizeKey(fork), EMPTY);
  return { fork, kind: 'gone', pagesBefore: fork.pageCount, pagesAfter: 0, pagesPut: 0 };
}

async function putFork(old, now, put) {
  const pagesBefore = old?.pageCount ?? 0;
  let pagesPut = 0;
  for await (const { blkno, page, previous } of pagePairs(old, now)) {
    if (previous !== undefined && page.equals(previous)) continue;
    await put(relationBlockKey({ ...now, blkno }), page);
    pagesPut += 1;
  }
  if (old === undefined || pagesBefore !== now.pageCount) {
    await put(relationSizeKey(now), encodeRelationSize(now.pageCount));
  }
  return { fork: now, kind: kindOf(old, now), pagesBefore, pagesAfter: now.pageCount, pagesPut };
}

function kindOf(old, now) {
  if (old === undefined) return 'new';
  if (now.pageCount < old.pageCount) return 'shorter';
  return now.pageCount > old.pageCount ? 'longer' : 'same size';
}

/** Each page of `now`, with the one that was at its place before. */
async function* pagePairs(old, now) {
  const previousPages = old === undefined ? undefined : pagesOf(old);
  try {
    for await (const { blkno, page } of pagesOf(now)) {
      const previous = (await previousPages?.next())?.value;
      yield { blkno, page, previous: previous?.page };
    }
  } finally {
    await previousPages?.return();
  }
}

/** All pages of a fork, as fresh copies. Reads the files directly: the other side of a check. */
export async function* pagesOf(fork) {
  let blkno = 0;
  for (const { path, size } of fork.segments) {
    const file = await open(path);
    try {
      for (let offset = 0; offset < size; offset += PIECE_SIZE) {
        const piece = Buffer.alloc(Math.min(PIECE_SIZE, size - offset));
        const { bytesRead } = await file.read(piece, 0, piece.length, offset);
        if (bytesRead !== piece.length) throw new Error(`${path} ends early`);
        for (let start = 0; start < piece.length; start += PAGE_SIZE) {
          yield { blkno, page: piece.subarray(start, start + PAGE_SIZE) };
          blkno += 1;
        }
      }
    } finally {
      await file.close();
    }
  }
}

/** The members of both lists, joined by their names. */
function pairUp(before, after) {
  const olds = new Map(before.map((item) => [identityOf(item), item]));
  const pairs = after.map((now) => ({ old: olds.get(identityOf(now)), now }));
  const nows = new Set(after.map(identityOf));
  const gone = before.filter((old) => !nows.has(identityOf(old)));
  return [...pairs, ...gone.map((old) => ({ old, now: undefined }))];
}

export function identityOf({ spcnode, dbnode, relnode = 0, fork = 'map' }) {
  return `${spcnode}/${dbnode}/${relnode}/${fork}`;
}
