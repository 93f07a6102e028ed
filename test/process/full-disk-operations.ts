/** What is tried on a full disk: how it starts, and what it must leave when it fails or succeeds. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome } from '../../src/errors.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../src/layers/image-layer/writer.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { blockKey, IDS, IMAGE_LSN, KEY_RANGE, LSN_RANGE, noise } from '../support/layers.ts';

export interface FullDiskOperation {
  readonly name: string;
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

export const OPERATIONS: readonly FullDiskOperation[] = [
  overwriteOf('overwriteFile, longer content', OLD, NEW),
  overwriteOf('overwriteFile, shorter content', NEW, OLD),
  overwriteOf('overwriteFile, no file before', undefined, NEW),
  layerWriting('delta layer, buffers of 4 KiB', (directory) => writeDelta(directory, 4096)),
  layerWriting('delta layer, one buffer', (directory) => writeDelta(directory, undefined)),
  layerWriting('image layer, zstd', writeImage),
  layerWriting('ephemeral layer, written out', writeEphemeral),
];

function overwriteOf(
  name: string,
  before: Uint8Array | undefined,
  after: Uint8Array,
): FullDiskOperation {
  const pathIn = (directory: string): string => join(directory, 'file');
  return {
    name,
    outcomesOfFailure: ['not-applied'],
    async prepare(directory) {
      if (before !== undefined) writeFileSync(pathIn(directory), before, { flush: true });
    },
    run: (directory) => overwriteFile(pathIn(directory), after),
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

function layerWriting(name: string, run: (directory: string) => Promise<void>): FullDiskOperation {
  return {
    name,
    outcomesOfFailure: ['not-applied', undefined],
    async prepare() {},
    run,
    checkOld: async (directory) => expectNames(directory, 0),
    async checkNew(directory) {
      expectNames(directory, 1);
      const [layer = ''] = readdirSync(directory);
      const report = await verifyLayer(join(directory, layer));
      if (report.entries !== VALUE_COUNT || report.findings.length > 0) {
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

function expectContent(path: string, content: Uint8Array): void {
  if (!readFileSync(path).equals(content)) throw new Error(`${path} has other content`);
}

function expectNames(directory: string, count: number): void {
  const names = readdirSync(directory);
  if (names.length !== count) throw new Error(`expected ${count} files, found ${names}`);
}
