import { describe, expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import {
  encodeDatabaseDirectory,
  encodeRelationDirectory,
} from '../../../src/postgres/directory-values.ts';
import {
  checkpointKey,
  databaseDirectoryKey,
  relationDirectoryKey,
} from '../../../src/postgres/key-mapping.ts';
import { btreeOn, END, ingestAll, open, TABLE } from '../../support/ingest-records.ts';
import { DATABASE, smallCluster } from '../../support/ingested-values.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';
import { walRecord } from '../../support/wal-records.ts';

describe('what the base lacks', () => {
  test('a base without a checkpoint cannot be continued', async () => {
    const values = smallCluster({});
    const base = { get: async () => undefined };
    const error = await storageErrorOf(open(values, { base }));
    expect(error).toMatchObject({ code: 'not-found', lsn: '0000000000000100' });
  });

  test('a size that is missing for a listed fork ends the ingest', async () => {
    const values = smallCluster({});
    values.set(
      relationDirectoryKey(DATABASE),
      encodeRelationDirectory([{ relnode: TABLE, fork: 'main' }]),
    );
    const error = await storageErrorOf(ingestAll(values, [btreeOn({ blkno: 1 })]));
    expect(error).toMatchObject({ code: 'not-found', lsn: '0000000000000200' });
  });

  test('a directory that is missing for a listed database ends the ingest', async () => {
    const values = smallCluster({});
    const databases = [{ spcnode: 1663, dbnode: 6, hasRelationMap: true }];
    values.set(databaseDirectoryKey(), encodeDatabaseDirectory(databases));
    const record = btreeOn({ relation: [1663, 6, 1], blkno: 1 });
    expect((await storageErrorOf(ingestAll(values, [record]))).code).toBe('not-found');
  });

  test('what the base throws comes with the record', async () => {
    const values = smallCluster({});
    const ingest = await open(values, {
      base: {
        get: async (key) => {
          if (formatKey(key) === formatKey(checkpointKey())) return new Uint8Array(88);
          throw Object.assign(new Error('unreachable'), { code: 'ENOENT' });
        },
      },
    });
    const waiting = ingest.ingest(walRecord(btreeOn({ blkno: 1 })), END);
    await expect(waiting).rejects.toThrow('unreachable');
    expect(() => ingest.ingest(walRecord(btreeOn({ blkno: 1 })), END + 8n)).toThrow('unreachable');
  });

  test('a record before the previous one has been ingested is refused', async () => {
    const ingest = await open(smallCluster({ forks: { '16384.0': 2 } }));
    const waiting = ingest.ingest(walRecord(btreeOn({ blkno: 1 })), END);
    const next = walRecord(btreeOn({ blkno: 1 }));
    expect(storageErrorThrownBy(() => ingest.ingest(next, END + 8n)).code).toBe('out-of-order');
    await waiting;
    expect(ingest.ingest(next, END + 8n)).toBeUndefined();
    expect(storageErrorThrownBy(() => ingest.ingest(next, END + 8n)).code).toBe('out-of-order');
  });

  test('a record with a wrong checksum is corrupt', async () => {
    const ingest = await open(smallCluster({}));
    const record = walRecord(btreeOn({ blkno: 1 }));
    record[30] = 99;
    expect(storageErrorThrownBy(() => ingest.ingest(record, END))).toMatchObject({
      code: 'corrupt',
      lsn: '0000000000000200',
    });
  });
});
