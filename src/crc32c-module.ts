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
  type Code,
  call,
  FILL,
  get,
  i32,
  i64,
  returnIf,
  SELECT,
  set,
  v128,
  type WasmFunction,
  wasmModule,
  whileLoop,
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
 * @param tables `CRC32C_TABLE_COUNT` tables of 256 numbers; number `n * 256 + byte` is of a byte that n others follow.
 */
export function prepareCrc32cMemory(memory: ArrayBuffer, tables: Int32Array): void {
  new Int32Array(memory).set(tables);
  new Uint8Array(memory, MASKS_OFFSET + BLOCK_SIZE, BLOCK_SIZE).fill(0xff);
  new Int32Array(memory, CRC32C_NEW + BLOCK_SIZE, 1).fill(-1);
}

function hasLeft(size: number): Code {
  return [...get(END), ...get(AT), ...i32.sub, ...i32.const(size - 1), ...i32.isAbove];
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
    ...[...get(AT), ...i64.load(offset), ...get(size), ...i64.load(MASKS_OFFSET + offset)],
    ...[...i64.and, ...get(seedAt), ...i64.load(offset), ...i64.xor],
  ];
  // What remains of the seed after fewer than four bytes.
  const rest = [...get(seedAt), ...i32.load(BLOCK_SIZE)];
  const isEmpty = [...get(AT), ...get(END), ...i32.isEqual];
  const firstSize = [
    ...[...get(END), ...get(AT), ...i32.sub, ...i32.const(1), ...i32.sub],
    ...[...i32.const(BLOCK_SIZE - 1), ...i32.and, ...i32.const(1), ...i32.add],
  ];
  return {
    parameters: ['i32', 'i32', 'i32'],
    locals: ['i32', 'i32', 'i32', 'i64', 'i64'],
    body: [
      ...returnIf(isEmpty, [...get(seed), ...i32.load(BLOCK_SIZE)]),
      ...[...firstSize, ...set(size)],
      ...[...get(seed), ...get(size), ...i32.add, ...set(seedAt)],
      ...[...get(AT), ...get(size), ...i32.add, ...i32.const(BLOCK_SIZE), ...i32.sub, ...set(AT)],
      ...[...word(0), ...set(low), ...word(8), ...set(high)],
      ...sum([...lookups(low, 8), ...lookups(high, 0), rest]),
      ...set(crc),
      ...advance(AT, BLOCK_SIZE),
      ...whileLoop(
        [...get(END), ...get(AT), ...i32.isAbove],
        [...continued(AT, BLOCK_SIZE, crc), ...advance(AT, BLOCK_SIZE)],
      ),
      ...get(crc),
    ],
  };
}

/** Continues a checksum over 20 bytes, in a local: `of20(from, crc)`. */
function of20(): WasmFunction {
  const crc = 1;
  return {
    parameters: ['i32', 'i32'],
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
    const byte = [...get(at), ...i32.load8(4 + index)];
    return [...byte, ...i32.const(2), ...i32.shiftLeft, ...entry(size - 5 - index)];
  });
  const first = [0, 1, 2, 3].map((byte): Code => {
    const shift = [
      ...i32.const(Math.abs(8 * byte - 2)),
      ...(byte === 0 ? i32.shiftLeft : i32.shiftRight),
    ];
    return [...get(crc), ...shift, ...i32.const(0xff << 2), ...i32.and, ...entry(size - 1 - byte)];
  });
  const [a = [], b = [], c = [], d = []] = first;
  return [
    ...[...get(crc), ...get(at), ...i32.load(0), ...i32.xor, ...set(crc)],
    ...[...sum(others), ...sum([a, b]), ...sum([c, d]), ...i32.xor, ...i32.xor, ...set(crc)],
  ];
}

/** The table entries for the bytes of an i64 that is followed by N other bytes. */
function lookups(word: number, following: number): Code[] {
  return Array.from({ length: 8 }, (_, byte) => {
    const shift = [
      ...i64.const(Math.abs(8 * byte - 2)),
      ...(byte === 0 ? i64.shiftLeft : i64.shiftRight),
    ];
    const index = [...get(word), ...shift, ...i32.ofI64, ...i32.const(0xff << 2), ...i32.and];
    return [...index, ...entry(following + 7 - byte)];
  });
}

/** The table entry, 4 bytes, for a byte that is followed by N others. Operand: 4 times the byte. */
function entry(following: number): Code {
  return i32.load(following * TABLE_SIZE);
}

function sum(values: readonly Code[]): Code {
  return values.flatMap((value, index) => (index === 0 ? value : [...value, ...i32.xor]));
}

/** The checksum, without the complements. Requires: complete blocks, more than 79 of them, and at most one piece. */
function byFolding(): WasmFunction {
  /** The block that is folded lies `FOLD_SIZE` bytes after it. */
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
  const isBelow = (local: number, bound: Code): Code => [...get(local), ...bound, ...i32.isBelow];
  const next = [...advance(AT, BLOCK_SIZE), ...advance(folded, BLOCK_SIZE)];
  const firstOfLast = [...get(END), ...i32.const(FOLD_SIZE), ...i32.sub];
  return {
    parameters: ['i32', 'i32', 'i32'],
    locals: ['i32', 'i32', 'v128'],
    body: [
      ...[...v128.zero, ...get(CRC), ...v128.replaceFirst, ...set(seed)],
      ...[...i32.const(FOLDED_OFFSET), ...set(folded)],
      ...[...firstOfLast, ...set(last)],
      ...whileLoop(isBelow(AT, get(last)), [
        ...[...get(folded), ...block, ...get(seed), ...v128.xor, ...v128.store(FOLD_SIZE)],
        ...[...v128.zero, ...set(seed)],
        ...next,
      ]),
      // The last blocks are not folded any further: where later blocks look for them, there are zeros.
      ...[...get(folded), ...i32.const(FOLD_SIZE), ...i32.add],
      ...[...i32.const(0), ...i32.const(FOLD_SIZE), ...FILL],
      ...[...i32.const(LAST_OFFSET), ...set(last)],
      ...whileLoop(isBelow(AT, get(END)), [
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
  const left = [...get(END), ...get(AT), ...i32.sub];
  const isPieceFull = [...get(piece), ...i32.const(PIECE_SIZE), ...i32.isAbove];
  const atMostPiece = [...i32.const(PIECE_SIZE), ...get(piece), ...isPieceFull, ...SELECT];
  const pieceEnd = [...get(AT), ...get(piece), ...i32.add];
  const complement = [...get(CRC), ...i32.const(-1), ...i32.xor, ...set(CRC)];
  return {
    name: 'update',
    parameters: ['i32', 'i32', 'i32'],
    locals: ['i32'],
    body: [
      ...complement,
      ...whileLoop(hasLeft(CRC32C_LONG), [
        ...[...left, ...set(piece)],
        ...[...atMostPiece, ...i32.const(-BLOCK_SIZE), ...i32.and, ...set(piece)],
        ...[...get(AT), ...pieceEnd, ...get(CRC), ...call(BY_FOLDING), ...set(CRC)],
        ...[...pieceEnd, ...set(AT)],
      ]),
      ...[...i32.const(CONTINUED), ...get(CRC), ...i32.store(BLOCK_SIZE)],
      ...[...get(AT), ...get(END), ...i32.const(CONTINUED), ...call(BY_TABLES), ...set(CRC)],
      ...complement,
      ...get(CRC),
    ],
  };
}
