/**
 * Writes without end: layers of every kind, a file and metadata that are overwritten again and
 * again, concurrently. Reports what is durable as soon as its promise has resolved.
 */
import { join } from 'node:path';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { EphemeralLayer } from '../../src/layers/ephemeral-layer/ephemeral-layer.ts';
import { ImageLayerWriter } from '../../src/layers/image-layer/writer.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { writeTimelineMetadata } from '../../src/write-once/timeline-metadata.ts';
import { IDS } from '../support/layers.ts';
import {
  FILE_NAME,
  fileContent,
  METADATA_NAME,
  metadataFields,
  type PlannedLayer,
  plannedLayer,
} from './written.ts';

export interface WriterInput {
  readonly directory: string;
  /** Numbers and versions to begin with. */
  readonly firstLayer: number;
  readonly firstFileVersion: number;
  readonly firstMetadataVersion: number;
  /** Remove what the last death left, before anything is written. */
  readonly recover: boolean;
  readonly seed: number;
}

/** `begun` says that something is about to be written, the others that something is durable. */
export type WriterMessage =
  | { readonly kind: 'begun' }
  | { readonly kind: 'layer' | 'file' | 'metadata'; readonly number: number };

export type Tell = (message: WriterMessage) => void;

/** One of that many layers is given up half-way. */
const ABANDON_ONE_OF = 8;

/** Small, so that a layer takes several writes. */
const BUFFER_SIZE = 4096;

/** Never resolves: ends with its process or thread. */
export async function write(input: WriterInput, tell: Tell): Promise<void> {
  if (input.recover) await removeLeftovers(input.directory);
  tell({ kind: 'begun' });
  await Promise.all([writeLayers(input, tell), overwrite(input, tell), writeMetadata(input, tell)]);
}

async function writeLayers({ directory, firstLayer, seed }: WriterInput, tell: Tell) {
  const choose = seededChoices(seed);
  for (let number = firstLayer; ; number += 1) {
    const layer = plannedLayer(number);
    if (choose(ABANDON_ONE_OF) === 0) await writeLayer(directory, layer, 'abandon');
    await writeLayer(directory, layer, 'finish');
    tell({ kind: 'layer', number });
  }
}

async function writeLayer(directory: string, layer: PlannedLayer, end: 'finish' | 'abandon') {
  if (layer.sort === 'ephemeral') return writeEphemeral(directory, layer, end);
  const options = { directory, ...IDS, bufferSize: BUFFER_SIZE, syncEvery: 2 * BUFFER_SIZE };
  if (layer.name.kind === 'image') {
    const { keyRange, lsn } = layer.name;
    await using writer = await ImageLayerWriter.create({ ...options, keyRange, lsn });
    for (const { key, stored } of layer.entries) await writer.put(key, stored);
    if (end === 'finish') await writer.finish();
    return;
  }
  const { keyRange, lsnRange } = layer.name;
  await using writer = await DeltaLayerWriter.create({ ...options, keyRange, lsnRange });
  for (const { key, lsn, value } of layer.entries) await writer.put(key, lsn, value);
  if (end === 'finish') await writer.finish();
}

async function writeEphemeral(directory: string, layer: PlannedLayer, end: 'finish' | 'abandon') {
  if (layer.name.kind !== 'delta') throw new Error('an ephemeral layer becomes a delta layer');
  const { start, end: endLsn } = layer.name.lsnRange;
  await using ephemeral = await EphemeralLayer.create({
    directory,
    ...IDS,
    startLsn: start,
    bufferSize: BUFFER_SIZE,
  });
  for (const { key, lsn, value } of layer.entries) await ephemeral.put(key, lsn, value);
  await ephemeral.freeze(endLsn);
  if (end === 'finish') await ephemeral.writeDelta();
}

async function overwrite({ directory, firstFileVersion }: WriterInput, tell: Tell) {
  for (let version = firstFileVersion; ; version += 1) {
    await overwriteFile(join(directory, FILE_NAME), fileContent(version));
    tell({ kind: 'file', number: version });
  }
}

async function writeMetadata({ directory, firstMetadataVersion }: WriterInput, tell: Tell) {
  for (let version = firstMetadataVersion; ; version += 1) {
    await writeTimelineMetadata(join(directory, METADATA_NAME), metadataFields(version));
    tell({ kind: 'metadata', number: version });
  }
}
