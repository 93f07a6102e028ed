/** Every public method of every class, with one wrong part of right arguments, as plain JavaScript can pass them. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as blobWriter from '../../src/entry/blob-writer.ts';
import * as ingest from '../../src/entry/ingest.ts';
import * as layers from '../../src/entry/layers.ts';
import * as postgres from '../../src/entry/postgres.ts';
import * as reshape from '../../src/entry/reshape.ts';
import * as testing from '../../src/entry/testing.ts';
import * as timeline from '../../src/entry/timeline.ts';
import * as virtualFile from '../../src/entry/virtual-file.ts';
import * as wal from '../../src/entry/wal.ts';
import * as index from '../../src/index.ts';
import {
  BASE,
  COPY,
  continuedCluster,
  imageOn,
  placeOn,
  STAGING,
  walAfterBase,
} from '../support/continued-cluster.ts';
import { goldenLayers } from '../support/golden.ts';
import { type Case, faultsOf, onMethod, thrownBy } from '../support/wrong-parts.ts';

const REPORTS = new URL('../../etc/', import.meta.url);

const [delta, image] = ['delta', 'image'].map((kind) =>
  goldenLayers().find(
    ({ path }) => layers.parseLayerName(path.split('/').at(-1) ?? '').kind === kind,
  ),
);
const deltaPath = delta?.path ?? '';
const imagePath = image?.path ?? '';
const names = [deltaPath, imagePath].map((path) => path.split('/').at(-1) ?? '');
const key = index.parseKey('000000067F00000005000040000000000007');
const keyRange = { start: index.minimumKey(), end: index.maximumKey() };
const lsnRange = { start: 0n, end: 0x7fffn };
const ids = { tenantId: '00'.repeat(16), timelineId: '11'.repeat(16) };
const page = new Uint8Array(8192);
const value = { type: 'image', bytes: new Uint8Array(3) };
const signal = new AbortController().signal;
const scan = { keyRange, lsnRange, signal };
const ordered = { ...scan, reverse: false };
const metadata = {
  ...{ ancestorLsn: 0n, ancestorTimeline: null, diskConsistentLsn: 0x2000n, initdbLsn: 8n },
  ...{ latestGcCutoffLsn: 8n, pgVersion: 16, prevRecordLsn: 0x1ff8n },
};
const rows = {
  ...{ count: 1, lsns: BigUint64Array.of(0x1010n), keys: key.slice(), willInit: Uint8Array.of(1) },
  ...{ values: new Uint8Array(10), starts: Uint32Array.of(0), lengths: Uint32Array.of(10) },
};
const { keys: _, lsns: __, ...valueRows } = rows;
const entryRows = { ...valueRows, entryKeys: new Uint8Array(26) };
const details = {
  ...{ what: 'disk', path: '/f', offset: 5, expected: 'room', actual: 'none' },
  ...{ key: 'K', lsn: 'L', errno: 'ENOSPC', outcome: 'in-doubt' as const, cause: undefined },
};
/** Of nothing. */
const frame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0);
const limits = { maximumLength: 10, maximumWindowSize: 1024 };
/** A header, and no main data. */
const record = Uint8Array.of(26, ...new Array(23).fill(0), 255, 0);
const pageKey = postgres.relationBlockKey({
  ...{ spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' as const, blkno: 1 },
});

const disk = () => {
  const memory = new testing.MemoryFileSystem();
  memory.createFile('/f', new Uint8Array(10));
  return memory;
};
const openFiles = () => new virtualFile.OpenFiles({ fileSystem: disk() });
const file = () =>
  virtualFile.VirtualFile.open('/f', { read: true, write: true, openFiles: openFiles() });
const bufferedWriter = async () =>
  new blobWriter.BufferedWriter(await file(), { startOffset: page.length });
const blobReader = () => new blobWriter.BlobReader(blobWriter.bytesSource(Uint8Array.of(2, 7, 8)));
const ephemeralLayer = async () => {
  const layer = await index.EphemeralLayer.create({
    ...{ ...ids, directory: '/', openFiles: openFiles(), startLsn: 1n },
  });
  await layer.put(key, 2n, { type: 'image', bytes: page });
  return layer;
};
const reader = () => index.openLayer(deltaPath);
const newLayer = () => ({ ...ids, keyRange, directory: '/', openFiles: openFiles() });
const splitLayers = () => ({ ...ids, directory: '/', openFiles: openFiles(), targetSize: 100_000 });
const cluster = await continuedCluster();
const walFiles = walAfterBase([imageOn(5, 1, 1)]).files;
const openWal = () => wal.openWal(wal.walBytes(walFiles));
const first = async (items: AsyncIterable<object>): Promise<object> => {
  for await (const item of items) return item;
  throw new Error('there is nothing');
};
const ingestBase = () => timeline.openTimeline(placeOn(cluster, BASE), { pgVersion: 17 });
const outputOf = (memory: testing.MemoryFileSystem) =>
  ingest.TimelineOutput.open({
    ...{ ...ids, target: placeOn(memory, COPY), shard: { count: 0, number: 0 }, generation: 1 },
    ...{ stagingDirectory: STAGING, openFiles: new virtualFile.OpenFiles({ fileSystem: memory }) },
  });
const indexPart = timeline.IndexPart.create({
  metadata: { ...metadata, ancestorTimeline: '22'.repeat(16), ancestorLsn: 0x1000n },
  layers: new Map(),
});

interface Instance {
  readonly make: () => object | Promise<object>;
  /** Right arguments of each public method. */
  readonly calls: Readonly<Record<string, readonly unknown[]>>;
}

const READER_CALLS = {
  ...{ batches: [scan], close: [], entries: [ordered], get: [key, 5n], getSync: [key, 5n] },
  ...{ getMany: [[key], 5n], indexBlocks: [], keys: [ordered], salvageBatches: [scan] },
  ...{ statistics: [], versions: [key, lsnRange] },
};
const FILE_SYSTEM_CALLS = {
  ...{ link: ['/f', '/g'], makeDirectory: ['/d'], open: ['/f', { read: true, direct: false }] },
  ...{ openSync: ['/f', { read: true, mode: 0o600 }], readDirectory: ['/'], stat: ['/f'] },
  ...{ removeDirectory: ['/d'], rename: ['/f', '/g'], syncDirectory: ['/'], unlink: ['/f'] },
};

const INSTANCES: Record<string, Instance> = {
  BlobEntries: { make: () => blobWriter.blobsFrom(blobReader(), 0, {}), calls: {} },
  BlobReader: {
    make: blobReader,
    calls: {
      read: [{ offset: 0, end: 3, limit: 10 }],
      readSync: [{ offset: 0, end: 3, limit: 10 }],
      readMany: [[{ offset: 0, end: 3 }], { maximumReadSize: 100, signal }],
    },
  },
  BlobScanner: {
    make: () => new blobWriter.BlobScanner(blobReader()),
    calls: { close: [], load: [0], locate: [0] },
  },
  BlobWriter: {
    make: async () => new blobWriter.BlobWriter(await bufferedWriter()),
    calls: { append: [page], appendEncoded: [Uint8Array.of(2, 7, 8)] },
  },
  BlockCache: { make: () => new layers.BlockCache(5, {}), calls: { clear: [] } },
  BufferedWriter: {
    make: bufferedWriter,
    calls: {
      ...{ abandon: [], append: [page], flushed: [], pad: [8], throwIfFailed: [] },
      ...{ finish: [{ kind: 'zero-pad', multiple: 8 }, page], readExactAt: [page, 8192] },
    },
  },
  CompressionPool: { make: () => new blobWriter.CompressionPool(), calls: { close: [] } },
  Decompressor: {
    make: () => blobWriter.Decompressor.load(),
    calls: { decompress: [frame, limits], decompressPieces: [frame, limits, () => {}] },
  },
  DeltaLayerReader: {
    make: () => layers.DeltaLayerReader.open(deltaPath),
    calls: { salvage: [scan] },
  },
  DeltaLayerWriter: {
    make: () => index.DeltaLayerWriter.create({ ...newLayer(), lsnRange }),
    calls: {
      ...{ abandon: [], finish: [], put: [key, 5n, value], putBatch: [rows] },
      putBlob: [key, 5n, Uint8Array.of(2, 7, 8), true],
      putEntries: [entryRows],
      putSerialized: [key, 5n, index.encodeValue({ ...value, type: 'image' }), true],
    },
  },
  EntryBatch: {
    make: async () => first((await reader()).batches()),
    calls: { bytes: [0], entry: [0], key: [0], lsn: [0] },
  },
  EphemeralLayer: {
    make: ephemeralLayer,
    calls: {
      ...{ close: [], freeze: [0x2000n], get: [key, 5n], put: [key, 5n, value], putBatch: [rows] },
      putSerialized: [key, 5n, index.encodeValue({ ...value, type: 'image' }), true],
      versions: [key, lsnRange],
      writeDelta: [{ directory: '/', generation: '00000001', signal }],
    },
  },
  'EphemeralLayer, frozen': {
    make: async () => {
      const layer = await ephemeralLayer();
      await layer.freeze(0x2000n);
      return layer;
    },
    calls: { writeDelta: [{ directory: '/', generation: '00000001', signal }] },
  },
  ImageLayerReader: {
    make: () => layers.ImageLayerReader.open(imagePath),
    calls: { salvage: [scan] },
  },
  'LayerReader, of images': {
    make: () => index.openLayer(imagePath, { readMode: 'sync' }),
    calls: READER_CALLS,
  },
  ImageLayerWriter: {
    make: () => index.ImageLayerWriter.create({ ...newLayer(), lsn: 5n }),
    calls: { abandon: [], finish: [], put: [key, page], putBlob: [key, Uint8Array.of(2, 7, 8)] },
  },
  IndexPart: {
    make: () => indexPart,
    calls: {
      format: [],
      toJson: [],
      with: [{ layers: new Map(), archivedAt: '2024-01-01T00:00:00' }],
    },
  },
  LayerMap: {
    make: () => timeline.LayerMap.fromNames(names),
    calls: {
      ...{ countDeltas: [keyRange, lsnRange, 5], holes: [5], imageCoverage: [keyRange, 5n] },
      ...{ imageLayerExists: [keyRange, lsnRange], layers: [], rangeSearch: [keyRange, 5n] },
      ...{ search: [key, 5n], violation: [], visibility: [[5n]] },
    },
  },
  LayerReader: {
    make: () => index.openLayer(deltaPath, { readMode: 'sync' }),
    calls: READER_CALLS,
  },
  MemoryFileSystem: {
    make: disk,
    calls: {
      ...FILE_SYSTEM_CALLS,
      ...{ clone: [], contentOf: ['/f'], contents: [], countCrashStates: [], crash: [() => 0] },
      ...{ createDirectory: ['/d'], createFile: ['/g', page, { mode: 0o600, userId: 1 }] },
      ...{ createSpecialFile: ['/g'], createSymbolicLink: ['/g', '/f'], paths: [] },
    },
  },
  OpenFiles: { make: openFiles, calls: { syncDirectory: ['/'] } },
  PageChecks: {
    make: () => new postgres.PageChecks(),
    calls: {},
  },
  RecordIngest: {
    make: async () => {
      const base = await ingestBase();
      return ingest.RecordIngest.open({
        base: { get: async (wanted, lsn) => (await base.reconstruct(wanted, lsn)).base?.bytes },
        sink: { put: () => {}, putRecord: () => {} },
        ...{ lsn: base.lastLsn, majorVersion: 17 },
      });
    },
    calls: { ingest: [record, 0x7fff_0000n], ingestFrom: [await first(await openWal()), 0] },
  },
  RecordScanner: {
    make: () => new wal.RecordScanner(16),
    calls: { scan: [new DataView(record.buffer), 0, 26] },
  },
  RedoProcess: {
    make: () => timeline.RedoProcess.start('/bin/sleep', { args: ['9'], timeoutMs: 20 }),
    calls: {
      apply: [{ key: pageKey, base: page, records: [{ bytes: record, lsn: 5n }] }, signal],
      close: [],
    },
  },
  SalvageReader: {
    make: () => layers.SalvageReader.open(deltaPath),
    calls: { close: [], indexBlocks: [], salvage: [scan], salvageBatches: [scan] },
  },
  SplitDeltaWriter: {
    make: () => new reshape.SplitDeltaWriter({ ...splitLayers(), lsnRange }),
    calls: {
      ...{ abandon: [], finish: [], put: [key, 5n, value] },
      putSerialized: [key, 5n, index.encodeValue({ ...value, type: 'image' }), true],
    },
  },
  SplitImageWriter: {
    make: () => new reshape.SplitImageWriter({ ...splitLayers(), keyRange, lsn: 5n }),
    calls: { abandon: [], finish: [index.maximumKey()], put: [key, page] },
  },
  StorageError: { make: () => new index.StorageError('io', details), calls: { with: [details] } },
  TemporaryFile: {
    make: () => virtualFile.TemporaryFile.create('/t', { openFiles: openFiles() }),
    calls: { abandon: [], keep: [] },
  },
  Timeline: {
    make: () => timeline.openTimeline({ layer: deltaPath }),
    calls: {
      ...{
        close: [],
        directory: [0x2000n, { signal }],
        history: [key, { lsnStart: 5n, lsnEnd: 9n, signal }],
      },
      ...{ mapOf: [key], readPage: [pageKey, 0x2000n, { signal }] },
      ...{ reconstruct: [key, 5n, { signal }], reconstructMany: [[key], 5n, { signal }] },
      reconstructRanges: [[keyRange], 5n, { signal }],
    },
  },
  TimelineOutput: {
    make: async () => outputOf(cluster.clone()),
    calls: {
      ...{ advanceIndex: [indexPart], close: [], putIndex: [indexPart] },
      putLayer: [{ path: `/none/${names[0]}`, size: 5 }],
      putTenantManifest: [{ stripeSize: 8, offloadedTimelines: [] }],
    },
  },
  ViewedBytes: {
    make: async () => Object(Reflect.get(await first(await openWal()), 'memory')),
    calls: {},
  },
  VirtualFile: {
    make: file,
    calls: {
      ...{ close: [], newBuffer: [5], readAt: [page, 0], readExactAt: [new Uint8Array(4), 0] },
      ...{ readToEnd: [{ maximumLength: 100 }], setLength: [5], stat: [], sync: [] },
      ...{ setOwnership: [{ mode: 0o600, userId: 0, groupId: 0 }], syncData: [] },
      writeAllAt: [page, 0],
    },
  },
  WalIngest: {
    make: async () => {
      const memory = cluster.clone();
      return ingest.WalIngest.open({
        ...{ base: placeOn(memory, BASE), target: placeOn(memory, COPY), mode: 'resume' },
        stagingDirectory: STAGING,
        openFiles: new virtualFile.OpenFiles({ fileSystem: memory }),
      });
    },
    calls: { close: [], ingest: [await openWal()] },
  },
  WalReader: { make: openWal, calls: {} },
  WalRecordBatch: {
    make: async () => first(await openWal()),
    calls: { bytes: [0], endLsn: [0], offset: [0], size: [0], startLsn: [0], timelineId: [0] },
  },
};

const CASES: Case[] = Object.entries(INSTANCES).flatMap(([name, { make, calls }]) =>
  Object.entries(calls).map(([method, args]) => onMethod(name, make, method, ...args)),
);

describe('methods with one wrong part of their arguments', () => {
  test.each(CASES)('$name throws nothing but a StorageError', async ({ args, call }) => {
    expect(await faultsOf(args, call)).toEqual([]);
  });
});

const REFUSED_ANYWAY: Record<string, string> = {
  'DeltaLayerWriter.finish': 'empty',
  'ImageLayerWriter.finish': 'empty',
  'BufferedWriter.readExactAt': 'out-of-range',
  'EphemeralLayer.writeDelta': 'closed',
  'MemoryFileSystem.removeDirectory': 'not-found',
  'RecordIngest.ingest': 'corrupt',
  'RedoProcess.apply': 'io',
  'Timeline.directory': 'not-found',
  'TimelineOutput.advanceIndex': 'not-found',
  'TimelineOutput.putLayer': 'not-found',
  'WalIngest.ingest': 'gap',
};

test.each(CASES)('$name takes right arguments', async ({ name, args, call }) => {
  const error = await thrownBy(() => call(...args));
  if (name in REFUSED_ANYWAY) expect(error).toMatchObject({ code: REFUSED_ANYWAY[name] });
  else expect(error).toBeUndefined();
});

test('every public method of every class is called with wrong arguments', () => {
  const called = Object.entries(INSTANCES)
    .filter(([name]) => /^\w+$/.test(name))
    .map(([name, { calls }]) => [name, Object.keys(calls).sort()]);
  const reported = [...publicMethods()].map(([name, methods]) => [name, [...methods].sort()]);
  expect(Object.fromEntries(called)).toEqual(Object.fromEntries(reported));
});

/** By the reports of the public surface; without static methods and those that are named by a symbol. */
function publicMethods(): Map<string, Set<string>> {
  const classes = new Map<string, Set<string>>();
  for (const report of readdirSync(REPORTS)) {
    const text = readFileSync(new URL(report, REPORTS), 'utf8');
    for (const [, name = '', body = ''] of text.matchAll(/^export class (\w+).*?{\n(.*?)^}/gms)) {
      const methods = [...body.matchAll(/^ {4}(?!constructor)(\w+)\(/gm)].map(
        ([, method = '']) => method,
      );
      classes.set(name, new Set(methods));
    }
  }
  return classes;
}
