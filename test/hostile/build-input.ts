/** The lines that `build` reads. */

import { JsonFields } from '../../src/cli/json-fields.ts';
import {
  type LayerHeader,
  parseDeltaEntry,
  parseHeader,
  parseImageEntry,
} from '../../src/cli/layer-spec.ts';
import { readNdjson } from '../../src/cli/ndjson-lines.ts';
import { parseValue, type SpecValue, valuePieces } from '../../src/cli/value-json.ts';
import { isStorageError } from '../../src/errors.ts';
import { encodeValue, type Value, viewValue } from '../../src/layers/value-format.ts';
import { textOfPieces } from '../support/json-pieces.ts';
import { must } from './expectations.ts';

export const BUILD_KEY = '000000067F00000005000040000000000001';
const IDS =
  '"tenant_id":"11223344556677889900aabbccddeeff","timeline_id":"00112233445566778899aabbccddeeff","key_start":"000000067F00000005000040000000000000","key_end":"000000067F00000005000040000000000150"';
export const DELTA_HEADER = `{"kind":"delta",${IDS},"lsn_start":"0/1000","lsn_end":"0/2000"}`;
const IMAGE = `{"kind":"image",${IDS},"lsn":"0000000000001000"}`;

const VALUES = [
  '{"type":"image","hex":"00ff"}',
  '{"type":"wal","will_init":true,"base64":"AAE="}',
  '{"type":"raw","will_init":false,"hex":"00"}',
  '{"type":"clear_vm","new":1,"old":null,"flags":3}',
  '{"type":"clog_set_committed","xids":[1,4294967295],"timestamp":"-5"}',
  '{"type":"clog_set_aborted","xids":[]}',
  '{"type":"multixact_offset_create","mid":1,"moff":2}',
  '{"type":"multixact_members_create","moff":9,"members":[{"xid":7,"status":5}]}',
  '{"type":"aux_file","path":"a/\\u00e4","content":"10"}',
  '{"type":"truncate_vm","trunc_byte":"18446744073709551615","trunc_offs":5}',
];

export const BUILD_INPUTS: readonly string[] = [
  ...VALUES.map(
    (value) => `${DELTA_HEADER}\n{"key":"${BUILD_KEY}","lsn":"0/1500","value":${value}}\n`,
  ),
  `${IMAGE}\n\n{"key":"${BUILD_KEY}","hex":"0011"}\r\n{"key":"${BUILD_KEY}","base64":""}`,
];

/** True if every line was taken. */
export async function checkBuildInput(bytes: Buffer): Promise<boolean> {
  try {
    return (await parseBuildInput(halvesOf(bytes), checkSpecValue)) > 0;
  } catch (error) {
    if (!isStorageError(error, 'invalid-input')) throw error;
    must(error.message.length < 1000, 'messages are short');
    return false;
  }
}

/** As `build` does; returns how many lines there were. */
export async function parseBuildInput(
  chunks: readonly Uint8Array[],
  onValue: (value: SpecValue) => void,
): Promise<number> {
  let header: LayerHeader | undefined;
  let count = 0;
  const options = { path: undefined, signal: new AbortController().signal };
  for await (const lines of readNdjson(streamOf(chunks), options)) {
    for (const { fields } of lines) {
      count += 1;
      if (header === undefined) header = parseHeader(fields);
      else if (header.kind === 'image') parseImageEntry(fields);
      else onValue(parseDeltaEntry(fields).value);
    }
  }
  return count;
}

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

/** So that a line lies in both. */
function halvesOf(bytes: Buffer): Buffer[] {
  return [bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1)];
}

function checkSpecValue(spec: SpecValue): void {
  if (spec.kind === 'raw') return;
  const encoded = encodeValue(spec.value);
  const again = parseValue(new JsonFields(JSON.parse(jsonOf(encoded)), 'value'));
  must(again.kind === 'value', 'what is printed is a value');
  must(isEqual(again.value, encoded), 'a value that is printed comes back');
}

function isEqual(value: Value, encoded: Uint8Array): boolean {
  return Buffer.compare(encodeValue(value), encoded) === 0;
}

/** As a dump prints it. */
function jsonOf(encoded: Uint8Array): string {
  return textOfPieces(valuePieces(viewValue(encoded)));
}
