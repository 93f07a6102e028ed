/** Wrong parts of right arguments, as plain JavaScript can pass them: a field, an item of a list, a callback. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import * as blobWriter from '../../src/entry/blob-writer.ts';
import * as ingest from '../../src/entry/ingest.ts';
import * as layers from '../../src/entry/layers.ts';
import * as objectStore from '../../src/entry/object-store.ts';
import * as postgres from '../../src/entry/postgres.ts';
import * as reshape from '../../src/entry/reshape.ts';
import * as testing from '../../src/entry/testing.ts';
import * as timeline from '../../src/entry/timeline.ts';
import * as virtualFile from '../../src/entry/virtual-file.ts';
import * as wal from '../../src/entry/wal.ts';
import * as writeOnce from '../../src/entry/write-once.ts';
import * as index from '../../src/index.ts';
import { continuedCluster } from '../support/continued-cluster.ts';
import { goldenLayers } from '../support/golden.ts';
import { goldenWal } from '../support/golden-wal.ts';
import {
  type Case,
  faultsOf,
  methodOf,
  onFunction,
  onMethod,
  thrownBy,
} from '../support/wrong-parts.ts';

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
const memoryFile = () => disk().open('/f', { read: true, write: true });
const nodeFile = () =>
  virtualFile.nodeFileSystem.open(join(directory, 'open'), { ...WRITABLE, create: true });
const WRITABLE = { read: true, write: true };
const disk = () => {
  const memory = new testing.MemoryFileSystem();
  memory.createFile('/f', new Uint8Array(10));
  return memory;
};
/** With more changes than are enumerated. */
const dirtyDisk = async () => {
  const memory = disk();
  const opened = await memory.open('/f', { write: true });
  for (let at = 0; at < 9; at += 1) await opened.write(page, at * 4096);
  return memory;
};
const block = {
  ...{ id: 0, spcnode: 1663, dbnode: 5, relnode: 16384, forkNumber: 0, blkno: 1 },
  ...{ data: new Uint8Array(1), willInit: false },
  image: {
    ...{ apply: true, bytes: page, compression: 'none', holeLength: 0, holeOffset: 0 },
  },
};
/** A header, and no main data. */
const walRecordView = new DataView(Uint8Array.of(26, ...new Array(23).fill(0), 255, 0).buffer);
const details = {
  ...{ what: 'disk', path: '/f', offset: 5, expected: 'room', actual: 'none' },
  ...{ key: 'K', lsn: 'L', errno: 'ENOSPC', outcome: 'in-doubt' as const },
};
const newError = (code: index.StorageErrorCode, given: index.StorageErrorDetails): void => {
  new index.StorageError(code, given);
};
/** Of nothing. */
const frame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0);
const blockKey = postgres.relationBlockKey({
  ...{ spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' as const, blkno: 1 },
});
const webServer = () =>
  objectStore.httpStore('http://127.0.0.1:1/', {
    ...{ fetch: async () => new Response(null, { status: 404 }), attempts: 1 },
  });
const bufferedWriter = async () =>
  new blobWriter.BufferedWriter(await file(), { startOffset: page.length });
/** The first of a layer. It is read once: its views stay valid. */
async function batch(): Promise<object> {
  const opened = await reader();
  const { value } = await opened.batches().next();
  return Object(value);
}
const scan = { keyRange, lsnRange, signal: undefined };
const cluster = await continuedCluster();
const clusterFiles = new virtualFile.OpenFiles({ fileSystem: cluster });
const FILE_SYSTEM = ['open', 'rename', 'link', 'unlink', 'stat', 'readDirectory', 'syncDirectory'];
const methodsOf = (owner: object, methods: readonly string[]) =>
  Object.fromEntries(methods.map((method) => [method, methodOf(owner, method)]));
const [walSegment = { bytes: page }] = goldenWal(16).files.filter(
  ({ bytes }) => bytes.length > 1e6,
);
const walFile = { name: '', ...walSegment, ...blobWriter.bytesSource(walSegment.bytes) };
const names = [golden?.path.split('/').at(-1) ?? ''];
const info = { key: 'f', size: 3, etag: 'e', modified: new Date(0) };
const ownStore = {
  ...{ name: 'own', maximumGap: 5, head: async () => info, put: async () => info },
  list: () => asyncItems,
  readRanges: async () => {},
  readStart: async () => ({ info, bytes: new Uint8Array(3) }),
};
const asyncItems = {
  async *[Symbol.asyncIterator]() {
    yield info;
  },
};
const credentials = {
  ...{ accessKeyId: 'a', secretAccessKey: 'b', sessionToken: 'c', expiration: new Date(0) },
};
const output = {
  layers: new Map(),
  stagingDirectory: directory,
  putIndex: async () => 'index',
  putTenantManifest: async () => 'manifest',
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
  onFunction(
    'openTimeline of a store',
    timeline.openTimeline,
    { store: objectStore.directoryStore(directory), prefix: '', indexName: 'index_part.json' },
    { pgVersion: 16 },
  ),
  onFunction('diffLayers', reshape.diffLayers, { layers: [] }, { layers: [] }),
  onFunction('diffLayers of no layer', reshape.diffLayers, { layers: [{}] }, { layers: [] }),
  onFunction('decodeRelationMap', postgres.decodeRelationMap, new Uint8Array(512), 14),
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
    'formatWaldumpLine of a block',
    wal.formatWaldumpLine,
    { ...record, blocks: [block] },
    { length: 30, startLsn: 8n },
    { majorVersion: 16 },
  ),
  onMethod('RecordScanner', () => new wal.RecordScanner(16), 'scan', walRecordView, 0, 26),
  onFunction('new StorageError', newError, 'io', details),
  onMethod('StorageError', () => new index.StorageError('io', details), 'with', details),
  onFunction('encodePlainBlobHeader', blobWriter.encodePlainBlobHeader, page, 0, 200),
  onFunction('encodeZstdBlobHeader', blobWriter.encodeZstdBlobHeader, page, 0, 200),
  onFunction('decodeBlobHeader', blobWriter.decodeBlobHeader, Uint8Array.of(0x90, 0, 0, 1), 0, 0),
  onFunction('decodeBlobHeader of damage', blobWriter.decodeBlobHeader, Uint8Array.of(0xf0), 0, 0),
  onMethod('node compressor', () => blobWriter.loadCompressor(1), 'compress', page),
  onMethod('node compressor', () => blobWriter.loadCompressor(1), 'compressSync', page),
  onMethod('wasm compressor', () => blobWriter.loadCompressor(1, 'wasm'), 'compress', page),
  onMethod('wasm compressor', () => blobWriter.loadCompressor(1, 'wasm'), 'compressSync', page),
  onMethod('Decompressor', () => blobWriter.Decompressor.load(), 'decompress', frame, {
    ...{ maximumLength: 10, maximumWindowSize: 1024 },
  }),
  ...['entry', 'key', 'lsn', 'bytes'].map((method) => onMethod('EntryBatch', batch, method, 0)),
  onMethod('PageChecks', () => ({ inspect: new postgres.PageChecks().inspect }), 'inspect', {
    ...{ kind: 'image', key: blockKey, lsn: 5n, offset: 0, bytes: new Uint8Array(8192).fill(1) },
  }),
  onMethod('store', () => objectStore.directoryStore(directory), 'readRanges', 'file', [
    { target: new Uint8Array(1), offset: 0 },
  ]),
  onMethod('web server', webServer, 'readRanges', 'file', [
    { target: new Uint8Array(1), offset: 0 },
  ]),
  onMethod('store', () => objectStore.directoryStore(directory), 'putFile', 'file', '/none', {}),
  onFunction('s3Store', objectStore.s3Store, {
    ...{ bucket: 'neon', prefix: 'p', region: 'r', profile: 'p', addressing: 'path' },
    ...{ endpoint: 'http://127.0.0.1:1', credentials: 'anonymous' },
  }),
  onMethod('disk', disk, 'createFile', '/g', page, { mode: 0o600, userId: 1, groupId: 1 }),
  onMethod('disk', disk, 'createDirectory', '/g'),
  onMethod('disk', disk, 'createSymbolicLink', '/g', '/f'),
  onMethod('disk', disk, 'createSpecialFile', '/g'),
  onMethod('disk', disk, 'contentOf', '/f'),
  onMethod('disk', disk, 'openSync', '/f', { read: true, direct: false, mode: 0o600 }),
  onFunction(
    'new MemoryFileSystem',
    (options: testing.MemoryFileSystemOptions) => {
      new testing.MemoryFileSystem(options);
    },
    { intercept: () => undefined, userId: 1, groupId: 1, umask: 0o22, birthTimes: 'kept' },
  ),
  onFunction(
    'writeIndexPart',
    timeline.writeIndexPart,
    timeline.IndexPart.create({ metadata, layers: new Map() }),
    { directory: '/none', generation: 1, openFiles: openFiles() },
  ),
  onFunction('encodeDatabaseDirectory', postgres.encodeDatabaseDirectory, [
    { spcnode: 1, dbnode: 2, hasRelationMap: true },
  ]),
  onFunction('encodeRelationDirectory', postgres.encodeRelationDirectory, [
    { relnode: 1, fork: 'main' },
  ]),
  onFunction('encodeSlruDirectory', postgres.encodeSlruDirectory, [1, 2]),
  onFunction('encodeTwophaseDirectory', postgres.encodeTwophaseDirectory, [1n, 2n], 17),
  onMethod('BufferedWriter', bufferedWriter, 'finish', { kind: 'zero-pad', multiple: 8 }, page),
  onFunction(
    'new SplitDeltaWriter',
    async (options: reshape.SplitDeltaOptions) => {
      await using writer = new reshape.SplitDeltaWriter(options);
      await writer.put(key, 0x1010n, { type: 'image', bytes: page });
    },
    { ...ids, directory: '/', openFiles: openFiles(), lsnRange, targetSize: 9, onLayer: () => {} },
  ),
  onFunction(
    'new SplitImageWriter',
    async (options: reshape.SplitImageOptions) => {
      await using writer = new reshape.SplitImageWriter(options);
      await writer.put(key, page);
    },
    {
      ...{ ...ids, directory: '/', openFiles: openFiles(), keyRange, lsn: 0x1010n, targetSize: 9 },
      ...{ onLayer: () => {}, compression: { kind: 'zstd', level: 1 } },
    },
  ),
  onFunction('isLayerOk', timeline.isLayerOk, { state: 'ok', findings: [{ severity: 'error' }] }),
  onFunction('fitsPageserver', layers.fitsPageserver, key, 0),
  onFunction('formatTenantConfig', writeOnce.formatTenantConfig, {
    ...{ form: 'location', settings: {}, other: {}, shard: {} },
    mode: { kind: 'attached', generation: 1, attachMode: 'Single', other: {} },
  }),
  onMethod('IndexPart', () => timeline.IndexPart.create({ metadata, layers: new Map() }), 'with', {
    lineage: {
      ...{ reparentingHistory: [ids.timelineId], reparentingHistoryTruncated: false },
      originalAncestor: { timelineId: ids.timelineId, lsn: 5n, detachedAt: '2024-01-01T00:00:00' },
    },
    gcBlocking: { reasons: ['Manual'], startedAt: '2024-01-01T00:00:00' },
    ...{ lastAuxFilePolicy: 'v2', relSizeMigration: 'legacy' },
  }),
  onFunction(
    'the size of a layer',
    (size: number) => [
      ...timeline.LayerMap.fromNames(names, { sizes: new Map([[names[0] ?? '', size]]) }).layers(),
    ],
    5,
  ),
  onFunction(
    's3Store with credentials',
    async (given: objectStore.S3StoreOptions) => {
      const fetch = async () => new Response(null, { status: 404 });
      await objectStore.s3Store({ ...given, fetch }).head('key');
    },
    { bucket: 'b', region: 'r', endpoint: 'http://127.0.0.1:1', attempts: 1, credentials },
  ),
  onFunction('sdkStore', objectStore.sdkStore, {
    ...{ bucket: 'b', prefix: 'p', client: { send: () => {} }, attempts: 1, firstWaitMs: 1 },
    commands: { GetObjectCommand: class {}, ListObjectsV2Command: class {} },
  }),
  onFunction(
    'an intercept',
    async (intercept: testing.Intercept) => {
      const faulty = new testing.MemoryFileSystem({ intercept });
      faulty.createFile('/f', page);
      await (await faulty.open('/f', { read: true })).read(page, 0);
    },
    () => ({}),
  ),
  ...['fail', 'limit', 'whileSyncing'].map((name) =>
    onFunction(
      `an intercept that answers with ${name}`,
      async (answer: never) => {
        const faulty = new testing.MemoryFileSystem({ intercept: () => ({ [name]: answer }) });
        faulty.createFile('/f', page);
        await (await faulty.open('/f', { read: true })).read(page, 0);
      },
      undefined,
    ),
  ),
  onMethod('disk', dirtyDisk, 'crash', () => 0),
  onFunction('replayCrash', testing.replayCrash, await dirtyDisk(), [0, 1]),
  onFunction('crashStates', testing.crashStates, await dirtyDisk(), { limit: 5, random: () => 0 }),
  onFunction(
    'RecordIngest.open',
    (base: ingest.IngestBase) =>
      ingest.RecordIngest.open({
        ...{ base, lsn: 0x1000n, majorVersion: 16 },
        sink: { put: () => {}, putRecord: () => {} },
      }),
    { get: async () => undefined },
  ),
  onFunction('loseEverything', testing.loseEverything, 5),
  onFunction('loseNothing', testing.loseNothing, 5),
  onFunction('a seeded choice', testing.seededChoices(5), 5),
  onFunction('one of every choice', testing.everyChoice().next().value ?? (() => 0), 5),
  onFunction('checkManifest', layers.checkManifest, source(), await layers.makeManifest(path), {
    ...{ maximumFindings: 3, onProgress: () => {} },
  }),
  onFunction(
    'a store of the caller',
    async (store: objectStore.ObjectStore) => {
      await objectStore.readWhole(store, 'f', { maximumLength: 10 });
      await (await objectStore.objectSource(store, 'f')).read(new Uint8Array(3), 0);
      await wal.walObjects(store, '').list(undefined);
      const place = { tenantId: ids.tenantId, timelineId: ids.timelineId, shard };
      await ingest.TimelineOutput.open({ ...place, target: { store }, generation: 1 });
    },
    ownStore,
  ),
  onFunction(
    'handleSource',
    async (handle: blobWriter.ReadableHandle) => {
      const read = await blobWriter.handleSource(handle, 'handle');
      await new blobWriter.BlobReader(read).read({ offset: 0 });
    },
    { stat: async () => ({ size: 3 }), read: async () => ({ bytesRead: 3 }) },
  ),
  onFunction(
    'openWal',
    async (from: wal.WalSource) => {
      for await (const records of await wal.openWal(from)) records.startLsn(0);
    },
    {
      path: 'wal',
      list: async () => [
        {
          name: walFile.name,
          path: 'file',
          open: async () => ({ source: walFile, close: async () => {} }),
        },
      ],
    },
  ),
  onFunction(
    'findRelationFiles',
    postgres.findRelationFiles,
    { dataDirectory: '/pg', majorVersion: 17, catalogVersion: 202406281, segmentPageCount: 131072 },
    methodsOf(cluster, FILE_SYSTEM),
  ),
  onFunction(
    'assertCleanShutdown',
    (control: postgres.ControlFile) =>
      postgres.assertCleanShutdown(
        '/pg',
        control,
        new virtualFile.OpenFiles({ fileSystem: cluster }),
      ),
    { ...postgres.decodeControlFile(cluster.contentOf('/pg/global/pg_control')) },
  ),
  onMethod('BlobScanner', () => new blobWriter.BlobScanner(blobReader()), 'locate', 0),
  onMethod('file', file, 'newBuffer', 5),
  ...[nodeFile, memoryFile].flatMap((make) => [
    onMethod('open file', make, 'read', new Uint8Array(4), 0),
    onMethod('open file', make, 'readSync', new Uint8Array(4), 0),
    onMethod('open file', make, 'write', new Uint8Array(4), 0),
    onMethod('open file', make, 'setLength', 4),
    onMethod('open file', make, 'setOwnership', { mode: 0o600, userId: 0, groupId: 0 }),
  ]),
  ...['open', 'openSync'].map((method) =>
    onMethod('node', () => virtualFile.nodeFileSystem, method, join(directory, 'f'), {
      ...{ read: true, write: true, create: true, truncate: false, createNew: false, mode: 0o600 },
    }),
  ),
  ...['rename', 'link'].map((method) =>
    onMethod('node', () => virtualFile.nodeFileSystem, method, join(directory, 'none'), '/none'),
  ),
  ...['stat', 'unlink', 'readDirectory', 'syncDirectory', 'removeDirectory'].map((method) =>
    onMethod('node', () => virtualFile.nodeFileSystem, method, join(directory, 'none')),
  ),
  onFunction(
    'node.makeDirectory',
    // A path that is a text would be made.
    (mode: number) => virtualFile.nodeFileSystem.makeDirectory?.('/none/none', mode),
    0o700,
  ),
  onFunction(
    'salvageLayer',
    async (options: reshape.SalvageLayerOptions) => {
      const bytes = Uint8Array.from(readFileSync(path));
      await reshape.salvageLayer(bytes, { ...options, openFiles: openFiles() });
    },
    { directory: '/', tenantId: ids.tenantId, timelineId: ids.timelineId },
  ),
  onFunction('diffLayers of a range', reshape.diffLayers, { layers: [] }, { layers: [] }, scan),
  {
    name: 'copyLayer',
    args: [{ directory: '/', shard: { sharding: { count: 2, stripeSize: 8 }, shardNumber: 0 } }],
    call: async (options) => {
      await using opened = await reader();
      const changed = { ...Object(options), openFiles: openFiles() };
      await Reflect.apply(reshape.copyLayer, undefined, [opened, changed]);
    },
  },
  {
    name: 'compactTimeline',
    args: [
      {
        ...{ output, plan: { inputs: [{ name: names[0] }], imageRanges: [keyRange] } },
        shard: { sharding: { count: 2, stripeSize: 8 }, shardNumber: 0 },
      },
    ],
    call: async (options) => {
      const source = { store: objectStore.directoryStore('/base', { openFiles: clusterFiles }) };
      await using opened = await timeline.openTimeline(source);
      await Reflect.apply(reshape.compactTimeline, undefined, [opened, options]);
    },
  },
  {
    name: 'redactTimeline',
    args: [{ output, seed: 5, onLayer: () => {} }],
    call: async (options) => {
      await using opened = await timeline.openTimeline({ layer: path });
      await Reflect.apply(reshape.redactTimeline, undefined, [opened, options]);
    },
  },
];

test('an iterable that can be read once is read once', async () => {
  function* once<T>(item: T) {
    yield item;
  }
  const listed = await Reflect.apply(wal.walFiles, undefined, [once('/wal/f')]).list(undefined);
  expect(listed).toMatchObject([{ path: '/wal/f' }]);
  await using opened = await reader();
  const all = reshape.mergeLayers(once(opened));
  const some = Reflect.apply(reshape.mergeLayers, undefined, [
    [opened],
    { keyRanges: once(keyRange) },
  ]);
  expect((await some.next()).value).toEqual((await all.next()).value);
});

describe('arguments with one wrong part', () => {
  test.each(CASES)('$name throws nothing but a StorageError', async ({ args, call }) => {
    expect(await faultsOf(args, call)).toEqual([]);
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
  ['a BufferedWriter', "'buffersize'", async () => newBufferedWriter({ buffersize: 9 })],
  [
    'its end',
    "'multiples'",
    () => unknownOption(bufferedWriter, 'finish', { ...EXACT, multiples: 1 }),
  ],
  ['a file system in memory', "'userid'", () => newDisk({ userid: 1 })],
  ['opening a file of it', "'reed'", () => unknownOption(disk, 'open', { reed: true }, '/f')],
  ['opening it at once', "'reed'", () => unknownOption(disk, 'openSync', { reed: true }, '/f')],
  [
    'a decompression',
    "'maximumlength'",
    () =>
      unknownOption(
        () => blobWriter.Decompressor.load(),
        'decompress',
        { ...blobWriter.DEFAULT_DECOMPRESSION_LIMITS, maximumlength: 1 },
        frame,
      ),
  ],
  [
    'a BlobReader',
    "'maximumlength'",
    () => newBlobReader({ ...blobWriter.DEFAULT_DECOMPRESSION_LIMITS, ...{ maximumlength: 1 } }),
  ],
];
const EXACT = { kind: 'exact' };
const newDisk = (options: object): object => new testing.MemoryFileSystem(options);
const newBufferedWriter = async (options: object): Promise<object> =>
  new blobWriter.BufferedWriter(await file(), options);
const newBlobReader = (limits: typeof blobWriter.DEFAULT_DECOMPRESSION_LIMITS): object =>
  new blobWriter.BlobReader(blobWriter.bytesSource(page), undefined, limits);
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

const INVALID: [string, string, () => unknown][] = [
  [
    'an object with the method of a scanner',
    'scanner',
    () => misused(wal, 'scannedImage', page, { scan() {}, blockCount: 3 }, 0),
  ],
  [
    'an object that inherits from the disk in memory',
    'disk',
    () => misused(testing, 'replayCrash', Object.create(testing.MemoryFileSystem.prototype), []),
  ],
  [
    'an assigned intercept that is not a function',
    'intercept',
    () => Reflect.apply(disk().open, Object.assign(disk(), { intercept: 5 }), ['/f', WRITABLE]),
  ],
  [
    'a region that no header can have',
    'region',
    () => misused(objectStore, 's3Store', { bucket: 'b', region: 'x\0' }),
  ],
  [
    'bytes of a document that have no buffer',
    'document',
    () => misused(writeOnce, 'encodeDocument', { a: transferred() }),
  ],
  ['a view of a record', 'view', () => misused(new wal.RecordScanner(16), 'scan', page, 0, 24)],
  [
    'a record that is longer than its view',
    'size of the record',
    () => misused(new wal.RecordScanner(16), 'scan', walRecordView, 0, 27),
  ],
  [
    'a record before the view',
    'offset of the record',
    () => misused(new wal.RecordScanner(16), 'scan', walRecordView, -1, 26),
  ],
  [
    'a missing error text',
    'what',
    () => misused(new index.StorageError('io', details), 'with', { what: undefined }),
  ],
  ['an error without details', 'details', () => misused(index, 'StorageError', 'io')],
  [
    'a code that does not exist',
    'code of the error',
    () => misused(index, 'StorageError', 'oops', details),
  ],
  [
    'a header that does not fit',
    'index of a blob header',
    () => blobWriter.encodePlainBlobHeader(new Uint8Array(3), 0, 200),
  ],
  [
    'a zstd header that does not fit',
    'index of a blob header',
    () => blobWriter.encodeZstdBlobHeader(new Uint8Array(4), 1, 200),
  ],
  ['an index that is not a text', 'indexName', () => openedBy(5)],
  ['what is not a layer', 'summary', () => misused(reshape, 'diffLayers', NO_LAYER, NO_LAYER)],
  ['a negative length', 'length of a blob', () => blobWriter.encodePlainBlobHeader(page, 0, -1)],
  ['a header at -1', 'index of a blob header', () => blobWriter.decodeBlobHeader(page, -1, 0)],
  [
    'an answer of waitForMore',
    'result of waitForMore',
    async () => {
      const waitForMore = async (): Promise<never> => 5 as never;
      for await (const records of await wal.openWal(goldenWal(16).source, { waitForMore })) {
        records.startLsn(0);
      }
    },
  ],
  ['a list with a hole', 'segments', () => postgres.encodeSlruDirectory(new Array(2))],
  [
    'an OID of a block reference',
    'relnode of a block reference',
    () =>
      misused(
        wal,
        'formatWaldumpLine',
        { ...record, blocks: [{ ...block, relnode: 5n }] },
        { length: 30, startLsn: 8n },
        { majorVersion: 16 },
      ),
  ],
  ...['key', 'lsn', 'bytes', 'entry'].flatMap((method) =>
    [-1, 0.5, 1_000_000].map((at): [string, string, () => unknown] => [
      `${method} ${at} of a batch`,
      'index of an entry',
      async () => misused(await batch(), method, at),
    ]),
  ),
  [
    'an entry behind the last one',
    'index of an entry',
    async () => {
      const first = await batch();
      return misused(first, 'lsn', Reflect.get(first, 'count'));
    },
  ],
];

const transferred = (): Uint8Array => {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
};
const NO_LAYER = { layers: [{}] };
const openedBy = (indexName: unknown): unknown =>
  misused(timeline, 'openTimeline', {
    ...{ store: objectStore.directoryStore(directory), prefix: '', indexName },
  });

function misused(owner: object, method: string, ...args: readonly unknown[]): unknown {
  const callee: unknown = Reflect.get(owner, method);
  if (callee === index.StorageError) return Reflect.construct(index.StorageError, args);
  return methodOf(owner, method)(...args);
}

test.each(INVALID)('%s is invalid-input, and the error names %s', async (_, name, action) => {
  const error = await thrownBy(action);
  expect(error).toMatchObject({ code: 'invalid-input', message: expect.stringContaining(name) });
});
