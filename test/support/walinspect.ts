/** Records as this project reads and describes them, and as pg_walinspect does, in lines that can be compared. */
import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { parseLsn } from '../../src/layers/lsn.ts';
import { FORK_NAMES } from '../../src/postgres/fork.ts';
import { restoreBlockImage } from '../../src/wal/block-image.ts';
import { describeWalRecord } from '../../src/wal/describe/describe.ts';
import {
  type BlockReference,
  decodeWalRecord,
  type WalRecord,
} from '../../src/wal/record-format.ts';
import { openWal } from '../../src/wal/wal-reader.ts';
import { walDirectory } from '../../src/wal/wal-source.ts';

/** A row of a result. */
export type TruthRow = Readonly<Record<string, unknown>>;

/** Of pg_get_wal_records_info. */
export const RECORDS_QUERY = (start: string, end: string): string =>
  `select * from pg_get_wal_records_info('${start}', '${end}')`;

/** Of pg_get_wal_block_info, which 16 and 17 have. */
export const BLOCKS_QUERY = (start: string, end: string): string =>
  `select start_lsn, block_id, reltablespace, reldatabase, relfilenode, relforknumber, relblocknumber,
    block_data_length, block_fpi_length, block_fpi_info::text,
    encode(sha256(block_fpi_data), 'hex') as digest
    from pg_get_wal_block_info('${start}', '${end}') order by start_lsn, block_id`;

export interface ReadRecords {
  /** A line for each record. */
  readonly records: readonly string[];
  /** A line for each block. */
  readonly blocks: readonly string[];
  /** The blocks of each record, as in `block_ref`. */
  readonly references: readonly string[];
}

/** Reads the WAL of a server from a record's start to a record's end. */
export async function readRecords(
  directory: string,
  range: { readonly start: string; readonly end: string },
): Promise<ReadRecords> {
  const records: string[] = [];
  const blocks: string[] = [];
  const references: string[] = [];
  const [start, end] = [parseLsn(range.start), parseLsn(range.end)];
  const reader = await openWal(walDirectory(directory), { start, end });
  const { majorVersion } = reader;
  for await (const batch of reader) {
    for (let index = 0; index < batch.length; index += 1) {
      const record = decodeWalRecord(batch.bytes(index), majorVersion);
      const described = describeWalRecord(record, { majorVersion });
      const startLsn = batch.startLsn(index);
      records.push(
        [
          ...[startLsn, batch.endLsn(index), record.prevLsn, record.xid],
          ...[described.resourceManager, described.recordType],
          ...[batch.size(index), record.mainData.length, imageBytes(record), described.description],
        ].join('|'),
      );
      references.push(record.blocks.map(referenceText).join(', '));
      for (const block of record.blocks) blocks.push(await blockLine(block, startLsn));
    }
  }
  expect(reader.end?.kind).toBe('end-of-range');
  return { records, blocks, references };
}

function imageBytes({ blocks }: WalRecord): number {
  return blocks.reduce((sum, { image }) => sum + (image?.bytes.length ?? 0), 0);
}

function referenceText({
  id,
  spcnode,
  dbnode,
  relnode,
  forkNumber,
  blkno,
}: BlockReference): string {
  return `blkref #${id}: rel ${spcnode}/${dbnode}/${relnode} fork ${FORK_NAMES[forkNumber]} blk ${blkno}`;
}

async function blockLine(block: BlockReference, startLsn: bigint): Promise<string> {
  const { image } = block;
  const info: string[] = [];
  if (image !== undefined && image.holeLength > 0) info.push('HAS_HOLE');
  if (image?.apply) info.push('APPLY');
  if (image !== undefined && image.compression !== 'none') {
    info.push(`COMPRESS_${image.compression.toUpperCase()}`);
  }
  const page = image === undefined ? undefined : await restoreBlockImage(image);
  return [
    ...[startLsn, block.id, block.spcnode, block.dbnode, block.relnode],
    ...[block.forkNumber, block.blkno, block.data.length, image?.bytes.length ?? 0],
    info.join(','),
    page === undefined ? '' : createHash('sha256').update(page).digest('hex'),
  ].join('|');
}

/** A row of RECORDS_QUERY. */
export function recordOfTruth(row: TruthRow): string {
  const lsn = (name: string): bigint => parseLsn(String(row[name]));
  return [
    ...[lsn('start_lsn'), lsn('end_lsn'), lsn('prev_lsn'), row['xid']],
    ...[row['resource_manager'], row['record_type'], row['record_length']],
    ...[row['main_data_length'], row['fpi_length'], row['description']],
  ].join('|');
}

/** Of a row of RECORDS_QUERY, without what it says of images. */
export function referencesOfTruth(row: TruthRow): string {
  const text = String(row['block_ref'] ?? '');
  return (text.match(/blkref #\d+: rel \S+ fork \w+ blk \d+/g) ?? []).join(', ');
}

/** A row of BLOCKS_QUERY. */
export function blockOfTruth(row: TruthRow): string {
  return [
    parseLsn(String(row['start_lsn'])),
    ...['block_id', 'reltablespace', 'reldatabase', 'relfilenode'].map((column) => row[column]),
    ...['relforknumber', 'relblocknumber', 'block_data_length', 'block_fpi_length'].map(
      (column) => row[column] ?? 0,
    ),
    String(row['block_fpi_info'] ?? '').replace(/[{}]/g, ''),
    row['digest'] ?? '',
  ].join('|');
}

/** Shows the first difference: all of them would be too long to read. */
export function expectSame(actual: readonly string[], expected: readonly string[]): void {
  const different = expected.findIndex((line, index) => line !== actual[index]);
  if (different >= 0) expect(actual[different]).toBe(expected[different]);
  expect(actual.length).toBe(expected.length);
}
