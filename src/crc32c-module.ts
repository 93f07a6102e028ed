/**
 * CRC-32C as a WebAssembly module, which is written here instruction by instruction. Its memory:
 *
 *   0       16 tables of 256 i32, as `checksum.ts` makes them
 *   16384   1,264 zeros, then the folded blocks of one piece, then zeros that are written after them
 *   34032   the last 79 blocks of a piece, folded
 *   35296   the bytes of the user (`CRC32C_DATA_OFFSET`)
 *
 * Short runs go through the tables, 16 bytes a step, the odd bytes first. In long runs all but the last 1,264 bytes are folded first: XOR
 * moves a block of 16 bytes to where the checksum does not tell the difference. That is possible since, modulo the
 * polynomial of CRC-32C,
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
  ifElse,
  ifTrue,
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
const FOLDED_OFFSET = 16 * TABLE_SIZE;
const LAST_OFFSET = FOLDED_OFFSET + FOLD_SIZE + PIECE_SIZE;

/** Where the bytes of the user begin in the memory of the module. */
export const CRC32C_DATA_OFFSET = LAST_OFFSET + FOLD_SIZE;

/** Bytes after a run that may be read, whatever they contain: the memory is larger by this. */
export const CRC32C_OVERREAD = BLOCK_SIZE;

/** Parameters of all functions: the run, and its checksum so far. */
const AT = 0;
const END = 1;
const CRC = 2;

/** Indexes of the functions. */
const BY_TABLES = 0;
const BY_FOLDING = 1;
/** For additional functions: `update`, and its code for runs up to `CRC32C_LONG`, without the complements. */
export const CRC32C_UPDATE = 2;
export const CRC32C_BY_TABLES = BY_TABLES;

/**
 * The bytes of the module. It exports `update(from, to, before)`, which returns a signed checksum, and the additional
 * functions that call it.
 */
export function crc32cModule(more: readonly WasmFunction[] = []): Uint8Array<ArrayBuffer> {
  return wasmModule([byTables(), byFolding(), update(), ...more]);
}

function hasLeft(size: number): Code {
  return [...get(END), ...get(AT), ...i32.sub, ...i32.const(size - 1), ...i32.isAbove];
}

/**
 * Parameters and result without the complement at both ends. The bytes before whole blocks come first: they are moved
 * to the end of a block of zeros, which do not change a checksum of 0. So a run of any length takes few branches, which
 * a processor could not predict for the many short runs. Reads up to `CRC32C_OVERREAD` bytes after the run.
 */
function byTables(): WasmFunction {
  const first = 3;
  const second = 4;
  const bits = 5;
  const size = 6;
  const word = (offset: number): Code => [...get(AT), ...i64.load(offset)];
  const checksum = [...get(CRC), ...i64.ofI32];
  const loadFirst = [...word(0), ...checksum, ...i64.xor, ...set(first)];
  const lookups = (local: number, following: number): Code[] =>
    Array.from({ length: 8 }, (_, byte) => lookup(local, byte, following + 7 - byte));
  const sum = (values: readonly Code[]): Code =>
    values.flatMap((value, index) => (index === 0 ? value : [...value, ...i32.xor]));
  // Shifts count modulo 64.
  const moveUp = (value: Code): Code => [
    ...value,
    ...[...i64.const(128), ...get(bits), ...i64.sub, ...i64.shiftLeft],
  ];
  const moveDown = (value: Code): Code => [...value, ...get(bits), ...i64.shiftRight];
  const halfBits = [...get(bits), ...i64.const(1), ...i64.shiftRight];
  // The rest of the checksum after less than four bytes; shifted twice, because a shift by 32 bits has no effect.
  const rest = [...checksum, ...halfBits, ...i64.shiftRight, ...halfBits, ...i64.shiftRight];
  const eight = [
    ...[...moveUp(get(first)), ...set(second)],
    ...[...sum([...lookups(second, 0), [...rest, ...i32.ofI64]]), ...set(CRC)],
  ];
  const sixteen = [...sum([...lookups(first, 8), ...lookups(second, 0)]), ...set(CRC)];
  const upToSixteen = [
    ...[...moveUp(word(8)), ...moveDown(get(first)), ...i64.or, ...set(second)],
    ...[...moveUp(get(first)), ...set(first)],
    ...sixteen,
  ];
  const isAboveEight = [...get(size), ...i32.const(8), ...i32.isAbove];
  return {
    parameters: ['i32', 'i32', 'i32'],
    locals: ['i64', 'i64', 'i64', 'i32'],
    body: [
      ...[...get(END), ...get(AT), ...i32.sub, ...i32.const(BLOCK_SIZE - 1), ...i32.and],
      ...set(size),
      ...ifTrue(get(size), [
        ...[...get(size), ...i32.const(3), ...i32.shiftLeft, ...i64.ofI32, ...set(bits)],
        ...loadFirst,
        ...ifElse(isAboveEight, upToSixteen, eight),
        ...[...get(AT), ...get(size), ...i32.add, ...set(AT)],
      ]),
      ...whileLoop(hasLeft(BLOCK_SIZE), [
        ...[...loadFirst, ...word(8), ...set(second), ...sixteen],
        ...advance(AT, BLOCK_SIZE),
      ]),
      ...get(CRC),
    ],
  };
}

/** The table entry for one byte of a word that is followed by N others. An entry has 4 bytes. */
function lookup(local: number, byte: number, following: number): Code {
  const shift =
    byte === 0
      ? [...i64.const(2), ...i64.shiftLeft]
      : [...i64.const(8 * byte - 2), ...i64.shiftRight];
  const entry = [...get(local), ...shift, ...i32.ofI64, ...i32.const(0xff << 2), ...i32.and];
  return [...entry, ...i32.load(following * TABLE_SIZE)];
}

/** As `byTables`. Requires: whole blocks, more than 79 of them, and no more than a piece. */
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
      // The last blocks are not replaced, because their copies would lie beyond the end.
      ...[...get(folded), ...i32.const(FOLD_SIZE), ...i32.add],
      ...[...i32.const(0), ...i32.const(FOLD_SIZE), ...FILL],
      ...[...i32.const(LAST_OFFSET), ...set(last)],
      ...whileLoop(isBelow(AT, get(END)), [
        ...[...get(last), ...block, ...v128.store(0)],
        ...[...advance(last, BLOCK_SIZE), ...next],
      ]),
      ...[...i32.const(LAST_OFFSET), ...i32.const(CRC32C_DATA_OFFSET), ...i32.const(0)],
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
      ...[...get(AT), ...get(END), ...get(CRC), ...call(BY_TABLES), ...set(CRC)],
      ...complement,
      ...get(CRC),
    ],
  };
}
