/** A page on which a record goes on, whose header has one field that is wrong: the record is not read. */
import { expect, test } from 'vitest';
import { openWal } from '../../src/wal/wal-reader.ts';
import { walBytes } from '../../src/wal/wal-source.ts';
import { walRecord } from '../support/wal-records.ts';
import { SEGMENT_SIZE, WalBuilder } from '../support/wal-segments.ts';

const PAGE = 8192;

/** The second page begins with the rest of the second record. */
async function read(change: (header: DataView) => void) {
  const builder = new WalBuilder();
  for (const length of [100, 9000, 100, 30_000, 100]) {
    builder.append(
      walRecord({ resourceManager: 21, info: 0, mainData: new Uint8Array(length).fill(7) }),
    );
  }
  const { files } = builder;
  const { bytes } = files[0] as { bytes: Uint8Array };
  change(new DataView(bytes.buffer, bytes.byteOffset + PAGE, 24));
  const reader = await openWal(walBytes(files));
  const lsns: bigint[] = [];
  for await (const batch of reader) {
    for (let index = 0; index < batch.length; index += 1) lsns.push(batch.startLsn(index));
  }
  return { lsns, end: reader.end, all: builder.records.map(({ startLsn }) => startLsn) };
}

test.each<[string, (header: DataView) => void]>([
  ['as it was written', () => {}],
  ['that is not needed for a backup', (header) => header.setUint16(2, 0x05, true)],
])('a page %s continues with its record', async (_, change) => {
  const { lsns, end, all } = await read(change);
  expect(lsns).toEqual(all);
  expect(end?.kind).toBe('end-of-wal');
});

test.each<[string, (header: DataView) => void]>([
  ['magic', (header) => header.setUint16(0, 0xd110, true)],
  ['kind of start', (header) => header.setUint16(2, 0, true)],
  ['form', (header) => header.setUint16(2, 0x03, true)],
  ['timeline', (header) => header.setUint32(4, 2, true)],
  ['address in its low half', (header) => header.setUint32(8, SEGMENT_SIZE, true)],
  ['address in its high half', (header) => header.setUint32(12, 1, true)],
  ['length of what is left', (header) => header.setUint32(16, 8, true)],
])('a record is not read over a page with another %s', async (_, change) => {
  const { lsns, end, all } = await read(change);
  expect(lsns).toEqual(all.slice(0, 1));
  expect(end?.kind).toBe('corrupt');
  expect(end?.lsn).toBe(all[1]);
});
