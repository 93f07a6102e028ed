/** What `explain` says that a page is made of: told by the newest record alone where that is enough. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseKey } from '../../src/layers/key.ts';
import { parseLsn } from '../../src/layers/lsn.ts';
import { encodeValue, type Value } from '../../src/layers/value-format.ts';
import { setPageLsn } from '../../src/postgres/page.ts';
import { materialize, surelyNeedsRedo } from '../../src/timeline/materialize.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { explainResult, resultOf } from '../../src/timeline/read-page.ts';
import type { Reconstruction, TimelineEntry } from '../../src/timeline/reconstruct.ts';
import { readLines, unpackTimelines } from '../support/golden-timelines.ts';
import { walRecord } from '../support/wal-records.ts';

const directory = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const BLOCK = parseKey('000000067F00000005000040000000000007');
const MAP = parseKey('000000067F00000005000040000200000000');
const RECORD: Value = { type: 'wal', willInit: false, bytes: new Uint8Array([1, 2, 3]) };
const UNIMAGED: Value = {
  type: 'wal',
  willInit: false,
  bytes: walRecord({ resourceManager: 10, info: 0, blocks: [{ blkno: 7 }] }),
};
const CLEAR: Value = { type: 'clear_vm', newHeapBlock: 0, oldHeapBlock: null, flags: 1 };

function entryOf(value: Value, lsn: bigint, key = BLOCK): TimelineEntry {
  const bytes = encodeValue(value);
  const place = { timelineId: undefined, layer: 'layer', layerKind: 'delta' } as const;
  const stored = { key, lsn, willInit: value.type === 'image', offset: 8192 };
  const size = { storedLength: bytes.length + 1, compressed: false, bytes };
  return { ...place, ...stored, ...size, type: value.type };
}

/** A page whose header has this LSN. */
function pageAt(lsn: bigint): Uint8Array {
  const page = new Uint8Array(8192);
  new DataView(page.buffer).setUint16(14, 8192, true);
  setPageLsn(page, lsn);
  return page;
}

function foundOf(base: Uint8Array, records: readonly Value[], key = BLOCK): Reconstruction {
  return {
    key,
    lsn: 100n,
    visits: [],
    base: entryOf({ type: 'image', bytes: base }, 10n, key),
    records: records.map((value, index) => entryOf(value, 20n + BigInt(index), key)),
    outcome: 'complete',
  };
}

describe('a page with a record of Postgres', () => {
  test.each([
    ['below it', 19n, 'needs-redo'],
    ['that has reached it', 20n, 'page'],
  ])('a record of Postgres above an image %s is %s, %s', async (_, lsn, expected) => {
    const found = foundOf(pageAt(lsn), [RECORD]);
    expect(surelyNeedsRedo(found, undefined)).toBe(expected === 'needs-redo');
    expect(await explainResult(found, undefined)).toBe(expected);
    expect((await resultOf(found, { pgVersion: undefined })).kind).toBe(expected);
  });

  test('a page with a record of Postgres below one of Neon needs redo all the same', async () => {
    const found = foundOf(pageAt(5n), [RECORD, CLEAR], MAP);
    expect(await explainResult(found, undefined)).toBe('needs-redo');
    expect(await explainResult(foundOf(pageAt(5n), [CLEAR, CLEAR], MAP), undefined)).toBe('page');
  });

  test('a page with a record of Postgres that is damaged needs redo', async () => {
    expect(await explainResult(foundOf(pageAt(5n), [RECORD]), 17)).toBe('needs-redo');
  });
});

describe('a page whose newest record has an image of it', () => {
  const image = pageAt(3n).fill(0x11, 24);
  const [HASH, GIST, FULL_PAGE] = [12, 14, 0];
  /** The page is the last block of the record, after others. */
  const recordOf = (resourceManager: number, info: number, id: number, apply = true): Value => {
    const blocks = Array.from({ length: id + 1 }, (_, at) => ({ blkno: 7 - id + at }));
    const last = { blkno: 7, image: { page: image, apply } };
    const bytes = walRecord({ resourceManager, info, blocks: [...blocks.slice(0, id), last] });
    return { type: 'wal', willInit: false, bytes };
  };

  test.each([
    ['a record of a full page', recordOf(FULL_PAGE, 0xb0, 0), 'page'],
    ['an image that is not applied', recordOf(FULL_PAGE, 0xb0, 0, false), 'needs-redo'],
    ['the page of a GiST update', recordOf(GIST, 0x00, 0), 'page'],
    ['the left child of a GiST update', recordOf(GIST, 0x00, 1), 'needs-redo'],
    ['the first page of a GiST split', recordOf(GIST, 0x30, 0), 'needs-redo'],
    ['another page of a GiST split', recordOf(GIST, 0x30, 1), 'page'],
    ['another operation of GiST', recordOf(GIST, 0x60, 0), 'page'],
    ['the old bucket of a hash split', recordOf(HASH, 0x40, 0), 'needs-redo'],
    ['the new bucket of a hash split', recordOf(HASH, 0x40, 1), 'page'],
    ['the old bucket at the end of a hash split', recordOf(HASH, 0x60, 0), 'needs-redo'],
    ['the new bucket at the end of a hash split', recordOf(HASH, 0x60, 1), 'needs-redo'],
    ['another page at the end of a hash split', recordOf(HASH, 0x60, 2), 'page'],
    ['another operation of a hash index', recordOf(HASH, 0x30, 0), 'page'],
  ])(
    'a page is made of the image in its newest record unless its redo changes more: %s',
    async (_, record, expected) => {
      const found = foundOf(pageAt(5n), [UNIMAGED, record]);
      const made = await resultOf(found, { pgVersion: 17 });
      expect(made.kind).toBe(expected);
      expect(surelyNeedsRedo(found, 17)).toBe(expected === 'needs-redo');
      expect(await explainResult(found, 17)).toBe(expected);
      if (made.kind !== 'page') return;
      const page = image.slice();
      setPageLsn(page, 21n);
      expect(Buffer.compare(made.bytes, page)).toBe(0);
    },
  );

  test('a page whose newest record has an image of it needs redo where the version of Postgres is not known', async () => {
    const found = foundOf(pageAt(5n), [recordOf(FULL_PAGE, 0xb0, 0)]);
    expect(surelyNeedsRedo(found, undefined)).toBe(true);
    expect(await explainResult(found, undefined)).toBe('needs-redo');
  });
});

test('a damaged value below the newest image does not matter', async () => {
  const damaged = { ...entryOf(RECORD, 15n), bytes: Uint8Array.of(0, 0, 0, 9) };
  const found = foundOf(pageAt(5n), []);
  const records = [damaged, entryOf({ type: 'image', bytes: pageAt(16n) }, 16n)];
  const made = await materialize({ ...found, records }, { pgVersion: undefined });
  expect(made).toEqual({ kind: 'value', bytes: pageAt(16n) });
});

test('what records of Neon change is not part of the reconstruction, or of what redo gave', async () => {
  const found = foundOf(pageAt(5n), [CLEAR, RECORD, CLEAR], MAP);
  const before = structuredClone(found);
  const answer = pageAt(6n).fill(0xff, 24);
  const kept = answer.slice();
  const redo = { apply: async () => answer };
  const made = await materialize(found, { pgVersion: undefined, redo });
  expect(made.kind === 'value' && made.bytes).not.toEqual(kept);
  expect(answer).toEqual(kept);
  expect(found).toEqual(before);
});

test('each read of a real timeline has the result that making its page has', async () => {
  await unpackTimelines('sk15', directory);
  await using timeline = await openTimeline(directory);
  const reads = readLines<{ key: string; lsn: string; records?: number }>(
    'sk15-reconstruct.ndjson.br',
  ).filter(({ records = 0 }) => records < 50);
  const kinds = new Map<string, number>();
  let sure = 0;
  for (const { key, lsn } of reads) {
    const found = await timeline.reconstruct(parseKey(key), parseLsn(lsn));
    const { kind } = await resultOf(found, { pgVersion: 15 });
    expect(await explainResult(found, 15), `${key} ${lsn}`).toBe(kind);
    if (found.outcome === 'complete' && surelyNeedsRedo(found, 15)) sure += 1;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  expect(sure).toBe(kinds.get('needs-redo'));
  expect([...kinds.keys()].sort()).toEqual(['missing', 'needs-redo', 'page']);
});
