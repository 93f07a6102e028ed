/**
 * The loop that copies the entries of a merge into their order, in WebAssembly. It checks each blob before it copies
 * it.
 *
 *   blob   plain, with the header that its writer chooses (`blob-format.ts`), inside the bytes of its entry
 *   entry  has the bytes from its offset to that of the next entry of its layer, inside the values that were read
 *
 * Entries and leaf values follow each other layer by layer, with one more leaf value after those of each layer, as a
 * number of 64 bits.
 */
import {
  LONG_HEADER_FLAG,
  MAXIMUM_BLOB_HEADER_SIZE,
  SHORT_BLOB_LIMIT,
} from '../blob-writer/blob-format.ts';
import { DELTA_KEY_SIZE } from '../layers/layer-file/entry-layout.ts';
import {
  advance,
  byteAt,
  COPY,
  type Code,
  copied,
  copyVector,
  copyVectors,
  difference,
  either,
  f64,
  get,
  i32,
  i64,
  ifElse,
  ifTrue,
  isAbove,
  isBelow,
  longAt,
  masked,
  plus,
  returnIf,
  shiftedLeft,
  sum,
  times,
  VECTOR_SIZE,
  type WasmFunction,
  whileLoop,
  wordAt,
  words,
} from '../wasm-code.ts';

/** State of a layer: its next entry, what leads from an offset to an address, and where its values begin and end. */
export const SOURCE = { next: 0, shift: 4, begin: 8, end: 16 } as const;
export const SOURCE_SIZE = 24;

/** Bytes beyond the end of an array that may be read, or written while a later entry can overwrite them. */
export const COPY_OVERRUN = 16;

/** A gap after a blob: its row, and its bytes. */
export const GAP_SIZE = 8;
/** Our writer and Neon's leave them only at the end of the values. */
export const MAXIMUM_GAPS = 1024;

const COMPRESSION_BITS = 0x70;
const LENGTH_BITS = 0x0f;
/** From this size on, the instruction for it copies faster than a loop. */
const LARGE = 512;

const failIf = (condition: Code): Code => returnIf(condition, i32.const(-1));

/** The address of item `index` of an array. */
const item = (array: number, index: Code, size: number): Code =>
  sum(get(array), times(index, size));

/**
 * `copyEntries(order, sources, keys, leafValues, starts, lengths, marks, keysOut, blobs, gaps, count, maximumLength)`:
 * addresses, but for the last two. Returns the size of all blobs, or -1 if one is not as above or there are too many
 * gaps. The number of gaps precedes them.
 */
function copyEntries(): WasmFunction {
  const [order, sources, keys, leafValues, starts, lengths] = [0, 1, 2, 3, 4, 5] as const;
  const [marks, keysOut, blobs, gaps, count, maximumLength] = [6, 7, 8, 9, 10, 11] as const;
  const [row, source, entry, from, to, size] = [12, 13, 14, 15, 16, 17] as const;
  const [header, length, room, gapCount, copying, keyAt] = [18, 19, 20, 21, 22, 23] as const;
  const [keyTo, value, offset, next] = [24, 25, 26, 27] as const;

  const byte = (index: number): Code => byteAt(from, index);
  const leafValue = (at: number): Code => [
    ...item(leafValues, get(entry), Float64Array.BYTES_PER_ELEMENT),
    ...f64.load(at),
    ...i64.ofF64,
  ];
  const half = (number: Code): Code => [...number, ...i64.const(1), ...i64.shiftRight];
  const failIfAbove = (left: Code, right: Code): Code =>
    failIf([...left, ...right, ...i64.isAbove]);
  const ofSource = (field: number): Code => longAt(source, field);
  const gap = sum(get(gaps), shiftedLeft(get(gapCount), 3));

  const nextEntry: Code = [
    ...copied(source, item(sources, [...item(order, get(row), 2), ...i32.load16(0)], SOURCE_SIZE)),
    ...copied(entry, wordAt(source, SOURCE.next)),
    ...[...get(source), ...plus(get(entry), 1), ...i32.store(SOURCE.next)],
    ...copied(value, leafValue(0)),
    ...copied(offset, half(get(value))),
    ...copied(next, half(leafValue(Float64Array.BYTES_PER_ELEMENT))),
  ];
  const place: Code = [
    ...failIfAbove(ofSource(SOURCE.begin), get(offset)),
    ...failIfAbove(get(next), ofSource(SOURCE.end)),
    ...failIfAbove([...get(offset), ...i64.const(1), ...i64.add], get(next)),
    ...copied(room, [...get(next), ...get(offset), ...i64.sub, ...i32.ofI64]),
    ...copied(from, sum([...get(offset), ...i32.ofI64], wordAt(source, SOURCE.shift))),
  ];
  const lowBytes = either(either(shiftedLeft(byte(1), 16), shiftedLeft(byte(2), 8)), byte(3));
  const longHeader: Code = [
    ...failIf(masked(get(header), COMPRESSION_BITS)),
    ...copied(length, either(shiftedLeft(masked(get(header), LENGTH_BITS), 24), lowBytes)),
    ...copied(header, i32.const(MAXIMUM_BLOB_HEADER_SIZE)),
    // The writer takes the short one.
    ...failIf(isBelow(get(length), i32.const(SHORT_BLOB_LIMIT))),
  ];
  const shortHeader: Code = [...copied(length, get(header)), ...copied(header, i32.const(1))];
  const blob: Code = [
    ...copied(header, byte(0)),
    ...ifElse(isBelow(get(header), i32.const(LONG_HEADER_FLAG)), shortHeader, longHeader),
    ...failIf(isAbove(get(length), get(maximumLength))),
    ...copied(size, sum(get(length), get(header))),
    ...failIf(isAbove(get(size), get(room))),
  ];
  const key: Code = [
    ...copied(keyAt, item(keys, get(entry), DELTA_KEY_SIZE)),
    ...copied(keyTo, item(keysOut, get(row), DELTA_KEY_SIZE)),
    ...copyVector(get(keyTo), get(keyAt)),
    ...copyVector(get(keyTo), get(keyAt), VECTOR_SIZE),
  ];
  const numbers: Code = [
    ...item(starts, get(row), 4),
    ...sum(difference(get(to), get(blobs)), get(header)),
    ...i32.store(0),
    ...[...item(lengths, get(row), 4), ...get(length), ...i32.store(0)],
    ...[...item(marks, get(row), 1), ...masked([...get(value), ...i32.ofI64], 1), ...i32.store8(0)],
  ];
  const gapAfter = ifTrue(isAbove(get(room), get(size)), [
    ...failIf(isBelow(i32.const(MAXIMUM_GAPS - 1), get(gapCount))),
    ...[...gap, ...get(row), ...i32.store(GAP_SIZE)],
    ...[...gap, ...difference(get(room), get(size)), ...i32.store(GAP_SIZE + 4)],
    ...advance(gapCount, 1),
  ]);
  return {
    name: 'copyEntries',
    parameters: words(12),
    locals: [...words(13), 'i64', 'i64', 'i64'],
    body: [
      ...copied(to, get(blobs)),
      ...whileLoop(isBelow(get(row), get(count)), [
        ...nextEntry,
        ...place,
        ...blob,
        ...key,
        ...numbers,
        ...ifElse(
          isBelow(get(size), i32.const(LARGE)),
          copyVectors(get(to), get(from), { size: get(size), copying }),
          [...get(to), ...get(from), ...get(size), ...COPY],
        ),
        ...gapAfter,
        ...copied(to, sum(get(to), get(size))),
        ...advance(row, 1),
      ]),
      ...[...get(gaps), ...get(gapCount), ...i32.store(0)],
      ...difference(get(to), get(blobs)),
    ],
  };
}

/** One array, as the module is compiled once for it. */
export const COPY_KERNEL: readonly WasmFunction[] = [copyEntries()];
