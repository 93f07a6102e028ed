/**
 * Every record of the WAL of real servers has a description. With LAYERFILE_GOLDEN all of them are those of the
 * servers; the samples here have the names only.
 */
import { expect, test } from 'vitest';
import { formatPgLsn } from '../../../src/layers/lsn.ts';
import { describeWalRecord } from '../../../src/wal/describe/describe.ts';
import { decodeWalRecord } from '../../../src/wal/record-format.ts';
import { openWal } from '../../../src/wal/wal-reader.ts';
import { goldenWal, WAL_VERSIONS } from '../../support/golden-wal.ts';

test.each(WAL_VERSIONS)(
  'WAL of %i has the words of its server',
  async (majorVersion) => {
    const { source, records, secondRecords } = goldenWal(majorVersion);
    const known = new Map(
      [...records, ...secondRecords].map((record) => [record.start_lsn, record]),
    );
    const differences: string[] = [];
    let compared = 0;
    for await (const batch of await openWal(source)) {
      for (let index = 0; index < batch.length; index += 1) {
        const start = formatPgLsn(batch.startLsn(index));
        const expected = known.get(start);
        if (expected === undefined) continue;
        compared += 1;
        const record = decodeWalRecord(batch.bytes(index), majorVersion);
        const found = describeWalRecord(record, { majorVersion });
        const isSame =
          found.resourceManager === expected.resource_manager &&
          found.recordType === expected.record_type &&
          found.description === (expected.description ?? found.description);
        if (!isSame) differences.push(`${start}: ${JSON.stringify(found)}`);
      }
    }
    expect(differences).toEqual([]);
    expect(compared).toBe(known.size);
  },
  120_000,
);
