/**
 * The loop over plain records in WebAssembly: it puts in runs what `PlainRecords` puts record by record, for most plain
 * records. It knows only the tables in its memory: the first record that they do not cover ends the run, and is left to
 * JavaScript. A record is put completely or not at all.
 *
 * Its memory, from `CRC32C_DATA_OFFSET` on:
 *
 *   0        number of rows of the batch, and address after its values, as the last record left them
 *   16       number of a page of the commit log, and at 32 its key
 *   64       the value header of a record, without and with willInit: 16 bytes each, then its length
 *   96       the values of a commit and of an abort, 32 bytes each
 *   256      for each kind of record 8 bytes: what it is, where its flags are, which of them require more work, and the
 *            shortest and the longest main data for which this holds
 *   33024    forks, 64 bytes each: u32 tablespace, database, relation, fork, blocks; at 24 the first 14 bytes of its keys
 *   98560    rows of records, as `record-rows.ts` has them
 *   164096   bytes of the records, those within pages apart from those that crossed a page border
 *   ...      areas, one for each batch: its keys, LSNs, starts, lengths, willInit, values
 *
 * The hash of a fork determines its place, so that one fork may displace another. Each block of a record is written as
 * a row after the last one that counts; the rows count once the record is complete.
 */
import { assert } from '../../assert.ts';
import { CRC32C_DATA_OFFSET, dataAt } from '../../crc32c-module.ts';
import { KEY_SIZE } from '../../layers/key.ts';
import { CLOG_XIDS_OFFSET, encodeValue, WAL_HEADER_SIZE } from '../../layers/value-format.ts';
import { ROW, ROW_SIZE } from '../../wal/record-rows.ts';
import {
  FORK_MASK,
  HAS_IMAGE,
  MAXIMUM_BLOCK_ID,
  SAME_RELATION,
  WAL_RECORD_HEADER_SIZE,
} from '../../wal/record-scanner.ts';
import { KIND_COUNT } from '../../wal/resource-managers.ts';
import {
  advance,
  both,
  byteAt,
  COPY,
  type Code,
  copied,
  copyVector,
  difference,
  differs,
  get,
  halfAt,
  i32,
  i64,
  ifElse,
  ifTrue,
  isAbove,
  isBelow,
  isEqual,
  longAt,
  longsDiffer,
  masked,
  not,
  plus,
  returnIf,
  select,
  shifted,
  sum,
  swapped,
  times,
  type WasmFunction,
  whileLoop,
  wordAt,
  words,
} from '../../wasm-code.ts';

/** Number of values, and of their bytes, from which a batch is full. */
export const FULL_ROWS = 4096;
export const FULL_BYTES = 1024 * 1024;

/** A full batch takes one more record, with up to 33 blocks. */
export const AREA_ROWS = FULL_ROWS + 64;
export const AREA_BYTES = 2 * FULL_BYTES;
/** Values are copied in pieces of this length, the last of which may reach beyond their ends. */
export const PIECE = 16;

export const AREA = {
  keys: 0,
  lsns: 0,
  starts: 0,
  lengths: 0,
  willInit: 0,
  values: 0,
  end: 0,
  size: 0,
};
AREA.lsns = multipleAbove(KEY_SIZE * AREA_ROWS);
AREA.starts = AREA.lsns + 8 * AREA_ROWS;
AREA.lengths = AREA.starts + 4 * AREA_ROWS;
AREA.willInit = AREA.lengths + 4 * AREA_ROWS;
AREA.values = multipleAbove(AREA.willInit + AREA_ROWS);
AREA.end = AREA.values + AREA_BYTES;
AREA.size = AREA.end + 2 * PIECE;

/** The next multiple of a piece; what is written as pieces may end there. */
function multipleAbove(size: number): number {
  return Math.ceil((size + 1) / PIECE) * PIECE;
}

export const FORK_COUNT = 1024;
export const FORK_SIZE = 64;
export const FORK = { fork: 12, blocks: 16, key: 24 };
export const RUN_ROWS = 2048;
export const RUN_BYTES = 256 * 1024;
export const PLACE = {
  counts: 0,
  page: 16,
  pageKey: 32,
  headers: 64,
  ends: 96,
  kinds: 256,
  forks: 33_024,
};
export const ROWS_AT = PLACE.forks + FORK_COUNT * FORK_SIZE;
export const PAGES_AT = ROWS_AT + RUN_ROWS * ROW_SIZE;
export const ROOM_AT = PAGES_AT + RUN_BYTES;
export const AREAS_AT = ROOM_AT + RUN_BYTES + PIECE;

assert(PLACE.kinds + 8 * KIND_COUNT === PLACE.forks, 'the tables are adjacent');
assert(CRC32C_DATA_OFFSET % 8 === 0 && AREAS_AT % 8 === 0, 'LSNs are at multiples of 8');

/** What a kind of record is; 0 for one that is left to JavaScript. */
export const KIND = { plain: 1, flagged: 2, committed: 3, aborted: 4 } as const;

export const ENDS = {
  committed: encodeValue({ type: 'clog_set_committed', xids: [0], timestamp: 0n }),
  aborted: encodeValue({ type: 'clog_set_aborted', xids: [0] }),
};
export const END_SIZE = 2 * PIECE;
const TIME_SIZE = 8;
const XIDS_PER_PAGE_BITS = 15;

/** Multipliers of the hash of a fork. */
export const HASH = { database: 0xc2b2_ae35 | 0, relation: 0x9e37_79b1 | 0, fork: 0x85eb_ca6b | 0 };
export const HASH_SHIFT = 22;
assert(2 ** (32 - HASH_SHIFT) === FORK_COUNT, 'a hash is the number of a place');

const WILL_INIT_SHIFT = 6;
/** Longer records are copied by one instruction, which has a higher fixed cost. */
const LONG_RECORD = 512;

/**
 * `putPlain(row, lastRow, area, count, value, countLimit, valueLimit, xidLimit, applyFlag, roomOffset, pagesShift,
 * roomShift)` returns the first row that it left. A shift is from the offset in a row to an address: below `roomOffset`
 * that of records within pages.
 */
function putPlain(): WasmFunction {
  const [row, lastRow, area, count, value, countLimit, valueLimit, xidLimit, applyFlag] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8,
  ] as const;
  const [roomOffset, pagesShift, roomShift] = [9, 10, 11] as const;
  const [start, size, end, at, rule, kind, newCount, newValue, announced, mainLength] = [
    12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
  ] as const;
  const [flags, relation, blkno, fork, willInit, next, source, target, xid] = [
    22, 23, 24, 25, 26, 27, 28, 29, 30,
  ] as const;
  const stop = (condition: Code): Code => returnIf(condition, get(row));
  const byte = (offset: number): Code => byteAt(at, offset);
  const half = (offset: number): Code => halfAt(at, offset);
  const ofRow = (itemSize: number): Code => sum(get(area), times(get(newCount), itemSize));

  const putDetails = (isInit: Code, length: Code): Code => [
    ...[...ofRow(8), ...get(row), ...i64.load(ROW.end), ...i64.store(AREA.lsns)],
    ...[...ofRow(4), ...difference(plus(get(newValue), -AREA.values), get(area))],
    ...i32.store(AREA.starts),
    ...[...ofRow(4), ...length, ...i32.store(AREA.lengths)],
    ...[...ofRow(1), ...isInit, ...i32.store8(AREA.willInit)],
  ];
  const hash = sum(
    times(wordAt(relation, 4), HASH.database),
    times(wordAt(relation, 8), HASH.relation),
    times(masked(get(flags), FORK_MASK), HASH.fork),
  );
  const copyRecord = ifElse(
    isAbove(get(size), i32.const(LONG_RECORD)),
    [...plus(get(newValue), WAL_HEADER_SIZE), ...get(start), ...get(size), ...COPY],
    [
      ...copied(source, get(start)),
      ...copied(target, plus(get(newValue), WAL_HEADER_SIZE)),
      ...whileLoop(isBelow(get(target), get(next)), [
        ...copyVector(get(target), get(source)),
        ...[...advance(source, PIECE), ...advance(target, PIECE)],
      ]),
    ],
  );
  const block = [
    ...copied(flags, byte(1)),
    ...copied(announced, sum(get(announced), half(2))),
    ...copied(willInit, masked(shifted(get(flags), WILL_INIT_SHIFT), 1)),
    ...advance(at, 4),
    ...ifTrue(masked(get(flags), HAS_IMAGE), [
      ...copied(announced, sum(get(announced), half(0))),
      ...ifTrue([...byte(4), ...get(applyFlag), ...i32.and], copied(willInit, i32.const(1))),
      ...advance(at, 5),
    ]),
    ...ifTrue(not(masked(get(flags), SAME_RELATION)), [
      ...copied(relation, get(at)),
      ...advance(at, 12),
    ]),
    ...[...copied(blkno, wordAt(at, 0)), ...advance(at, 4)],
    ...copied(fork, sum(dataAt(PLACE.forks), times(shifted(hash, HASH_SHIFT), FORK_SIZE))),
    ...stop(longsDiffer(longAt(fork, 0), longAt(relation, 0))),
    ...stop(differs(wordAt(fork, 8), wordAt(relation, 8))),
    ...stop(differs(wordAt(fork, FORK.fork), masked(get(flags), FORK_MASK))),
    ...stop(not(isBelow(get(blkno), wordAt(fork, FORK.blocks)))),
    ...copied(next, sum(plus(get(newValue), WAL_HEADER_SIZE), get(size))),
    ...stop(isAbove(get(next), plus(get(area), AREA.end))),
    ...copyVector(ofRow(KEY_SIZE), plus(get(fork), FORK.key)),
    ...[...ofRow(KEY_SIZE), ...swapped(get(blkno)), ...i32.store(KEY_SIZE - 4)],
    ...putDetails(get(willInit), plus(get(size), WAL_HEADER_SIZE)),
    ...copyVector(get(newValue), sum(dataAt(PLACE.headers), times(get(willInit), PIECE))),
    ...[...get(newValue), ...swapped(get(size)), ...i32.store(WAL_HEADER_SIZE - 4)],
    ...copyRecord,
    ...[...copied(newValue, get(next)), ...advance(newCount, 1)],
  ];
  const mainData = [
    ...copied(mainLength, byte(1)),
    // Only the data follows.
    ...copied(announced, difference(get(end), get(at))),
  ];
  const page = shifted(get(xid), XIDS_PER_PAGE_BITS);
  const fromEnd = (distance: number): Code => [...plus(get(end), -distance), ...i32.load(0)];
  const isCommit = isEqual(get(kind), i32.const(KIND.committed));
  const putTransactionEnd = [
    ...stop(differs(get(mainLength), i32.const(TIME_SIZE))),
    ...stop(differs(get(newCount), get(count))),
    ...stop(differs(page, [...dataAt(PLACE.page), ...i32.load(0)])),
    ...stop(isAbove(plus(get(value), END_SIZE), plus(get(area), AREA.end))),
    ...copyVector(ofRow(KEY_SIZE), dataAt(PLACE.pageKey)),
    ...[...ofRow(KEY_SIZE), ...dataAt(PLACE.pageKey), ...i32.load(KEY_SIZE - 4)],
    ...i32.store(KEY_SIZE - 4),
    ...copied(source, dataAt(PLACE.ends + END_SIZE)),
    ...copied(size, i32.const(ENDS.aborted.length)),
    ...ifTrue(isCommit, [
      ...copied(source, dataAt(PLACE.ends)),
      ...copied(size, i32.const(ENDS.committed.length)),
    ]),
    ...putDetails(i32.const(0), get(size)),
    ...copyVector(get(newValue), get(source)),
    ...copyVector(plus(get(newValue), PIECE), plus(get(source), PIECE)),
    ...[...get(newValue), ...swapped(get(xid)), ...i32.store(CLOG_XIDS_OFFSET)],
    ...ifTrue(isCommit, [
      ...[...get(newValue), ...swapped(fromEnd(4)), ...i32.store(CLOG_XIDS_OFFSET + 4)],
      ...[...get(newValue), ...swapped(fromEnd(8)), ...i32.store(CLOG_XIDS_OFFSET + 8)],
    ]),
    ...[...copied(newValue, sum(get(newValue), get(size))), ...advance(newCount, 1)],
  ];
  const checkFlags = [
    ...stop(isBelow(get(mainLength), byteAt(rule, 3))),
    ...stop(isAbove(get(mainLength), byteAt(rule, 4))),
    ...copied(at, sum(difference(get(end), get(mainLength)), byteAt(rule, 1))),
    ...stop([...byte(0), ...get(rule), ...i32.load8(2), ...i32.and]),
  ];
  return {
    name: 'putPlain',
    parameters: words(12),
    locals: words(19),
    body: [
      ...whileLoop(
        both(
          isBelow(get(row), get(lastRow)),
          both(isBelow(get(count), get(countLimit)), isBelow(get(value), get(valueLimit))),
        ),
        [
          ...copied(start, wordAt(row, ROW.offset)),
          ...copied(
            start,
            sum(
              get(start),
              select(isBelow(get(start), get(roomOffset)), get(pagesShift), get(roomShift)),
            ),
          ),
          ...copied(size, wordAt(row, ROW.size)),
          ...copied(end, sum(get(start), get(size))),
          ...copied(xid, wordAt(start, 4)),
          ...ifTrue(
            get(xid),
            stop([
              ...difference(get(xidLimit), get(xid)),
              ...[...i32.const(0), ...i32.isAtMostSigned],
            ]),
          ),
          ...copied(rule, sum(dataAt(PLACE.kinds), times(shifted(halfAt(start, 16), 4), 8))),
          ...copied(kind, byteAt(rule, 0)),
          ...stop(not(get(kind))),
          ...[...copied(newCount, get(count)), ...copied(newValue, get(value))],
          ...[...copied(announced, i32.const(0)), ...copied(mainLength, i32.const(0))],
          ...copied(at, plus(get(start), WAL_RECORD_HEADER_SIZE)),
          ...whileLoop(
            [...difference(get(end), get(at)), ...get(announced), ...i32.isAboveSigned],
            ifElse(isAbove(byte(0), i32.const(MAXIMUM_BLOCK_ID)), mainData, block),
          ),
          ...ifTrue(isAbove(get(kind), i32.const(KIND.flagged)), putTransactionEnd),
          ...ifTrue(isEqual(get(kind), i32.const(KIND.flagged)), checkFlags),
          ...[...copied(count, get(newCount)), ...copied(value, get(newValue))],
          ...[...dataAt(PLACE.counts), ...get(count), ...i32.store(0)],
          ...[...dataAt(PLACE.counts), ...get(value), ...i32.store(4)],
          ...advance(row, ROW_SIZE),
        ],
      ),
      ...get(row),
    ],
  };
}

/** The functions of the kernel. */
export const PLAIN_FUNCTIONS: readonly WasmFunction[] = [putPlain()];
