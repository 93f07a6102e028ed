/**
 * What must hold in a directory whose writer has died: files under final names are whole, what was
 * acknowledged is there, the rest are leftovers, and removing these touches nothing else.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect } from 'vitest';
import { formatLayerName } from '../../src/layers/layer-name.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { isTemporaryName } from '../../src/layers/temporary-names.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import { readTimelineMetadata } from '../../src/write-once/timeline-metadata.ts';
import { drain, hex } from '../support/layers.ts';
import type { WriterMessage } from './writing.ts';
import {
  BYSTANDER_NAME,
  FILE_NAME,
  fileContent,
  METADATA_NAME,
  metadataFields,
  numberOfLayer,
  plannedLayer,
  versionOfContent,
} from './written.ts';

const BYSTANDER = 'not written by any writer';

/** What is durable; versions are 0 where there was none yet. */
export interface Durable {
  readonly layers: ReadonlySet<number>;
  readonly fileVersion: number;
  readonly metadataVersion: number;
}

export interface Found extends Durable {
  readonly leftovers: readonly string[];
}

export const NOTHING: Durable = { layers: new Set(), fileVersion: 0, metadataVersion: 0 };

export function prepareDirectory(directory: string): void {
  writeFileSync(join(directory, BYSTANDER_NAME), BYSTANDER);
}

/** What the next writer begins with. */
export function numbersAfter({ layers, fileVersion, metadataVersion }: Durable) {
  return {
    firstLayer: Math.max(-1, ...layers) + 1,
    firstFileVersion: fileVersion + 1,
    firstMetadataVersion: metadataVersion + 1,
  };
}

/** What is durable after the writer has told more. */
export function withMessages(durable: Durable, messages: readonly WriterMessage[]): Durable {
  const layers = new Set(durable.layers);
  let { fileVersion, metadataVersion } = durable;
  for (const message of messages) {
    if (message.kind === 'layer') layers.add(message.number);
    if (message.kind === 'file') fileVersion = message.number;
    if (message.kind === 'metadata') metadataVersion = message.number;
  }
  return { layers, fileVersion, metadataVersion };
}

/** Fails unless everything durable is there, and what else there is, is whole. */
export async function checkDirectory(directory: string, durable: Durable): Promise<Found> {
  const names = readdirSync(directory);
  const leftovers = names.filter(isTemporaryName);
  const kept = new Set([BYSTANDER_NAME, FILE_NAME, METADATA_NAME, ...leftovers]);
  const layers = new Set<number>();
  for (const name of names) {
    if (kept.has(name)) continue;
    await checkLayer(join(directory, name));
    layers.add(numberOfLayer(name));
  }
  expect([...layers]).toEqual(expect.arrayContaining([...durable.layers]));
  const fileVersion = checkFile(directory, names);
  expect(fileVersion).toBeGreaterThanOrEqual(durable.fileVersion);
  const metadataVersion = await checkMetadata(directory, names);
  expect(metadataVersion).toBeGreaterThanOrEqual(durable.metadataVersion);
  expect(readFileSync(join(directory, BYSTANDER_NAME), 'utf8')).toBe(BYSTANDER);
  return { layers, fileVersion, metadataVersion, leftovers };
}

/** Each writer does one thing at a time: at most one of each sort may be there untold. */
export function expectAtMostOneUntold(found: Found, durable: Durable): void {
  expect([...found.layers].filter((number) => !durable.layers.has(number)).length).toBeLessThan(2);
  expect(found.fileVersion).toBeLessThanOrEqual(durable.fileVersion + 1);
  expect(found.metadataVersion).toBeLessThanOrEqual(durable.metadataVersion + 1);
}

/** Removes leftovers; fails unless exactly these are gone. */
export async function recover(directory: string, found: Found): Promise<void> {
  const before = contents(directory);
  const removed = await removeLeftovers(directory);
  expect(removed.map((path) => basename(path)).sort()).toEqual([...found.leftovers].sort());
  for (const name of found.leftovers) before.delete(name);
  const after = contents(directory);
  expect([...after.keys()]).toEqual([...before.keys()]);
  for (const [name, content] of before) expect(after.get(name)?.equals(content)).toBe(true);
}

/** Keeps directories small over thousands of rounds: the last layers are enough to look after. */
export function deleteOldLayers(directory: string, durable: Durable): Durable {
  const numbers = [...durable.layers].sort((left, right) => left - right);
  for (const number of numbers.slice(0, -2)) {
    rmSync(join(directory, formatLayerName(plannedLayer(number).name)));
  }
  return { ...durable, layers: new Set(numbers.slice(-2)) };
}

async function checkLayer(path: string): Promise<void> {
  const { name, entries } = plannedLayer(numberOfLayer(basename(path)));
  expect(basename(path)).toBe(formatLayerName(name));
  expect((await verifyLayer(path)).findings).toEqual([]);
  await using reader = await openLayer(path);
  const stored = await drain(reader.entries());
  expect(stored.length).toBe(entries.length);
  for (const [index, { key, lsn, bytes }] of stored.entries()) {
    const entry = entries[index];
    expect([hex(key), lsn]).toEqual([hex(entry?.key), entry?.lsn]);
    expect(Buffer.compare(bytes, entry?.stored ?? new Uint8Array(0))).toBe(0);
  }
}

function checkFile(directory: string, names: readonly string[]): number {
  if (!names.includes(FILE_NAME)) return 0;
  const content = readFileSync(join(directory, FILE_NAME));
  const version = versionOfContent(content);
  expect(version).toBeGreaterThan(0);
  expect(content.equals(fileContent(version))).toBe(true);
  return version;
}

async function checkMetadata(directory: string, names: readonly string[]): Promise<number> {
  if (!names.includes(METADATA_NAME)) return 0;
  const found = await readTimelineMetadata(join(directory, METADATA_NAME));
  const version = Number(found.diskConsistentLsn / 8n);
  expect(found).toMatchObject(metadataFields(version));
  return version;
}

function contents(directory: string): Map<string, Buffer> {
  return new Map(
    readdirSync(directory)
      .sort()
      .map((name) => [name, readFileSync(join(directory, name))]),
  );
}
