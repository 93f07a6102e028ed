import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ValueReader } from '../../../src/ingest/export/value-reader.ts';
import { importTimeline } from '../../../src/ingest/pgdata/import-timeline.ts';
import { formatKey, keyFromFields } from '../../../src/layers/key.ts';
import { singleKey } from '../../../src/timeline/key-space.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { fabricateCluster, pages } from '../../postgres/fabricated-cluster.ts';
import { addValues, TIMELINE_IDS } from '../../support/exported-clusters.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const LSN = 0x16c_3560n;
const AUX_FILE = keyFromFields({
  field1: 0x62,
  field2: 1,
  field3: 0,
  field4: 0,
  field5: 0,
  field6: 7,
});
const FILES = {
  'pg_xact/0000': pages(1, 4),
  'pg_multixact/members/0000': pages(1, 5),
  'pg_multixact/offsets/0000': pages(1, 6),
  'pg_twophase/.keep': '',
};
const image = { type: 'image' as const, bytes: Buffer.from('value') };
const record = { type: 'wal' as const, willInit: false, bytes: Buffer.alloc(32) };

test.each([
  ['no image below it', [record], 'no-base', '1'],
  ['an image below it', [image, record], 'needs-redo', '1'],
])(
  'a record with %s is an error, not a value that is left out or old',
  async (_, values, code, actual) => {
    const bucket = join(temporaryDirectory(), 'bucket');
    const dataDirectory = fabricateCluster(FILES, { redoLsn: LSN });
    await importTimeline({ dataDirectory, target: bucket, ...TIMELINE_IDS, way: 'classic' });
    let lsn = LSN;
    for (const value of values) {
      lsn += 0x100n;
      await addValues(bucket, lsn, [{ key: AUX_FILE, value }]);
    }
    await using timeline = await openTimeline(bucket);
    const reader = new ValueReader(timeline, lsn, undefined);
    const reading = reader.readRange(singleKey(AUX_FILE), (__, bytes) => bytes);
    await expect(reading).rejects.toMatchObject({ code, actual, key: formatKey(AUX_FILE) });
  },
);
