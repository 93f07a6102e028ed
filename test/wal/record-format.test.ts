import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crc32cOf } from '../../src/checksum.ts';
import { isStorageError } from '../../src/errors.ts';
import { parseLsn } from '../../src/layers/lsn.ts';
import { restoreBlockImage } from '../../src/wal/block-image.ts';
import { decodeWalRecord, recordChecksum } from '../../src/wal/record-format.ts';
import { GOLDEN_DIRECTORY } from '../support/golden.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

interface GoldenRecord {
  readonly version: number;
  readonly start_lsn: string;
  readonly prev_lsn: string;
  readonly xid: number;
  readonly record_type: string;
  readonly main_data_length: number;
  readonly hex: string;
  readonly blocks: readonly {
    readonly id: number;
    readonly rel: string;
    readonly fork: number;
    readonly blk: number;
    readonly data_len: number;
    readonly fpi_len: number;
    readonly fpi_sha256?: string;
  }[];
}

/** Records of real servers: every kind of image and of header in each version, the shortest of its kind. */
const RECORDS: GoldenRecord[] = readFileSync(join(GOLDEN_DIRECTORY, 'wal/records.ndjson'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

const named = RECORDS.map((record): [string, GoldenRecord] => [
  `${record.version} ${record.record_type} at ${record.start_lsn}`,
  record,
]);

function bytesOf({ hex }: { readonly hex: string }): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

test.each(named)('the record %s has the fields that its server shows', async (_, golden) => {
  const record = decodeWalRecord(bytesOf(golden), golden.version);
  expect(record.xid).toBe(golden.xid);
  expect(record.prevLsn).toBe(parseLsn(golden.prev_lsn));
  expect(record.mainData).toHaveLength(golden.main_data_length);
  const blocks = await Promise.all(
    record.blocks.map(async ({ id, spcnode, dbnode, relnode, forkNumber, blkno, data, image }) => ({
      id,
      rel: `${spcnode}/${dbnode}/${relnode}`,
      fork: forkNumber,
      blk: blkno,
      data_len: data.length,
      fpi_len: image?.bytes.length ?? 0,
      ...(image && { fpi_sha256: sha256(await restoreBlockImage(image)) }),
    })),
  );
  expect(blocks).toEqual(golden.blocks);
});

test('the samples have images of every compression, with and without "apply"', () => {
  const kinds = new Set<string>();
  for (const golden of RECORDS) {
    for (const { image } of decodeWalRecord(bytesOf(golden), golden.version).blocks) {
      if (image !== undefined) kinds.add(`${image.compression} ${image.apply ? 'apply' : 'check'}`);
    }
  }
  for (const kind of ['lz4 apply', 'none apply', 'none check', 'pglz apply', 'zstd apply']) {
    expect(kinds).toContain(kind);
  }
});

describe('a damaged record', () => {
  test('a damaged record with any one bit flipped is corrupt', () => {
    const golden = RECORDS.find(({ blocks }) => blocks.length >= 3);
    const bytes = bytesOf(golden as GoldenRecord);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const damaged = bytes.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(storageErrorThrownBy(() => decodeWalRecord(damaged, 17)).code).toBe('corrupt');
    }
  });

  test('a damaged record that is cut anywhere is truncated or has another length than it says', () => {
    const bytes = bytesOf(RECORDS[0] as GoldenRecord);
    for (let length = 0; length < bytes.length; length += 1) {
      const { code } = storageErrorThrownBy(() => decodeWalRecord(bytes.subarray(0, length), 14));
      expect(code).toBe(length < 24 ? 'truncated' : 'corrupt');
    }
  });

  test('the error of a header that lacks a byte says so', () => {
    const bytes = bytesOf(RECORDS[0] as GoldenRecord).subarray(0, 23);
    const { message } = storageErrorThrownBy(() => decodeWalRecord(bytes, 14));
    expect(message).toBe(
      'WAL record is truncated in its header at offset 0: expected 1 more byte, found 0',
    );
  });

  test('a damaged record with a right checksum never decodes to views outside of it, and never fails untyped', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...RECORDS.filter(({ hex }) => hex.length < 1000)),
        fc.array(fc.tuple(fc.nat({ max: 120 }), fc.nat({ max: 255 })), { minLength: 1 }),
        (golden, changes) => {
          const bytes = bytesOf(golden);
          for (const [at, value] of changes) if (24 + at < bytes.length) bytes[24 + at] = value;
          new DataView(bytes.buffer).setUint32(20, recordChecksum(bytes), true);
          try {
            const { blocks, mainData } = decodeWalRecord(bytes, golden.version);
            const lengths = blocks.map(
              ({ data, image }) => data.length + (image?.bytes.length ?? 0),
            );
            const total = lengths.reduce((sum, length) => sum + length, mainData.length);
            expect(total).toBeLessThan(bytes.length);
          } catch (error) {
            if (!isStorageError(error, 'corrupt', 'truncated')) throw error;
          }
        },
      ),
      { numRuns: rounds(2000) },
    );
  });

  test.each([
    [
      'a block id that does not ascend',
      '00 00 0000 01000000 01000000 01000000 00000000 00 80 0000 00000000',
      'corrupt',
    ],
    ['data without the flag for it', '00 00 0100', 'corrupt'],
    ['the flag for data without data', '00 20 0000', 'corrupt'],
    ['the relation of a reference before the first', '00 80 0000 01000000', 'corrupt'],
    ['an id that means nothing', '21', 'corrupt'],
    ['main data longer than the record', 'FF 05 00', 'corrupt'],
    ['main data shorter than the record', 'FF 01 0000', 'corrupt'],
    ['a reference that ends early', '00 00 0000 01', 'truncated'],
  ])('a record with %s is refused', (_, headers, code) => {
    const body = Buffer.from(headers.replaceAll(' ', ''), 'hex');
    expect(storageErrorThrownBy(() => decodeWalRecord(recordOf(body), 17)).code).toBe(code);
  });
});

test('a running checksum is that of all bytes', () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, index) => index % 251);
  for (const cut of [0, 1, 20, 299, 300]) {
    expect(crc32cOf(bytes.subarray(cut), crc32cOf(bytes.subarray(0, cut)))).toBe(crc32cOf(bytes));
  }
});

/** A record with these headers and data, and a right checksum. */
function recordOf(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(24 + body.length);
  bytes.set(body, 24);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint32(20, recordChecksum(bytes), true);
  return bytes;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
