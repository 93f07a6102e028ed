/**
 * Values of a delta layer in JSON, as dump prints and build reads them. Reading is strict: types are
 * checked, hex digits come in pairs, and a number that JavaScript cannot represent exactly is
 * refused, not rounded.
 */
import type { StoredList } from '../bincode.ts';
import type { Value, ValueView } from '../layers/value-format.ts';
import { encodeJson, type Json, type JsonPiece, type JsonPieces } from './json.ts';
import { type JsonFields, wrongField } from './json-fields.ts';

/** `raw` is a serialized value, which is stored unchanged. */
export type SpecValue =
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'raw'; readonly willInit: boolean; readonly bytes: Uint8Array };

export function valuePieces(value: ValueView): JsonPieces {
  const { type } = value;
  switch (value.type) {
    case 'image':
      return ['{"type":"image","hex":"', value.bytes, '"}'];
    case 'wal':
      return [`{"type":"wal","will_init":${value.willInit},"hex":"`, value.bytes, '"}'];
    case 'aux_file': {
      const start = ['{"type":"aux_file","path":"', textPiece(value.path), '","content":'];
      return value.content === null ? [...start, 'null}'] : [...start, '"', value.content, '"}'];
    }
    case 'clog_set_committed': {
      const end = `],"timestamp":"${value.timestamp}"}`;
      return [`{"type":"${type}","xids":[`, listPiece(value.xids, String), end];
    }
    case 'clog_set_aborted':
      return [`{"type":"${type}","xids":[`, listPiece(value.xids, String), ']}'];
    case 'multixact_members_create':
      return [
        `{"type":"${type}","moff":${value.multixactOffset},"members":[`,
        listPiece(value.members, ({ xid, status }) => `{"xid":${xid},"status":${status}}`),
        ']}',
      ];
    default:
      return [encodeJson(smallValueJson(value))];
  }
}

type SmallValue = Extract<
  ValueView,
  { type: 'clear_vm' | 'multixact_offset_create' | 'truncate_vm' }
>;

function smallValueJson(value: SmallValue): Json {
  const { type } = value;
  switch (value.type) {
    case 'clear_vm':
      return { type, new: value.newHeapBlock, old: value.oldHeapBlock, flags: value.flags };
    case 'multixact_offset_create':
      return { type, mid: value.multixactId, moff: value.multixactOffset };
    case 'truncate_vm':
      return {
        type,
        trunc_byte: String(value.truncByte),
        trunc_offs: String(value.truncOffset),
      };
  }
}

const ITEMS_A_TEXT = 1000;

function listPiece<T>(list: StoredList<T>, format: (item: T) => string): JsonPiece {
  if (list.length <= ITEMS_A_TEXT) return list.slice(0, list.length).map(format).join(',');
  return { texts: listTexts(list, format) };
}

function* listTexts<T>(
  list: StoredList<T>,
  format: (item: T) => string,
): Generator<string, void, undefined> {
  for (let start = 0; start < list.length; start += ITEMS_A_TEXT) {
    const items = list.slice(start, start + ITEMS_A_TEXT).map(format);
    yield (start === 0 ? '' : ',') + items.join(',');
  }
}

const BYTES_A_TEXT = 32 * 1024;

/** The text between the quotes. Requires: valid UTF-8. */
function textPiece(utf8: Uint8Array): JsonPiece {
  return utf8.length <= BYTES_A_TEXT ? escapedText(utf8) : { texts: escapedTexts(utf8) };
}

function* escapedTexts(utf8: Uint8Array): Generator<string, void, undefined> {
  for (let start = 0, end = 0; start < utf8.length; start = end) {
    end = characterStart(utf8, start + BYTES_A_TEXT);
    yield escapedText(utf8.subarray(start, end));
  }
}

/** The last start of a character at or before the offset, or the end. */
function characterStart(utf8: Uint8Array, offset: number): number {
  if (offset >= utf8.length) return utf8.length;
  let start = offset;
  while (((utf8[start] ?? 0) & 0xc0) === 0x80) start -= 1;
  return start;
}

function escapedText(utf8: Uint8Array): string {
  const text = Buffer.from(utf8.buffer, utf8.byteOffset, utf8.length).toString('utf8');
  return encodeJson(text).slice(1, -1);
}

export function parseValue(fields: JsonFields): SpecValue {
  const type = fields.text('type');
  switch (type) {
    case 'raw':
      return { kind: 'raw', willInit: fields.boolean('will_init'), bytes: fields.bytes() };
    case 'image':
      return known({ type, bytes: fields.bytes() });
    case 'wal':
      return known({ type, willInit: fields.boolean('will_init'), bytes: fields.bytes() });
    case 'clear_vm':
      return known({
        type,
        newHeapBlock: fields.u32OrNull('new'),
        oldHeapBlock: fields.u32OrNull('old'),
        flags: fields.u8('flags'),
      });
    case 'clog_set_committed':
      return known({ type, xids: fields.u32List('xids'), timestamp: fields.i64('timestamp') });
    case 'clog_set_aborted':
      return known({ type, xids: fields.u32List('xids') });
    case 'multixact_offset_create':
      return known({ type, multixactId: fields.u32('mid'), multixactOffset: fields.u32('moff') });
    case 'multixact_members_create':
      return known({
        type,
        multixactOffset: fields.u32('moff'),
        members: fields
          .objects('members')
          .map((member) => ({ xid: member.u32('xid'), status: member.u32('status') })),
      });
    case 'aux_file':
      return known({
        type,
        path: fields.wellFormedText('path'),
        content: fields.hexOrNull('content'),
      });
    case 'truncate_vm':
      return known({
        type,
        truncByte: fields.u64('trunc_byte'),
        truncOffset: fields.u64('trunc_offs'),
      });
    default:
      throw wrongField('type', 'a value type', JSON.stringify(type));
  }
}

function known(value: Value): SpecValue {
  return { kind: 'value', value };
}
