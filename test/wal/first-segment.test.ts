/** The WAL with which a server begins, read by the reader of WAL. */
import { expect, test } from 'vitest';
import {
  recordStartAt,
  type SparseWalFile,
  shutdownCheckpointRecord,
  walStartingAt,
} from '../../src/wal/first-segment.ts';
import { decodeWalPageHeader, encodeWalPageHeader } from '../../src/wal/page-format.ts';
import { openWal } from '../../src/wal/wal-reader.ts';
import { walBytes } from '../../src/wal/wal-source.ts';

const SEGMENT = 1024 * 1024;
const CLUSTER = {
  majorVersion: 17,
  systemIdentifier: 0x1122_3344_5566_7788n,
  timelineId: 3,
  segmentSize: SEGMENT,
};
const CHECKPOINT = Uint8Array.from({ length: 88 }, (_, index) => index + 1);
const PAGE = 8192n;
const FIVE = 5n * BigInt(SEGMENT);

function contentOf({ name, size, pages }: SparseWalFile) {
  const bytes = new Uint8Array(size);
  for (const page of pages) bytes.set(page.bytes, page.offset);
  return { name, bytes };
}

test.each([
  ['after the long header of a segment', FIVE + 40n, 1],
  ['on the first page of a segment', FIVE + 0x128n, 1],
  ['after the header of a page', FIVE + 3n * PAGE + 24n, 1],
  ['within a page', FIVE + 3n * PAGE + 0x560n, 1],
  ['so that a record ends with the page', FIVE + 4n * PAGE - 120n, 1],
  ['so that a record continues on the next page', FIVE + 4n * PAGE - 112n, 1],
  ['so that 8 bytes of a record are on the page', FIVE + 4n * PAGE - 8n, 1],
  ['so that a record continues in the next segment', FIVE + BigInt(SEGMENT) - 16n, 2],
])('a checkpoint %s is read back', async (_, lsn, fileCount) => {
  expect(recordStartAt(lsn, SEGMENT)).toBe(lsn);
  const record = shutdownCheckpointRecord(CHECKPOINT, 0n);
  const files = walStartingAt(lsn, record, CLUSTER).map(contentOf);
  expect(files.map(({ name }) => name)).toEqual(
    ['000000030000000000000005', '000000030000000000000006'].slice(0, fileCount),
  );
  const wal = await openWal(walBytes(files), { start: lsn });
  const found: [bigint, string][] = [];
  for await (const batch of wal) {
    for (let index = 0; index < batch.length; index += 1) {
      found.push([batch.startLsn(index), Buffer.from(batch.bytes(index)).toString('hex')]);
    }
  }
  expect(found).toEqual([[lsn, Buffer.from(record).toString('hex')]]);
  expect(wal.end?.kind).toBe('end-of-wal');
});

test.each([
  ['a multiple of 8 that is in no header', FIVE + 0x128n, FIVE + 0x128n],
  ['an LSN between two records', FIVE + 0x121n, FIVE + 0x128n],
  ['the border of a page', FIVE + PAGE, FIVE + PAGE + 24n],
  ['the last byte of a page', FIVE + PAGE - 1n, FIVE + PAGE + 24n],
  ['the border of a segment', FIVE, FIVE + 40n],
  ['within the header of a page', FIVE + PAGE + 17n, FIVE + PAGE + 24n],
])('after %s, a record can begin at the next place for one', (_, lsn, expected) => {
  expect(recordStartAt(lsn, SEGMENT)).toBe(expected);
});

test('without a record there are headers alone', () => {
  const [file, ...others] = walStartingAt(FIVE + PAGE + 0x100n, undefined, CLUSTER);
  expect(others).toEqual([]);
  expect(file?.pages.map(({ offset }) => offset)).toEqual([0, 8192]);
  const [first, second] = (file?.pages ?? []).map(({ bytes }) => decodeWalPageHeader(bytes));
  expect(first).toMatchObject({ continuesRecord: false, segment: { segmentSize: SEGMENT } });
  expect(second).toMatchObject({ continuesRecord: true, remainingLength: 0x100 - 24 });
});

test('the bytes of a long header', () => {
  const header = {
    ...{ majorVersion: 15, continuesRecord: true, overwritesRecord: false, timelineId: 1 },
    ...{ lsn: 0xa0_0000n, remainingLength: 0x20 },
    segment: { systemIdentifier: 0x6b0b_c00f_28d1_6068n, segmentSize: SEGMENT },
  };
  const bytes = encodeWalPageHeader(header);
  expect(Buffer.from(bytes).toString('hex')).toBe(
    // Magic and flags, timeline, LSN, bytes that are left.
    '10d10300' +
      '01000000' +
      '0000a00000000000' +
      '2000000000000000' +
      // System identifier, size of a segment and of a page.
      '6860d1280fc00b6b' +
      '00001000' +
      '00200000',
  );
  expect(decodeWalPageHeader(bytes)).toEqual(header);
});
