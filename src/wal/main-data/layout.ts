/**
 * Layout: a struct of C, written as `u32 xmax, u16 off, _2, u8 flags`. Little-endian, each field at a multiple of its
 * alignment; `_2` is two bytes of padding, whose content is undefined.
 *
 *   u8 i8 u16 u32 i32 u64 i64 f64   numbers, each aligned to its size
 *   block                           a block number as two u16, the high one first; aligned to 2
 *   relation                        tablespace, database and relation, three u32
 *
 * Layouts are parsed once, when a module is loaded; a layout that is wrong is a bug, so it asserts.
 */
import { assert } from '../../assert.ts';

/** A field of a layout. */
export interface Field {
  readonly type: FieldType;
  readonly offset: number;
}

/** A parsed layout. */
export interface Layout {
  /** Bytes up to the end of the last field. */
  readonly size: number;
  readonly fields: ReadonlyMap<string, Field>;
}

/** Sizes and alignments of the types, in bytes. */
const TYPES = {
  u8: { size: 1, alignment: 1 },
  i8: { size: 1, alignment: 1 },
  u16: { size: 2, alignment: 2 },
  u32: { size: 4, alignment: 4 },
  i32: { size: 4, alignment: 4 },
  u64: { size: 8, alignment: 8 },
  i64: { size: 8, alignment: 8 },
  f64: { size: 8, alignment: 8 },
  block: { size: 4, alignment: 2 },
  relation: { size: 12, alignment: 4 },
} as const;

export type FieldType = keyof typeof TYPES;

export function parseLayout(text: string): Layout {
  const fields = new Map<string, Field>();
  let size = 0;
  for (const part of text === '' ? [] : text.split(', ')) {
    if (part.startsWith('_')) {
      size += Number(part.slice(1));
      continue;
    }
    const [type = '', name = ''] = part.split(' ');
    assert(isFieldType(type), `${type} is a type of a field`);
    assert(!fields.has(name) && name !== '', `the field ${name} has a name of its own`);
    assert(size % TYPES[type].alignment === 0, `the field ${name} is aligned`);
    fields.set(name, { type, offset: size });
    size += TYPES[type].size;
  }
  return { size, fields };
}

function isFieldType(text: string): text is FieldType {
  return Object.hasOwn(TYPES, text);
}

// Reading byte by byte needs no view of the data, whose creation would cost more than all reads of a record.

/** All of these functions require that the bytes exist. */
export function u16In(data: Uint8Array, at: number): number {
  return (data[at] as number) | ((data[at + 1] as number) << 8);
}

export function i32In(data: Uint8Array, at: number): number {
  return u16In(data, at) | (u16In(data, at + 2) << 16);
}

export function u32In(data: Uint8Array, at: number): number {
  return i32In(data, at) >>> 0;
}

function u64In(data: Uint8Array, at: number): bigint {
  return (BigInt(u32In(data, at + 4)) << 32n) | BigInt(u32In(data, at));
}

export function i64In(data: Uint8Array, at: number): bigint {
  return BigInt.asIntN(64, u64In(data, at));
}

export function f64In(data: Uint8Array, at: number): number {
  return new DataView(data.buffer, data.byteOffset, data.length).getFloat64(at, true);
}

/** A block number whose high half comes first. */
export function blockIn(data: Uint8Array, at: number): number {
  return ((u16In(data, at) << 16) | u16In(data, at + 2)) >>> 0;
}
