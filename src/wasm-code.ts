/**
 * Writes the binary form of a small WebAssembly module: each function returns the bytes of one instruction or section.
 *
 *   00 61 73 6D, 01 00 00 00         magic and version
 *   u8 id, u32 length, items         sections: 1 types, 2 imports, 3 functions, 7 exports, 10 bodies
 *
 * Numbers are LEB128: 7 bits a byte, low ones first, the high bit means that more follow.
 * Source: WebAssembly Core Specification 2.0, chapter 5.
 */

/** Bytes of instructions. */
export type Code = readonly number[];

/** What a parameter, result or local holds. */
export type ValueType = 'i32' | 'i64' | 'v128';

const TYPE_BYTES: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, v128: 0x7b };

/** A function of a module. All results are i32. */
export interface WasmFunction {
  readonly parameters: readonly ValueType[];
  readonly locals: readonly ValueType[];
  readonly body: Code;
  /** The name under which it is exported. */
  readonly name?: string;
}

/** The module: one imported memory, `env.memory`, and functions that call each other by their index. */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const exported = functions.flatMap(({ name }, index) =>
    name === undefined ? [] : [[...text(name), 0x00, ...unsigned(index)]],
  );
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(
      1,
      functions.map(({ parameters }) => [0x60, ...types(parameters), ...types(['i32'])]),
    ),
    ...section(2, [[...text('env'), ...text('memory'), 0x02, 0x00, 0x01]]),
    ...section(
      3,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(7, exported),
    ...section(10, functions.map(bodyOf)),
  ]);
}

function section(id: number, items: readonly Code[]): Code {
  const content = [...unsigned(items.length), ...items.flat()];
  return [id, ...unsigned(content.length), ...content];
}

function bodyOf({ locals, body }: WasmFunction): Code {
  const declared = locals.flatMap((type) => [0x01, TYPE_BYTES[type]]);
  const content = [...unsigned(locals.length), ...declared, ...body, 0x0b];
  return [...unsigned(content.length), ...content];
}

function types(values: readonly ValueType[]): Code {
  return [...unsigned(values.length), ...values.map((type) => TYPE_BYTES[type])];
}

function text(name: string): Code {
  return [...unsigned(name.length), ...Array.from(name, (letter) => letter.charCodeAt(0))];
}

function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [0x80 | (value & 0x7f), ...unsigned(value >>> 7)];
}

function signed(value: number): Code {
  const isLast = value >= -0x40 && value < 0x40;
  return isLast ? [value & 0x7f] : [0x80 | (value & 0x7f), ...signed(value >> 7)];
}

/** The instructions, by their names. Operands are computed before them, as on the machine's stack. */
export const get = (local: number): Code => [0x20, ...unsigned(local)];
const set = (local: number): Code => [0x21, ...unsigned(local)];
export const call = (index: number): Code => [0x10, ...unsigned(index)];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  load: (offset: number): Code => [0x28, 0x00, ...unsigned(offset)],
  load8: (offset: number): Code => [0x2d, 0x00, ...unsigned(offset)],
  load16: (offset: number): Code => [0x2f, 0x00, ...unsigned(offset)],
  store: (offset: number): Code => [0x36, 0x00, ...unsigned(offset)],
  store8: (offset: number): Code => [0x3a, 0x00, ...unsigned(offset)],
  isEqual: [0x46],
  differs: [0x47],
  isBelow: [0x49],
  isAboveSigned: [0x4a],
  isAbove: [0x4b],
  isAtMostSigned: [0x4c],
  add: [0x6a],
  sub: [0x6b],
  multiply: [0x6c],
  and: [0x71],
  or: [0x72],
  xor: [0x73],
  shiftLeft: [0x74],
  shiftRight: [0x76],
  rotateLeft: [0x77],
  ofI64: [0xa7],
} as const satisfies Record<string, Code | ((value: number) => Code)>;

export const i64 = {
  const: (value: number): Code => [0x42, ...signed(value)],
  load: (offset: number): Code => [0x29, 0x00, ...unsigned(offset)],
  store: (offset: number): Code => [0x37, 0x00, ...unsigned(offset)],
  differs: [0x52],
  isAbove: [0x56],
  add: [0x7c],
  sub: [0x7d],
  and: [0x83],
  or: [0x84],
  xor: [0x85],
  shiftLeft: [0x86],
  shiftRight: [0x88],
  ofI32: [0xad],
  ofF64: [0xb1],
} as const satisfies Record<string, Code | ((value: number) => Code)>;

export const f64 = {
  load: (offset: number): Code => [0x2b, 0x00, ...unsigned(offset)],
};

/** Bytes of a vector. */
export const VECTOR_SIZE = 16;

export const v128 = {
  zero: [0xfd, 0x0c, ...new Array<number>(16).fill(0)] as Code,
  load: (offset: number): Code => [0xfd, 0x00, 0x00, ...unsigned(offset)],
  store: (offset: number): Code => [0xfd, 0x0b, 0x00, ...unsigned(offset)],
  xor: [0xfd, 0x51] as Code,
  /** Replaces the first four bytes by an i32. */
  replaceFirst: [0xfd, 0x1c, 0x00] as Code,
};

/** Sets bytes of memory. Operands: address, byte, length. */
export const FILL: Code = [0xfc, 0x0b, 0x00];

/** Copies bytes of memory. Operands: address of the copy, address, length. */
export const COPY: Code = [0xfc, 0x0a, 0x00, 0x00];

/** Expressions of i32. */
export const sum = (...values: Code[]): Code =>
  values.flatMap((value, index) => (index === 0 ? value : [...value, ...i32.add]));
export const xor = (...values: Code[]): Code =>
  values.flatMap((value, index) => (index === 0 ? value : [...value, ...i32.xor]));
export const difference = (left: Code, right: Code): Code => [...left, ...right, ...i32.sub];
export const plus = (value: Code, number: number): Code => [
  ...value,
  ...i32.const(number),
  ...i32.add,
];
export const masked = (value: Code, mask: number): Code => [
  ...value,
  ...i32.const(mask),
  ...i32.and,
];
export const times = (value: Code, factor: number): Code => [
  ...value,
  ...i32.const(factor),
  ...i32.multiply,
];
export const shifted = (value: Code, bits: number): Code => [
  ...value,
  ...i32.const(bits),
  ...i32.shiftRight,
];
export const shiftedLeft = (value: Code, bits: number): Code => [
  ...value,
  ...i32.const(bits),
  ...i32.shiftLeft,
];
export const rotated = (value: Code, bits: number): Code => [
  ...value,
  ...i32.const(bits),
  ...i32.rotateLeft,
];
/** The bytes of a word in the opposite order. */
export const swapped = (word: Code): Code =>
  either(masked(rotated(word, 8), 0x00ff_00ff), masked(rotated(word, 24), 0xff00_ff00 | 0));
export const copied = (target: number, value: Code): Code => [...value, ...set(target)];
export const isEqual = (left: Code, right: Code): Code => [...left, ...right, ...i32.isEqual];
export const differs = (left: Code, right: Code): Code => [...left, ...right, ...i32.differs];
export const isAbove = (left: Code, right: Code): Code => [...left, ...right, ...i32.isAbove];
export const isBelow = (left: Code, right: Code): Code => [...left, ...right, ...i32.isBelow];
export const not = (condition: Code): Code => isEqual(condition, i32.const(0));
export const both = (left: Code, right: Code): Code => [...left, ...right, ...i32.and];
export const either = (left: Code, right: Code): Code => [...left, ...right, ...i32.or];

export const longsDiffer = (left: Code, right: Code): Code => [...left, ...right, ...i64.differs];
/** One of two values, both of which are computed. */
export const select = (condition: Code, value: Code, otherwise: Code): Code => [
  ...[...value, ...otherwise, ...condition],
  0x1b,
];

/** What lies in memory at a distance from the address in a local. */
export const byteAt = (address: number, offset: number): Code => [
  ...get(address),
  ...i32.load8(offset),
];
export const halfAt = (address: number, offset: number): Code => [
  ...get(address),
  ...i32.load16(offset),
];
export const wordAt = (address: number, offset: number): Code => [
  ...get(address),
  ...i32.load(offset),
];
export const longAt = (address: number, offset: number): Code => [
  ...get(address),
  ...i64.load(offset),
];

/** Copies one vector; the offset is from both addresses. */
export const copyVector = (to: Code, from: Code, offset = 0): Code => [
  ...[...to, ...from, ...v128.load(offset)],
  ...v128.store(offset),
];

/** Copies bytes; up to 15 bytes after them are overwritten. `copying` is a local for the loop. */
export function copyVectors(
  to: Code,
  from: Code,
  { size, copying }: { readonly size: Code; readonly copying: number },
): Code {
  return [
    ...copied(copying, i32.const(0)),
    ...whileLoop(isBelow(get(copying), size), [
      ...copyVector(sum(to, get(copying)), sum(from, get(copying))),
      ...advance(copying, VECTOR_SIZE),
    ]),
  ];
}

/** Types of parameters or locals. */
export const words = (count: number): ValueType[] => new Array<ValueType>(count).fill('i32');

/** Runs the body while the condition holds. */
export function whileLoop(condition: Code, body: Code): Code {
  const leaveUnless = [...condition, 0x45, 0x0d, 0x01];
  return [0x02, 0x40, 0x03, 0x40, ...leaveUnless, ...body, 0x0c, 0x00, 0x0b, 0x0b];
}

/** Adds to a local. */
export function advance(local: number, size: number): Code {
  return [...get(local), ...i32.const(size), ...i32.add, ...set(local)];
}

/** Ends the function with this result if the condition holds. */
export function returnIf(condition: Code, result: Code): Code {
  return ifTrue(condition, [...result, 0x0f]);
}

/** Runs one of two bodies. */
export function ifElse(condition: Code, body: Code, otherwise: Code): Code {
  return [...condition, 0x04, 0x40, ...body, 0x05, ...otherwise, 0x0b];
}

/** Runs the body once if the condition holds. */
export function ifTrue(condition: Code, body: Code): Code {
  return [...condition, 0x04, 0x40, ...body, 0x0b];
}
