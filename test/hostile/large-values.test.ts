/**
 * The command line on files of a few KiB that hold values of many MiB: lists and paths that would
 * take a hundred times as much as objects and as one string. Each is printed whole by a process
 * that has few MiB for objects.
 *
 *   LAYERFILE_LARGE_VALUES   how many times as large they are; default 1
 */
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { formatKey } from '../../src/layers/key.ts';
import { deltaKey, layerBytes, nodeBlock } from '../support/hand-made.ts';
import { blockKey, LSN_RANGE } from '../support/layers.ts';
import { bundledProgram, resultOf, startNode } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { encodeFrame } from '../support/zstd-frames.ts';
import type { PrintInput } from './programs/print.ts';
import { frameBlob } from './seeds.ts';

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

const TIMES = Number(process.env['LAYERFILE_LARGE_VALUES'] ?? 1);
const MEMBERS = 200_000 * TIMES;
const XIDS = 400_000 * TIMES;
const PATH = 1_600_000 * TIMES;
/** The program alone needs most of them at the default. */
const HEAP_MIB = 16 + 4 * TIMES;

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

test.each(LARGE)(
  'millions of %s are printed by each command',
  { timeout: 120_000 },
  async (_, value) => {
    const { head, byte, length, tail } = value;
    const content = Buffer.concat([head, Buffer.alloc(length, byte), tail]);
    const json = value.json();
    const hex = Buffer.from(content.toString('hex'));
    const key = formatKey(KEY);
    /** What is printed before the value, the value, and what is printed after it. */
    const printing: readonly (readonly [words: string, before: string, Buffer, after: string])[] = [
      ['dump FILE --ndjson --values json', ',"value":', json, '}\n'],
      ['dump FILE --ndjson --values hex', ',"hex":"', hex, '"}\n'],
      [`get FILE ${key}`, 'zstd\n', json, '\n'],
      [`get FILE ${key} --json`, ',"hex":"', hex, '"}\n'],
      [`get FILE ${key} --raw`, '', content, ''],
    ];
    // A table has the beginning of the value.
    const tables = ['dump FILE --values hex', 'dump FILE --values json'];
    const results = await runAll(fileOf(layerOf(value)), [
      ...printing.map(([words]) => words),
      ...tables,
    ]);
    expect(results.map(({ words, status, stderr }) => [words, status, stderr])).toEqual(
      results.map(({ words }) => [words, 0, '']),
    );
    for (const [index, [words, before, expected, after]] of printing.entries()) {
      const stdout = readFileSync(results[index]?.output ?? '');
      const start = stdout.indexOf(before) + before.length;
      expect(start, words).toBeLessThan(1000);
      const end = stdout.length - after.length;
      expect(Buffer.compare(stdout.subarray(start, end), expected), words).toBe(0);
      expect(stdout.subarray(end).toString(), words).toBe(after);
    }
    for (const { words, output } of results.slice(printing.length)) {
      expect(statSync(output).size, words).toBeLessThan(10_000);
    }
  },
);

function bytesOf(hex: string, count: number): Buffer {
  return Buffer.from(hex + count.toString(16).padStart(16, '0'), 'hex');
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

/** Runs commands one after the other in one process, each into a file. */
async function runAll(file: string, commands: readonly string[]): Promise<PrintedCommand[]> {
  const program = await bundledProgram(new URL('programs/print.ts', import.meta.url));
  // The command looks its version up in the package that it belongs to.
  const manifest = fileURLToPath(new URL('../../package.json', import.meta.url));
  copyFileSync(manifest, join(dirname(program), 'package.json'));
  const directory = temporaryDirectory();
  const input: PrintInput = {
    directory,
    commands: commands.map((words) =>
      words.split(' ').map((word) => (word === 'FILE' ? file : word)),
    ),
  };
  // Marking beside the program keeps garbage, on a busy machine more than fits.
  const heap = [`--max-old-space-size=${HEAP_MIB}`, '--no-incremental-marking'];
  const flags = [...heap, program, JSON.stringify(input)];
  const results = await resultOf<Omit<PrintedCommand, 'words'>[]>(startNode(flags));
  return results.map((result, index) => ({ words: commands[index] ?? '', ...result }));
}

interface PrintedCommand {
  readonly words: string;
  readonly status: number;
  readonly stderr: string;
  /** The file with standard output. */
  readonly output: string;
}
