import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { formatPgLsn, parseLsn } from '../../src/layers/lsn.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { restoreBlockImageSync } from '../../src/wal/block-image.ts';
import type { WalRecordBatch } from '../../src/wal/record-batch.ts';
import { decodeWalRecord, type WalRecord } from '../../src/wal/record-format.ts';
import { recordTypeOf, resourceManagerName } from '../../src/wal/resource-managers.ts';
import { openWal } from '../../src/wal/wal-reader.ts';
import type { WalFile, WalSource } from '../../src/wal/wal-source.ts';
import { Decompressor } from '../../src/zstd/decompression.ts';
import { goldenWal, type TrueRecord, WAL_VERSIONS } from '../support/golden-wal.ts';

const SEED = Number(process.env['LAYERFILE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const zstd = await Decompressor.load();

describe.each(WAL_VERSIONS)('WAL of version %i', (version) => {
  const golden = goldenWal(version);
  const truth = [...golden.records, ...golden.secondRecords];
  const known = new Map(truth.map((record) => [record.start_lsn, record]));

  test('WAL over both timelines has every record as its server shows it', async () => {
    const wal = await openWal(golden.source);
    expect(wal).toMatchObject({ majorVersion: version, segmentSize: 1024 * 1024, timelineId: 2 });
    const missing = new Set(known.keys());
    const differences: unknown[] = [];
    const timelines = new Map<string, number>();
    for await (const batch of wal) {
      for (let index = 0; index < batch.length; index += 1) {
        const start = formatPgLsn(batch.startLsn(index));
        const expected = known.get(start);
        timelines.set(start, batch.timelineId(index));
        if (expected === undefined) continue;
        missing.delete(start);
        const found = shownRecord(batch, index, version >= 16);
        if (JSON.stringify(found) !== JSON.stringify(ordered(expected))) {
          differences.push({ expected: ordered(expected), found });
        }
      }
    }
    expect(differences).toEqual([]);
    expect([...missing]).toEqual([]);
    expect(wal.end?.kind).toBe('end-of-wal');
    expect(timelines.get(golden.records[0]?.start_lsn ?? '')).toBe(1);
    expect(timelines.get(golden.records.at(-1)?.start_lsn ?? '')).toBe(1);
    for (const { start_lsn } of golden.secondRecords) expect(timelines.get(start_lsn)).toBe(2);
  });

  test('WAL of the first timeline ends with its last record', async () => {
    const starts = await startsOf(golden.source, { timeline: 1 });
    const last = golden.records.at(-1)?.start_lsn ?? '';
    const first = golden.records[0]?.start_lsn ?? '';
    const range = starts.slice(starts.indexOf(first), starts.indexOf(last) + 1);
    expect(range).toEqual(golden.records.map(({ start_lsn }) => start_lsn));
  });

  test('WAL that comes in pieces of any size is the same', async () => {
    const choose = seededChoices(SEED);
    const all = await startsOf(golden.source, {});
    const inPieces = piecewise(golden.source, () => 1 + choose(2 ** choose(18)));
    expect(await startsOf(inPieces, {})).toEqual(all);
  });

  test(`reading from any LSN begins with the next record (seed ${SEED})`, {
    timeout: 120_000,
  }, async () => {
    const choose = seededChoices(SEED);
    const all = (await startsOf(golden.source, {})).map(parseLsn);
    const [first = 0n, last = 0n] = [all[0], all.at(-1)];
    const count = process.env['LAYERFILE_GOLDEN'] === undefined ? 25 : 1000;
    for (let round = 0; round < count; round += 1) {
      const start = first + BigInt(choose(Number(last - first)));
      const expected = all.find((lsn) => lsn >= start);
      expect(await firstFrom(golden.source, start)).toBe(expected);
    }
  });
});

async function startsOf(source: WalSource, options: { timeline?: number }): Promise<string[]> {
  const starts: string[] = [];
  const wal = await openWal(source, options);
  for await (const batch of wal) {
    for (let index = 0; index < batch.length; index += 1) {
      starts.push(formatPgLsn(batch.startLsn(index)));
    }
  }
  expect(wal.end?.kind).toBe('end-of-wal');
  return starts;
}

async function firstFrom(source: WalSource, start: bigint): Promise<bigint | undefined> {
  const wal = await openWal(source, { start });
  for await (const batch of wal) return batch.startLsn(0);
  throw new Error(`no record from ${formatPgLsn(start)} on: ${wal.end?.error?.message}`);
}

/** A source whose reads are short. */
function piecewise(source: WalSource, length: () => number): WalSource {
  const cut = (file: WalFile): WalFile => ({
    ...file,
    open: async (signal) => {
      const opened = await file.open(signal);
      const { size } = opened.source;
      const read = (target: Uint8Array, offset: number): Promise<number> =>
        opened.source.read(target.subarray(0, length()), offset);
      return { source: { size, read }, close: opened.close };
    },
  });
  return { ...source, list: async (signal) => (await source.list(signal)).map(cut) };
}

function shownRecord(batch: WalRecordBatch, index: number, hasInfo: boolean): unknown {
  const record = decodeWalRecord(batch.bytes(index), batch.majorVersion);
  const { majorVersion } = batch;
  return {
    start_lsn: formatPgLsn(batch.startLsn(index)),
    end_lsn: formatPgLsn(batch.endLsn(index)),
    prev_lsn: formatPgLsn(record.prevLsn),
    xid: record.xid,
    resource_manager: resourceManagerName(record.resourceManager, majorVersion),
    record_type: recordTypeOf(record, majorVersion),
    record_length: batch.size(index),
    main_data_length: record.mainData.length,
    fpi_length: record.blocks.reduce((sum, { image }) => sum + (image?.bytes.length ?? 0), 0),
    blocks: record.blocks.map((block) => shownBlock(block, hasInfo)),
  };
}

function shownBlock(block: WalRecord['blocks'][number], hasInfo: boolean): unknown {
  const { image } = block;
  const shown = {
    id: block.id,
    rel: `${block.spcnode}/${block.dbnode}/${block.relnode}`,
    fork: block.forkNumber,
    blk: block.blkno,
    data_len: block.data.length,
    fpi_len: image?.bytes.length ?? 0,
  };
  if (image === undefined) return shown;
  const page = restoreBlockImageSync(image, zstd);
  const fpi_sha256 = createHash('sha256').update(page).digest('hex');
  const method =
    image.compression === 'none' ? [] : [`COMPRESS_${image.compression.toUpperCase()}`];
  const fpi_info = [
    ...(image.holeLength > 0 ? ['HAS_HOLE'] : []),
    ...(image.apply ? ['APPLY'] : []),
    ...method,
  ];
  return hasInfo ? { ...shown, fpi_sha256, fpi_info } : { ...shown, fpi_sha256 };
}

/** The fields that are compared, in the order in which they are built here. */
function ordered(record: TrueRecord): unknown {
  return {
    start_lsn: record.start_lsn,
    end_lsn: record.end_lsn,
    prev_lsn: record.prev_lsn,
    xid: record.xid,
    resource_manager: record.resource_manager,
    record_type: record.record_type,
    record_length: record.record_length,
    main_data_length: record.main_data_length,
    fpi_length: record.fpi_length,
    blocks: record.blocks,
  };
}
