import { execPath } from 'node:process';
import { describe, expect, test } from 'vitest';
import type { Key } from '../../../src/layers/key.ts';
import { relationBlockKey, relationSizeKey } from '../../../src/postgres/key-mapping.ts';
import { encodeRedoMessages } from '../../../src/timeline/wal-redo/messages.ts';
import { RedoProcess } from '../../../src/timeline/wal-redo/redo-process.ts';
import { bundledProgram, resultOf, startProgram } from '../../support/programs.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';

function keyOf(blkno: number): Key {
  return relationBlockKey({ spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main', blkno });
}

const BASE = new Uint8Array(8192).fill(0x11);
const RECORDS = [
  { lsn: 0x1_0000_0008n, bytes: Uint8Array.of(1, 2, 3) },
  { lsn: 0x1_0000_0010n, bytes: Uint8Array.of(4) },
];

/** A redo program: reads messages; each record's first byte is added to the first byte of the page. */
const FAITHFUL = `
  let input = Buffer.alloc(0), page = Buffer.alloc(8192);
  process.stdin.on('data', (bytes) => {
    input = Buffer.concat([input, bytes]);
    while (input.length >= 5 && input.length >= 1 + input.readUInt32BE(1)) {
      const end = 1 + input.readUInt32BE(1);
      const body = input.subarray(5, end);
      const letter = String.fromCharCode(input[0]);
      if (letter === 'B') page = Buffer.alloc(8192);
      if (letter === 'P') page = Buffer.from(body.subarray(17));
      if (letter === 'A') page[0] += body[8];
      if (letter === 'G') { process.stdout.write(page.subarray(0, 5000)); process.stdout.write(page.subarray(5000)); }
      input = input.subarray(end);
    }
  });`;

function program(script: string, timeoutMs = 30_000): RedoProcess {
  return RedoProcess.start(execPath, { args: ['-e', script], timeoutMs });
}

describe('messages', () => {
  test('B, P, A and G for block 7 of 1663/5/16384', () => {
    const messages = encodeRedoMessages({ key: keyOf(7), base: BASE, records: RECORDS });
    const tag = '000000067f000000050000400000000007';
    expect(Buffer.from(messages).toString('hex')).toBe(
      [
        ...['42', '00000015', tag],
        ...['50', '00002015', tag, '11'.repeat(8192)],
        ...['41', '0000000f', '0000000100000008', '010203'],
        ...['41', '0000000d', '0000000100000010', '04'],
        ...['47', '00000015', tag],
      ].join(''),
    );
  });

  test('messages without a page to start from have no P', () => {
    const messages = encodeRedoMessages({ key: keyOf(7), base: undefined, records: [] });
    expect([messages.length, messages[22]]).toEqual([44, 0x47]);
  });

  test('a key that is not a block, and a base that is not a page, are refused', () => {
    const key = relationSizeKey({ spcnode: 1663, dbnode: 5, relnode: 1, fork: 'main' });
    const refused = [
      { key, base: undefined, records: [] },
      { key: keyOf(1), base: new Uint8Array(8191), records: [] },
    ];
    for (const request of refused) {
      const error = storageErrorThrownBy(() => encodeRedoMessages(request));
      expect(error.code).toBe('invalid-input');
    }
  });
});

describe('a redo program', () => {
  test('a redo program answers one page after the other, whatever the order of the calls', async () => {
    await using redo = program(FAITHFUL);
    const pages = await Promise.all([
      redo.apply({ key: keyOf(1), base: BASE, records: RECORDS }),
      redo.apply({ key: keyOf(2), base: undefined, records: RECORDS }),
    ]);
    expect(pages.map(([first, second]) => [first, second])).toEqual([
      [0x16, 0x11],
      [0x05, 0],
    ]);
  });

  test('a redo program that cannot be started is an io error with its path', async () => {
    await using redo = RedoProcess.start('/no/such/program');
    const error = await storageErrorOf(redo.apply({ key: keyOf(1), base: BASE, records: [] }));
    expect(error).toMatchObject({ code: 'io', path: '/no/such/program' });
  });

  test('redo programs that cannot be started are errors, and closing one ends no other process', async () => {
    const source = new URL('../../process/programs/unstarted-redo.ts', import.meta.url);
    // In a process group of its own: a signal to process 0 would end the whole group.
    const wrapper = ['prlimit', '--nofile=200', 'setsid'];
    const running = startProgram(await bundledProgram(source), {}, { wrapper });
    expect(await resultOf(running)).toEqual({ closed: 'closed', full: 'io' });
  });

  test.each([
    ['a program with NUL', () => RedoProcess.start('a\0'), 'invalid-input'],
    ['an argument with NUL', () => RedoProcess.start('a', { args: ['a\0'] }), 'invalid-input'],
    [
      '8 MiB of arguments',
      () => RedoProcess.start(execPath, { args: ['a'.repeat(1 << 23)] }),
      'io',
    ],
  ])('%s is refused', (_, start, code) => {
    expect(storageErrorThrownBy(start).code).toBe(code);
  });

  test('a redo program that hangs is killed, and gets no further requests', async () => {
    await using redo = program('process.stdin.resume()', 300);
    const request = { key: keyOf(1), base: BASE, records: [] };
    const first = await storageErrorOf(redo.apply(request));
    expect(first.message).toContain('did not answer in time');
    expect(await storageErrorOf(redo.apply(request))).toBe(first);
  });

  test('a redo program that ends in the middle of an answer is an error with what it said last', async () => {
    await using redo = program(
      `process.stdin.once('data', () => { console.error('cannot redo'); process.stdout.write('x', () => process.exit(3)); })`,
    );
    const error = await storageErrorOf(redo.apply({ key: keyOf(1), base: BASE, records: [] }));
    expect(error.message).toContain('ended with status 3');
    expect(error.actual).toBe('cannot redo');
  });

  test('a redo program that answers more than a page is an error', async () => {
    await using redo = program(
      `process.stdin.once('data', () => process.stdout.write(Buffer.alloc(8193)))`,
    );
    const error = await storageErrorOf(redo.apply({ key: keyOf(1), base: BASE, records: [] }));
    expect(error.message).toContain('more than a page');
  });

  test('a redo program is ended by a signal, and closed afterwards', async () => {
    await using redo = program('process.stdin.resume()');
    const controller = new AbortController();
    const page = redo.apply({ key: keyOf(1), base: BASE, records: [] }, controller.signal);
    setTimeout(() => controller.abort(), 50);
    expect((await storageErrorOf(page)).code).toBe('aborted');
    const later = redo.apply({ key: keyOf(1), base: BASE, records: [] });
    expect((await storageErrorOf(later)).code).toBe('closed');
  });
});
