/**
 * What must hold of every read of any bytes at all: it ends, it throws nothing but StorageErrors,
 * and what it returns is in order, in range and the same whichever way it is read.
 */
import { deepStrictEqual, ok } from 'node:assert/strict';
import { bytesSource } from '../../src/blob-writer/byte-source.ts';
import { isStorageError, StorageError } from '../../src/errors.ts';
import type { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import type { LayerReport } from '../../src/layers/findings.ts';
import type { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { compareKeys, type Key } from '../../src/layers/key.ts';
import type { IndexEntry } from '../../src/layers/layer-file/entry-layout.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { decodeValue } from '../../src/layers/value-format.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { DIRECTORY, entryName, hex } from './layers.ts';

type Reader = DeltaLayerReader | ImageLayerReader;

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
export async function readEveryWay(bytes: Uint8Array, probes: readonly Key[]): Promise<Reads> {
  const source = bytesSource(bytes, `${DIRECTORY}/layer`);
  const report = await verifyLayer(source);
  ok(report.ok === (report.errors === 0), 'the report counts its errors');
  const reader = await orError(openLayer(source, { blockCache: null }));
  if (reader instanceof StorageError) {
    ok(!report.ok, 'what cannot be opened does not verify');
    return { error: reader, strict: [], salvaged: [], damage: [reader], report };
  }
  const forward = await collect(reader.entries(), reader, 1, describeEntry);
  const reverse = await collect(reader.entries({ reverse: true }), reader, -1, describeEntry);
  const keys = await collect(reader.keys(), reader, 1, entryName);
  const salvage = await salvageAll(reader);
  for (const probe of probes) await checkGet(reader, probe, forward);
  if (forward.error === undefined) {
    checkSameBackwards(forward, reverse);
    ok(keys.error === undefined, 'a valid layer has valid keys');
    ok(keys.items.length === forward.items.length, 'as many keys as entries');
    ok(
      salvage.damage.every(({ isOfValue }) => isOfValue),
      'a valid index has no damage but that of values',
    );
    ok(salvage.items.length === forward.items.length - salvage.damage.length, 'all is salvaged');
  } else {
    ok(salvage.damage.length > 0, 'what a strict read refuses is damage');
  }
  ok(report.ok === (salvage.damage.length === 0), 'salvaging and verifying agree');
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
  reader: Reader,
  direction: 1 | -1,
  describe: (entry: T) => string,
): Promise<Collected> {
  const items: string[] = [];
  let last: IndexEntry | undefined;
  try {
    for await (const entry of entries) {
      checkRange(entry, reader);
      ok(last === undefined || compareEntries(entry, last) * direction > 0, 'entries in order');
      last = entry;
      items.push(describe(entry));
    }
    return { items, error: undefined };
  } catch (error) {
    return { items, error: storageErrorOrThrow(error) };
  }
}

/** A scan backwards may see damage that one forwards takes for a gap, never the reverse. */
function checkSameBackwards(forward: Collected, reverse: Collected): void {
  ok(reverse.error === undefined, 'a layer that is valid forwards is valid backwards');
  deepStrictEqual([...reverse.items].reverse(), forward.items);
}

interface Damage {
  readonly error: StorageError;
  /** The blob can be read, but what it holds is no value. */
  readonly isOfValue: boolean;
}

async function salvageAll(
  reader: Reader,
): Promise<{ readonly items: readonly string[]; readonly damage: readonly Damage[] }> {
  const items: string[] = [];
  const damage: Damage[] = [];
  let last: IndexEntry | undefined;
  try {
    for await (const item of reader.salvage()) {
      if (item.kind === 'entry') {
        checkRange(item.entry, reader);
        ok(last === undefined || compareEntries(item.entry, last) > 0, 'salvaged in order');
        last = item.entry;
        items.push(describeEntry(item.entry));
      } else if (item.kind !== 'loose-blob') {
        const { error } = item;
        ok(error instanceof StorageError && error.path === reader.path, 'damage names the file');
        ok(typeof error.offset === 'number', 'damage has a place');
        damage.push({ error, isOfValue: await isOfValue(item, reader) });
      }
    }
  } catch (error) {
    damage.push({ error: storageErrorOrThrow(error), isOfValue: false });
  }
  return { items, damage };
}

async function isOfValue(
  item: { readonly kind: string; readonly key?: Key; readonly lsn?: bigint },
  reader: Reader,
): Promise<boolean> {
  if (reader.summary.kind === 'image' || item.key === undefined) return false;
  const entry = await orError(reader.get(item.key, item.lsn));
  if (entry instanceof StorageError || entry === undefined) return false;
  return entry.lsn === item.lsn && (await orError(decode(entry.bytes))) instanceof StorageError;
}

async function decode(bytes: Uint8Array): Promise<unknown> {
  return decodeValue(bytes);
}

/** A get gives an entry of that key, or nothing, or fails; in a valid layer it gives what is there. */
async function checkGet(reader: Reader, key: Key, forward: Collected): Promise<void> {
  const entry = await orError(reader.get(key));
  if (entry instanceof StorageError) {
    ok(forward.error !== undefined, 'a valid layer can be searched');
    return;
  }
  if (entry !== undefined) {
    ok(compareKeys(entry.key, key) === 0, 'a get gives its key');
    checkRange(entry, reader);
  }
  if (forward.error !== undefined) return;
  const prefix = entryName({ key, lsn: 0n }).slice(0, 37);
  const newest = forward.items.findLast((item) => item.startsWith(prefix));
  deepStrictEqual(entry === undefined ? undefined : describeEntry(entry), newest);
}

function checkRange({ key, lsn }: IndexEntry, { summary }: Reader): void {
  const { start, end } = summary.keyRange;
  ok(compareKeys(key, start) >= 0 && compareKeys(key, end) < 0, 'a key in range');
  const isInRange =
    summary.kind === 'delta'
      ? lsn >= summary.lsnRange.start && lsn < summary.lsnRange.end
      : lsn === summary.lsn;
  ok(isInRange, 'an LSN in range');
}

function compareEntries(left: IndexEntry, right: IndexEntry): number {
  const byLsn = left.lsn < right.lsn ? -1 : Number(left.lsn > right.lsn);
  return compareKeys(left.key, right.key) || byLsn;
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
