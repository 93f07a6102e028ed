/**
 * Auxiliary files: small files of a server (logical replication, statistics), which it logs as messages with the prefix
 * `neon-file:` and the path. An empty message removes the file.
 *
 * The key is a hash of the path, of 16 bytes: 62 d1 d2, and the low 13 bytes of its FNV-1a of 128 bits. In an 18-byte
 * key, two zero bytes follow the first. d1 and d2 stand for the directory; then only the rest of the path is
 * hashed:
 *
 *   01 01  pg_logical/mappings/        02 01  pg_replslot/
 *   01 02  pg_logical/snapshots/       03 01  pg_stat/
 *   01 03  pg_logical/replorigin_checkpoint, all of it
 *   01 FF  pg_logical/                 FF FF  others; the whole path is hashed
 *
 * The value has all files with the same key; empty if there is none:
 *
 *   u8 1, then for each file: u32 length, path, u32 length, content    big-endian
 *
 * Source: Neon libs/pageserver_api/src/key.rs, pageserver/src/aux_file.rs.
 */
import { isUtf8 } from 'node:buffer';
import { BincodeDecoder } from '../../bincode.ts';
import { corrupt } from '../../errors.ts';
import { KEY_SIZE, type Key } from '../../layers/key.ts';
import { decodeLogicalMessage } from '../../wal/main-data/logical-message.ts';
import type { WalRecord } from '../../wal/record-format.ts';
import type { IngestState } from './ingest-state.ts';
import type { Asking } from './metadata.ts';

/** A file. */
export interface AuxFile {
  /** Path in the data directory, UTF-8. */
  readonly path: Uint8Array;
  readonly content: Uint8Array;
}

const PREFIX = bytesOf('neon-file:');

export function* storeAuxFile(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const { prefix, message } = decodeLogicalMessage(mainData);
  if (!startsWith(prefix, PREFIX) || !state.isFirstShard) return;
  const path = prefix.slice(PREFIX.length);
  if (!isUtf8(path)) throw corrupt('path of an auxiliary file', undefined, 'UTF-8', 'other bytes');
  const key = auxFileKey(path);
  const stored = yield* state.metadata.read(key);
  const others = decodeAuxFiles(stored ?? new Uint8Array(0)).filter(
    (file) => !isEqual(file.path, path),
  );
  const files = message.length === 0 ? others : [...others, { path, content: message }];
  state.metadata.put(key, encodeAuxFiles(files));
}

const DIRECTORIES = [
  { name: 'pg_logical/mappings/', digits: [0x01, 0x01] },
  { name: 'pg_logical/snapshots/', digits: [0x01, 0x02] },
  { name: 'pg_logical/', digits: [0x01, 0xff] },
  { name: 'pg_replslot/', digits: [0x02, 0x01] },
  { name: 'pg_stat/', digits: [0x03, 0x01] },
  { name: '', digits: [0xff, 0xff] },
].map(({ name, digits }) => ({ name: bytesOf(name), digits }));

const ORIGIN_CHECKPOINT = bytesOf('pg_logical/replorigin_checkpoint');
const ORIGIN_CHECKPOINT_DIGITS = [0x01, 0x03];

const AUX_FIELD = 0x62;
const DIGITS_AT = 3;
const HASH_AT = 5;

/** Key of the value that has the file with this path. */
function auxFileKey(path: Uint8Array): Key {
  const { digits, hashed } = placeOf(path);
  const key = new Uint8Array(KEY_SIZE);
  key[0] = AUX_FIELD;
  key.set(digits, DIGITS_AT);
  let hash = fnv1a(hashed);
  for (let at = KEY_SIZE - 1; at >= HASH_AT; at -= 1) {
    key[at] = Number(hash & 0xffn);
    hash >>= 8n;
  }
  return key;
}

function placeOf(path: Uint8Array): {
  readonly digits: readonly number[];
  readonly hashed: Uint8Array;
} {
  if (isEqual(path, ORIGIN_CHECKPOINT)) {
    return { digits: ORIGIN_CHECKPOINT_DIGITS, hashed: new Uint8Array(0) };
  }
  for (const { name, digits } of DIRECTORIES) {
    if (startsWith(path, name)) return { digits, hashed: path.subarray(name.length) };
  }
  return { digits: [], hashed: path };
}

const FNV_OFFSET = 0x6c62272e07bb014262b821756295c58dn;
const FNV_PRIME = (1n << 88n) + 0x13bn;

function fnv1a(bytes: Uint8Array): bigint {
  let hash = FNV_OFFSET;
  for (const byte of bytes) hash = BigInt.asUintN(128, (hash ^ BigInt(byte)) * FNV_PRIME);
  return hash;
}

const VERSION = 1;

/** Files of a value. Throws `corrupt`, `truncated`. */
export function decodeAuxFiles(bytes: Uint8Array): AuxFile[] {
  if (bytes.length === 0) return [];
  const decoder = new BincodeDecoder(bytes);
  const version = decoder.u8('version');
  if (version !== VERSION) throw decoder.corrupt('version', `${VERSION}`, `${version}`, 1);
  const files: AuxFile[] = [];
  while (decoder.offset < bytes.length) {
    const path = decoder.array('path', decoder.u32('length of the path'));
    const content = decoder.array('content', decoder.u32('length of the content'));
    files.push({ path, content });
  }
  return files;
}

/** The value of files; empty without any. */
export function encodeAuxFiles(files: readonly AuxFile[]): Uint8Array {
  if (files.length === 0) return new Uint8Array(0);
  const size = files.reduce((sum, { path, content }) => sum + 8 + path.length + content.length, 1);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes[0] = VERSION;
  let at = 1;
  for (const { path, content } of files) {
    for (const part of [path, content]) {
      view.setUint32(at, part.length);
      bytes.set(part, at + 4);
      at += 4 + part.length;
    }
  }
  return bytes;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return isEqual(bytes.subarray(0, start.length), start);
}

function isEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
