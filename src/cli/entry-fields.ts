/**
 * The common fields of every line about an entry, as bytes: there may be millions of lines, and an
 * object, a bigint and a string for each would take longer than everything else.
 *
 *   "key":"{36 digits}","lsn":"{16 digits}","will_init":B,"offset":N,"stored_len":N,"len":N
 *   ,"compressed":B,"type":"{type}"
 */

import {
  asciiBytes,
  MAXIMUM_INTEGER_LENGTH,
  writeAscii,
  writeHex,
  writeHexWord,
  writeInteger,
} from '../ascii.ts';
import { KEY_SIZE } from '../layers/key.ts';
import type { EntryRow } from '../layers/layer-file/entry-cursor.ts';

/** An entry, with the type and length of its content. */
export interface EntryFields {
  readonly entry: EntryRow;
  readonly type: string;
  /** Of the content. */
  readonly length: number;
}

const KEY = asciiBytes('"key":"');
const LSN = asciiBytes('","lsn":"');
const WILL_INIT_AND_OFFSET = [
  asciiBytes('","will_init":false,"offset":'),
  asciiBytes('","will_init":true,"offset":'),
] as const;
const STORED_LENGTH = asciiBytes(',"stored_len":');
const LENGTH = asciiBytes(',"len":');

const LONGEST_TYPE = 'multixact_members_create';

/** By compression and type. */
const tails = [new Map<string, Uint8Array>(), new Map<string, Uint8Array>()] as const;

export const MAXIMUM_FIELDS_LENGTH =
  KEY.length +
  2 * KEY_SIZE +
  LSN.length +
  16 +
  WILL_INIT_AND_OFFSET[0].length +
  STORED_LENGTH.length +
  LENGTH.length +
  3 * MAXIMUM_INTEGER_LENGTH +
  tailOf(0, LONGEST_TYPE).length;

/** Writes them at `at`, at most `MAXIMUM_FIELDS_LENGTH` bytes. Returns: where they end. */
export function writeEntryFields(target: Uint8Array, at: number, fields: EntryFields): number {
  const { entry, type, length } = fields;
  let end = writeAscii(target, at, KEY);
  end = writeHex(target, end, { bytes: entry.keys, start: entry.keyStart, length: KEY_SIZE });
  end = writeAscii(target, end, LSN);
  end = writeHexWord(target, end, entry.lsnHigh);
  end = writeHexWord(target, end, entry.lsnLow);
  end = writeAscii(target, end, WILL_INIT_AND_OFFSET[entry.willInit ? 1 : 0]);
  end = writeInteger(target, end, entry.offset);
  end = writeAscii(target, end, STORED_LENGTH);
  end = writeInteger(target, end, entry.storedLength);
  end = writeAscii(target, end, LENGTH);
  end = writeInteger(target, end, length);
  return writeAscii(target, end, tailOf(entry.compressed ? 1 : 0, type));
}

function tailOf(compressed: 0 | 1, type: string): Uint8Array {
  const known = tails[compressed].get(type);
  if (known !== undefined) return known;
  const tail = asciiBytes(`,"compressed":${compressed === 1},"type":"${type}"`);
  tails[compressed].set(type, tail);
  return tail;
}
