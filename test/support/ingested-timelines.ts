/** A timeline of a pageserver as it was before its WAL, the WAL, and what the pageserver made of it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { formatKey, type Key } from '../../src/layers/key.ts';
import { formatLsn, type Lsn } from '../../src/layers/lsn.ts';
import { describeKey } from '../../src/postgres/key-mapping.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import { GOLDEN_DIRECTORY } from './golden.ts';
import { unpackTimelines } from './golden-timelines.ts';

/** End of the last record of the base. */
export const BASE_LSN: Lsn = 0x14aec08n;
/** End of the last record that tests ingest; a little more WAL is there. */
export const WAL_END: Lsn = 0x15fff98n;
/** Where the first layer ends that the pageserver made of it. */
const LAYER_END: Lsn = 0x18657e1n;
const WAL_START = 0x14ae000;
const SEGMENT_SIZE = 0x1000000;

/** The directory of the timeline, below a bucket. */
export const SK15_TIMELINE =
  'tenants/000102030405060708090a0b0c0d0e0f/timelines/11223344556677881122334455667788';

/** A part of the segment of Neon's Postgres 15, where it lies in it; the rest is zeros. */
export function sk15Segment(): Uint8Array {
  const segment = new Uint8Array(SEGMENT_SIZE);
  const packed = readFileSync(join(GOLDEN_DIRECTORY, 'timeline', 'sk15-wal.br'));
  segment.set(brotliDecompressSync(packed), WAL_START % SEGMENT_SIZE);
  return segment;
}

export const SK15_SEGMENT_NAME = '000000010000000000000001';

/** Writes the timeline as it was at `BASE_LSN`, in generation 1. */
export async function writeSk15Base(directory: string): Promise<void> {
  await unpackTimelines('sk15', directory);
  const timeline = join(directory, SK15_TIMELINE);
  const path = join(timeline, 'index_part.json-00000001');
  const index = IndexPart.parse(await readFile(path));
  const layers = new Map([...index.fields.layers].filter(([name]) => endOf(name) <= BASE_LSN + 1n));
  for (const name of index.fields.layers.keys()) {
    if (!layers.has(name)) await rm(join(timeline, `${name}-00000001`));
  }
  const metadata = { diskConsistentLsn: BASE_LSN, prevRecordLsn: 0x14aeb90n };
  await writeFile(path, index.with({ layers, metadata }).format());
}

function endOf(name: string): Lsn {
  return BigInt(`0x${name.slice(-16)}`);
}

/** The entries that the pageserver made of the WAL, as `entriesOf`. */
export async function sk15Entries(directory: string): Promise<Map<string, string>> {
  await unpackTimelines('sk15', directory);
  const name = `${'0'.repeat(36)}-${'F'.repeat(36)}__${formatLsn(BASE_LSN + 1n)}-${formatLsn(LAYER_END)}`;
  const entries = await entriesOf([join(directory, SK15_TIMELINE, `${name}-00000001`)]);
  return new Map([...entries].filter(([entry]) => lsnOfEntry(entry) <= WAL_END));
}

/** Entries of delta layers: `key lsn` and what the value is. Throws if one is there twice. */
export async function entriesOf(paths: readonly string[]): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  for (const path of paths) {
    await using reader = await DeltaLayerReader.open(path, { nameCheck: 'ignore' });
    for await (const { key, lsn, willInit, bytes } of reader.entries()) {
      const name = `${formatKey(key)} ${formatLsn(lsn)}`;
      if (entries.has(name)) throw new Error(`${name} is there twice`);
      const known = isRelationDirectory(key) ? sortedItems(bytes) : bytes;
      const digest = createHash('sha256').update(known).digest('hex');
      entries.set(name, `${willInit} ${bytes.length} ${digest}`);
    }
  }
  return entries;
}

/** The LSN in the name of an entry. */
export function lsnOfEntry(name: string): Lsn {
  return BigInt(`0x${name.slice(37)}`);
}

/** The first differences, as text; empty if there are none. */
export function differences(actual: Map<string, string>, expected: Map<string, string>): string[] {
  const names = new Set([...actual.keys(), ...expected.keys()]);
  return [...names]
    .filter((name) => actual.get(name) !== expected.get(name))
    .slice(0, 5)
    .map((name) => `${name}: ${actual.get(name)} instead of ${expected.get(name)}`);
}

function isRelationDirectory(key: Key): boolean {
  const meaning = describeKey(key);
  return meaning.kind === 'rel_dir';
}

/** A pageserver keeps relations in a hash table: their order is random. */
function sortedItems(bytes: Uint8Array): Uint8Array {
  const headerSize = 4 + 8 + 8;
  const items: string[] = [];
  for (let at = headerSize; at < bytes.length; at += 5) {
    items.push(Buffer.from(bytes.subarray(at, at + 5)).toString('hex'));
  }
  return Buffer.concat([bytes.subarray(0, headerSize), Buffer.from(items.sort().join(''), 'hex')]);
}

/** Paths of the delta layers above the base, with remote names. */
export async function layersAbove(directory: string): Promise<string[]> {
  const names = await readdir(join(directory, SK15_TIMELINE));
  return names
    .filter((name) => /__[0-9A-F]{16}-[0-9A-F]{16}-/.test(name))
    .filter((name) => BigInt(`0x${/__([0-9A-F]{16})/.exec(name)?.[1]}`) > BASE_LSN)
    .map((name) => join(directory, SK15_TIMELINE, name))
    .sort();
}
