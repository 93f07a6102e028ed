/**
 * CRC-32C (Castagnoli), the only checksum in these formats. It is computed in WebAssembly (`crc32c-module.ts`), at two
 * to three times the speed of JavaScript. JavaScript is used for short inputs, for existing bytes that are checked in
 * place, and if a process has no WebAssembly or no address space for it. The module can only access its own memory:
 * `ChecksummedBytes` are allocated there, other bytes are copied.
 */
import crc32c from 'crc-32/crc32c.js';
import { ViewedBytes } from './byte-words.ts';
import {
  CRC32C_DATA_OFFSET,
  CRC32C_TABLE_COUNT,
  crc32cModule,
  prepareCrc32cMemory,
} from './crc32c-module.ts';
import type { WasmFunction } from './wasm-code.ts';

/** Shorter inputs are not worth loading the module: most programs have few of them. */
const LONG = 4096;

/** Bytes that are copied to the module at a time. */
const COPIED_LENGTH = 32 * 1024;

/** The memory of the shared module; null if there can be none. */
let shared: KernelMemory | null | undefined;

/**
 * Returns the CRC-32C of the bytes as an unsigned 32-bit number; that of the package is signed. A running checksum
 * continues from that of the bytes before.
 */
export function crc32cOf(bytes: Uint8Array, before = 0): number {
  if (bytes.length >= LONG && shared === undefined) shared = kernelMemory(COPIED_LENGTH) ?? null;
  if (bytes.length < LONG || shared === undefined || shared === null) {
    return crc32c.buf(bytes, before | 0) >>> 0;
  }
  const { array, update } = shared;
  let crc = before;
  for (let at = 0; at < bytes.length; at += COPIED_LENGTH) {
    const length = Math.min(COPIED_LENGTH, bytes.length - at);
    array.set(length === bytes.length ? bytes : bytes.subarray(at, at + length));
    crc = update(CRC32C_DATA_OFFSET, CRC32C_DATA_OFFSET + length, crc);
  }
  return crc >>> 0;
}

/** Bytes in which many short runs are checked in place, without a view or a copy for each. */
export class ChecksummedBytes extends ViewedBytes {
  readonly #update: UpdateCrc | undefined;
  /** The requested functions, by name; none without WebAssembly. Addresses begin at `CRC32C_DATA_OFFSET`. */
  readonly exports: Readonly<Record<string, WasmCall>>;

  private constructor(
    bytes: Uint8Array,
    kernel: Pick<KernelMemory, 'update' | 'exports'> | undefined,
  ) {
    super(bytes);
    this.#update = kernel?.update;
    this.exports = kernel?.exports ?? {};
  }

  /**
   * Allocates zeroed memory, in WebAssembly if available. It does not grow, so its views stay valid; it cannot be
   * transferred to another thread.
   *
   * @param functions More functions for its module; always the same array, since a module is compiled for each.
   */
  static allocate(length: number, functions = NO_FUNCTIONS): ChecksummedBytes {
    const memory = kernelMemory(length, functions);
    if (memory === undefined) return ChecksummedBytes.of(new Uint8Array(length));
    return new ChecksummedBytes(memory.array, memory);
  }

  /** For existing bytes, which are checked in JavaScript. */
  static of(bytes: Uint8Array): ChecksummedBytes {
    return new ChecksummedBytes(bytes, undefined);
  }

  /**
   * CRC-32C of the bytes from `from` up to `to`, continued from that of the bytes before. Requires: both lie within
   * the bytes.
   */
  crc32c(from: number, to: number, before = 0): number {
    const update = this.#update;
    if (update === undefined) return crc32cOfRange(this.view, { from, to, before });
    return update(CRC32C_DATA_OFFSET + from, CRC32C_DATA_OFFSET + to, before) >>> 0;
  }
}

const NO_FUNCTIONS: readonly WasmFunction[] = [];

/** A function of a module, of words and addresses. */
export type WasmCall = (...parameters: number[]) => number;

/** Continues a checksum over a run of the module's memory, by addresses. Returns a signed number. */
type UpdateCrc = (from: number, to: number, before: number) => number;

interface KernelMemory {
  /** The bytes of the user. */
  readonly array: Uint8Array;
  readonly update: UpdateCrc;
  readonly exports: Readonly<Record<string, WasmCall>>;
}

/** Not among the type declarations of Node. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: unknown } },
  ) => { readonly exports: Readonly<Record<string, WasmCall>> & { readonly update: UpdateCrc } };
};

const WASM_PAGE_SIZE = 64 * 1024;

/** Modules by their functions. Each is compiled once per thread, in 0.3 ms, on first use. */
const modules = new Map<readonly WasmFunction[], object>();

/** A module with its own memory; undefined without WebAssembly. */
function kernelMemory(length: number, functions = NO_FUNCTIONS): KernelMemory | undefined {
  try {
    const compiled = modules.get(functions) ?? new WebAssembly.Module(crc32cModule(functions));
    modules.set(functions, compiled);
    const pages = Math.ceil((CRC32C_DATA_OFFSET + length) / WASM_PAGE_SIZE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const instance = new WebAssembly.Instance(compiled, { env: { memory } });
    prepareCrc32cMemory(memory.buffer, crcTables());
    const array = new Uint8Array(memory.buffer, CRC32C_DATA_OFFSET, length);
    return { array, update: instance.exports.update, exports: instance.exports };
  } catch {
    // Forbidden, without SIMD, or without address space: in all cases JavaScript is used instead.
    return undefined;
  }
}

const POLYNOMIAL = 0x82f63b78;

let tables: Int32Array | undefined;

/** Tables of 256 numbers; number `n * 256 + byte` is for a byte that is followed by n others. */
function crcTables(): Int32Array {
  tables ??= buildTables();
  return tables;
}

function buildTables(): Int32Array {
  const built = new Int32Array(CRC32C_TABLE_COUNT * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : POLYNOMIAL);
    built[byte] = crc;
  }
  for (let index = 256; index < built.length; index += 1) {
    const before = built[index - 256] as number;
    built[index] = (before >>> 8) ^ (built[before & 0xff] as number);
  }
  return built;
}

/**
 * CRC-32C of a run of bytes in JavaScript, 16 bytes at a time, then four: each byte has the table that says what it
 * does to the checksum, given how many bytes follow it among those that are taken together.
 */
export function crc32cOfRange(
  view: DataView,
  { from, to, before }: { readonly from: number; readonly to: number; readonly before: number },
): number {
  const t = crcTables();
  let crc = ~before;
  let at = from;
  for (const last = to - 16; at <= last; at += 16) {
    const a = view.getInt32(at, true) ^ crc;
    const b = view.getInt32(at + 4, true);
    const c = view.getInt32(at + 8, true);
    const d = view.getInt32(at + 12, true);
    crc =
      (t[3840 + (a & 255)] as number) ^
      (t[3584 + ((a >>> 8) & 255)] as number) ^
      (t[3328 + ((a >>> 16) & 255)] as number) ^
      (t[3072 + (a >>> 24)] as number) ^
      (t[2816 + (b & 255)] as number) ^
      (t[2560 + ((b >>> 8) & 255)] as number) ^
      (t[2304 + ((b >>> 16) & 255)] as number) ^
      (t[2048 + (b >>> 24)] as number) ^
      (t[1792 + (c & 255)] as number) ^
      (t[1536 + ((c >>> 8) & 255)] as number) ^
      (t[1280 + ((c >>> 16) & 255)] as number) ^
      (t[1024 + (c >>> 24)] as number) ^
      (t[768 + (d & 255)] as number) ^
      (t[512 + ((d >>> 8) & 255)] as number) ^
      (t[256 + ((d >>> 16) & 255)] as number) ^
      (t[d >>> 24] as number);
  }
  for (const last = to - 4; at <= last; at += 4) {
    const a = view.getInt32(at, true) ^ crc;
    crc =
      (t[768 + (a & 255)] as number) ^
      (t[512 + ((a >>> 8) & 255)] as number) ^
      (t[256 + ((a >>> 16) & 255)] as number) ^
      (t[a >>> 24] as number);
  }
  for (; at < to; at += 1) crc = (crc >>> 8) ^ (t[(crc ^ view.getUint8(at)) & 255] as number);
  return ~crc >>> 0;
}
