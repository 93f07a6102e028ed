/**
 * The loop of `OpenNode.addRun` in WebAssembly, and the memory that it needs:
 *
 *   0        suffixes of the open leaf
 *   8208     its values
 *   16416    keys of a run, and a vector after them
 *   29744    their values, f64
 */
import { ChecksummedBytes, type WasmCall } from '../../checksum.ts';
import { CRC32C_DATA_OFFSET, dataAt } from '../../crc32c-module.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import {
  advance,
  both,
  type Code,
  copied,
  copyVectors,
  difference,
  either,
  f64,
  get,
  i32,
  i64,
  isBelow,
  isEqual,
  longsDiffer,
  not,
  plus,
  returnIf,
  sum,
  swapped,
  times,
  VECTOR_SIZE,
  type WasmFunction,
  whileLoop,
  words,
} from '../../wasm-code.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import { NODE_VALUE_SIZE } from './node-format.ts';

/** Entries of one run. */
export const RUN_ENTRIES = 512;

const LONG = 8;
const SUFFIXES_AT = 0;
const VALUES_AT = BLOCK_SIZE + VECTOR_SIZE;
const KEYS_AT = VALUES_AT + BLOCK_SIZE + VECTOR_SIZE;
const RUN_VALUES_AT = KEYS_AT + RUN_ENTRIES * DELTA_KEY_SIZE + VECTOR_SIZE;
const SIZE = RUN_VALUES_AT + RUN_ENTRIES * Float64Array.BYTES_PER_ELEMENT;

/**
 * `addRun(entry, end, keySize, prefixLength, suffix, value)`: the numbers of the first entry of the run and of the one
 * after the last; then the addresses of the suffix and the value of the first one. Returns: the first entry that was
 * not added, because its key lacks the prefix, or is not above the one before.
 */
function addRun(): WasmFunction {
  const [entry, end, keySize, prefixLength, suffix, value] = [0, 1, 2, 3, 4, 5] as const;
  const [key, shared, copying, suffixLength] = [6, 7, 8, 9] as const;
  const number = 10;
  const ofKey = sum(get(key), get(shared));
  const ofLast = difference(ofKey, get(keySize));
  const isWithin = (size: number): Code => not(isBelow(get(keySize), plus(get(shared), size)));
  const stop = (condition: Code): Code => returnIf(condition, get(entry));
  return {
    name: 'addRun',
    parameters: words(6),
    locals: [...words(4), 'i64'],
    body: [
      ...copied(suffixLength, difference(get(keySize), get(prefixLength))),
      ...copied(key, sum(dataAt(KEYS_AT), [...get(entry), ...get(keySize), ...i32.multiply])),
      ...whileLoop(isBelow(get(entry), get(end)), [
        ...copied(shared, i32.const(0)),
        ...whileLoop(
          both(
            isWithin(LONG),
            not(longsDiffer([...ofKey, ...i64.load(0)], [...ofLast, ...i64.load(0)])),
          ),
          advance(shared, LONG),
        ),
        ...whileLoop(
          both(isWithin(1), isEqual([...ofKey, ...i32.load8(0)], [...ofLast, ...i32.load8(0)])),
          advance(shared, 1),
        ),
        ...stop(
          either(isBelow(get(shared), get(prefixLength)), isEqual(get(shared), get(keySize))),
        ),
        ...stop(isBelow([...ofKey, ...i32.load8(0)], [...ofLast, ...i32.load8(0)])),
        ...copyVectors(get(suffix), sum(get(key), get(prefixLength)), {
          size: get(suffixLength),
          copying,
        }),
        ...copied(number, [
          ...sum(dataAt(RUN_VALUES_AT), times(get(entry), Float64Array.BYTES_PER_ELEMENT)),
          ...[...f64.load(0), ...i64.ofF64],
        ]),
        ...get(value),
        ...[...get(number), ...i64.const(32), ...i64.shiftRight, ...i32.ofI64, ...i32.store8(0)],
        ...[...get(value), ...swapped([...get(number), ...i32.ofI64]), ...i32.store(1)],
        ...copied(key, sum(get(key), get(keySize))),
        ...copied(suffix, sum(get(suffix), get(suffixLength))),
        ...[...advance(value, NODE_VALUE_SIZE), ...advance(entry, 1)],
      ]),
      ...get(entry),
    ],
  };
}

/** One array, as the module is compiled once for it. */
const FUNCTIONS: readonly WasmFunction[] = [addRun()];

/** The leaf to which entries are added. */
export interface LeafPlace {
  readonly keySize: number;
  readonly prefixLength: number;
  /** Entries that the leaf has. */
  readonly entryCount: number;
}

export class LeafKernel {
  /** Of the open leaf, a block each. */
  readonly suffixes: Uint8Array;
  readonly values: Uint8Array;
  readonly #add: WasmCall;
  readonly #keys: Uint8Array;
  readonly #runValues: Float64Array;

  /** Returns: undefined without WebAssembly. */
  static create(): LeafKernel | undefined {
    const memory = ChecksummedBytes.allocate(SIZE, FUNCTIONS);
    const { addRun: add } = memory.exports;
    return add === undefined ? undefined : new LeafKernel(memory.bytes, add);
  }

  private constructor(bytes: Uint8Array, add: WasmCall) {
    this.#add = add;
    this.suffixes = bytes.subarray(SUFFIXES_AT, SUFFIXES_AT + BLOCK_SIZE);
    this.values = bytes.subarray(VALUES_AT, VALUES_AT + BLOCK_SIZE);
    this.#keys = bytes.subarray(KEYS_AT, RUN_VALUES_AT);
    const { buffer, byteOffset } = bytes;
    this.#runValues = new Float64Array(buffer, byteOffset + RUN_VALUES_AT, RUN_ENTRIES);
  }

  /** Loads the entries of a run. Requires: at most `RUN_ENTRIES`. */
  load(keys: Uint8Array, values: Float64Array): void {
    this.#keys.set(keys);
    this.#runValues.set(values);
  }

  /** As `OpenNode.addRun`, for what was loaded. Requires: room in the leaf. */
  add(from: number, end: number, { keySize, prefixLength, entryCount }: LeafPlace): number {
    const suffixesAt = SUFFIXES_AT + entryCount * (keySize - prefixLength);
    return this.#add(
      from,
      end,
      keySize,
      prefixLength,
      CRC32C_DATA_OFFSET + suffixesAt,
      CRC32C_DATA_OFFSET + VALUES_AT + entryCount * NODE_VALUE_SIZE,
    );
  }
}
