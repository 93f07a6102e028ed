/**
 * CRC-32C as a WebAssembly module, which is written here instruction by instruction. Its memory:
 *
 *   0       20 tables of 256 i32, as `checksum.ts` makes them
 *   20480   16 zeros, 16 bytes of ones: masks of the last bytes of a block
 *   20512   seed of a new checksum, then that of a continued one: 16 zeros, the i32, 28 zeros each
 *   20608   1,264 zeros, then the folded blocks of one piece, then zeros that are written after them
 *   38256   the last 79 blocks of a piece, folded
 *   39520   the bytes of the user (`CRC32C_DATA_OFFSET`)
 *
 * Short runs use the tables, 16 bytes per step, the odd bytes first. In long runs all but the last 1,264 bytes are
 * folded first: XOR moves a block of 16 bytes to later places, which does not change the checksum. That is possible
 * because, modulo the polynomial of CRC-32C,
 *
 *   y^79 = y^75 + y^71 + y^58 + y^18 + y^12 + y + 1   for y = x^128, the shift by one block
 *
 * so that a block may be replaced by seven copies of it, 4 to 79 blocks later. Block n of the folded ones is block n of
 * the input with the copies that arrive there: the folded blocks 79, 78, 67, 61, 21, 8 and 4 before it. No smaller
 * exponent than 79 has such a sum of eight powers. Found by search; a test computes both sides.
 * Source of the method: Russell, "Chorba: A novel CRC32 implementation" (2024).
 */
import {
  advance,
  byteAt,
  type Code,
  call,
  copied,
  difference,
  FILL,
  get,
  i32,
  i64,
  isAbove,
  isBelow,
  isEqual,
  longAt,
  masked,
  plus,
  returnIf,
  select,
  shiftedLeft,
  sum,
  v128,
  type WasmFunction,
  wasmModule,
  whileLoop,
  wordAt,
  words,
  xor,
} from './wasm-code.ts';

/** Powers of the shift by one block; their sum is that by 79 blocks. */
export const FOLDED_POWERS = [0, 1, 12, 18, 58, 71, 75];
export const FOLD_DISTANCE = 79;

const BLOCK_SIZE = 16;
const FOLD_SIZE = FOLD_DISTANCE * BLOCK_SIZE;
/** Maximum number of bytes that are folded together: they stay in the L1 cache of the processor. */
const PIECE_SIZE = 16 * 1024;
/** From this length on folding saves time. */
export const CRC32C_LONG = 2048;

const TABLE_SIZE = 1024;
/** Maximum number of bytes that are looked up together. */
export const CRC32C_TABLE_COUNT = 20;
const MASKS_OFFSET = CRC32C_TABLE_COUNT * TABLE_SIZE;
const SEED_SIZE = 3 * BLOCK_SIZE;
/** Seeds of `CRC32C_BY_TABLES`. */
export const CRC32C_NEW = MASKS_OFFSET + 2 * BLOCK_SIZE;
const CONTINUED = CRC32C_NEW + SEED_SIZE;
const FOLDED_OFFSET = CONTINUED + SEED_SIZE;
/** Zeros. */
const NO_SEED = FOLDED_OFFSET;
const LAST_OFFSET = FOLDED_OFFSET + FOLD_SIZE + PIECE_SIZE;

/** Where the bytes of the user begin in the memory of the module. */
export const CRC32C_DATA_OFFSET = LAST_OFFSET + FOLD_SIZE;

/** The address of bytes of the user. */
export const dataAt = (offset: number): Code => i32.const(CRC32C_DATA_OFFSET + offset);

/** Indexes of the functions. */
const BY_TABLES = 0;
const BY_FOLDING = 1;
/** Functions that additional ones may call: `update`, and two for a part of a run, without the complements. */
export const CRC32C_UPDATE = 2;
export const CRC32C_BY_TABLES = BY_TABLES;
export const CRC32C_OF_20 = 3;

/** Parameters of all functions: the run, and its checksum so far. */
const AT = 0;
const END = 1;
const CRC = 2;

/**
 * The bytes of the module. It exports `update(from, to, before)`, which returns a signed checksum, and the additional
 * functions that have a name. These may call it.
 */
export function crc32cModule(more: readonly WasmFunction[] = []): Uint8Array<ArrayBuffer> {
  return wasmModule([byTables(), byFolding(), update(), of20(), ...more]);
}

/**
 * Initializes new memory.
 *
 * @param tables `CRC32C_TABLE_COUNT` tables of 256 numbers; number `n * 256 + byte` is for a byte followed by n others.
 */
export function prepareCrc32cMemory(memory: ArrayBuffer, tables: Int32Array): void {
  new Int32Array(memory).set(tables);
  new Uint8Array(memory, MASKS_OFFSET + BLOCK_SIZE, BLOCK_SIZE).fill(0xff);
  new Int32Array(memory, CRC32C_NEW + BLOCK_SIZE, 1).fill(-1);
}

function hasLeft(size: number): Code {
  return isAbove(difference(get(END), get(AT)), i32.const(size - 1));
}

/**
 * `byTables(from, to, seed)` takes the address of a seed instead of a checksum. The bytes that do not fill a block come
 * first, as the end of a block that starts before the run: a mask replaces the bytes before the run by zeros, which do
 * not change a checksum of 0, and the seed is read at an offset that aligns its i32 with the first bytes of the run. So
 * a run of any length takes few branches, which a processor could not predict for the many short runs.
 */
function byTables(): WasmFunction {
  const seed = 2;
  const crc = 3;
  const size = 4;
  const seedAt = 5;
  const low = 6;
  const high = 7;
  const word = (offset: number): Code => [
    ...[...longAt(AT, offset), ...longAt(size, MASKS_OFFSET + offset), ...i64.and],
    ...[...longAt(seedAt, offset), ...i64.xor],
  ];
  // What remains of the seed after fewer than four bytes.
  const rest = wordAt(seedAt, BLOCK_SIZE);
  const isEmpty = isEqual(get(AT), get(END));
  const before = difference(difference(get(END), get(AT)), i32.const(1));
  const firstSize = plus(masked(before, BLOCK_SIZE - 1), 1);
  return {
    parameters: words(3),
    locals: ['i32', 'i32', 'i32', 'i64', 'i64'],
    body: [
      ...returnIf(isEmpty, wordAt(seed, BLOCK_SIZE)),
      ...copied(size, firstSize),
      ...copied(seedAt, sum(get(seed), get(size))),
      ...copied(AT, difference(sum(get(AT), get(size)), i32.const(BLOCK_SIZE))),
      ...[...copied(low, word(0)), ...copied(high, word(8))],
      ...copied(crc, xor(...lookups(low, 8), ...lookups(high, 0), rest)),
      ...advance(AT, BLOCK_SIZE),
      ...whileLoop(isAbove(get(END), get(AT)), [
        ...continued(AT, BLOCK_SIZE, crc),
        ...advance(AT, BLOCK_SIZE),
      ]),
      ...get(crc),
    ],
  };
}

/** Continues a checksum over 20 bytes, in a local: `of20(from, crc)`. */
function of20(): WasmFunction {
  const crc = 1;
  return {
    parameters: words(2),
    locals: [],
    body: [...continued(AT, CRC32C_TABLE_COUNT, crc), ...get(crc)],
  };
}
/**
 * Continues the checksum in a local over the next `size` bytes. Only the lookups of the first four bytes depend on the
 * checksum so far, and come last; the others take their bytes directly from memory.
 */
function continued(at: number, size: number, crc: number): Code {
  const others = Array.from({ length: size - 4 }, (_, index): Code => {
    return [...shiftedLeft(byteAt(at, 4 + index), 2), ...entry(size - 5 - index)];
  });
  const first = [0, 1, 2, 3].map((byte): Code => {
    const shift = [
      ...i32.const(Math.abs(8 * byte - 2)),
      ...(byte === 0 ? i32.shiftLeft : i32.shiftRight),
    ];
    return [...masked([...get(crc), ...shift], 0xff << 2), ...entry(size - 1 - byte)];
  });
  const [a = [], b = [], c = [], d = []] = first;
  return [
    ...copied(crc, xor(get(crc), wordAt(at, 0))),
    ...copied(crc, [...xor(...others), ...xor(a, b), ...xor(c, d), ...i32.xor, ...i32.xor]),
  ];
}

/** The table entries for the bytes of an i64 that is followed by N other bytes. */
function lookups(word: number, following: number): Code[] {
  return Array.from({ length: 8 }, (_, byte) => {
    const shift = [
      ...i64.const(Math.abs(8 * byte - 2)),
      ...(byte === 0 ? i64.shiftLeft : i64.shiftRight),
    ];
    const index = masked([...get(word), ...shift, ...i32.ofI64], 0xff << 2);
    return [...index, ...entry(following + 7 - byte)];
  });
}

/** The table entry, 4 bytes, for a byte that is followed by N others. Operand: 4 times the byte. */
function entry(following: number): Code {
  return i32.load(following * TABLE_SIZE);
}

/** The checksum, without the complements. Requires: complete blocks, more than 79 of them, and at most one piece. */
function byFolding(): WasmFunction {
  /** The block that is folded is `FOLD_SIZE` bytes after it. */
  const folded = 3;
  const last = 4;
  const seed = 5;
  const block = [
    ...get(AT),
    ...v128.load(0),
    ...FOLDED_POWERS.flatMap((power) => [
      ...get(folded),
      ...v128.load(power * BLOCK_SIZE),
      ...v128.xor,
    ]),
  ];
  const next = [...advance(AT, BLOCK_SIZE), ...advance(folded, BLOCK_SIZE)];
  return {
    parameters: words(3),
    locals: ['i32', 'i32', 'v128'],
    body: [
      ...copied(seed, [...v128.zero, ...get(CRC), ...v128.replaceFirst]),
      ...copied(folded, i32.const(FOLDED_OFFSET)),
      ...copied(last, difference(get(END), i32.const(FOLD_SIZE))),
      ...whileLoop(isBelow(get(AT), get(last)), [
        ...[...get(folded), ...block, ...get(seed), ...v128.xor, ...v128.store(FOLD_SIZE)],
        ...[...copied(seed, v128.zero), ...next],
      ]),
      // The last blocks are not folded any further: where later blocks look for them, there are zeros.
      ...[...plus(get(folded), FOLD_SIZE), ...i32.const(0), ...i32.const(FOLD_SIZE), ...FILL],
      ...copied(last, i32.const(LAST_OFFSET)),
      ...whileLoop(isBelow(get(AT), get(END)), [
        ...[...get(last), ...block, ...v128.store(0)],
        ...[...advance(last, BLOCK_SIZE), ...next],
      ]),
      ...[...i32.const(LAST_OFFSET), ...i32.const(CRC32C_DATA_OFFSET), ...i32.const(NO_SEED)],
      ...call(BY_TABLES),
    ],
  };
}

function update(): WasmFunction {
  const piece = 3;
  const isPieceFull = isAbove(get(piece), i32.const(PIECE_SIZE));
  const atMostPiece = select(isPieceFull, i32.const(PIECE_SIZE), get(piece));
  const pieceEnd = sum(get(AT), get(piece));
  const complement = copied(CRC, xor(get(CRC), i32.const(-1)));
  return {
    name: 'update',
    parameters: words(3),
    locals: ['i32'],
    body: [
      ...complement,
      ...whileLoop(hasLeft(CRC32C_LONG), [
        ...copied(piece, difference(get(END), get(AT))),
        ...copied(piece, masked(atMostPiece, -BLOCK_SIZE)),
        ...copied(CRC, [...get(AT), ...pieceEnd, ...get(CRC), ...call(BY_FOLDING)]),
        ...copied(AT, pieceEnd),
      ]),
      ...[...i32.const(CONTINUED), ...get(CRC), ...i32.store(BLOCK_SIZE)],
      ...copied(CRC, [...get(AT), ...get(END), ...i32.const(CONTINUED), ...call(BY_TABLES)]),
      ...complement,
      ...get(CRC),
    ],
  };
}
