/**
 * Damaged WAL: each byte of a small segment changed in turn, and random damage from seeds that count up.
 *
 * LAYERFILE_WAL_FUZZ_EXECUTIONS says how many of the latter; without it, one byte in 13 is changed.
 * LAYERFILE_SEED says where to begin. A failure reports its seed.
 */
import { expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { restoreBlockImageSync } from '../../src/wal/block-image.ts';
import { RecordAssembler } from '../../src/wal/record-assembler.ts';
import { WalChunk } from '../../src/wal/record-batch.ts';
import { decodeWalRecord, recordChecksum } from '../../src/wal/record-format.ts';
import { TimelinePath } from '../../src/wal/timeline-history.ts';
import { noMoreWal } from '../../src/wal/wal-end.ts';
import { Decompressor } from '../../src/zstd/decompression.ts';
import { rounds } from '../support/rounds.ts';
import { overwriteRecord, walRecord } from '../support/wal-records.ts';
import { type BuiltRecord, SEGMENT_SIZE, WalBuilder } from '../support/wal-segments.ts';

const EXECUTIONS = Number(process.env['LAYERFILE_WAL_FUZZ_EXECUTIONS'] ?? rounds(500));
const SEED = Number(process.env['LAYERFILE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const PAGE = 8192;
const CAPACITY = 2 * PAGE;
const zstd = await Decompressor.load();

const page = new Uint8Array(PAGE).map((_, index) => (index < 200 || index > 8000 ? index : 0));

/** Records of several shapes over four pages, the longest over one border, and an overwritten one. */
function smallSegment(): WalBuilder {
  const builder = new WalBuilder();
  const blocks = [
    { blkno: 1, data: Uint8Array.of(1, 2, 3) },
    { blkno: 7, image: { page, hole: [200, 7801] as const } },
  ];
  builder.append(walRecord({ resourceManager: 10, info: 0, blocks, mainData: Uint8Array.of(4) }));
  builder.append(
    walRecord({ resourceManager: 0, info: 0x30, mainData: Uint8Array.of(1, 0, 0, 0) }),
  );
  builder.append(walRecord({ resourceManager: 21, info: 0, mainData: new Uint8Array(9000) }));
  builder.append(walRecord({ resourceManager: 10, info: 0, origin: 3, blocks }));
  const long = walRecord({ resourceManager: 21, info: 0, mainData: new Uint8Array(9000) });
  builder.append(overwriteRecord(builder.appendOverwritten(long, 40)));
  builder.append(walRecord({ resourceManager: 10, info: 0, xid: 9, blocks: blocks.slice(0, 1) }));
  return builder;
}

const builder = smallSegment();
const original = builder.bytes;
const known = new Map(builder.records.map((record) => [record.startLsn, record]));

/** One is used while the one before may still be needed. */
const chunks = [new WalChunk(CAPACITY), new WalChunk(CAPACITY)];

/** Reads the bytes in chunks of random length. Every error but an assertion's is a failure. */
function assemble(bytes: Uint8Array, damage: 'stop' | 'skip', length: () => number): BuiltRecord[] {
  const start = BigInt(SEGMENT_SIZE);
  const assembler = new RecordAssembler({
    geometry: { majorVersion: 17, segmentSize: SEGMENT_SIZE, systemIdentifier: undefined },
    path: new TimelinePath(0xffff_ffff),
    start,
    end: 2n ** 64n,
    damage,
    pathAt: () => undefined,
    maximumRecordLength: 2 ** 30,
    capacity: CAPACITY,
  });
  const found: BuiltRecord[] = [];
  let turn = 0;
  for (let at = 0; at < bytes.length && assembler.end === undefined; ) {
    const chunk = chunks[turn] as WalChunk;
    turn = 1 - turn;
    chunk.length = Math.min(length(), bytes.length - at);
    chunk.lsn = start + BigInt(at);
    chunk.memory.bytes.set(bytes.subarray(at, at + chunk.length));
    at += chunk.length;
    assembler.accept(chunk);
    for (let batch = assembler.next(); batch !== undefined; batch = assembler.next()) {
      for (let index = 0; index < batch.length; index += 1) {
        const startLsn = batch.startLsn(index);
        const record = { startLsn, endLsn: batch.endLsn(index), bytes: batch.bytes(index).slice() };
        found.push(record);
      }
    }
  }
  assembler.finish(noMoreWal('nothing'));
  expect(assembler.end?.kind).toMatch(/^(end-of-wal|corrupt)$/);
  return found;
}

/** The checksum leaves no other record than those that were written. */
function expectKnown(found: readonly BuiltRecord[], what: string): void {
  let last = 0n;
  for (const { startLsn, endLsn, bytes } of found) {
    const record = known.get(startLsn);
    const isSame =
      startLsn > last && record?.endLsn === endLsn && Buffer.compare(record.bytes, bytes) === 0;
    if (!isSame) expect.fail(`another record at ${startLsn}: ${what}`);
    last = startLsn;
  }
}

test(`each byte of a segment, changed, leaves records as they were, and a typed end (seed ${SEED})`, () => {
  expect(assemble(original, 'stop', () => CAPACITY)).toEqual(builder.records);
  // A prime step, and another start each time, so that all are changed in the course of the runs.
  const step = process.env['LAYERFILE_WAL_FUZZ_EXECUTIONS'] === undefined ? 13 : 1;
  for (let byte = SEED % step; byte < original.length; byte += step) {
    const bytes = original.slice();
    bytes[byte] = (bytes[byte] as number) ^ (1 << (byte % 8));
    for (const damage of ['stop', 'skip'] as const) {
      expectKnown(
        assemble(bytes, damage, () => CAPACITY),
        `byte ${byte}, ${damage}`,
      );
    }
  }
});

test(`${EXECUTIONS} kinds of random damage from seed ${SEED} on`, {
  timeout: 24 * 3_600_000,
}, () => {
  for (let seed = SEED; seed < SEED + EXECUTIONS; seed += 1) {
    const choose = seededChoices(seed);
    const bytes = mutated(choose);
    const isResealed = choose(3) === 0;
    if (isResealed) reseal(bytes, choose);
    const damage = choose(2) === 0 ? 'stop' : 'skip';
    try {
      const found = assemble(bytes, damage, () => PAGE * (1 + choose(2)));
      if (!isResealed) expectKnown(found, `seed ${seed}`);
      for (const record of found) expectValidOrTyped(record.bytes, 14 + choose(4));
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});

type Choose = ReturnType<typeof seededChoices>;

/** Bytes changed, removed, moved, repeated, or cut. */
function mutated(choose: Choose): Uint8Array {
  let bytes = original.slice();
  for (let count = 1 + choose(4); count > 0; count -= 1) {
    const at = choose(bytes.length);
    const kind = choose(5);
    if (kind === 0) bytes[at] = choose(256);
    else if (kind === 1) bytes.fill(choose(2) * 255, at, at + 1 + choose(64));
    else if (kind === 2) bytes.copyWithin(at, choose(bytes.length), choose(bytes.length));
    else if (kind === 3) bytes.copyWithin(at - (at % PAGE), choose(4) * PAGE, choose(5) * PAGE);
    else bytes = bytes.slice(0, Math.max(PAGE, at));
  }
  return bytes;
}

/** Changes some bytes of a record and gives it a right checksum, so that its content is looked at. */
function reseal(bytes: Uint8Array, choose: Choose): void {
  const record = builder.records[choose(builder.records.length)] as BuiltRecord;
  const at = Number(record.startLsn) - SEGMENT_SIZE;
  const end = Math.min(at + record.bytes.length, PAGE);
  const changed = record.bytes.slice(0, end - at);
  if (changed.length < record.bytes.length || end > bytes.length) return;
  for (let count = 1 + choose(3); count > 0; count -= 1) {
    const offset = 24 + choose(Math.min(60, changed.length - 24));
    changed[offset] =
      choose(2) === 0 ? choose(256) : (changed[offset] as number) ^ (1 << choose(8));
  }
  new DataView(changed.buffer).setUint32(20, recordChecksum(changed), true);
  bytes.set(changed, at);
}

/** The record decodes, and its images restore, or a typed error says what is wrong. */
function expectValidOrTyped(bytes: Uint8Array, majorVersion: number): void {
  try {
    const { blocks, mainData } = decodeWalRecord(bytes, majorVersion);
    expect(mainData.length).toBeLessThanOrEqual(bytes.length);
    for (const { image } of blocks) {
      if (image !== undefined) expect(restoreBlockImageSync(image, zstd)).toHaveLength(PAGE);
    }
  } catch (error) {
    if (!isStorageError(error, 'corrupt', 'truncated', 'too-large', 'unsupported-version'))
      throw error;
  }
}
