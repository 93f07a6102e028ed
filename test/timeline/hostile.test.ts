/** Timelines that are damaged, incomplete or lie: a read ends with a typed error, never with an absent key. */
import { mkdtempSync, rmSync } from 'node:fs';
import { cp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { parseKey } from '../../src/layers/key.ts';
import { directoryStore } from '../../src/object-store/directory-store.ts';
import { listTimelines, openTimeline } from '../../src/timeline/open-timeline.ts';
import { unpackTimelines } from '../support/golden-timelines.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const root = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
const original = join(root, 'original');
const copy = join(root, 'copy');
const [ROOT, CHILD, GRANDCHILD] = ['1', '2', '3'].map((digit) => digit.repeat(32)) as [
  string,
  string,
  string,
];
const TENANT = 'c0ffee00000000000000000000000001';
const INDEX = 'index_part.json-00000003';
/** Has a base in the root, and nothing newer up to 0/6800. */
const KEY = parseKey('000000067F00000005000040000000000001');

beforeAll(() => unpackTimelines('branches', original));
beforeEach(async () => {
  await rm(copy, { recursive: true, force: true });
  await cp(original, copy, { recursive: true });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function directoryOf(timeline: string): string {
  return join(copy, 'tenants', TENANT, 'timelines', timeline);
}

async function changeIndex(timeline: string, from: string, to: string): Promise<void> {
  const path = join(directoryOf(timeline), INDEX);
  const text = await readFile(path, 'utf8');
  expect(text).toContain(from);
  await writeFile(path, text.replaceAll(from, to));
}

/** The layer that a read of KEY at 0/4583 needs. */
async function neededLayer(): Promise<string> {
  await using timeline = await openTimeline(copy, { timeline: ROOT });
  const { base } = await timeline.reconstruct(KEY, 0x4583n);
  const names = await readdir(directoryOf(ROOT));
  return names.find((name) => name.startsWith(base?.layer ?? 'none')) as string;
}

async function readAll(entries: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of entries) count += 1;
  return count;
}

test('a source with several timelines is refused with their list', async () => {
  const error = await storageErrorOf(openTimeline(copy));
  expect(error.code).toBe('invalid-input');
  for (const timeline of [ROOT, CHILD, GRANDCHILD]) expect(error.message).toContain(timeline);
  expect(await listTimelines(copy)).toHaveLength(3);
});

test('a directory without a timeline is not-found', async () => {
  const error = await storageErrorOf(openTimeline(copy, { timeline: 'a'.repeat(32) }));
  expect(error.code).toBe('not-found');
});

test.each([
  ['the directory of the timeline', () => directoryOf(CHILD)],
  ['its index', () => join(directoryOf(CHILD), INDEX)],
  [
    'a store and a prefix',
    () => ({ store: directoryStore(copy), prefix: `tenants/${TENANT}/timelines/${CHILD}` }),
  ],
])('the ancestor is found from %s', async (_, source) => {
  await using timeline = await openTimeline(source());
  expect(timeline.facts.timelineId).toBe(CHILD);
  const { base, visits } = await timeline.reconstruct(KEY, 0x4583n);
  expect(base?.timelineId).toBe(ROOT);
  expect(visits.at(-1)?.timelineId).toBe(ROOT);
});

test('a missing ancestor is not-found, and so is the history that reaches it', async () => {
  await rm(directoryOf(ROOT), { recursive: true });
  await using timeline = await openTimeline(copy, { timeline: CHILD });
  expect((await storageErrorOf(timeline.reconstruct(KEY, 0x4583n))).code).toBe('not-found');
  expect((await storageErrorOf(readAll(timeline.history(KEY)))).code).toBe('not-found');
});

test('a cycle of ancestors is corrupt', async () => {
  await changeIndex(ROOT, '"ancestor_timeline":null', `"ancestor_timeline":"${CHILD}"`);
  await using timeline = await openTimeline(copy, { timeline: CHILD });
  // Below all layers, so that the walk goes on from ancestor to ancestor.
  const error = await storageErrorOf(timeline.reconstruct(KEY, 0x800n));
  expect(error).toMatchObject({ code: 'corrupt' });
  expect(error.message).toContain('its own ancestor');
});

test('a layer that has vanished is not-found with its path, and only for reads that need it', async () => {
  const layer = await neededLayer();
  await using timeline = await openTimeline(copy, { timeline: ROOT });
  await rm(join(directoryOf(ROOT), layer));
  const error = await storageErrorOf(timeline.reconstruct(KEY, 0x4583n));
  expect(error.code).toBe('not-found');
  expect(error.path).toContain(layer);
  const sparse = parseKey('62000001011027C4D11E2FEB89E635BF992D');
  expect((await timeline.reconstruct(sparse, 0x9000n)).outcome).toBe('complete');
});

test('a layer under the name of another is corrupt', async () => {
  const layer = await neededLayer();
  const names = await readdir(directoryOf(ROOT));
  const other = names.find(
    (name) => name !== layer && name.includes('__') && !name.includes('F'.repeat(36)),
  );
  await rename(join(directoryOf(ROOT), other as string), join(directoryOf(ROOT), layer));
  await using timeline = await openTimeline(copy, { timeline: ROOT });
  const error = await storageErrorOf(timeline.reconstruct(KEY, 0x4583n));
  expect(error).toMatchObject({ code: 'corrupt' });
});

test('a layer that is cut, or of another size than the index says, is an error', async () => {
  const path = join(directoryOf(ROOT), await neededLayer());
  const bytes = await readFile(path);
  const read = async (): Promise<string> => {
    await using timeline = await openTimeline(copy, { timeline: ROOT });
    return (await storageErrorOf(timeline.reconstruct(KEY, 0x4583n))).code;
  };
  await writeFile(path, Buffer.concat([bytes, Buffer.alloc(8192)]));
  expect(await read()).toBe('corrupt');
  await writeFile(path, bytes.subarray(0, 9000));
  expect(await read()).toBe('corrupt');
});

test('a layer of another tenant is corrupt', async () => {
  const path = join(directoryOf(ROOT), await neededLayer());
  const bytes = await readFile(path);
  bytes[4] = (bytes[4] as number) ^ 1;
  await writeFile(path, bytes);
  await using timeline = await openTimeline(copy, { timeline: ROOT });
  const error = await storageErrorOf(timeline.reconstruct(KEY, 0x4583n));
  expect(error.message).toContain('tenant of the layer');
});

test('an index that is not JSON is corrupt with its path', async () => {
  await writeFile(join(directoryOf(ROOT), INDEX), '{"version":');
  const error = await storageErrorOf(openTimeline(copy, { timeline: ROOT }));
  expect(error).toMatchObject({ code: 'corrupt' });
  expect(error.path).toContain(INDEX);
});

test('without an index, the layers that are there are the timeline', async () => {
  await rm(join(directoryOf(ROOT), INDEX));
  await using timeline = await openTimeline(directoryOf(ROOT));
  expect(timeline.facts).toMatchObject({ timelineId: ROOT, diskConsistentLsn: undefined });
  expect((await timeline.reconstruct(KEY, 0x4583n)).outcome).toBe('complete');
});

test('names alone can be searched but not read', async () => {
  const names = (await readdir(directoryOf(ROOT))).filter((name) => name.includes('__'));
  await using timeline = await openTimeline({ names });
  expect(timeline.map.search(KEY, 0x4584n)?.lsnFloor).toBe(0x4556n);
  const error = await storageErrorOf(timeline.reconstruct(KEY, 0x4583n));
  expect(error.code).toBe('invalid-input');
});

test('more bytes than allowed are too-large', async () => {
  await using timeline = await openTimeline(copy, { timeline: ROOT, maximumBytes: 10 });
  expect((await storageErrorOf(timeline.reconstruct(KEY, 0x4583n))).code).toBe('too-large');
});

test('a closed timeline refuses to read; a signal ends a read', async () => {
  const timeline = await openTimeline(copy, { timeline: ROOT });
  const signal = AbortSignal.abort();
  expect((await storageErrorOf(timeline.reconstruct(KEY, 0x4583n, { signal }))).code).toBe(
    'aborted',
  );
  await timeline.close();
  await timeline.close();
  expect((await storageErrorOf(timeline.reconstruct(KEY, 0x4583n))).code).toBe('closed');
});

test('few layers stay open, and each is opened again when it is needed', async () => {
  await using timeline = await openTimeline(copy, { timeline: ROOT, maximumIdleLayers: 0 });
  const first = await timeline.reconstruct(KEY, 0x4583n);
  expect((await timeline.reconstruct(KEY, 0x4583n)).base?.bytes).toEqual(first.base?.bytes);
});

test('values above the limit of a read are too-large, whatever the limit of the timeline is', async () => {
  await using timeline = await openTimeline(copy, { timeline: ROOT });
  const { base } = await timeline.reconstruct(KEY, 0x4583n);
  const length = base?.bytes.length ?? 0;
  const read = (maximumBytes: number) => timeline.reconstruct(KEY, 0x4583n, { maximumBytes });
  expect((await read(100 * length)).base?.bytes).toEqual(base?.bytes);
  expect((await storageErrorOf(read(length - 1))).code).toBe('too-large');
  await using small = await openTimeline(copy, { timeline: ROOT, maximumBytes: length - 1 });
  const error = await storageErrorOf(small.reconstruct(KEY, 0x4583n, { maximumBytes: 2 * length }));
  expect(error.code).toBe('too-large');
  for (const wrong of [-1, 0.5]) {
    expect((await storageErrorOf(read(wrong))).code).toBe('invalid-input');
  }
});
