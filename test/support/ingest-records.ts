import { RecordIngest, type RecordIngestOptions } from '../../src/ingest/wal/record-ingest.ts';
import { formatKey } from '../../src/layers/key.ts';
import type { Value } from '../../src/layers/value-format.ts';
import type { ForkName } from '../../src/postgres/fork.ts';
import {
  checkpointKey,
  relationBlockKey,
  relationSizeKey,
  type SlruName,
  slruBlockKey,
} from '../../src/postgres/key-mapping.ts';
import { decodeCheckpoint } from '../../src/wal/main-data/checkpoint.ts';
import { DATABASE, type IngestedValues, valuesOf } from './ingested-values.ts';
import { type HandMadeRecord, walRecord } from './wal-records.ts';

export const XLOG = 0;
export const TRANSACTION = 1;
export const STORAGE = 2;
export const CLOG = 3;
export const DATABASES = 4;
export const MULTIXACT = 6;
export const RELATION_MAP = 7;
export const STANDBY = 8;
export const HEAP2 = 9;
export const HEAP = 10;
export const BTREE = 11;
export const ORIGIN = 19;
export const MESSAGE = 21;
export const NEON = 134;

export const START = 0x100n;
export const END = 0x200n;
export const TABLE = 16384;
export const IMAGE_HEADER = 12;

/** Ingests records at END, END + 8 and so on. Returns what was put, by key. */
export async function ingestAll(
  values: IngestedValues,
  records: readonly (HandMadeRecord | Uint8Array)[],
  options: Partial<RecordIngestOptions> = {},
): Promise<Map<string, Value>> {
  const ingest = await open(values, options);
  let lsn = END;
  for (const record of records) {
    await ingest.ingest(record instanceof Uint8Array ? record : walRecord(record), lsn);
    lsn += 8n;
  }
  return new Map(valuesOf(values.puts));
}

export function open(
  values: IngestedValues,
  options: Partial<RecordIngestOptions> = {},
): Promise<RecordIngest> {
  return RecordIngest.open({
    ...{ base: values, sink: values, lsn: START, majorVersion: 17 },
    ...options,
  });
}

export function blockName(blkno: number, fork: ForkName = 'main', relnode = TABLE): string {
  return formatKey(relationBlockKey({ ...DATABASE, relnode, fork, blkno }));
}

export function sizeName(fork: ForkName = 'main', relnode = TABLE): string {
  return formatKey(relationSizeKey({ ...DATABASE, relnode, fork }));
}

export function slruName(slru: SlruName, page: number): string {
  return formatKey(slruBlockKey({ slru, segno: Math.floor(page / 32), blkno: page % 32 }));
}

export function imageOf(value: Value | undefined): Uint8Array {
  if (value?.type !== 'image') throw new Error(`expected an image, found ${value?.type}`);
  return value.bytes;
}

export function sizeOf(value: Value | undefined): number {
  return Buffer.from(imageOf(value)).readUInt32LE();
}

/** Keys that were put, in order, without the checkpoint. */
export function namesOf(values: IngestedValues): string[] {
  return values.puts.map(({ key }) => key).filter((key) => key !== formatKey(checkpointKey()));
}

export function checkpointOf(put: ReadonlyMap<string, Value>): ReturnType<typeof decodeCheckpoint> {
  return decodeCheckpoint(imageOf(put.get(formatKey(checkpointKey()))), 17);
}

export function btreeOn(...blocks: NonNullable<HandMadeRecord['blocks']>): HandMadeRecord {
  return { resourceManager: BTREE, info: 0, blocks, mainData: Uint8Array.of(1, 0) };
}
