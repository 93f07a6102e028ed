/** Wrong parts of right arguments, as plain JavaScript can pass them: a field, an item of a list, a callback. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import * as blobWriter from '../../src/entry/blob-writer.ts';
import * as layers from '../../src/entry/layers.ts';
import * as postgres from '../../src/entry/postgres.ts';
import * as reshape from '../../src/entry/reshape.ts';
import * as testing from '../../src/entry/testing.ts';
import * as timeline from '../../src/entry/timeline.ts';
import * as virtualFile from '../../src/entry/virtual-file.ts';
import * as wal from '../../src/entry/wal.ts';
import * as writeOnce from '../../src/entry/write-once.ts';
import * as index from '../../src/index.ts';
import { goldenLayers } from '../support/golden.ts';

const directory = mkdtempSync(join(tmpdir(), 'layerfile-wrong-parts-'));
afterAll(() => rmSync(directory, { recursive: true }));

const [golden] = goldenLayers();
const path = golden?.path ?? '';
const key = index.parseKey('000000067F00000005000040000000000007');
const keyRange = { start: index.minimumKey(), end: index.maximumKey() };
const lsnRange = { start: 0n, end: 0x7fffn };
const ids = { tenantId: '00'.repeat(16), timelineId: '11'.repeat(16) };
const shard = { count: 2, number: 1 };
const page = new Uint8Array(8192);

const VALUES = [
  { type: 'image', bytes: new Uint8Array(3) },
  { type: 'wal', willInit: true, bytes: new Uint8Array(3) },
  { type: 'clear_vm', newHeapBlock: 1, oldHeapBlock: null, flags: 1 },
  { type: 'clog_set_committed', xids: [1, 2], timestamp: 5n },
  { type: 'clog_set_aborted', xids: [1] },
  { type: 'multixact_offset_create', multixactId: 1, multixactOffset: 2 },
  { type: 'multixact_members_create', multixactOffset: 1, members: [{ xid: 1, status: 2 }] },
  { type: 'aux_file', path: 'x', content: new Uint8Array(2) },
  { type: 'truncate_vm', truncByte: 1n, truncOffset: 1n },
];
const metadata = {
  ancestorLsn: 0n,
  ancestorTimeline: null,
  diskConsistentLsn: 0x2000n,
  initdbLsn: 8n,
  latestGcCutoffLsn: 8n,
  pgVersion: 16,
  prevRecordLsn: 0x1ff8n,
};
const record = {
  info: 0,
  resourceManager: 10,
  xid: 1,
  prevLsn: 8n,
  origin: undefined,
  topLevelXid: undefined,
  mainData: new Uint8Array(3),
  blocks: [],
};
const rows = () => ({
  count: 1,
  lsns: BigUint64Array.of(0x1010n),
  keys: key.slice(),
  willInit: Uint8Array.of(1),
  values: new Uint8Array(10),
  starts: Uint32Array.of(0),
  lengths: Uint32Array.of(10),
});
const source = () => ({
  size: 8192,
  read: async () => 0,
  path: 'layer',
  maximumGap: 100,
  newBuffer: (length: number) => new Uint8Array(length),
  readRanges: undefined,
  readSync: undefined,
});

type Method = (...args: readonly unknown[]) => unknown;
interface Case {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly call: Method;
}

function onFunction(name: string, callee: unknown, ...args: readonly unknown[]): Case {
  return { name, args, call: methodOf({ callee }, 'callee') };
}

/** A method of an object that is made for each call. */
function onMethod(
  name: string,
  make: () => object | Promise<object>,
  method: string,
  ...args: readonly unknown[]
): Case {
  const call = async (...given: readonly unknown[]): Promise<void> => {
    const owner = await make();
    try {
      await consumed(methodOf(owner, method)(...given));
    } finally {
      for (const end of ['abandon', 'close']) {
        if (end in owner) {
          await methodOf(owner, end)();
          break;
        }
      }
    }
  };
  return { name: `${name}.${method}`, args, call };
}

function methodOf(owner: object, name: string): Method {
  const method: unknown = Reflect.get(owner, name);
  if (typeof method !== 'function') throw new Error(`${name} is not a method`);
  return (...args) => Reflect.apply(method, owner, args);
}

const openFiles = () => new virtualFile.OpenFiles({ fileSystem: new testing.MemoryFileSystem() });
const deltaWriter = () =>
  index.DeltaLayerWriter.create({
    ...{ ...ids, keyRange, lsnRange, directory: '/', openFiles: openFiles() },
  });
const reader = () => index.openLayer(path);
const blobReader = () => new blobWriter.BlobReader(blobWriter.bytesSource(Uint8Array.of(2, 7, 8)));
const file = () =>
  virtualFile.VirtualFile.open('/f', {
    ...{ read: true, write: true, create: true, openFiles: openFiles() },
  });
const disk = () => {
  const memory = new testing.MemoryFileSystem();
  memory.createFile('/f', new Uint8Array(10));
  return memory;
};
const scan = { keyRange, lsnRange, signal: undefined };
const names = [golden?.path.split('/').at(-1) ?? ''];
const output = {
  layers: new Map(),
  stagingDirectory: directory,
  putIndex: async () => 'index',
  putLayer: async () => ({ path: '', state: 'written' }),
};

const CASES: Case[] = [
  ...VALUES.flatMap((value) => [
    onFunction(`encodeValue of ${value.type}`, index.encodeValue, value),
    onMethod(`DeltaLayerWriter of ${value.type}`, deltaWriter, 'put', key, 0x1010n, value),
  ]),
  onFunction('formatKey', index.formatKey, key, 0),
  onFunction('keyFromFields', layers.keyFromFields, layers.keyFields(key)),
  onFunction('openLayer of a source', index.openLayer, source()),
  onFunction('verifyLayer', index.verifyLayer, path, {
    ...{ inspectValue: () => undefined, onProgress: () => {}, maximumFindings: 3 },
  }),
  onMethod('DeltaLayerWriter', deltaWriter, 'putBatch', rows()),
  onMethod('layer', reader, 'batches', scan),
  onMethod('layer', reader, 'entries', { ...scan, reverse: true }),
  onMethod('layer', reader, 'keys', { ...scan, reverse: true }),
  onMethod('layer', reader, 'salvage', scan),
  onMethod('layer', reader, 'salvageBatches', scan),
  onMethod('layer', reader, 'versions', key, lsnRange),
  onMethod('layer', reader, 'getMany', [key], 0x1000n),
  onMethod('blobs', blobReader, 'read', { offset: 0, end: 3, limit: 10 }),
  onMethod('blobs', blobReader, 'readMany', [{ offset: 0, end: 3 }], { maximumReadSize: 100 }),
  onFunction('loadCompressor', blobWriter.loadCompressor, 1, 'wasm'),
  onMethod('file', file, 'readAt', new Uint8Array(4), 0),
  onMethod('file', file, 'writeAllAt', new Uint8Array(4), 0),
  onMethod('file', file, 'readToEnd', { maximumLength: 100 }),
  onMethod('file', file, 'setOwnership', { mode: 0o600, userId: 0, groupId: 0 }),
  onMethod('disk', disk, 'open', '/f', { read: true }),
  onMethod('disk', disk, 'rename', '/f', '/g'),
  onFunction('encodeDocument', writeOnce.encodeDocument, { a: 1 }, { limits: { maximumCount: 9 } }),
  onFunction('encodeTimelineMetadata', writeOnce.encodeTimelineMetadata, metadata),
  onFunction('tomlTable', writeOnce.tomlTable, [['a', 1n]]),
  onFunction('applyNeonRecord', postgres.applyNeonRecord, page, {
    ...{ key: postgres.slruBlockKey({ slru: 'clog', segno: 0, blkno: 0 }), lsn: 16n },
    record: VALUES[3],
  }),
  onFunction('pageChecksum', postgres.pageChecksum, page, 0),
  onFunction('relationBlockKey', postgres.relationBlockKey, {
    ...{ spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main', blkno: 1 },
  }),
  onFunction('openTimeline of names', timeline.openTimeline, { names }, { pgVersion: 16 }),
  onMethod('LayerMap', () => timeline.LayerMap, 'fromNames', names, {
    memoryLayers: [{ name: 'open', start: 0x2000n, end: 0x3000n }],
  }),
  onMethod('IndexPart', () => timeline.IndexPart, 'create', {
    metadata,
    layers: new Map([[names[0], { fileSize: 5n, generation: 1, shard }]]),
  }),
  onFunction('encodeRedoMessages', timeline.encodeRedoMessages, {
    ...{ base: page, records: [{ bytes: new Uint8Array(4), lsn: 5n }] },
    key: postgres.relationBlockKey({
      ...{ spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' as const, blkno: 1 },
    }),
  }),
  onFunction('reconcileLayers', timeline.reconcileLayers, {
    index: { layers: [{ name: names[0], size: 5, generation: 1 }], diskConsistentLsn: 5n },
    local: [{ name: names[0], size: 5, generation: 1, path }],
    remote: undefined,
  }),
  onFunction('formatTenantManifest', timeline.formatTenantManifest, {
    stripeSize: 8,
    offloadedTimelines: [{ timelineId: ids.timelineId, archivedAt: '2024-01-01T00:00:00' }],
  }),
  onFunction('describeWalRecord', wal.describeWalRecord, record, { majorVersion: 16 }),
  onFunction(
    'formatWaldumpLine',
    wal.formatWaldumpLine,
    record,
    { length: 30, startLsn: 8n },
    {
      majorVersion: 16,
    },
  ),
  onFunction(
    'new SplitDeltaWriter',
    (options: reshape.SplitDeltaOptions) => {
      new reshape.SplitDeltaWriter(options);
    },
    { ...ids, lsnRange, directory, targetSize: 9, onLayer: () => {} },
  ),
  {
    name: 'redactTimeline',
    args: [{ output, seed: 5, onLayer: () => {} }],
    call: async (options) => {
      await using opened = await timeline.openTimeline({ layer: path });
      await Reflect.apply(reshape.redactTimeline, undefined, [opened, options]);
    },
  },
];

const NOTHING = Symbol('the part is left out');
const WRONG = [undefined, null, 42, -1, 1.5, 5n, 'wrong', {}, [], true, () => {}, NOTHING];
/** Cannot be turned into a text. */
const UNPRINTABLE: unknown = Object.create(null);

describe('arguments with one wrong part', () => {
  test.each(CASES)('$name throws nothing but a StorageError', async ({ args, call }) => {
    const faults: string[] = [];
    for (const place of placesIn(args)) {
      for (const wrong of [...WRONG, UNPRINTABLE]) {
        const error = await thrownBy(() => call(...withPart(args, place, wrong)));
        if (error === undefined || index.isStorageError(error)) continue;
        faults.push(`${place.join('.')}: ${String(error)}`);
      }
    }
    expect(faults).toEqual([]);
  });
});

const OPTIONS: [string, string, () => unknown][] = [
  ['a scan', "'keyrange'", () => unknownOption(reader, 'entries', { keyrange })],
  ['a scan of batches', "'reverse'", () => unknownOption(reader, 'batches', { reverse: true })],
  ['a scan of keys', "'lsnrange'", () => unknownOption(reader, 'keys', { lsnrange: lsnRange })],
  ['a salvage', "'keyRanges'", () => unknownOption(reader, 'salvage', { keyRanges: [] })],
  [
    'reading many blobs',
    "'Signal'",
    () => unknownOption(blobReader, 'readMany', { Signal: 1 }, []),
  ],
];
const keyrange = keyRange;

function unknownOption(
  make: () => object | Promise<object>,
  method: string,
  options: object,
  ...before: readonly unknown[]
): unknown {
  return onMethod('', make, method).call(...before, options);
}

test.each(OPTIONS)(
  'a name that is not an option of %s is invalid-input, and the error names %s',
  async (_, name, action) => {
    const error = await thrownBy(action);
    expect(error).toMatchObject({ code: 'invalid-input', message: expect.stringContaining(name) });
  },
);

test('an option that should be a function is refused before anything is read', async () => {
  const error = await thrownBy(() =>
    Reflect.apply(index.verifyLayer, undefined, [path, { onProgress: 'often' }]),
  );
  expect(error).toMatchObject({
    code: 'invalid-input',
    message: expect.stringContaining('onProgress'),
  });
});

test('a key at an offset that is a text is refused', () => {
  expect(() => Reflect.apply(index.formatKey, undefined, [key, 'x'])).toThrow(
    expect.objectContaining({ code: 'invalid-input' }),
  );
});

type Place = readonly string[];

/** Every part of plain objects and arrays, at any depth, the whole arguments included. */
function placesIn(value: unknown, at: Place = []): Place[] {
  const inner = isPlain(value)
    ? Object.entries(value).flatMap(([name, part]) => placesIn(part, [...at, name]))
    : [];
  return at.length === 0 ? inner : [at, ...inner];
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}

function withPart(value: unknown, place: Place, part: unknown): unknown[] {
  const changed = (inner: unknown, [name, ...rest]: Place): unknown => {
    if (name === undefined) return part;
    const copy: object = Array.isArray(inner) ? [...inner] : { ...Object(inner) };
    if (part === NOTHING && rest.length === 0) Reflect.deleteProperty(copy, name);
    else Reflect.set(copy, name, changed(Reflect.get(copy, name), rest));
    return copy;
  };
  const list = changed(value, place);
  return Array.isArray(list) ? Array.from(list) : [];
}

async function thrownBy(action: () => unknown): Promise<unknown> {
  try {
    await consumed(action());
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Waits for a promise, and takes the first items of a sequence. */
async function consumed(result: unknown): Promise<void> {
  const value = await result;
  if (typeof value !== 'object' || value === null) return;
  if (Symbol.asyncIterator in value) {
    const items = value as AsyncIterable<unknown>;
    for await (const _ of items) break;
  } else if ('close' in value && typeof value.close === 'function') {
    await Reflect.apply(value.close, value, []);
  }
}
