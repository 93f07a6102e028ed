/**
 * The two loops over all records of WAL, in the WebAssembly module of the checksum (`crc32c-module.ts`) and its memory.
 * Nearly all records have the simplest form, and are found, checked and counted here. Any other record ends the loop,
 * and is left to JavaScript: only `record-check.ts` and `record-scanner.ts` report what is wrong with a record.
 *
 *   findRecords   adds rows (`record-rows.ts`) for consecutive records in ordinary pages, as `RecordAssembler`: with a
 *                 valid length, link and checksum, of a built-in resource manager, and not a segment switch; records
 *                 that cross pages are assembled
 *   countRows     counts records by their kinds, as `RecordScanner` finds them: those that have only blocks and less
 *                 than 256 bytes of main data, with uncompressed images, of a built-in resource manager
 *
 * Parameters are addresses and words. Both functions return the address after the last row that they wrote or counted.
 */
import type { ChecksummedBytes, WasmCall } from '../checksum.ts';
import {
  CRC32C_BY_TABLES,
  CRC32C_DATA_OFFSET,
  CRC32C_LONG,
  CRC32C_NEW,
  CRC32C_OF_20,
  CRC32C_UPDATE,
} from '../crc32c-module.ts';
import {
  advance,
  byteAt,
  COPY,
  type Code,
  call,
  copied,
  difference,
  differs,
  either,
  get,
  halfAt,
  i32,
  ifElse,
  ifTrue,
  isAbove,
  isBelow,
  isEqual,
  masked,
  plus,
  returnIf,
  select,
  shifted,
  sum,
  times,
  type WasmFunction,
  whileLoop,
  wordAt,
  words,
} from '../wasm-code.ts';
import {
  PAGE_CONTINUES_RECORD,
  PAGE_MAY_BE_REMOVED,
  SHORT_PAGE_HEADER_SIZE,
  WAL_PAGE_SIZE,
} from './page-format.ts';
import { ROW, ROW_SIZE } from './record-rows.ts';
import {
  HAS_HOLE,
  HAS_IMAGE,
  imageFlagsOf,
  MAXIMUM_BLOCK_ID,
  SAME_RELATION,
  SHORT_MAIN_DATA,
  WAL_RECORD_HEADER_SIZE,
} from './record-scanner.ts';

/** What the loops know about records beyond the scanner's names. */
const CRC_OFFSET = 20;
const DATA_FLAG_SHIFT = 5;
const PAGE_SIZE = WAL_PAGE_SIZE;

/** Info byte and resource manager are read as one word. */
const FIRST_OTHER_MANAGER = 22 << 8;
const KIND_BITS = 0xfff0;
const SWITCH_KIND = 0x0040;
/** Manager and operation of transactions, without the bit for additional information. */
const TRANSACTION_KINDS = 0x0ff0;
const TRANSACTION_KIND = 0x0010;
const TRANSACTION_OPERATION = 0x0ff7;

/** Counts of one kind: i32 each, which is enough for one chunk. */
const COUNT = { records: 0, recordBytes: 4, imageBytes: 8 };
const COUNT_SIZE = 12;
const COUNTED_KINDS = FIRST_OTHER_MANAGER >> 4;
/** Bytes of all counts. */
export const KERNEL_COUNTS_LENGTH = COUNT_SIZE * COUNTED_KINDS;

/**
 * `findRecords(at, limit, row, previousLow, previousHigh, lowOfZero, high, timeline, maximumLength, magic, crossing)`.
 * A record that crosses pages is assembled at the address `crossing` bytes after its start.
 */
function findRecords(): WasmFunction {
  const [at, limit, row, previousLow, previousHigh, lowOfZero, high, timeline, maximumLength] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8,
  ] as const;
  const [magic, crossing] = [9, 10] as const;
  const [record, size, next, kind, crc, page, part, left] = [
    11, 12, 13, 14, 15, 16, 17, 18,
  ] as const;
  const end = sum(get(record), get(size));
  const field = (offset: number): Code => wordAt(record, offset);
  const body = [...plus(get(record), WAL_RECORD_HEADER_SIZE), ...end];
  const complement = [...i32.const(-1), ...i32.xor];
  // The complements around each of the two runs would undo each other.
  const crcOfBody = ifElse(
    isAbove(get(size), i32.const(CRC32C_LONG)),
    copied(crc, [...body, ...i32.const(0), ...call(CRC32C_UPDATE), ...complement]),
    copied(crc, [...body, ...i32.const(CRC32C_NEW), ...call(CRC32C_BY_TABLES)]),
  );
  const checksum = [...get(record), ...get(crc), ...call(CRC32C_OF_20), ...complement];
  const stop = (condition: Code): Code => returnIf(condition, get(row));
  const stopUnlessBelowLimit = (value: Code): Code => stop(isBelow(plus(get(limit), -1), value));
  const put = (offset: number, value: Code): Code => [...get(row), ...value, ...i32.store(offset)];
  const lowOf = (address: number): Code => sum(get(lowOfZero), get(address));
  const offsetInPage = masked(plus(get(at), -CRC32C_DATA_OFFSET), PAGE_SIZE - 1);
  const ofPage = (offset: number): Code => wordAt(page, offset);
  const stopUnlessPage = (flags: number, remaining: Code): Code => [
    ...stopUnlessBelowLimit(plus(get(page), SHORT_PAGE_HEADER_SIZE)),
    ...stop(
      differs(
        masked(ofPage(0), ~(PAGE_MAY_BE_REMOVED << 16)),
        either(get(magic), i32.const(flags << 16)),
      ),
    ),
    ...stop(differs(ofPage(4), get(timeline))),
    ...stop(differs(ofPage(8), lowOf(page))),
    ...stop(differs(ofPage(12), get(high))),
    ...stop(differs(ofPage(16), remaining)),
  ];
  const enterPage = [
    ...copied(page, get(at)),
    ...stopUnlessPage(0, i32.const(0)),
    ...advance(at, SHORT_PAGE_HEADER_SIZE),
  ];
  const copyPart = (from: Code): Code => [
    ...[...difference(end, get(left)), ...from, ...get(part), ...COPY],
    ...copied(left, difference(get(left), get(part))),
  ];
  const mostOfPage = i32.const(PAGE_SIZE - SHORT_PAGE_HEADER_SIZE);
  const gather = [
    ...copied(record, sum(get(at), get(crossing))),
    ...copied(left, get(size)),
    ...copied(page, sum(get(at), get(part))),
    ...copyPart(get(at)),
    ...whileLoop(get(left), [
      ...stopUnlessPage(PAGE_CONTINUES_RECORD, get(left)),
      ...copied(part, select(isAbove(get(left), mostOfPage), mostOfPage, get(left))),
      ...copied(next, sum(plus(get(page), SHORT_PAGE_HEADER_SIZE), get(part))),
      ...stopUnlessBelowLimit(get(next)),
      ...copyPart(plus(get(page), SHORT_PAGE_HEADER_SIZE)),
      ...advance(page, PAGE_SIZE),
    ]),
  ];
  return {
    name: 'findRecords',
    parameters: words(11),
    locals: words(8),
    body: [
      ...whileLoop(isBelow(get(at), get(limit)), [
        ...ifTrue(isEqual(offsetInPage, i32.const(0)), enterPage),
        ...stopUnlessBelowLimit(plus(get(at), WAL_RECORD_HEADER_SIZE)),
        ...copied(record, get(at)),
        ...copied(size, field(0)),
        ...stop(isBelow(get(size), i32.const(WAL_RECORD_HEADER_SIZE))),
        ...stop(isAbove(get(size), get(maximumLength))),
        ...copied(next, end),
        ...stopUnlessBelowLimit(get(next)),
        ...copied(part, difference(i32.const(PAGE_SIZE), offsetInPage)),
        ...ifTrue(isAbove(get(size), get(part)), gather),
        ...copied(next, masked(plus(get(next), 7), -8)),
        ...stopUnlessBelowLimit(get(next)),
        ...stop(differs(field(8), get(previousLow))),
        ...stop(differs(field(12), get(previousHigh))),
        ...copied(kind, halfAt(record, 16)),
        ...stop(isBelow(i32.const(FIRST_OTHER_MANAGER - 1), get(kind))),
        ...stop(isEqual(masked(get(kind), KIND_BITS), i32.const(SWITCH_KIND))),
        ...crcOfBody,
        ...stop(differs(checksum, field(CRC_OFFSET))),
        ...copied(previousLow, lowOf(at)),
        ...copied(previousHigh, get(high)),
        ...put(ROW.start, get(previousLow)),
        ...put(ROW.start + 4, get(high)),
        ...put(ROW.end, lowOf(next)),
        ...put(ROW.end + 4, get(high)),
        ...put(ROW.timeline, get(timeline)),
        ...put(ROW.offset, plus(get(record), -CRC32C_DATA_OFFSET)),
        ...put(ROW.size, get(size)),
        ...advance(row, ROW_SIZE),
        ...copied(at, get(next)),
      ]),
      ...get(row),
    ],
  };
}

/** `countRows(row, lastRow, compressionFlags, counts)` */
function countRows(): WasmFunction {
  const [row, lastRow, compressionFlags, counts] = [0, 1, 2, 3] as const;
  const [at, end, announced, images, previousId, kind, flags, length, hole] = [
    4, 5, 6, 7, 8, 9, 10, 11, 12,
  ] as const;
  const NO_BLOCK = i32.const(-1);
  const stop = (condition: Code): Code => returnIf(condition, get(row));
  const byte = (offset: number): Code => byteAt(at, offset);
  const half = (offset: number): Code => halfAt(at, offset);
  const stopIfShorter = (size: number): Code => stop(isAbove(plus(get(at), size), get(end)));
  const add = (total: number, value: Code): Code => copied(total, sum(get(total), value));
  const field = (offset: number): Code => wordAt(row, offset);
  const increase = (offset: number, value: Code): Code => [
    ...[...get(kind), ...sum(wordAt(kind, offset), value), ...i32.store(offset)],
  ];
  const left = difference(get(end), get(at));
  const isSame = masked(get(flags), SAME_RELATION);
  const hasData = shifted(get(flags), DATA_FLAG_SHIFT);
  const image = [
    ...stopIfShorter(5),
    ...copied(length, half(0)),
    ...copied(hole, half(2)),
    ...stop([...byte(4), ...get(compressionFlags), ...i32.and]),
    ...ifElse(
      masked(byte(4), HAS_HOLE),
      [
        ...stop(isAbove(get(length), i32.const(PAGE_SIZE - 1))),
        // A hole at 0 is invalid: minus 1, it is above all lengths. A hole ends at or before the end of the page.
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
    name: 'countRows',
    parameters: words(4),
    locals: words(9),
    body: [
      ...whileLoop(isBelow(get(row), get(lastRow)), [
        ...copied(at, plus(field(ROW.offset), CRC32C_DATA_OFFSET)),
        ...copied(end, sum(get(at), field(ROW.size))),
        ...copied(kind, shifted(half(16), 4)),
        ...stop(isAbove(get(kind), i32.const(COUNTED_KINDS - 1))),
        ...ifTrue(isTransaction, copied(kind, masked(get(kind), TRANSACTION_OPERATION))),
        ...advance(at, WAL_RECORD_HEADER_SIZE),
        ...copied(announced, i32.const(0)),
        ...copied(images, i32.const(0)),
        ...copied(previousId, NO_BLOCK),
        ...whileLoop(
          [...left, ...get(announced), ...i32.isAboveSigned],
          [...ifElse(isAbove(byte(0), i32.const(MAXIMUM_BLOCK_ID)), mainData, block)],
        ),
        ...stop(differs(left, get(announced))),
        ...copied(kind, times(get(kind), COUNT_SIZE)),
        ...copied(kind, sum(get(kind), get(counts))),
        ...increase(COUNT.records, i32.const(1)),
        ...increase(COUNT.recordBytes, difference(field(ROW.size), get(images))),
        ...increase(COUNT.imageBytes, get(images)),
        ...advance(row, ROW_SIZE),
      ]),
      ...get(row),
    ],
  };
}

/** The functions, for memory of `ChecksummedBytes`. */
export const RECORD_FUNCTIONS: readonly WasmFunction[] = [findRecords(), countRows()];

/** Where `findRecords` begins; LSNs are in halves. */
export interface RunStart {
  /** Offsets in the memory: of the first record, and what the last one ends before. */
  readonly at: number;
  readonly limit: number;
  /** Start of the preceding record. */
  readonly previousHigh: number;
  readonly previousLow: number;
  /** LSN of the memory's first byte; no record reaches another high half. */
  readonly high: number;
  readonly low: number;
  /** Of the records, and of the pages on which they continue. */
  readonly timelineId: number;
  readonly maximumLength: number;
  /** What those pages begin with. */
  readonly magic: number;
}

/** Where the loops have room in a chunk, as offsets in its memory. */
export interface KernelRoom {
  /** Of `KERNEL_COUNTS_LENGTH` bytes, a multiple of 4. */
  readonly counts: number;
  /** Of the first row. */
  readonly rows: number;
  /** Distance from the start of a record that crosses pages to the place where it is assembled. */
  readonly crossing: number;
}

/** Sums by kind. */
export interface KindSums {
  readonly records: Float64Array;
  readonly recordBytes: Float64Array;
  readonly imageBytes: Float64Array;
}

/** The loops for one memory. */
export class RecordKernel {
  readonly #find: WasmCall;
  readonly #count: WasmCall;
  /** Address of the first row. */
  readonly #rows: number;
  readonly #crossing: number;
  readonly #countsAddress: number;
  readonly #counts: Uint32Array;

  private constructor(
    { bytes }: ChecksummedBytes,
    { rows, crossing, counts }: KernelRoom,
    { find, count }: { readonly find: WasmCall; readonly count: WasmCall },
  ) {
    this.#find = find;
    this.#count = count;
    this.#rows = CRC32C_DATA_OFFSET + rows;
    this.#crossing = crossing;
    this.#countsAddress = CRC32C_DATA_OFFSET + counts;
    this.#counts = new Uint32Array(
      bytes.buffer,
      bytes.byteOffset + counts,
      KERNEL_COUNTS_LENGTH / 4,
    );
  }

  /** Returns: undefined for memory without WebAssembly. */
  static of(memory: ChecksummedBytes, room: KernelRoom): RecordKernel | undefined {
    const { findRecords: find, countRows: count } = memory.exports;
    if (find === undefined || count === undefined) return undefined;
    return new RecordKernel(memory, room, { find, count });
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
      start.magic,
      this.#crossing,
    );
    return (end - this.#rows) / ROW_SIZE;
  }

  /** Counts rows from one number up to another. Returns: number of the first row that it left. */
  countRows(from: number, to: number, majorVersion: number): number {
    const { pglz, lz4, zstd } = imageFlagsOf(majorVersion);
    const rows = this.#rows;
    const end = this.#count(
      rows + ROW_SIZE * from,
      rows + ROW_SIZE * to,
      pglz | lz4 | zstd,
      this.#countsAddress,
    );
    return (end - rows) / ROW_SIZE;
  }

  /** Moves the counts to the sums, by the numbers of the kinds. */
  takeCounts({ records, recordBytes, imageBytes }: KindSums): void {
    const counts = this.#counts;
    for (let kind = 0; kind < COUNTED_KINDS; kind += 1) {
      const at = kind * (COUNT_SIZE / 4);
      const number = counts[at] as number;
      if (number === 0) continue;
      records[kind] = (records[kind] as number) + number;
      recordBytes[kind] = (recordBytes[kind] as number) + (counts[at + 1] as number);
      imageBytes[kind] = (imageBytes[kind] as number) + (counts[at + 2] as number);
    }
    counts.fill(0);
  }
}
