/**
 * Messages to a `postgres --wal-redo` process, which applies WAL records to one page at a time. Big-endian.
 *
 *   B  u32 21        tag                      begin with this block
 *   P  u32 8213      tag, 8,192 bytes         the page to start from
 *   A  u32 12 + n    LSN u64, n bytes         apply a record; the LSN is that of its end
 *   G  u32 21        tag                      answer with the page: 8,192 bytes, no header
 *
 *   tag: fork u8, tablespace u32, database u32, relation u32, block u32
 *
 * A length counts itself but not the letter. For one page: B, P if there is a page to start from, A for each
 * record, oldest first, G.
 * Source: Neon pageserver/src/walredo/process/protocol.rs, pgxn/neon_walredo/walredoproc.c.
 */
import { checkArray, checkBytes, checkObject } from '../../check-options.ts';
import { StorageError } from '../../errors.ts';
import { formatKey, type Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { checkLsn } from '../../layers/lsn.ts';
import { forkNumberOf } from '../../postgres/fork.ts';
import { describeKey } from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';

/** A WAL record to apply. */
export interface RedoRecord {
  /** LSN of the entry: the end of the record. */
  readonly lsn: Lsn;
  /** The record as it is in the WAL. */
  readonly bytes: Uint8Array;
}

/** What a redo process needs to make one page. */
export interface RedoRequest {
  /** Key of a relation block. */
  readonly key: Key;
  /** The page to start from; undefined if the first record initializes it. */
  readonly base: Uint8Array | undefined;
  /** Records of Postgres, oldest first. */
  readonly records: readonly RedoRecord[];
}

const TAG_SIZE = 1 + 4 * 4;
const LENGTH_SIZE = 4;
const HEADER_SIZE = 1 + LENGTH_SIZE;
const LSN_SIZE = 8;

const BEGIN = 0x42;
const PUSH = 0x50;
const APPLY = 0x41;
const GET = 0x47;

/**
 * Encodes the messages for one page.
 *
 * @returns All messages, in order; the process answers them with one page.
 * @throws `invalid-input` unless the key is that of a relation block, and the base has 8,192 bytes.
 */
export function encodeRedoMessages(request: RedoRequest): Uint8Array {
  checkObject('request', request);
  checkArray('records', request.records);
  const { key, base, records } = request;
  const tag = tagOf(key);
  if (base !== undefined) checkPage(base);
  const messages = [
    message(BEGIN, tag),
    ...(base === undefined ? [] : [message(PUSH, tag, base)]),
    ...Array.from(records, applyMessage),
    message(GET, tag),
  ];
  return Uint8Array.from(Buffer.concat(messages));
}

function applyMessage(record: RedoRecord): Buffer {
  checkObject('record', record);
  checkLsn(record.lsn, 'LSN of a record');
  checkBytes(record.bytes, 'record');
  return message(APPLY, lsnBytes(record.lsn), record.bytes);
}

function message(letter: number, ...parts: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(HEADER_SIZE);
  header.writeUInt8(letter);
  header.writeUInt32BE(
    parts.reduce((length, part) => length + part.length, LENGTH_SIZE),
    1,
  );
  return Buffer.concat([header, ...parts]);
}

function tagOf(key: Key): Uint8Array {
  const meaning = describeKey(key);
  if (meaning.kind !== 'rel_block') {
    throw new StorageError('invalid-input', {
      what: 'page for a redo process',
      key: formatKey(key),
      expected: 'a block of a relation',
      actual: meaning.kind,
    });
  }
  const tag = Buffer.alloc(TAG_SIZE);
  tag.writeUInt8(forkNumberOf(meaning.fork));
  tag.writeUInt32BE(meaning.spcnode, 1);
  tag.writeUInt32BE(meaning.dbnode, 5);
  tag.writeUInt32BE(meaning.relnode, 9);
  tag.writeUInt32BE(meaning.blkno, 13);
  return tag;
}

function lsnBytes(lsn: Lsn): Uint8Array {
  const bytes = Buffer.alloc(LSN_SIZE);
  bytes.writeBigUInt64BE(lsn);
  return bytes;
}

function checkPage(page: Uint8Array): void {
  checkBytes(page, 'page');
  if (page.length === PAGE_SIZE) return;
  throw new StorageError('invalid-input', {
    what: 'page for a redo process',
    expected: `${PAGE_SIZE} bytes`,
    actual: `${page.length}`,
  });
}
