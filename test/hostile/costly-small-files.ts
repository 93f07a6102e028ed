/**
 * Files of at most 64 KiB of every other kind that cost as much as they can: what makes the most
 * objects for its bytes, the longest texts and numbers, and errors at the very end.
 */
import { encodeDocument } from '../../src/write-once/document.ts';
import { controlFileBytes, seal } from '../support/control-file.ts';
import { noise } from '../support/layers.ts';
import { BUILD_INPUTS, BUILD_KEY, DELTA_HEADER } from './build-input.ts';
import { type CostlyFile, type CostlyKind, MAXIMUM_SIZE } from './costly-files.ts';
import { framed, METADATA } from './other-targets.ts';

type SmallKind = Exclude<CostlyKind, 'layer'>;

export const HOSTILE_SMALL_FILES: Readonly<Record<SmallKind, readonly CostlyFile[]>> = {
  document: [
    listDocument('maps of nothing', [0x80]),
    listDocument('lists of nothing', [0x90]),
    listDocument('maps of one', [0x81, 0xa0, 0xc0]),
    listDocument('maps of maps', [0x81, 0xa1, 0x61, 0x80]),
    listDocument('bytes of nothing', [0xc4, 0x00]),
    listDocument('strings of nothing', [0xa0]),
    listDocument('strings of one letter', [0xa1, 0xc3]),
    listDocument('integers of 64 bits', [0xcf, 1, 2, 3, 4, 5, 6, 7, 8]),
    listDocument('lists 60 deep', [...new Array(60).fill(0x91), 0xc0]),
    { name: 'thousands of keys', bytes: keysDocument() },
    { name: 'one string', bytes: Buffer.from(encodeDocument({ a: 'a'.repeat(65_000) })) },
  ],
  'tenant-config': [
    config('inline tables', `a=[${'{},'.repeat(21_000)}]`),
    config('inline tables in tables', `a=[${'{a={b=1}},'.repeat(6000)}]`),
    config('lists', `a=[${'[],'.repeat(21_000)}]`),
    config('integers', `a=[${'1,'.repeat(32_000)}]`),
    config('times', `a=[${'1979-05-27T07:32:00Z,'.repeat(3000)}]`),
    config(
      'keys',
      numbered((index) => `k${index}=1\n`),
    ),
    config(
      'tables',
      numbered((index) => `[t${index}]\n`),
    ),
    config('tables of a list', '[[t]]\n'.repeat(10_900)),
    config(
      'dotted keys',
      numbered((index) => `a.b.c.d.e.f.g.h.i.j.k${index}=1\n`),
    ),
    config('one key of many parts', `a${'.a'.repeat(32_000)}=1`),
    config('one integer', `a=${'9'.repeat(65_000)}`),
    config('one integer in hex digits', `a=0x${'f'.repeat(65_000)}`),
    config('one fraction', `a=1.${'9'.repeat(65_000)}`),
    config('one key', `${'a'.repeat(65_000)}=1`),
    config('escapes', `a="${'\\u0041'.repeat(10_900)}"`),
    config('lines of one string', `a="""${'\\\n'.repeat(32_000)}"""`),
    config('comments', '#\n'.repeat(32_000)),
    config('an error behind many lines', `${'\n'.repeat(65_000)}x`),
    config('a string without its end', `a="${'x'.repeat(65_000)}`),
    config('lists in lists', `a=${'['.repeat(65_000)}`),
  ],
  metadata: [
    { name: 'zeros', bytes: Buffer.alloc(MAXIMUM_SIZE) },
    { name: 'noise', bytes: Buffer.from(noise(MAXIMUM_SIZE, 1)) },
    { name: 'more behind it', bytes: Buffer.concat([METADATA, Buffer.alloc(65_000)]) },
  ],
  'control-file': [
    { name: 'zeros', bytes: Buffer.alloc(MAXIMUM_SIZE) },
    { name: 'noise', bytes: Buffer.from(seal(noise(MAXIMUM_SIZE, 1))) },
    { name: 'valid', bytes: Buffer.from(controlFileBytes()) },
  ],
  'build-input': [
    header(
      'lists in a field',
      `{"kind":"delta","tenant_id":${'['.repeat(32_000)}${']'.repeat(32_000)}}`,
    ),
    header('objects in a field', `{"kind":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`),
    header('fields', `{${numbered((index) => `"${index}":1,`)}"kind":1}`),
    header('escapes', `{"kind":"${'\\u0001'.repeat(10_000)}"}`),
    value('lists', `{"type":${'['.repeat(31_000)}${']'.repeat(31_000)}}`),
    value('transactions', `{"type":"clog_set_aborted","xids":[${'1,'.repeat(31_000)}1]}`),
    value(
      'other things than transactions',
      `{"type":"clog_set_aborted","xids":[${'{},'.repeat(21_000)}1]}`,
    ),
    value('members', memberList(2600)),
    value(
      'members of nothing',
      `{"type":"multixact_members_create","moff":1,"members":[${'{},'.repeat(20_000)}{}]}`,
    ),
    value('one path', `{"type":"aux_file","path":"${'\\u0001'.repeat(10_000)}","content":null}`),
    value('digits', `{"type":"image","hex":"${'0f'.repeat(31_000)}"}`),
    header('blank lines', '\n'.repeat(65_000)),
    lines(
      'lines of little',
      `{"key":"${BUILD_KEY}","lsn":"0/1500","value":{"type":"raw","will_init":true,"hex":""}}\n`,
    ),
    lines('objects of nothing', '{}\n'),
  ],
};

export const VALID_SMALL_FILES: Readonly<Record<SmallKind, readonly CostlyFile[]>> = {
  document: [
    {
      name: 'valid',
      bytes: Buffer.from(
        encodeDocument({
          entries: Array.from({ length: 600 }, (_, index) => ({
            name: `entry ${index}`,
            sizes: [index, 2n ** 40n, 1.5],
            digest: noise(32, index),
          })),
        }),
      ),
    },
  ],
  'tenant-config': [
    config(
      'valid',
      `pitr_interval = "7d"\n${numbered((index) => `setting_${index} = "${index} s"\n`).slice(0, -20)}`,
    ),
  ],
  metadata: [{ name: 'valid', bytes: Buffer.from(METADATA) }],
  'control-file': [{ name: 'valid', bytes: Buffer.from(controlFileBytes()) }],
  'build-input': BUILD_INPUTS.map((text, index) => ({
    name: `valid ${index}`,
    bytes: Buffer.from(text),
  })),
};

/** A map of one list, of as many copies of the bytes as fit. */
function listDocument(name: string, item: readonly number[]): CostlyFile {
  const count = Math.floor((MAXIMUM_SIZE - 24) / item.length);
  const head = Buffer.from('81a161dd00000000', 'hex');
  head.writeUInt32BE(count, 4);
  const items = Buffer.alloc(count * item.length, Uint8Array.from(item));
  return { name, bytes: framed(Buffer.concat([head, items])) };
}

/** A map of as many keys as fit. */
function keysDocument(): Buffer {
  const count = 10_000;
  const head = Buffer.from('df00000000', 'hex');
  head.writeUInt32BE(count, 1);
  const keys = Array.from(
    { length: count },
    (_, index) => `\xa4${index.toString(36).padStart(4, '0')}\x80`,
  );
  return framed(Buffer.concat([head, Buffer.from(keys.join(''), 'latin1')]));
}

function config(name: string, text: string): CostlyFile {
  return { name, bytes: Buffer.from(`[tenant_config]\n${text}`) };
}

/** As many texts as fit beside a few others, each with its number. */
function numbered(text: (index: number) => string): string {
  const texts: string[] = [];
  for (let length = 0; length < 65_000; ) {
    const next = text(texts.length);
    texts.push(next);
    length += next.length;
  }
  return texts.slice(0, -1).join('');
}

function header(name: string, line: string): CostlyFile {
  return { name: `header: ${name}`, bytes: Buffer.from(line) };
}

function value(name: string, json: string): CostlyFile {
  const line = `{"key":"${BUILD_KEY}","lsn":"0/1500","value":${json}}`;
  return { name: `value: ${name}`, bytes: Buffer.from(`${DELTA_HEADER}\n${line}`) };
}

function lines(name: string, line: string): CostlyFile {
  return { name, bytes: Buffer.from(`${DELTA_HEADER}\n${line.repeat(64_000 / line.length)}`) };
}

function memberList(count: number): string {
  const members = Array.from({ length: count }, (_, index) => `{"xid":${index},"status":1}`);
  return `{"type":"multixact_members_create","moff":1,"members":[${members.join()}]}`;
}
