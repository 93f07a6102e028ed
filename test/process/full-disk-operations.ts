/** What is tried on a full disk: how it starts, and what it must leave when it fails or succeeds. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome } from '../../src/errors.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../src/layers/image-layer/writer.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { importPgdata } from '../../src/postgres/import.ts';
import { encodeDocument, writeDocument } from '../../src/write-once/document.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import {
  encodeTimelineMetadata,
  type TimelineMetadataFields,
  writeTimelineMetadata,
} from '../../src/write-once/timeline-metadata.ts';
import { pages } from '../postgres/fabricated-cluster.ts';
import { controlFileBytes } from '../support/control-file.ts';
import { blockKey, IDS, IMAGE_LSN, KEY_RANGE, LSN_RANGE, noise } from '../support/layers.ts';
import { relationMapBytes } from '../support/relation-map.ts';

export interface FullDiskOperation {
  readonly name: string;
  /** So many amounts of free space, from none on, are too little. */
  readonly refusedAtLeast: number;
  /** What the error of a failure must say; a put knows no outcome, since nothing is published. */
  readonly outcomesOfFailure: readonly (Outcome | undefined)[];
  prepare(directory: string): Promise<void>;
  run(directory: string): Promise<void>;
  checkOld(directory: string): Promise<void>;
  checkNew(directory: string): Promise<void>;
}

const OLD = noise(20_000, 1);
const NEW = noise(60_000, 2);

const VALUE_COUNT = 60;
const VALUE_LENGTH = 1000;

/** Several blocks of the index. */
const INDEX_ENTRY_COUNT = 2500;

export const OPERATIONS: readonly FullDiskOperation[] = [
  overwriteOf('overwriteFile, longer content', { before: OLD, after: NEW }),
  overwriteOf('overwriteFile, shorter content', { before: NEW, after: OLD }),
  overwriteOf('overwriteFile, no file before', { before: undefined, after: NEW }),
  overwriteOf('timeline metadata', {
    before: encodeTimelineMetadata(metadataOf(8n)),
    after: encodeTimelineMetadata(metadataOf(16n)),
    write: (path) => writeTimelineMetadata(path, metadataOf(16n)),
    refusedAtLeast: 1,
  }),
  overwriteOf('document', {
    before: encodeDocument({ lsn: 1n, bytes: OLD }),
    after: encodeDocument({ lsn: 2n, bytes: NEW }),
    write: (path) => writeDocument(path, { lsn: 2n, bytes: NEW }),
  }),
  layerWriting('delta layer, buffers of 4 KiB', (directory) => writeDelta(directory, 4096)),
  layerWriting('delta layer, one buffer', (directory) => writeDelta(directory, undefined)),
  layerWriting('image layer, zstd', writeImage),
  layerWriting('ephemeral layer, written out', writeEphemeral),
  layerWriting('delta layer, an index that does not stay in memory', writeLargeIndex, {
    entryCount: INDEX_ENTRY_COUNT,
  }),
  layerWriting('import of a data directory', importCluster, {
    prepare: createCluster,
    entryCount: undefined,
  }),
];

interface Overwriting {
  readonly before: Uint8Array | undefined;
  readonly after: Uint8Array;
  /** Default: `overwriteFile`. */
  readonly write?: (path: string) => Promise<void>;
  readonly refusedAtLeast?: number;
}

function overwriteOf(
  name: string,
  { before, after, write = (path) => overwriteFile(path, after), refusedAtLeast = 3 }: Overwriting,
): FullDiskOperation {
  const pathIn = (directory: string): string => join(directory, 'file');
  return {
    name,
    refusedAtLeast,
    outcomesOfFailure: ['not-applied'],
    async prepare(directory) {
      if (before !== undefined) writeFileSync(pathIn(directory), before, { flush: true });
    },
    run: (directory) => write(pathIn(directory)),
    async checkOld(directory) {
      if (before !== undefined) expectContent(pathIn(directory), before);
      else expectNames(directory, 0);
    },
    async checkNew(directory) {
      expectNames(directory, 1);
      expectContent(pathIn(directory), after);
    },
  };
}

interface LayerWriting {
  /** Makes what is read. */
  readonly prepare?: (directory: string) => Promise<void>;
  /** Undefined where it is not known beforehand. */
  readonly entryCount: number | undefined;
}

function layerWriting(
  name: string,
  run: (directory: string) => Promise<void>,
  { prepare = async () => {}, entryCount }: LayerWriting = { entryCount: VALUE_COUNT },
): FullDiskOperation {
  return {
    name,
    refusedAtLeast: 3,
    outcomesOfFailure: ['not-applied', undefined],
    prepare,
    run,
    checkOld: async (directory) => expectNames(directory, 0),
    async checkNew(directory) {
      expectNames(directory, 1);
      const [layer = ''] = readdirSync(directory);
      const report = await verifyLayer(join(directory, layer));
      const isOther = entryCount !== undefined && report.entries !== entryCount;
      if (isOther || report.entries === 0 || report.findings.length > 0) {
        throw new Error(`layer is not whole: ${JSON.stringify(report)}`);
      }
    },
  };
}

async function writeDelta(directory: string, bufferSize: number | undefined): Promise<void> {
  await using writer = await DeltaLayerWriter.create({
    directory,
    ...IDS,
    keyRange: KEY_RANGE,
    lsnRange: LSN_RANGE,
    bufferSize,
  });
  for (let block = 0; block < VALUE_COUNT; block += 1) {
    const bytes = noise(VALUE_LENGTH, block);
    await writer.put(blockKey(block), LSN_RANGE.start, { type: 'image', bytes });
  }
  await writer.finish();
}

async function writeImage(directory: string): Promise<void> {
  await using writer = await ImageLayerWriter.create({
    directory,
    ...IDS,
    keyRange: KEY_RANGE,
    lsn: IMAGE_LSN,
    bufferSize: 4096,
    syncEvery: 16_384,
  });
  for (let block = 0; block < VALUE_COUNT; block += 1) {
    await writer.put(blockKey(block), noise(VALUE_LENGTH, block));
  }
  await writer.finish();
}

async function writeEphemeral(directory: string): Promise<void> {
  await using layer = await EphemeralLayer.create({
    directory,
    ...IDS,
    startLsn: LSN_RANGE.start,
    bufferSize: 4096,
  });
  for (let block = VALUE_COUNT - 1; block >= 0; block -= 1) {
    const bytes = noise(VALUE_LENGTH, block);
    await layer.put(blockKey(block), LSN_RANGE.start, { type: 'image', bytes });
  }
  await layer.freeze(LSN_RANGE.end);
  await layer.writeDelta();
}

async function writeLargeIndex(directory: string): Promise<void> {
  await using writer = await DeltaLayerWriter.create({
    directory,
    ...IDS,
    keyRange: KEY_RANGE,
    lsnRange: LSN_RANGE,
    bufferSize: 4096,
    indexMemoryLimit: 0,
  });
  for (let block = 0; block < INDEX_ENTRY_COUNT; block += 1) {
    await writer.put(blockKey(block), LSN_RANGE.start, { type: 'image', bytes: NO_BYTES });
  }
  await writer.finish();
}

const NO_BYTES = new Uint8Array(0);

/** Beside the disk that is full: it is only read. */
function clusterOf(directory: string): string {
  return join(directory, '../../cluster');
}

async function createCluster(directory: string): Promise<void> {
  const cluster = clusterOf(directory);
  const files: Readonly<Record<string, Uint8Array>> = {
    PG_VERSION: new TextEncoder().encode('17\n'),
    'global/pg_control': controlFileBytes({}),
    'global/pg_filenode.map': relationMapBytes(),
    'base/5/PG_VERSION': new TextEncoder().encode('17\n'),
    'base/5/pg_filenode.map': relationMapBytes(),
    'base/5/16384': pages(8, 1),
  };
  for (const name of ['global', 'base/5', 'pg_tblspc']) {
    mkdirSync(join(cluster, name), { recursive: true });
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(cluster, name), content);
}

async function importCluster(directory: string): Promise<void> {
  await importPgdata({
    dataDirectory: clusterOf(directory),
    outDirectory: directory,
    ...IDS,
    lsn: 'auto',
    compression: { kind: 'none' },
  });
}

function metadataOf(diskConsistentLsn: bigint): TimelineMetadataFields {
  return {
    diskConsistentLsn,
    prevRecordLsn: null,
    ancestorTimeline: null,
    ancestorLsn: 0n,
    latestGcCutoffLsn: 0n,
    initdbLsn: 0x169_6000n,
    pgVersion: 17,
  };
}

function expectContent(path: string, content: Uint8Array): void {
  if (!readFileSync(path).equals(content)) throw new Error(`${path} has other content`);
}

function expectNames(directory: string, count: number): void {
  const names = readdirSync(directory);
  if (names.length !== count) throw new Error(`expected ${count} files, found ${names}`);
}
