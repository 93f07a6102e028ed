/**
 * Values of a delta layer in JSON, the form that dump prints and build reads. Reading is strict:
 * every field has its type, hex digits come in pairs, and a number that JavaScript cannot hold
 * exactly is refused rather than rounded.
 */
import type { Value } from '../layers/value-format.ts';
import { encodeJson, type Json, type JsonPieces } from './json.ts';
import { type JsonFields, wrongField } from './json-fields.ts';

/** `raw` is a serialized value that is taken as it is. */
export type SpecValue =
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'raw'; readonly willInit: boolean; readonly bytes: Uint8Array };

export function valuePieces(value: Value): JsonPieces {
  switch (value.type) {
    case 'image':
      return ['{"type":"image","hex":"', value.bytes, '"}'];
    case 'wal':
      return [`{"type":"wal","will_init":${value.willInit},"hex":"`, value.bytes, '"}'];
    case 'aux_file': {
      const start = `{"type":"aux_file","path":${encodeJson(value.path)},"content":`;
      return value.content === null ? [start, 'null}'] : [start, '"', value.content, '"}'];
    }
    default:
      return [encodeJson(smallValueJson(value))];
  }
}

function smallValueJson(value: Exclude<Value, { type: 'image' | 'wal' | 'aux_file' }>): Json {
  const { type } = value;
  switch (value.type) {
    case 'clear_vm':
      return { type, new: value.newHeapBlock, old: value.oldHeapBlock, flags: value.flags };
    case 'clog_set_committed':
      return { type, xids: value.xids, timestamp: String(value.timestamp) };
    case 'clog_set_aborted':
      return { type, xids: value.xids };
    case 'multixact_offset_create':
      return { type, mid: value.multixactId, moff: value.multixactOffset };
    case 'multixact_members_create':
      return {
        type,
        moff: value.multixactOffset,
        members: value.members.map(({ xid, status }) => ({ xid, status })),
      };
    case 'truncate_vm':
      return {
        type,
        trunc_byte: String(value.truncByte),
        trunc_offs: String(value.truncOffset),
      };
  }
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
