/**
 * The two loops over all records of WAL, in the WebAssembly module of the checksum (`crc32c-module.ts`) and its memory.
 * Nearly all records have the simplest form, and are found, checked and scanned here. Any other record ends the loop,
 * and is left to JavaScript: only `record-check.ts` and `record-scanner.ts` report what is wrong with a record.
 *
 *   findRecords   adds rows (`record-rows.ts`) of the records that lie in one page, as `RecordCheck.acceptRun`: with a
 *                 right length, link and checksum, of a built-in resource manager, and no segment switch
 *   scanRows      completes rows with the kind of the record and the bytes of its images, as `RecordScanner`: for records
 *                 of nothing but blocks and less than 256 bytes of main data, with images that are not compressed
 *
 * Parameters are addresses and words. Both return the address after the last row that they wrote or completed.
 */
import type { ChecksummedBytes, WasmCall } from '../checksum.ts';
import {
  CRC32C_BY_TABLES,
  CRC32C_DATA_OFFSET,
  CRC32C_LONG,
  CRC32C_UPDATE,
} from '../crc32c-module.ts';
import {
  advance,
  type Code,
  call,
  copied,
  differs,
  either,
  get,
  i32,
  ifElse,
  ifTrue,
  isAbove,
  isBelow,
  isEqual,
  masked,
  plus,
  returnIf,
  type WasmFunction,
  whileLoop,
} from '../wasm-code.ts';
import { ROW, ROW_SIZE } from './record-rows.ts';

/** What the loops know about records. The format is specified in the scanner. */
const HEADER_SIZE = 24;
const CRC_OFFSET = 20;
const MAXIMUM_BLOCK_ID = 32;
const SHORT_MAIN_DATA = 255;
const PAGE_SIZE = 8192;

const HAS_IMAGE = 0x10;
const DATA_FLAG_SHIFT = 5;
const SAME_RELATION = 0x80;
const HAS_HOLE = 0x01;

/** Flags of compressed images. */
const COMPRESSION_OF_14 = 0x02;
const COMPRESSION_FROM_15 = 0x1c;

/** Info byte and resource manager are read as one word. */
const FIRST_OTHER_MANAGER = 22 << 8;
const KIND_BITS = 0xfff0;
const SWITCH_KIND = 0x0040;
/** Manager and operation of transactions, without the bit that says that more information follows. */
const TRANSACTION_KINDS = 0x0ff0;
const TRANSACTION_KIND = 0x0010;
const TRANSACTION_OPERATION = 0x0ff7;

/** `findRecords(at, limit, row, previousLow, previousHigh, lowOfZero, high, timeline, maximumLength)` */
function findRecords(): WasmFunction {
  const [at, limit, row, previousLow, previousHigh, lowOfZero, high, timeline, maximumLength] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8,
  ] as const;
  const [size, next, kind, crc] = [9, 10, 11, 12] as const;
  const end = [...get(at), ...get(size), ...i32.add];
  const field = (offset: number): Code => [...get(at), ...i32.load(offset)];
  const body = [...plus(get(at), HEADER_SIZE), ...end];
  const complement = [...i32.const(-1), ...i32.xor];
  // The complements around each of the two runs would undo each other.
  const crcOfBody = ifElse(
    isAbove(get(size), i32.const(CRC32C_LONG)),
    copied(crc, [...body, ...i32.const(0), ...call(CRC32C_UPDATE), ...complement]),
    copied(crc, [...body, ...i32.const(-1), ...call(CRC32C_BY_TABLES)]),
  );
  const header = [...get(at), ...plus(get(at), CRC_OFFSET), ...get(crc)];
  const checksum = [...header, ...call(CRC32C_BY_TABLES), ...complement];
  const stop = (condition: Code): Code => returnIf(condition, get(row));
  const put = (offset: number, value: Code): Code => [...get(row), ...value, ...i32.store(offset)];
  return {
    name: 'findRecords',
    parameters: Array.from({ length: 9 }, () => 'i32' as const),
    locals: ['i32', 'i32', 'i32', 'i32'],
    body: [
      ...whileLoop(isBelow(plus(get(at), HEADER_SIZE), get(limit)), [
        ...copied(size, field(0)),
        ...stop(isBelow(get(size), i32.const(HEADER_SIZE))),
        ...stop(isAbove(get(size), get(maximumLength))),
        ...copied(next, masked(plus(end, 7), -8)),
        ...stop(isBelow(plus(get(limit), -1), get(next))),
        ...stop(differs(field(8), get(previousLow))),
        ...stop(differs(field(12), get(previousHigh))),
        ...copied(kind, [...get(at), ...i32.load16(16)]),
        ...stop(isBelow(i32.const(FIRST_OTHER_MANAGER - 1), get(kind))),
        ...stop(isEqual(masked(get(kind), KIND_BITS), i32.const(SWITCH_KIND))),
        ...crcOfBody,
        ...stop(differs(checksum, field(CRC_OFFSET))),
        ...copied(previousLow, [...get(lowOfZero), ...get(at), ...i32.add]),
        ...copied(previousHigh, get(high)),
        ...put(ROW.start, get(previousLow)),
        ...put(ROW.start + 4, get(high)),
        ...put(ROW.end, [...get(lowOfZero), ...get(next), ...i32.add]),
        ...put(ROW.end + 4, get(high)),
        ...put(ROW.timeline, get(timeline)),
        ...put(ROW.offset, plus(get(at), -CRC32C_DATA_OFFSET)),
        ...put(ROW.size, get(size)),
        ...advance(row, ROW_SIZE),
        ...copied(at, get(next)),
      ]),
      ...get(row),
    ],
  };
}

/** `scanRows(row, lastRow, compressionFlags)` */
function scanRows(): WasmFunction {
  const [row, lastRow, compressionFlags] = [0, 1, 2] as const;
  const [at, end, announced, images, previousId, kind, flags, length, hole] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11,
  ] as const;
  const NO_BLOCK = i32.const(-1);
  const stop = (condition: Code): Code => returnIf(condition, get(row));
  const byte = (offset: number): Code => [...get(at), ...i32.load8(offset)];
  const half = (offset: number): Code => [...get(at), ...i32.load16(offset)];
  const stopIfShorter = (size: number): Code => stop(isAbove(plus(get(at), size), get(end)));
  const add = (sum: number, value: Code): Code => copied(sum, [...get(sum), ...value, ...i32.add]);
  const left = [...get(end), ...get(at), ...i32.sub];
  const isSame = masked(get(flags), SAME_RELATION);
  const hasData = [...get(flags), ...i32.const(DATA_FLAG_SHIFT), ...i32.shiftRight];
  const image = [
    ...stopIfShorter(5),
    ...copied(length, half(0)),
    ...copied(hole, half(2)),
    ...stop([...byte(4), ...get(compressionFlags), ...i32.and]),
    ...ifElse(
      masked(byte(4), HAS_HOLE),
      [
        ...stop(isAbove(get(length), i32.const(PAGE_SIZE - 1))),
        // A hole at 0 means none, and then compares as above all lengths; a hole ends at or before the end of the page.
        ...stop(isAbove(plus(get(hole), -1), plus(get(length), -1))),
        ...stop(isEqual(get(length), i32.const(0))),
      ],
      [
        ...stop(differs(get(length), i32.const(PAGE_SIZE))),
        ...stop(differs(get(hole), i32.const(0))),
      ],
    ),
    ...add(announced, get(length)),
    ...add(images, get(length)),
    ...advance(at, 5),
  ];
  const block = [
    ...stop([...byte(0), ...get(previousId), ...i32.isAtMostSigned]),
    ...stopIfShorter(4),
    ...copied(flags, byte(1)),
    ...copied(length, half(2)),
    ...stop(differs(masked(hasData, 1), differs(get(length), i32.const(0)))),
    ...ifTrue(isSame, stop(isEqual(get(previousId), NO_BLOCK))),
    ...copied(previousId, byte(0)),
    ...add(announced, get(length)),
    ...advance(at, 4),
    ...ifTrue(masked(get(flags), HAS_IMAGE), image),
    ...ifElse(isSame, advance(at, 4), advance(at, 16)),
    ...stopIfShorter(0),
  ];
  const mainData = [
    ...stop(differs(byte(0), i32.const(SHORT_MAIN_DATA))),
    ...stopIfShorter(2),
    ...add(announced, byte(1)),
    ...advance(at, 2),
    ...stop(differs(left, get(announced))),
  ];
  const isTransaction = isEqual(masked(get(kind), TRANSACTION_KINDS), i32.const(TRANSACTION_KIND));
  return {
    name: 'scanRows',
    parameters: ['i32', 'i32', 'i32'],
    locals: Array.from({ length: 9 }, () => 'i32' as const),
    body: [
      ...whileLoop(isBelow(get(row), get(lastRow)), [
        ...copied(at, [...get(row), ...i32.load(ROW.offset)]),
        ...advance(at, CRC32C_DATA_OFFSET),
        ...copied(end, [...get(at), ...get(row), ...i32.load(ROW.size), ...i32.add]),
        ...copied(kind, [...half(16), ...i32.const(4), ...i32.shiftRight]),
        ...ifTrue(isTransaction, copied(kind, masked(get(kind), TRANSACTION_OPERATION))),
        ...advance(at, HEADER_SIZE),
        ...copied(announced, i32.const(0)),
        ...copied(images, i32.const(0)),
        ...copied(previousId, NO_BLOCK),
        ...whileLoop(
          [...left, ...get(announced), ...i32.isAboveSigned],
          [...ifElse(isAbove(byte(0), i32.const(MAXIMUM_BLOCK_ID)), mainData, block)],
        ),
        ...stop(differs(left, get(announced))),
        ...get(row),
        ...either([...get(kind), ...i32.const(20), ...i32.shiftLeft], get(images)),
        ...i32.store(ROW.kindAndImages),
        ...advance(row, ROW_SIZE),
      ]),
      ...get(row),
    ],
  };
}

/** The functions, for memory of `ChecksummedBytes`. */
export const RECORD_FUNCTIONS: readonly WasmFunction[] = [findRecords(), scanRows()];

/** Where `findRecords` begins; LSNs are in halves. */
export interface RunStart {
  /** Offsets in the memory: of the first record, and what the last one ends before. */
  readonly at: number;
  readonly limit: number;
  /** Start of the record before. */
  readonly previousHigh: number;
  readonly previousLow: number;
  /** LSN of the memory's first byte; no record reaches another high half. */
  readonly high: number;
  readonly low: number;
  readonly timelineId: number;
  readonly maximumLength: number;
}

/** The loops for one memory. */
export class RecordKernel {
  readonly #find: WasmCall;
  readonly #scan: WasmCall;
  /** Address of the first row. */
  readonly #rows: number;

  private constructor(find: WasmCall, scan: WasmCall, rows: number) {
    this.#find = find;
    this.#scan = scan;
    this.#rows = rows;
  }

  /** Returns: undefined for memory without WebAssembly. Requires: it has rows at the offset. */
  static of({ exports }: ChecksummedBytes, rowsOffset: number): RecordKernel | undefined {
    const { findRecords: find, scanRows: scan } = exports;
    if (find === undefined || scan === undefined) return undefined;
    return new RecordKernel(find, scan, CRC32C_DATA_OFFSET + rowsOffset);
  }

  /** Writes rows after the first `length`. Returns: how many there are then. */
  findRecords(length: number, start: RunStart): number {
    const { at, limit, previousLow, previousHigh, low, high, timelineId, maximumLength } = start;
    const end = this.#find(
      CRC32C_DATA_OFFSET + at,
      CRC32C_DATA_OFFSET + limit,
      this.#rows + ROW_SIZE * length,
      previousLow,
      previousHigh,
      low - CRC32C_DATA_OFFSET,
      high,
      timelineId,
      maximumLength,
    );
    return (end - this.#rows) / ROW_SIZE;
  }

  /** Completes rows from one number up to another. Returns: that of the first one that it left. */
  scanRows(from: number, to: number, majorVersion: number): number {
    const flags = majorVersion === 14 ? COMPRESSION_OF_14 : COMPRESSION_FROM_15;
    const end = this.#scan(this.#rows + ROW_SIZE * from, this.#rows + ROW_SIZE * to, flags);
    return (end - this.#rows) / ROW_SIZE;
  }
}
