/**
 * Templates: how Postgres prints the fields of a layout.
 *
 *   {off}          a number, decimal; a relation as `1663/5/16384`
 *   {flags:X2}     hex, two digits
 *   {found:T/F}    T or F; {flags:T/F4} of bit 4
 *   {found:bool}   true or false; {found:on} on or off
 *   {page:lsn}     LSN, `0/16B3748`
 *   {horizon:full} transaction with its epoch, `0:771`
 *   {ntuples:g}    f64, as %g
 *   {at:time}      time
 *   {level:wal}    level of the WAL, `replica`
 *   {bits:names}   bits of a tuple's xmax, each followed by a blank; {bits:list} with commas between them
 *   {new? (new)}   the text after the question mark, if the field is not 0
 *
 * A template is parsed once, for a layout, into functions that read straight from the bytes.
 */
import { assert } from '../../assert.ts';
import {
  blockIn,
  type Field,
  f64In,
  i32In,
  i64In,
  type Layout,
  parseLayout,
  u16In,
  u32In,
} from '../main-data/layout.ts';
import { HEX_BYTES } from './hex.ts';
import { formatPostgresTime, type TimeStyle } from './time.ts';

/** A template for a layout. */
export interface Template {
  /** Bytes of data that it needs. */
  readonly size: number;
  /** The text before the first field, or all of it. */
  readonly start: string;
  readonly parts: readonly Part[];
}

interface Part {
  readonly textOf: FieldText;
  /** The text after the field. */
  readonly after: string;
}

type FieldText = (data: Uint8Array, style: TimeStyle) => string | number;

export function parseTemplate(text: string, layoutText: string): Template {
  const layout = parseLayout(layoutText);
  const [start = '', ...rest] = text.split('{');
  const parts = rest.map((piece) => {
    const end = piece.indexOf('}');
    assert(end > 0, 'a field of a template ends');
    return { textOf: fieldText(piece.slice(0, end), layout), after: piece.slice(end + 1) };
  });
  return { size: layout.size, start, parts };
}

/** Requires: the data has at least the size of the template. */
export function fillTemplate(
  { start, parts }: Template,
  data: Uint8Array,
  style: TimeStyle,
): string {
  let text = start;
  for (const { textOf, after } of parts) text += textOf(data, style) + after;
  return text;
}

/** Names of the bits of a tuple's xmax, from bit 0 on. */
const INFOBIT_NAMES = ['IS_MULTI', 'LOCK_ONLY', 'EXCL_LOCK', 'KEYSHR_LOCK', 'KEYS_UPDATED'];
const ALL_BYTES = Array.from({ length: 256 }, (_, byte) => byte);
const NAMES_OF_BITS = ALL_BYTES.map((bits) =>
  INFOBIT_NAMES.filter((_, bit) => (bits & (1 << bit)) !== 0),
);
const INFOBITS = NAMES_OF_BITS.map((names) => names.map((name) => `${name} `).join(''));
const INFOBIT_LISTS = NAMES_OF_BITS.map((names) => names.join(', '));
const WAL_LEVELS = ['minimal', 'replica', 'logical'];

/** Name of a WAL level; `?` for a number that has none. */
export function walLevelName(level: number | undefined): string {
  return WAL_LEVELS[level ?? -1] ?? '?';
}

function fieldText(piece: string, { fields }: Layout): FieldText {
  const [, name = '', separator = '', rest = ''] = /^(\w+)([:?]?)(.*)$/.exec(piece) ?? [];
  const field = fields.get(name);
  assert(field !== undefined, `the layout has the field ${name}`);
  const number = numberReader(field);
  if (separator === '?') return (data) => (number(data) === 0 ? '' : rest);
  return separator === ':' ? formatted(rest, field, number) : plain(field, number);
}

type NumberReader = (data: Uint8Array) => number;

function numberReader({ type, offset }: Field): NumberReader {
  switch (type) {
    case 'u8':
      return (data) => data[offset] as number;
    case 'i8':
      return (data) => ((data[offset] as number) << 24) >> 24;
    case 'u16':
      return (data) => u16In(data, offset);
    case 'i32':
      return (data) => i32In(data, offset);
    case 'block':
      return (data) => blockIn(data, offset);
    case 'f64':
      return (data) => f64In(data, offset);
    default:
      return (data) => u32In(data, offset);
  }
}

function plain({ type, offset }: Field, number: NumberReader): FieldText {
  switch (type) {
    case 'relation':
      return (data) =>
        `${u32In(data, offset)}/${u32In(data, offset + 4)}/${u32In(data, offset + 8)}`;
    case 'i64':
      return (data) => `${i64In(data, offset)}`;
    default:
      assert(type !== 'u64' && type !== 'f64', 'a long field says how it is printed');
      return number;
  }
}

function formatted(format: string, { offset }: Field, number: NumberReader): FieldText {
  if (format.startsWith('T/F')) {
    const bits = Number(format.slice('T/F'.length)) || 0xff;
    return (data) => ((number(data) & bits) === 0 ? 'F' : 'T');
  }
  switch (format) {
    case 'X2':
      return (data) => HEX_BYTES[number(data)] as string;
    case 'names':
      return (data) => INFOBITS[number(data)] as string;
    case 'list':
      return (data) => INFOBIT_LISTS[number(data)] as string;
    case 'bool':
      return (data) => (number(data) === 0 ? 'false' : 'true');
    case 'on':
      return (data) => (number(data) === 0 ? 'off' : 'on');
    case 'wal':
      return (data) => walLevelName(number(data));
    case 'lsn':
      return (data) => `${hex(u32In(data, offset + 4))}/${hex(u32In(data, offset))}`;
    case 'full':
      return (data) => `${u32In(data, offset + 4)}:${u32In(data, offset)}`;
    case 'g':
      return (data) => shortFloat(number(data));
    default:
      assert(format === 'time', `${format} is a format of a field`);
      return (data, style) => formatPostgresTime(i64In(data, offset), style);
  }
}

function hex(value: number): string {
  return value.toString(16).toUpperCase();
}

const PRECISION = 6;

/** As %g of C: 6 significant digits, without zeros at the end, in powers of ten below 1e-4 and from 1e6 on. */
function shortFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [digits = '', power = '0'] = value.toExponential(PRECISION - 1).split('e');
  const exponent = Number(power);
  if (exponent >= -4 && exponent < PRECISION) {
    return withoutZeros(value.toFixed(PRECISION - 1 - exponent));
  }
  const sign = exponent < 0 ? '-' : '+';
  return `${withoutZeros(digits)}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

function withoutZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
