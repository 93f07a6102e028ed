/** Records that do not fit: values or a typed error, never another exception. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isStorageError, type StorageErrorCode } from '../../../src/errors.ts';
import { RecordIngest } from '../../../src/ingest/wal/record-ingest.ts';
import { recordChecksum } from '../../../src/wal/record-format.ts';
import { GOLDEN_DIRECTORY } from '../../support/golden.ts';
import { smallCluster } from '../../support/ingested-values.ts';
import { rounds } from '../../support/rounds.ts';
import { walRecord } from '../../support/wal-records.ts';

interface GoldenRecord {
  readonly version: number;
  readonly record_type: string;
  readonly hex: string;
}

/** Records of real servers, several of each version. */
const RECORDS: GoldenRecord[] = readFileSync(join(GOLDEN_DIRECTORY, 'wal/records.ndjson'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

const CODES: readonly StorageErrorCode[] = [
  'corrupt',
  'truncated',
  'out-of-range',
  'too-large',
  'not-found',
  'exists',
  'invalid-input',
];

/** Ingests a record over a small cluster. Returns how it ended. */
async function endOf(bytes: Uint8Array, majorVersion: number): Promise<string> {
  const values = smallCluster({ majorVersion, forks: { '16384.0': 9, '16384.2': 1 } });
  const options = { base: values, sink: values, lsn: 8n, majorVersion, maximumGap: 3 };
  const ingest = await RecordIngest.open(options);
  try {
    await ingest.ingest(bytes, 16n);
    return 'values';
  } catch (error) {
    if (!isStorageError(error, ...CODES) || error.lsn !== '0000000000000010') throw error;
    return error.code;
  }
}

test('records of real servers over a cluster that is not theirs give values or say what is lacking', async () => {
  const ends = new Map<string, number>();
  for (const { hex, version } of RECORDS) {
    const end = await endOf(Uint8Array.from(Buffer.from(hex, 'hex')), version);
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  expect([...ends.keys()].filter((end) => !['values', 'too-large'].includes(end))).toEqual([]);
  expect(ends.get('values')).toBeGreaterThan(ends.get('too-large') ?? 0);
});

test('a record with any bytes in its place and a valid checksum gives values or a typed error', async () => {
  const anyRecord = fc.record({
    base: fc.nat({ max: RECORDS.length - 1 }),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 6, minLength: 1 }),
    cut: fc.option(fc.nat({ max: 40 })),
  });
  const runs = Number(process.env['LAYERFILE_INGEST_RECORDS'] ?? rounds(200));
  await fc.assert(
    fc.asyncProperty(anyRecord, async ({ base, changes, cut }) => {
      const { hex, version } = RECORDS[base] as GoldenRecord;
      const whole = Uint8Array.from(Buffer.from(hex, 'hex'));
      const bytes = whole.slice(0, Math.max(24, whole.length - (cut ?? 0)));
      for (const [at, value] of changes) bytes[16 + (at % (bytes.length - 16))] = value;
      await endOf(sealed(bytes), version);
    }),
    { numRuns: runs },
  );
});

test('any main data of any kind gives values or a typed error', async () => {
  const anyRecord = fc.record({
    resourceManager: fc.oneof(fc.nat({ max: 22 }), fc.constant(134)),
    info: fc.nat({ max: 255 }),
    xid: fc.oneof(fc.constant(0), fc.nat({ max: 0xffff_ffff })),
    mainData: fc.uint8Array({ maxLength: 96 }),
    blockCount: fc.nat({ max: 2 }),
    majorVersion: fc.integer({ min: 14, max: 17 }),
  });
  const runs = Number(process.env['LAYERFILE_INGEST_RECORDS'] ?? rounds(200));
  await fc.assert(
    fc.asyncProperty(anyRecord, async ({ blockCount, ...record }) => {
      const blocks = Array.from({ length: blockCount }, (_, blkno) => ({ blkno }));
      await endOf(walRecord({ ...record, blocks }), record.majorVersion);
    }),
    { numRuns: runs },
  );
});

function sealed(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint32(20, recordChecksum(bytes), true);
  return bytes;
}
