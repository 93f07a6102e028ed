/**
 * Uses the built package where it is loaded twice: as Node loads it, and again as modules of a vm
 * context, as test runners do, or out of a copy of its files. Values, errors, signals and open files
 * pass between the two. `node:fs` belongs to the outer realm.
 *
 * Arguments: the folder of the built package, a directory for files, and either whether the packages
 * that it needs are loaded `inside` or `outside` of the context, or the folder of the copy. Prints
 * the result of each situation.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import vm from 'node:vm';

const [, , dist, directory, where] = process.argv;

/** What Node adds to a realm; the language itself is the context's own. */
const context = vm.createContext({});
for (const name of Object.getOwnPropertyNames(globalThis)) {
  if (name === 'globalThis' || vm.runInContext(`'${name}' in globalThis`, context)) continue;
  context[name] = globalThis[name];
}

const loaded = new Map();

async function outerModule(specifier) {
  const namespace = await import(specifier);
  const names = Object.keys(namespace);
  const evaluate = function () {
    for (const name of names) this.setExport(name, namespace[name]);
  };
  return new vm.SyntheticModule(names, evaluate, { context, identifier: specifier });
}

function innerModule(url) {
  return new vm.SourceTextModule(readFileSync(fileURLToPath(url), 'utf8'), {
    context,
    identifier: url,
    initializeImportMeta: (meta) => {
      meta.url = url;
    },
    importModuleDynamically: async (specifier) => evaluated(await moduleOf(specifier, url)),
  });
}

function moduleOf(specifier, parent) {
  if (isBuiltin(specifier)) return outerModule(specifier);
  const isRelative = specifier.startsWith('.');
  const url = isRelative ? new URL(specifier, parent).href : import.meta.resolve(specifier);
  const isInside = isRelative || (where === 'inside' && isModuleFile(url));
  if (!isInside) return outerModule(url);
  if (!loaded.has(url)) loaded.set(url, innerModule(url));
  return loaded.get(url);
}

/** False for CommonJS, which this loader cannot take apart. */
function isModuleFile(url) {
  return /^(import|export)\b/m.test(readFileSync(fileURLToPath(url), 'utf8'));
}

async function evaluated(module) {
  if (module.status === 'unlinked') {
    await module.link((specifier, parent) => moduleOf(specifier, parent.identifier));
  }
  await module.evaluate();
  return module;
}

const ENTRIES = [
  'index',
  'virtual-file',
  'blob-writer',
  'layers',
  'write-once',
  'postgres',
  'testing',
];

async function innerPackage() {
  const all = {};
  for (const entry of ENTRIES) {
    const url = pathToFileURL(join(dist, `${entry}.js`)).href;
    Object.assign(all, (await evaluated(await moduleOf(`./${entry}.js`, url))).namespace);
  }
  return all;
}

async function packageIn(folder) {
  const all = {};
  for (const entry of ENTRIES) Object.assign(all, await import(join(folder, `${entry}.js`)));
  return all;
}

const isInContext = where === 'inside' || where === 'outside';
const inner = await (isInContext ? innerPackage() : packageIn(where));
const outer = await packageIn(dist);

const ID = '000102030405060708090a0b0c0d0e0f';
const FIRST = outer.parseKey('000000067F00000005000040000000000000');
const LAST = outer.parseKey('000000067F000000050000400000000000FF');

let fileCount = 0;
function newPath() {
  fileCount += 1;
  return join(directory, `file-${fileCount}`);
}

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('expected an error');
}

async function layerOf(writer) {
  const { path } = await writer.finish();
  const { ok, entries } = await inner.verifyLayer(path);
  return { ok, entries };
}

const newDelta = (lsn) =>
  inner.DeltaLayerWriter.create({
    directory,
    tenantId: ID,
    timelineId: ID,
    keyRange: { start: FIRST, end: LAST },
    lsnRange: { start: lsn, end: lsn + 0x100n },
  });

function batchOf(count) {
  const keys = new Uint8Array(18 * count);
  for (let row = 0; row < count; row += 1) keys.set(outer.addToKey(FIRST, row), 18 * row);
  return {
    count,
    keys,
    lsns: new BigUint64Array(count).fill(0x5001n),
    willInit: new Uint8Array(count).fill(1),
    values: outer.encodeValue({ type: 'image', bytes: new Uint8Array(100) }),
    starts: new Uint32Array(count),
    lengths: new Uint32Array(count).fill(112),
  };
}

const SITUATIONS = {
  'a new file is written, and then replaced': async () => {
    const path = newPath();
    await inner.overwriteFile(path, 'old');
    await inner.overwriteFile(path, 'new');
    return readFileSync(path, 'utf8');
  },
  'bytes of another realm are the content of a file': async () => {
    const path = newPath();
    await inner.overwriteFile(path, new Uint8Array([104, 105]));
    return readFileSync(path, 'utf8');
  },
  'a missing file is not-found': async () => {
    const { code, errno } = await errorOf(inner.readTimelineMetadata(newPath()));
    return { code, errno };
  },
  'a directory in place of a file is io': async () => {
    const { code, errno } = await errorOf(inner.readTenantConfig(directory));
    return { code, errno };
  },
  'keys and values of another realm make a delta layer': async () => {
    const writer = await newDelta(0x1000n);
    await writer.put(FIRST, 0x1008n, { type: 'image', bytes: new Uint8Array(8192) });
    await writer.putSerialized(
      outer.nextKey(FIRST),
      0x1008n,
      outer.encodeValue({ type: 'wal', willInit: true, bytes: new Uint8Array([1]) }),
      true,
    );
    return layerOf(writer);
  },
  'a batch of arrays of another realm makes a delta layer': async () => {
    const writer = await newDelta(0x5000n);
    await writer.putBatch(batchOf(200));
    return layerOf(writer);
  },
  'pages of another realm make an image layer': async () => {
    const keyRange = { start: FIRST, end: LAST };
    const options = { directory, tenantId: ID, timelineId: ID, lsn: 0x2000n, keyRange };
    const writer = await inner.ImageLayerWriter.create(options);
    await writer.put(FIRST, new Uint8Array(8192));
    await writer.put(outer.nextKey(FIRST), Buffer.alloc(8192, 1));
    return layerOf(writer);
  },
  'an ephemeral layer takes values of another realm': async () => {
    const options = { directory, tenantId: ID, timelineId: ID, startLsn: 0x5000n };
    const layer = await inner.EphemeralLayer.create(options);
    await layer.put(outer.addToKey(FIRST, 3), 0x5000n, {
      type: 'image',
      bytes: new Uint8Array(10),
    });
    await layer.putBatch(batchOf(3));
    const found = await layer.get(FIRST);
    await layer.close();
    return found.bytes.length;
  },
  'a damaged layer of another realm is corrupt': async () => {
    const path = newPath();
    writeFileSync(path, new Uint8Array(8192 * 3));
    const error = await errorOf(inner.openLayer(path));
    return { code: error.code, isKnownOutside: outer.isStorageError(error, error.code) };
  },
  'a document of another realm comes back': async () => {
    const path = newPath();
    const document = { list: [1, { deep: new Uint8Array([1, 2]) }], none: null, big: 2n ** 63n };
    await inner.writeDocument(path, document);
    const { list, none, big } = await inner.readDocument(path);
    return { first: list[0], deep: [...list[1].deep], none, big: `${big}` };
  },
  'an instance of a class is refused in a document': async () => {
    const { code } = await errorOf((async () => inner.encodeDocument({ map: new Map() }))());
    return code;
  },
  'settings with times of another realm come back': async () => {
    const path = newPath();
    const settings = { since: new Date(0), table: { list: [new Date(1000)] } };
    const config = { form: 'tenant-config', settings, other: {} };
    await inner.writeTenantConfig(path, config);
    const local = 'local = 2020-01-02T03:04:05.000\n';
    writeFileSync(path, readFileSync(path, 'utf8') + local);
    const again = outer.formatTenantConfig(await inner.readTenantConfig(path));
    return again.split('\n').filter((line) => /\d\d:/.test(line));
  },
  'a signal of another realm ends a write': async () => {
    const { code, cause } = await errorOf(
      inner.overwriteFile(newPath(), 'x', { signal: AbortSignal.abort(new Error('enough')) }),
    );
    return { code, cause: cause.message };
  },
  'errors of either copy are known to the other': async () => {
    const innerError = await errorOf(inner.openLayer(newPath()));
    const outerError = await errorOf(outer.openLayer(newPath()));
    return [
      outer.isStorageError(innerError, 'not-found'),
      inner.isStorageError(outerError, 'not-found'),
      innerError instanceof outer.StorageError,
      outerError instanceof inner.StorageError,
      new Error('x') instanceof inner.StorageError,
    ];
  },
  'a file system of the other copy serves a writer': async () => {
    const fileSystem = new outer.MemoryFileSystem();
    fileSystem.createDirectory('/data');
    const openFiles = new inner.OpenFiles({ fileSystem });
    await inner.overwriteFile('/data/file', 'content', { openFiles });
    fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
    const error = await errorOf(inner.overwriteFile('/data/file', 'other', { openFiles }));
    const content = Buffer.from(fileSystem.contentOf('/data/file')).toString();
    return { content, code: error.code, outcome: error.outcome };
  },
  'open files of the other copy serve a reader': async () => {
    const path = newPath();
    await outer.overwriteFile(path, new Uint8Array(8192));
    const openFiles = new outer.OpenFiles({ capacity: 2 });
    const file = await inner.VirtualFile.open(path, { openFiles, read: true });
    const length = await file.readAt(new Uint8Array(100), 8000);
    await file.close();
    return length;
  },
  'a source of the other copy is read': async () => {
    const blob = [5, 104, 101, 108, 108, 111];
    const source = outer.bytesSource(new Uint8Array(blob));
    const reader = new inner.BlobReader(
      source,
      { start: 0, end: blob.length },
      inner.DEFAULT_DECOMPRESSION_LIMITS,
    );
    const { bytes } = await reader.read({ offset: 0 });
    return Buffer.from(bytes).toString();
  },
  'an error of a file system without a code is io, with its message': async () => {
    const fileSystem = Object.assign(Object.create(outer.nodeFileSystem), {
      stat: () => Promise.reject(new RangeError('out of luck')),
    });
    const openFiles = new inner.OpenFiles({ fileSystem });
    const error = await errorOf(inner.overwriteFile(newPath(), 'x', { openFiles }));
    return { code: error.code, errno: error.errno, isSaid: /out of luck/.test(error.message) };
  },
};

const results = {};
for (const [name, act] of Object.entries(SITUATIONS)) {
  try {
    results[name] = await act();
  } catch (error) {
    results[name] = `threw ${error.stack}`;
  }
}
console.log(JSON.stringify(results));
