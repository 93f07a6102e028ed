/**
 * What must hold of every read of any bytes at all: it ends, it throws nothing but StorageErrors,
 * and what it hands out is in order, in range and the same whichever way it is read.
 */
import { expect } from 'vitest';
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
import { isStorageError, StorageError } from '../../src/errors.ts';
import type { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import type { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { compareKeys, type Key } from '../../src/layers/key.ts';
import type { IndexEntry } from '../../src/layers/layer-file/entry-layout.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { decodeValue } from '../../src/layers/value-format.ts';
import { type LayerReport, verifyLayer } from '../../src/layers/verify.ts';
import { DIRECTORY, diskWith, entryName, hex } from './layers.ts';

export interface Reads {
  /** The error of the first strict read, if there was one. */
  readonly error: StorageError | undefined;
  /** Entries of the strict read, as text, up to its error. */
  readonly strict: readonly string[];
  readonly salvaged: readonly string[];
  readonly damage: readonly StorageError[];
  readonly report: LayerReport;
}

/** Reads the bytes in every way, checks what must hold, and tells what came out. */
export async function readEveryWay(
  bytes: Uint8Array,
  probes: readonly Key[],
  name = 'layer',
): Promise<Reads> {
  const path = `${DIRECTORY}/${name}`;
  const { openFiles } = diskWith(path, bytes);
  const report = await verifyLayer(path, { openFiles });
  expect(report.ok).toBe(report.errors === 0);
  const opened = await orError(
    openLayer(bytesSource(bytes, path), { blockCache: null, nameCheck: 'ignore' }),
  );
  if (opened instanceof StorageError) {
    expect(report.ok).toBe(false);
    return { error: opened, strict: [], salvaged: [], damage: [opened], report };
  }
  const forward = await collect(opened.entries(), opened, 1, describeEntry);
  const reverse = await collect(opened.entries({ reverse: true }), opened, -1, describeEntry);
  const keys = await collect(opened.keys(), opened, 1, entryName);
  const salvage = await salvageAll(opened);
  for (const probe of probes) await expectSoundGet(opened, probe, forward);
  if (forward.error === undefined) {
    expect(reverse.error).toBeUndefined();
    expect([...reverse.items].reverse()).toEqual(forward.items);
    expect(keys.error).toBeUndefined();
    expect(keys.items.length).toBe(forward.items.length);
    expect(salvage.damage.filter(({ isOfValue }) => !isOfValue)).toEqual([]);
    expect(salvage.items.length).toBe(forward.items.length - salvage.damage.length);
  } else {
    expect(salvage.damage.length).toBeGreaterThan(0);
  }
  expect(report.ok).toBe(salvage.damage.length === 0);
  return {
    error: forward.error,
    strict: forward.items,
    salvaged: salvage.items,
    damage: salvage.damage.map(({ error }) => error),
    report,
  };
}

interface Collected {
  readonly items: readonly string[];
  readonly error: StorageError | undefined;
}

/** Everything up to the first error; checks order and range. */
async function collect<T extends IndexEntry>(
  entries: AsyncIterable<T>,
  reader: DeltaLayerReader | ImageLayerReader,
  direction: 1 | -1,
  describe: (entry: T) => string,
): Promise<Collected> {
  const items: string[] = [];
  let last: IndexEntry | undefined;
  try {
    for await (const entry of entries) {
      expectInRange(entry, reader);
      if (last !== undefined) expect(compareEntries(entry, last) * direction).toBeGreaterThan(0);
      last = entry;
      items.push(describe(entry));
    }
    return { items, error: undefined };
  } catch (error) {
    return { items, error: storageErrorOrThrow(error) };
  }
}

interface Damage {
  readonly error: StorageError;
  /** The blob can be read, but what it holds is no value. */
  readonly isOfValue: boolean;
}

async function salvageAll(
  reader: DeltaLayerReader | ImageLayerReader,
): Promise<{ readonly items: readonly string[]; readonly damage: readonly Damage[] }> {
  const items: string[] = [];
  const damage: Damage[] = [];
  let last: IndexEntry | undefined;
  try {
    for await (const item of reader.salvage()) {
      if (item.kind === 'entry') {
        expectInRange(item.entry, reader);
        if (last !== undefined) expect(compareEntries(item.entry, last)).toBeGreaterThan(0);
        last = item.entry;
        items.push(describeEntry(item.entry));
      } else {
        expect(item.error).toBeInstanceOf(StorageError);
        expect(item.error.path).toBe(reader.path);
        expect(item.error.offset).toBeTypeOf('number');
        damage.push({ error: item.error, isOfValue: await isOfValue(item, reader) });
      }
    }
  } catch (error) {
    damage.push({ error: storageErrorOrThrow(error), isOfValue: false });
  }
  return { items, damage };
}

async function isOfValue(
  item: { readonly kind: string; readonly key?: Key; readonly lsn?: bigint },
  reader: DeltaLayerReader | ImageLayerReader,
): Promise<boolean> {
  if (reader.summary.kind === 'image' || item.key === undefined) return false;
  const entry = await orError(reader.get(item.key, item.lsn));
  if (entry instanceof StorageError || entry === undefined) return false;
  return entry.lsn === item.lsn && (await orError(decode(entry.bytes))) instanceof StorageError;
}

async function decode(bytes: Uint8Array): Promise<unknown> {
  return decodeValue(bytes);
}

/** A get gives an entry of that key, or nothing, or fails; in a sound layer it gives what is there. */
async function expectSoundGet(
  reader: DeltaLayerReader | ImageLayerReader,
  key: Key,
  forward: Collected,
): Promise<void> {
  const entry = await orError(reader.get(key));
  if (entry instanceof StorageError) {
    expect(forward.error).toBeDefined();
    return;
  }
  if (entry !== undefined) {
    expect(compareKeys(entry.key, key)).toBe(0);
    expectInRange(entry, reader);
  }
  if (forward.error !== undefined) return;
  const prefix = entryName({ key, lsn: 0n }).slice(0, 37);
  const newest = forward.items.findLast((item) => item.startsWith(prefix));
  expect(entry === undefined ? undefined : describeEntry(entry)).toBe(newest);
}

function expectInRange({ key, lsn }: IndexEntry, reader: DeltaLayerReader | ImageLayerReader) {
  const { summary } = reader;
  expect(compareKeys(key, summary.keyRange.start)).toBeGreaterThanOrEqual(0);
  expect(compareKeys(key, summary.keyRange.end)).toBeLessThan(0);
  const range =
    summary.kind === 'delta' ? summary.lsnRange : { start: summary.lsn, end: summary.lsn + 1n };
  expect(lsn >= range.start && lsn < range.end).toBe(true);
}

function compareEntries(left: IndexEntry, right: IndexEntry): number {
  return (
    compareKeys(left.key, right.key) || (left.lsn < right.lsn ? -1 : Number(left.lsn > right.lsn))
  );
}

function describeEntry(entry: IndexEntry & { readonly bytes: Uint8Array }): string {
  return `${entryName(entry)} ${hex(entry.bytes)}`;
}

async function orError<T>(promise: Promise<T>): Promise<T | StorageError> {
  try {
    return await promise;
  } catch (error) {
    return storageErrorOrThrow(error);
  }
}

function storageErrorOrThrow(error: unknown): StorageError {
  if (isStorageError(error)) return error;
  throw error;
}
