/** Delta layers of WAL records that link to each other as in real WAL. */
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { compareKeys, type Key } from '../../src/layers/key.ts';
import type { LsnRange } from '../../src/layers/lsn.ts';
import { encodeValue } from '../../src/layers/value-format.ts';
import { relationBlockKey } from '../../src/postgres/key-mapping.ts';
import { endOfRecord, startAfter } from '../../src/wal/record-extent.ts';
import { recordChecksum } from '../../src/wal/record-format.ts';
import { BLOCK } from './hand-made.ts';
import { DIRECTORY, IDS, memoryDisk, noise } from './layers.ts';
import { EVERYTHING } from './random-layers.ts';
import { walRecord } from './wal-records.ts';

/** A record of the WAL. Without blocks it is in no layer. */
export interface PlannedRecord {
  readonly blocks: readonly number[];
  readonly dataLength: number;
}

export interface RecordEntry {
  readonly key: Key;
  readonly lsn: bigint;
  readonly value: Uint8Array;
}

export const FIRST_END = 0x1_0000_1f00;

/** The entries of the layer that starts after `FIRST_END`, one for each block of each record. */
export function recordEntries(plan: readonly PlannedRecord[]): {
  entries: RecordEntry[];
  lsnRange: LsnRange;
} {
  const entries: RecordEntry[] = [];
  let previous = FIRST_END - 0x100;
  let end = FIRST_END;
  for (const [index, { blocks, dataLength }] of plan.entries()) {
    const start = startAfter(end);
    const record = walRecord({
      ...{ resourceManager: 10, info: 0, xid: 700 + index },
      blocks: blocks.map((blkno) => ({ blkno, data: Uint8Array.of(1, 2, 3) })),
      mainData: noise(dataLength, index),
    });
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    view.setUint32(8, previous % 2 ** 32, true);
    view.setUint32(12, Math.floor(previous / 2 ** 32), true);
    view.setUint32(20, recordChecksum(record), true);
    previous = start;
    end = endOfRecord(start, record.length);
    const value = encodeValue({ type: 'wal', willInit: false, bytes: record });
    for (const blkno of new Set(blocks)) {
      entries.push({ key: keyOfBlock(blkno), lsn: BigInt(end), value });
    }
  }
  entries.sort((one, other) => compareKeys(one.key, other.key) || Number(one.lsn - other.lsn));
  return { entries, lsnRange: { start: BigInt(FIRST_END + 1), end: BigInt(end + 1) } };
}

export function keyOfBlock(blkno: number): Key {
  return relationBlockKey({ spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main', blkno });
}

/** The file as a crash leaves it before the index is written: without summary and index. */
export async function unfinishedLayer(
  entries: readonly RecordEntry[],
  lsnRange: LsnRange,
): Promise<Buffer> {
  const { bytes, indexStart } = await writtenLayer(entries, lsnRange);
  return bytes.subarray(0, indexStart).fill(0, 0, BLOCK);
}

/** A finished layer, of which the index is zeros. */
export async function layerWithoutIndex(
  entries: readonly RecordEntry[],
  lsnRange: LsnRange,
): Promise<Buffer> {
  const { bytes, indexStart } = await writtenLayer(entries, lsnRange);
  return bytes.fill(0, indexStart);
}

async function writtenLayer(entries: readonly RecordEntry[], lsnRange: LsnRange) {
  const { openFiles, fileSystem } = memoryDisk();
  const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange: EVERYTHING, lsnRange };
  await using writer = await DeltaLayerWriter.create(options);
  for (const { key, lsn, value } of entries) {
    await writer.putSerialized(key, lsn, value, value[3] === 0);
  }
  const { path, indexStartBlock } = await writer.finish();
  return { bytes: Buffer.from(fileSystem.contentOf(path)), indexStart: indexStartBlock * BLOCK };
}
