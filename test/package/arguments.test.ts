/** Wrong arguments, as plain JavaScript can pass them, are refused by their name. */
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { BlobReader } from '../../src/blob-writer/blob-reader.ts';
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
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
import { goldenLayers } from '../support/golden.ts';

const ENTRIES = { index, layers, 'blob-writer': blobWriter, 'virtual-file': virtualFile, postgres };
const EVERYTHING = {
  ...ENTRIES,
  'write-once': writeOnce,
  'object-store': objectStore,
  testing,
  timeline,
  wal,
  ingest,
  reshape,
};

/** Classes that only the library makes: their constructors are private in the types. */
const PRIVATE = [
  'BlobEntries',
  'DeltaLayerReader',
  'DeltaLayerWriter',
  'Decompressor',
  'EphemeralLayer',
  'ImageLayerReader',
  'ImageLayerWriter',
  'IndexPart',
  'LayerMap',
  'RecordIngest',
  'RedoProcess',
  'SalvageReader',
  'TemporaryFile',
  'Timeline',
  'TimelineOutput',
  'VirtualFile',
  'WalIngest',
  // What is thrown has to be made of something.
  'StorageError',
];
/** Answers of a crash: the file system in memory calls them. */
const ANSWERS = ['loseEverything', 'loseNothing'];
/** Internal. */
const HIDDEN = ['from', 'of'];

const WRONG = [undefined, null, 42, 'x\0', {}, [], true, Symbol('wrong'), () => {}];
const WRONG_SECOND = [undefined, null, 42, {}];

type Call = (...args: unknown[]) => unknown;

function callsOf(name: string, exported: unknown): [string, Call][] {
  if (typeof exported !== 'function' || ANSWERS.includes(name)) return [];
  if (!/^class\b/.test(Function.prototype.toString.call(exported))) {
    return [[name, (...args) => Reflect.apply(exported, undefined, args)]];
  }
  const statics = Object.getOwnPropertyNames(exported)
    .map((key) => [key, Reflect.get(exported, key)] as const)
    .filter(([key, member]) => typeof member === 'function' && !HIDDEN.includes(key))
    .map(([key, member]): [string, Call] => [
      `${name}.${key}`,
      (...args) => Reflect.apply(member, exported, args),
    ]);
  if (PRIVATE.includes(name)) return statics;
  return [...statics, [`new ${name}`, (...args) => Reflect.construct(exported, args)]];
}

const CALLS = Object.entries(EVERYTHING).flatMap(([entry, names]) =>
  Object.entries(names)
    .flatMap(([name, exported]) => callsOf(name, exported))
    .map(([name, call]) => ({ name: `${entry}: ${name}`, call })),
);

describe('what is given arguments of wrong types', () => {
  test.each(CALLS)('$name throws nothing but a StorageError', async ({ call }) => {
    const faults: string[] = [];
    for (const first of WRONG) {
      for (const second of WRONG_SECOND) {
        const error = await thrownBy(() => call(first, second));
        if (error === undefined || index.isStorageError(error)) continue;
        faults.push(`(${String(first)}, ${String(second)}): ${String(error)}`);
      }
    }
    expect(faults).toEqual([]);
  });
});

/** Nothing comes so far that it would be written. */
const WRITE = {
  directory: '/nowhere',
  tenantId: '00'.repeat(16),
  timelineId: '00'.repeat(16),
  keyRange: { start: index.minimumKey(), end: index.maximumKey() },
};
const DELTA = { ...WRITE, lsnRange: { start: 1n, end: 2n } };
const IMAGE = { ...WRITE, lsn: 1n };
const { keyRange: _, ...EPHEMERAL } = { ...WRITE, startLsn: 1n };
const [golden] = goldenLayers();
const path = golden?.path ?? '';

const writerOf = (name: 'DeltaLayerWriter' | 'ImageLayerWriter') =>
  name === 'DeltaLayerWriter' ? index.DeltaLayerWriter : index.ImageLayerWriter;

/** A call, and what its error must name. */
const NAMED: [string, string, () => unknown][] = [
  ['no options', 'options', () => Reflect.apply(index.ImageLayerWriter.create, undefined, [])],
  ...(['directory', 'tenantId', 'timelineId', 'keyRange'] as const).flatMap((name) =>
    (['DeltaLayerWriter', 'ImageLayerWriter'] as const).map(
      (writer): [string, string, () => unknown] => [
        `a ${writer} without ${name}`,
        name,
        () => {
          const given = writer === 'DeltaLayerWriter' ? DELTA : IMAGE;
          return Reflect.apply(writerOf(writer).create, writerOf(writer), [
            { ...given, [name]: undefined },
          ]);
        },
      ],
    ),
  ),
  ['a delta layer without lsnRange', 'lsnRange', () => delta({ lsnRange: undefined })],
  ['an image layer without lsn', 'lsn', () => image({ lsn: undefined })],
  ['a wrong name of an option', "'keyrange'", () => delta({ keyrange: 1 })],
  ['an option of another call', "'startLsn'", () => delta({ startLsn: 1n })],
  ['a wrong name for images', "'compresion'", () => image({ compresion: 1 })],
  ['openFiles that are none', 'openFiles', () => delta({ openFiles: {} })],
  ['a signal that is not an AbortSignal', 'signal', () => delta({ signal: 1 })],
  ['a pool that is not a CompressionPool', 'compressionPool', () => image({ compressionPool: {} })],
  ['an ephemeral layer without tenantId', 'tenantId', () => ephemeral({ tenantId: undefined })],
  ['an ephemeral layer without startLsn', 'startLsn', () => ephemeral({ startLsn: undefined })],
  ['an ephemeral layer with a wrong option', "'startlsn'", () => ephemeral({ startlsn: 1n })],
  ['reading with a wrong option', "'blockcache'", () => open(path, { blockcache: 1 })],
  ['reading with openFiles that are none', 'openFiles', () => open(path, { openFiles: 1 })],
  ['reading with a signal that is not an AbortSignal', 'signal', () => open(path, { signal: {} })],
  [
    'reading with a cache that is not a BlockCache',
    'blockCache',
    () => open(path, { blockCache: {} }),
  ],
  ['verifying with a wrong option', "'maximumFinding'", () => verify(path, { maximumFinding: 1 })],
  ['a URL that is not of a file', 'URL', () => open(new URL('https://example.org/layer'))],
  ['a source without read', 'read', () => open({ size: 1 })],
  ['a source without size', 'size', () => open({ read: () => {} })],
  ['an overwrite with a wrong option', "'mod'", () => overwrite('a', 'b', { mod: 1 })],
  ['a table of descriptors with a wrong option', "'capacty'", () => openFiles({ capacty: 1 })],
  ['an import without outDirectory', 'outDirectory', () => importing({ dataDirectory: 'a' })],
];

const delta = (options: object) => call(index.DeltaLayerWriter.create, { ...DELTA, ...options });
const image = (options: object) => call(index.ImageLayerWriter.create, { ...IMAGE, ...options });
const ephemeral = (options: object) =>
  call(index.EphemeralLayer.create, { ...EPHEMERAL, ...options });
const open = (...args: unknown[]) => call(index.openLayer, ...args);
const verify = (...args: unknown[]) => call(index.verifyLayer, ...args);
const overwrite = (...args: unknown[]) => call(writeOnce.overwriteFile, ...args);
const importing = (options: object) => call(postgres.importPgdata, options);
const openFiles = (options: object) => Reflect.construct(index.OpenFiles, [options]);

function call(callee: object, ...args: unknown[]): unknown {
  return typeof callee === 'function' ? Reflect.apply(callee, undefined, args) : undefined;
}

test.each(NAMED)(
  '%s is invalid-input, and the error names %s',
  async (_situation, name, action) => {
    const error = await thrownBy(action);
    expect(error).toMatchObject({ code: 'invalid-input', message: expect.stringContaining(name) });
  },
);

test.each([
  ['its bytes', (bytes: Uint8Array) => bytes],
  ['a file URL', () => pathToFileURL(path)],
  ['a path', () => path],
])('a layer is opened and verified by %s', async (_, inputOf) => {
  const { readFileSync } = await import('node:fs');
  const input = inputOf(readFileSync(path));
  await using reader = await index.openLayer(input);
  expect((await reader.statistics()).entryCount).toBe(golden?.manifest.dump.length);
  expect((await index.verifyLayer(input)).ok).toBe(true);
});

test('a reader of blobs has limits and a region by default', async () => {
  const reader = new BlobReader(bytesSource(Uint8Array.of(2, 7, 8)));
  expect([...(await reader.read({ offset: 0 })).bytes]).toEqual([7, 8]);
});

async function thrownBy(action: () => unknown): Promise<unknown> {
  try {
    const result = action();
    const isPromise = typeof result === 'object' && result !== null && 'then' in result;
    if (isPromise) await result;
    else if (isIterable(result)) await result[Symbol.asyncIterator]().next();
    return undefined;
  } catch (error) {
    return error;
  }
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
