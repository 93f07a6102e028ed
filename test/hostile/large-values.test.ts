/**
 * The command line on files of a few KiB that hold values of many MiB: lists and paths that would
 * take a hundred times as much as objects and as one string. Each is printed whole by a process
 * that has 48 MiB for objects.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { formatKey } from '../../src/layers/key.ts';
import { deltaKey, layerBytes, nodeBlock } from '../support/hand-made.ts';
import { blockKey, LSN_RANGE } from '../support/layers.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { encodeFrame } from '../support/zstd-frames.ts';
import { frameBlob } from './seeds.ts';

/** `npm test` builds it first. */
const COMMAND = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

const KEY = blockKey(1);
const BLOCK = 131_072;

/** A value of a head, many bytes alike, and a tail. */
interface Repeated {
  readonly head: Buffer;
  readonly byte: number;
  readonly length: number;
  readonly tail: Buffer;
  /** The same in JSON. */
  readonly json: () => Buffer;
}

const MEMBERS = 1_500_000;
const XIDS = 3_000_000;
const PATH = 12_000_000;

const LARGE: readonly (readonly [name: string, Repeated])[] = [
  [
    'members',
    {
      head: bytesOf('000000010000000500000009', MEMBERS),
      byte: 0xff,
      length: 8 * MEMBERS,
      tail: Buffer.alloc(0),
      json: () =>
        Buffer.concat([
          Buffer.from('{"type":"multixact_members_create","moff":9,"members":['),
          repeated('{"xid":4294967295,"status":4294967295},', MEMBERS).subarray(0, -1),
          Buffer.from(']}'),
        ]),
    },
  ],
  [
    'transactions',
    {
      head: bytesOf('0000000100000002', XIDS),
      byte: 0x01,
      length: 4 * XIDS,
      tail: bytesOf('', 5),
      json: () =>
        Buffer.concat([
          Buffer.from('{"type":"clog_set_committed","xids":['),
          repeated('16843009,', XIDS).subarray(0, -1),
          Buffer.from('],"timestamp":"5"}'),
        ]),
    },
  ],
  [
    'characters of a path',
    {
      head: bytesOf('0000000100000006', PATH),
      byte: 0x01,
      length: PATH,
      tail: Buffer.alloc(1),
      json: () =>
        Buffer.concat([
          Buffer.from('{"type":"aux_file","path":"'),
          repeated('\\u0001', PATH),
          Buffer.from('","content":null}'),
        ]),
    },
  ],
];

describe.each(LARGE)('millions of %s', (_, value) => {
  const { head, byte, length, tail } = value;
  const content = Buffer.concat([head, Buffer.alloc(length, byte), tail]);
  const json = value.json();

  it.each<[string, readonly string[], string, () => Buffer, string]>([
    [
      'a dump in JSON',
      ['dump', 'FILE', '--ndjson', '--values', 'json'],
      ',"value":',
      () => json,
      '}\n',
    ],
    [
      'a dump in hex digits',
      ['dump', 'FILE', '--ndjson', '--values', 'hex'],
      ',"hex":"',
      () => hexOf(content),
      '"}\n',
    ],
    ['get', ['get', 'FILE', formatKey(KEY)], 'zstd\n', () => json, '\n'],
    [
      'get in JSON',
      ['get', 'FILE', formatKey(KEY), '--json'],
      ',"hex":"',
      () => hexOf(content),
      '"}\n',
    ],
    ['get of the bytes', ['get', 'FILE', formatKey(KEY), '--raw'], '', () => content, ''],
  ])('%s', async (_, words, before, expected, behind) => {
    const file = fileOf(layerOf(value));
    const { status, stderr, stdout } = await run(
      words.map((word) => (word === 'FILE' ? file : word)),
    );
    expect([status, stderr]).toEqual([0, '']);
    const start = stdout.indexOf(before) + before.length;
    expect(start).toBeLessThan(1000);
    const end = stdout.length - behind.length;
    expect(Buffer.compare(stdout.subarray(start, end), expected())).toBe(0);
    expect(stdout.subarray(end).toString()).toBe(behind);
  });

  it('a table has the begin of them', async () => {
    for (const values of ['hex', 'json']) {
      const { status, stdout } = await run(['dump', fileOf(layerOf(value)), '--values', values]);
      expect(status).toBe(0);
      expect(stdout.length).toBeLessThan(10_000);
    }
  });
});

function bytesOf(hex: string, count: number): Buffer {
  return Buffer.from(hex + count.toString(16).padStart(16, '0'), 'hex');
}

function hexOf(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('hex'));
}

function repeated(text: string, count: number): Buffer {
  return Buffer.alloc(text.length * count, text);
}

function layerOf({ head, byte, length, tail }: Repeated): Uint8Array {
  const blocks = [
    { kind: 'raw', bytes: head } as const,
    ...Array.from({ length: Math.ceil(length / BLOCK) }, (_, index) => {
      const blockLength = Math.min(BLOCK, length - index * BLOCK);
      return { kind: 'repeated', byte, length: blockLength } as const;
    }),
    { kind: 'raw', bytes: tail } as const,
  ];
  const blob = frameBlob(encodeFrame({ blocks }));
  const leaf = nodeBlock({ keys: [deltaKey(KEY, LSN_RANGE.start)], values: [8192 * 2] });
  return layerBytes({ kind: 'delta', blobs: [blob], blocks: [leaf] });
}

function fileOf(bytes: Uint8Array): string {
  expect(bytes.length).toBeLessThanOrEqual(64 * 1024);
  const path = join(temporaryDirectory(), 'layer');
  writeFileSync(path, bytes);
  return path;
}

async function run(words: readonly string[]) {
  const child = spawn(process.execPath, ['--max-old-space-size=48', COMMAND, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  const [stdout, stderr, [status]] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { status, stderr, stdout };
}
