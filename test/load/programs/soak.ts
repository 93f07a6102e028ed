/**
 * Does everything again and again, good ends and bad ones, and looks at memory and descriptors
 * whenever nothing is under way. Needs --expose-gc.
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isStorageError, type StorageErrorCode } from '../../../src/errors.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { BlockCache } from '../../../src/layers/disk-btree/block-cache.ts';
import { EphemeralLayer } from '../../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { VirtualFile } from '../../../src/virtual-file/virtual-file.ts';
import { readDocument, writeDocument } from '../../../src/write-once/document.ts';
import { removeLeftovers } from '../../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../../src/write-once/overwrite.ts';
import { blockKey, IDS, IMAGE_LSN, KEY_RANGE, LSN_RANGE, noise } from '../../support/layers.ts';

export interface SoakInput {
  readonly directory: string;
  /** At least so long, and so often. */
  readonly seconds: number;
  readonly rounds: number;
}

export interface SoakSample {
  readonly seconds: number;
  /** Bytes of live objects and buffers, after a collection. */
  readonly liveBytes: number;
  readonly residentBytes: number;
  readonly descriptors: number;
}

export interface SoakResult {
  readonly iterations: number;
  readonly samples: readonly SoakSample[];
}

const VALUES = 300;
const SMALL_FILES = 100;
const [, , text = ''] = process.argv;
const input: SoakInput = JSON.parse(text);
const { directory } = input;
const openFiles = new OpenFiles({ capacity: 16 });
/** Full after a few rounds; the shared one would grow to its 32 MiB for a long time. */
const blockCache = new BlockCache(32);

async function writeDelta(signal?: AbortSignal): Promise<string> {
  await using writer = await DeltaLayerWriter.create({
    directory,
    ...IDS,
    keyRange: KEY_RANGE,
    lsnRange: LSN_RANGE,
    openFiles,
    bufferSize: 16_384,
    syncEvery: 65_536,
    signal,
  });
  for (let block = 0; block < VALUES; block += 1) {
    const bytes = noise(block * 3, block);
    await writer.put(blockKey(block), LSN_RANGE.start, { type: 'image', bytes });
  }
  return (await writer.finish()).path;
}

async function writeImage(): Promise<string> {
  const lsn = IMAGE_LSN;
  const range = { keyRange: KEY_RANGE, lsn };
  await using writer = await ImageLayerWriter.create({ directory, ...IDS, ...range, openFiles });
  for (let block = 0; block < VALUES; block += 1) {
    await writer.put(blockKey(block), new Uint8Array(1000).fill(block));
  }
  return (await writer.finish()).path;
}

async function writeEphemeral(end: 'write out' | 'close'): Promise<string | undefined> {
  const startLsn = LSN_RANGE.start;
  await using layer = await EphemeralLayer.create({ directory, ...IDS, startLsn, openFiles });
  for (let block = VALUES; block > 0; block -= 1) {
    await layer.put(blockKey(block), startLsn, { type: 'image', bytes: noise(300, block) });
  }
  await layer.get(blockKey(7));
  await layer.freeze(LSN_RANGE.end);
  return end === 'write out' ? (await layer.writeDelta()).path : undefined;
}

async function readBack(path: string): Promise<void> {
  const report = await verifyLayer(path, { openFiles });
  if (report.findings.length > 0 || report.entries !== VALUES) throw new Error(`bad ${path}`);
  await using reader = await openLayer(path, { openFiles, blockCache });
  for (let block = 1; block < VALUES; block += 7) {
    if ((await reader.get(blockKey(block))) === undefined) throw new Error(`no block ${block}`);
  }
  // A scan that is given up half-way.
  for await (const { offset } of reader.entries()) if (offset > 50_000) break;
  for await (const item of reader.salvage())
    if (item.kind !== 'entry') throw new Error(`no damage expected: ${item.kind}`);
}

async function refuseDamaged(path: string): Promise<void> {
  const damaged = join(directory, 'damaged');
  writeFileSync(damaged, noise(30_000, 1));
  if ((await verifyLayer(damaged, { openFiles })).ok) throw new Error('noise is no layer');
  await failing('corrupt', openLayer(damaged, { openFiles }));
  await failing('not-found', openLayer(`${path}-not`, { openFiles }));
}

async function failing(code: StorageErrorCode, promise: Promise<unknown>): Promise<void> {
  try {
    await promise;
  } catch (error) {
    if (isStorageError(error, code)) return;
    throw error;
  }
  throw new Error(`expected ${code}`);
}

async function writeSmall(): Promise<void> {
  const path = join(directory, 'small');
  const abort = new AbortController();
  const overwrites = Array.from({ length: 10 }, (_, version) =>
    overwriteFile(path, noise(5000, version), { openFiles, signal: abort.signal }),
  );
  await overwrites[4];
  abort.abort();
  await Promise.allSettled(overwrites);
  const document = join(directory, 'document');
  await writeDocument(document, { list: [1, 'two', 3n] }, { openFiles });
  await readDocument(document, { openFiles });
}

async function readMany(): Promise<void> {
  const work = Array.from({ length: SMALL_FILES }, async (_, n) => {
    const path = join(directory, `many-${n}`);
    await using file = await VirtualFile.open(path, {
      read: true,
      write: true,
      create: true,
      openFiles,
      durability: n % 20 === 0 ? 'sync' : 'scratch',
    });
    await file.writeAllAt(noise(200, n), 0);
    await file.readExactAt(new Uint8Array(200), 0);
  });
  await Promise.all(work);
}

async function iterate(): Promise<void> {
  const delta = await oneOfTwo();
  await readBack(delta);
  await refuseDamaged(delta);
  rmSync(delta);
  await failing('aborted', writeDelta(abortedSoon()));
  const image = await writeImage();
  await readBack(image);
  rmSync(image);
  await writeEphemeral('close');
  const written = await writeEphemeral('write out');
  if (written !== undefined) {
    await readBack(written);
    rmSync(written);
  }
  await Promise.all([writeSmall(), readMany()]);
  await removeLeftovers(directory, { openFiles });
}

/** Two writers of one layer: one wins, the other one finds the name taken. */
async function oneOfTwo(): Promise<string> {
  const results = await Promise.allSettled([writeDelta(), writeDelta()]);
  const paths = results.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const refused = results.filter((one) => one.status === 'rejected');
  if (paths[0] === undefined || !isStorageError(refused[0]?.reason, 'exists')) {
    throw new Error(`expected one winner, found ${paths.length}`);
  }
  return paths[0];
}

/** Fires while values are put. */
function abortedSoon(): AbortSignal {
  const abort = new AbortController();
  setImmediate(() => abort.abort());
  return abort.signal;
}

function sample(start: number): SoakSample {
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return {
    seconds: (performance.now() - start) / 1000,
    liveBytes: heapUsed + external,
    residentBytes: rss,
    descriptors: readdirSync('/proc/self/fd').length,
  };
}

const start = performance.now();
const samples: SoakSample[] = [];
let iterations = 0;
while (performance.now() - start < input.seconds * 1000 || iterations < input.rounds) {
  await iterate();
  iterations += 1;
  samples.push(sample(start));
}
const names = readdirSync(directory).filter((name) => !name.startsWith('many-'));
if (names.sort().join() !== 'damaged,document,small') throw new Error(`left: ${names.join()}`);
// Thousands are enough to see a slope.
const step = Math.ceil(samples.length / 2000);
const result: SoakResult = { iterations, samples: samples.filter((_, n) => n % step === 0) };
console.log(JSON.stringify(result));
