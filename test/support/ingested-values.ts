/** Both sides of an ingest, in memory: what the base has, and what was put. */

import type { IngestBase, PutSink } from '../../src/ingest/wal/put-sink.ts';
import { formatKey, type Key, parseKey } from '../../src/layers/key.ts';
import type { Lsn } from '../../src/layers/lsn.ts';
import { decodeValue, encodeValue, type Value } from '../../src/layers/value-format.ts';
import {
  decodeDatabaseDirectory,
  decodeRelationDirectory,
  encodeDatabaseDirectory,
  encodeRelationDirectory,
  encodeSlruDirectory,
  encodeTwophaseDirectory,
} from '../../src/postgres/directory-values.ts';
import { forkOfNumber } from '../../src/postgres/fork.ts';
import {
  checkpointKey,
  databaseDirectoryKey,
  relationDirectoryKey,
  relationSizeKey,
  SLRU_NAMES,
  slruDirectoryKey,
  slruSizeKey,
  twophaseDirectoryKey,
} from '../../src/postgres/key-mapping.ts';
import { encodeRelationSize } from '../../src/postgres/relation-size.ts';
import { CHECKPOINT_OFFSETS, CHECKPOINT_SIZE } from '../../src/wal/main-data/checkpoint.ts';

export interface PutValue {
  readonly key: string;
  readonly lsn: Lsn;
  readonly willInit: boolean;
  readonly bytes: Uint8Array;
}

/** A base that a test fills, and a sink. Images that were put are found again. */
export class IngestedValues implements IngestBase, PutSink {
  /** In the order of the puts. */
  readonly puts: PutValue[] = [];
  /** Keys that were read, in order. */
  readonly reads: string[] = [];
  readonly #values = new Map<string, Uint8Array>();

  set(key: Key | string, bytes: Uint8Array): this {
    this.#values.set(typeof key === 'string' ? key : formatKey(key), bytes);
    return this;
  }

  /** Takes the puts so far; later ones are in a new list. */
  take(): PutValue[] {
    return this.puts.splice(0);
  }

  async get(key: Key): Promise<Uint8Array | undefined> {
    this.reads.push(formatKey(key));
    return this.#values.get(formatKey(key));
  }

  put(key: Key, lsn: Lsn, willInit: boolean, value: Uint8Array): void {
    const name = formatKey(key);
    this.puts.push({ key: name, lsn, willInit, bytes: value.slice() });
    const decoded = decodeValue(value.slice());
    if (decoded.type === 'image') this.#values.set(name, decoded.bytes);
  }

  putRecord(key: Key, lsn: Lsn, willInit: boolean, record: Uint8Array): void {
    this.put(key, lsn, willInit, encodeValue({ type: 'wal', willInit, bytes: record }));
  }
}

/** Puts in words: `key` of a kind, and the value without long bytes. */
export function valuesOf(puts: readonly PutValue[]): [key: string, value: Value][] {
  return puts.map(({ key, bytes }) => [key, decodeValue(bytes)]);
}

export const DATABASE = { spcnode: 1663, dbnode: 5 };

/** A small cluster: one database with the forks that are given, and nothing prepared. */
export function smallCluster(options: {
  readonly majorVersion?: number;
  /** Blocks by relation and fork number: `{ '16384.2': 1 }`. */
  readonly forks?: Readonly<Record<string, number>>;
  readonly slruSegments?: Partial<Record<(typeof SLRU_NAMES)[number], Record<number, number>>>;
  readonly prepared?: readonly bigint[];
  readonly nextXid?: bigint;
}): IngestedValues {
  const {
    majorVersion = 17,
    forks = {},
    slruSegments = {},
    prepared = [],
    nextXid = 733n,
  } = options;
  const values = new IngestedValues();
  const relations = Object.entries(forks).map(([name, size]) => {
    const [relnode = 0, fork = 0] = name.split('.').map(Number);
    values.set(
      relationSizeKey({ ...DATABASE, relnode, fork: forkOfNumber(fork) }),
      encodeRelationSize(size),
    );
    return { relnode, fork: forkOfNumber(fork) };
  });
  values.set(relationDirectoryKey(DATABASE), encodeRelationDirectory(relations));
  values.set(
    databaseDirectoryKey(),
    encodeDatabaseDirectory([{ ...DATABASE, hasRelationMap: true }]),
  );
  values.set(twophaseDirectoryKey(), encodeTwophaseDirectory(prepared, majorVersion));
  for (const slru of SLRU_NAMES) {
    const segments = slruSegments[slru] ?? {};
    values.set(slruDirectoryKey(slru), encodeSlruDirectory(Object.keys(segments).map(Number)));
    for (const [segno, size] of Object.entries(segments)) {
      values.set(slruSizeKey({ slru, segno: Number(segno) }), encodeRelationSize(size));
    }
  }
  const checkpoint = new Uint8Array(CHECKPOINT_SIZE);
  new DataView(checkpoint.buffer).setBigUint64(CHECKPOINT_OFFSETS.nextXid, nextXid, true);
  return values.set(checkpointKey(), checkpoint);
}

/** The key with these digits of hex, blanks left out. */
export function keyOf(text: string): Key {
  return parseKey(text.replaceAll(' ', ''));
}

/** What a directory lists, in order; undefined for another key. */
export function directoryOf(key: string, bytes: Uint8Array): string | undefined {
  if (key === formatKey(databaseDirectoryKey()))
    return JSON.stringify(decodeDatabaseDirectory(bytes));
  const isRelationDirectory = /^00.{16}0{8}000{7}1$/.test(key);
  return isRelationDirectory ? JSON.stringify(decodeRelationDirectory(bytes)) : undefined;
}
