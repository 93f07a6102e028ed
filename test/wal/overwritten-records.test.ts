/** A record whose rest never came, after a crash: the page after it says so, and the next record which one it is. */
import { describe, expect, test } from 'vitest';
import { formatPgLsn } from '../../src/layers/lsn.ts';
import { openWal, type WalReadOptions } from '../../src/wal/wal-reader.ts';
import { walBytes } from '../../src/wal/wal-source.ts';
import { overwriteRecord, walRecord } from '../support/wal-records.ts';
import { SEGMENT_SIZE, WalBuilder } from '../support/wal-segments.ts';

const PAGE = 8192;
const START = BigInt(SEGMENT_SIZE);

const message = (length: number): Uint8Array =>
  walRecord({ resourceManager: 21, info: 0, mainData: new Uint8Array(length).fill(7) });

/** WAL with a record of which 3,000 bytes came, the record after it, and more. */
function built(next: (voidLsn: bigint) => Uint8Array) {
  const builder = new WalBuilder();
  builder.append(message(100));
  const voidLsn = builder.appendOverwritten(message(20_000), 3000);
  builder.append(next(voidLsn));
  for (let count = 0; count < 3; count += 1) builder.append(message(9000));
  return { builder, voidLsn };
}

async function read(builder: WalBuilder, options: WalReadOptions = {}) {
  const wal = await openWal(walBytes(builder.files), options);
  const lsns: bigint[] = [];
  const skips: string[] = [];
  for await (const batch of wal) {
    if (batch.skipped !== undefined) skips.push(batch.skipped.error.message);
    for (let at = 0; at < batch.length; at += 1) lsns.push(batch.startLsn(at));
  }
  return { lsns, skips, end: wal.end };
}

const startsOf = ({ records }: WalBuilder): bigint[] => records.map(({ startLsn }) => startLsn);

describe('after an incomplete record', () => {
  test('WAL continues with the record that names it', async () => {
    const { builder } = built(overwriteRecord);
    const { lsns, end } = await read(builder);
    expect(lsns).toEqual(startsOf(builder));
    expect(end?.kind).toBe('end-of-wal');
  });

  test('WAL that is read from inside the record continues, too', async () => {
    const { builder, voidLsn } = built(overwriteRecord);
    for (const start of [voidLsn, voidLsn + 8n, START + BigInt(PAGE)]) {
      expect((await read(builder, { start })).lsns).toEqual(startsOf(builder).slice(1));
    }
  });

  test.each<[string, (voidLsn: bigint) => Uint8Array, string]>([
    ['another record', () => message(30), 'WAL record after an incomplete one'],
    [
      'another operation of its manager',
      () => walRecord({ resourceManager: 0, info: 0x20, mainData: new Uint8Array(16) }),
      'expected OVERWRITE_CONTRECORD, found operation 32 of resource manager 0',
    ],
    ['a record that names another', (lsn) => overwriteRecord(lsn + 8n), 'record that was given up'],
    [
      'a record that names none',
      () => walRecord({ resourceManager: 0, info: 0xd0, mainData: new Uint8Array(8) }),
      'length of OVERWRITE_CONTRECORD',
    ],
  ])('after an incomplete record, %s is corrupt', async (_, next, what) => {
    const { builder, voidLsn } = built(next);
    const { lsns, end } = await read(builder);
    expect(lsns).toEqual(startsOf(builder).slice(0, 1));
    expect(end?.kind).toBe('corrupt');
    expect(end?.error?.message).toContain(what);
    const skipping = await read(builder, { skipCorrupt: true });
    expect(skipping.skips).toEqual([expect.stringContaining(what)]);
    expect(skipping.lsns.at(-1)).toBe(builder.records.at(-1)?.startLsn);
    if (what === 'record that was given up') {
      expect(end?.error).toMatchObject({
        expected: formatPgLsn(voidLsn),
        actual: formatPgLsn(voidLsn + 8n),
      });
    }
  });

  test('after an incomplete record, another record is corrupt for a reader that starts on the page, too', async () => {
    const { builder } = built(() => message(30));
    const { lsns, end } = await read(builder, { start: START + BigInt(PAGE) });
    expect({ lsns, kind: end?.kind }).toEqual({ lsns: [], kind: 'corrupt' });
  });

  test('after an incomplete record, only the first record is another one', async () => {
    const builder = new WalBuilder();
    builder.append(message(100));
    builder.append(overwriteRecord(builder.appendOverwritten(message(20_000), 3000)));
    builder.append(message(30));
    builder.append(overwriteRecord(builder.appendOverwritten(message(20_000), 100)));
    builder.append(message(30));
    expect((await read(builder)).lsns).toEqual(startsOf(builder));
  });
});
