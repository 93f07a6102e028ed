import { constants } from 'node:buffer';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { JsonFields } from '../../src/cli/json-fields.ts';
import { nestsDeeperThan, parseLongLine } from '../../src/cli/long-line.ts';
import { MAXIMUM_LINE_LENGTH, readNdjson } from '../../src/cli/ndjson-lines.ts';
import { isStorageError, type StorageErrorCode } from '../../src/errors.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const NEVER = new AbortController().signal;

async function* chunks(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

async function readNames(source: AsyncIterable<Uint8Array>, signal = NEVER): Promise<string[]> {
  const names: string[] = [];
  for await (const batch of readNdjson(source, { path: 'spec', signal })) {
    for (const line of batch) names.push(`${line.number}:${line.fields.text('name')}`);
  }
  return names;
}

async function expectError(
  source: AsyncIterable<Uint8Array>,
  code: StorageErrorCode,
  text: string,
) {
  const error = await readNames(source).catch((failure: unknown) => failure);
  expect(isStorageError(error, code) && error.message).toContain(text);
}

describe('NDJSON', () => {
  test('lines end anywhere in the chunks, the last one without a line feed', async () => {
    const source = chunks('{"name":', '"a"}\n{"na', 'me":"b"}', '\r\n\n  \n{"name":"ü"}');
    expect(await readNames(source)).toEqual(['1:a', '2:b', '5:ü']);
  });

  test('a character is split between chunks', async () => {
    const bytes = Buffer.from('{"name":"€"}\n');
    expect(await readNames(chunks(bytes.subarray(0, 11), bytes.subarray(11)))).toEqual(['1:€']);
  });

  test('empty input has no lines', async () => {
    expect(await readNames(chunks())).toEqual([]);
    expect(await readNames(chunks('', '\n'))).toEqual([]);
  });

  test.each<[string, string | Uint8Array, string]>([
    ['an array', '{"name":"a"}\n[1]\n', 'line 2'],
    ['a number', '{"name":"a"}\n1\n', 'line 2'],
    ['half an object', '{"name":"a"}\n{"name":\n', 'line 2'],
    ['two objects in a line', '{"name":"a"}{"name":"b"}\n', 'line 1'],
    ['bytes that are no UTF-8', Buffer.from('7b226e616d65223a22ff227d', 'hex'), 'line 1'],
    ['a byte order mark', '\ufeff{"name":"a"}', 'line 1'],
    ['a header that does not end', `{"name":"${'a'.repeat(70_000)}`, 'line 1'],
  ])('NDJSON with %s is refused with its line', async (_, text, where) => {
    await expectError(chunks(text), 'invalid-input', where);
  });

  /** A line of the given length. */
  function lineOf(length: number, before = '{"name":"', after = '"}'): string {
    return before + 'a'.repeat(length - before.length - after.length) + after;
  }

  test('a header of 64 KiB is read, one of a byte more is refused', async () => {
    const [name] = await readNames(chunks(lineOf(65_536), '\n'));
    expect(name).toHaveLength('1:'.length + 65_536 - '{"name":""}'.length);
    await expectError(chunks(lineOf(65_537), '\n'), 'invalid-input', 'at most 65536 bytes');
  });

  test('lists of 17 levels are read in a line of 64 KiB, and refused in a longer one', async () => {
    const deep = `","list":${'['.repeat(16)}${']'.repeat(16)}}`;
    const names = await readNames(
      chunks('{"name":"a"}\n', lineOf(65_536, '{"name":"', deep), '\n'),
    );
    expect(names).toHaveLength(2);
    await expectError(
      chunks('{"name":"a"}\n', lineOf(65_537, '{"name":"', deep), '\n'),
      'invalid-input',
      'lists at most 16 deep',
    );
    const shallow = `","list":${'['.repeat(15)}${']'.repeat(15)}}`;
    expect(
      await readNames(chunks('{"name":"a"}\n', lineOf(65_537, '{"name":"', shallow), '\n')),
    ).toHaveLength(2);
  });

  test('endless zeros are refused with the first chunk', async () => {
    let count = 0;
    async function* zeros(): AsyncGenerator<Uint8Array> {
      for (;;) {
        count += 1;
        yield new Uint8Array(65_536);
      }
    }
    await expectError(zeros(), 'invalid-input', 'byte 0x00');
    expect(count).toBe(1);
  });

  test('a line that is longer than any entry is refused before it is complete', async () => {
    let length = 0;
    const chunk = Buffer.alloc(1 << 20, 'a');
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('{"name":"header"}\n{"name":"');
      for (;;) {
        length += chunk.length;
        yield chunk;
      }
    }
    await expectError(endless(), 'too-large', 'line 2');
    expect(length).toBeLessThan(MAXIMUM_LINE_LENGTH + 2 * chunk.length);
  });

  test('a chunk is held no longer than its lines are', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage: () => void = runInNewContext('gc');
    const held: WeakRef<Uint8Array>[] = [];
    let heldAtTheEnd = Number.POSITIVE_INFINITY;
    async function* lines(): AsyncGenerator<Uint8Array> {
      for (let count = 0; count < 10; count += 1) {
        const chunk = Buffer.from(`{"name":"${count}"}\n`);
        held.push(new WeakRef(chunk));
        yield chunk;
        await new Promise((resolve) => setImmediate(resolve));
      }
      collectGarbage();
      heldAtTheEnd = held.filter((chunk) => chunk.deref() !== undefined).length;
    }
    expect(await readNames(lines())).toHaveLength(10);
    expect(heldAtTheEnd).toBeLessThan(3);
  });

  test('an interruption ends the wait for more', async () => {
    const interruption = new AbortController();
    async function* hanging(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('{"name":"a"}\n');
      await new Promise(() => {});
    }
    setTimeout(() => interruption.abort(), 10);
    const error = await readNames(hanging(), interruption.signal).catch((failure) => failure);
    expect(isStorageError(error, 'aborted')).toBe(true);
  });
});

describe('a long line', () => {
  const LONG = 'ab'.repeat(40_000);
  const parse = (text: string) => parseLongLine(Buffer.from(text));

  test('a long line gives the bytes of long digits', () => {
    const fields = parse(`{"hex":"${LONG}","value":{"hex":"${LONG}00"},"name":"x"}`);
    expect(fields.bytes()).toEqual(new Uint8Array(40_000).fill(0xab));
    expect(fields.object('value').bytes().length).toBe(40_001);
    expect(fields.text('name')).toBe('x');
  });

  test('a long line gives long base64', () => {
    const bytes = Buffer.alloc(100_000, 7);
    expect(parse(`{"base64":"${bytes.toString('base64')}"}`).bytes()).toEqual(bytes);
  });

  test('a long line refuses base64 that is longer than any text, before it looks at it', () => {
    // Memory of zeros that nobody touches is not there.
    const tooLong = new Uint8Array(constants.MAX_STRING_LENGTH + 1);
    const fields = new JsonFields({ base64: 'name' }, 'line', new Map([['name', tooLong]]));
    const error = storageErrorThrownBy(() => fields.bytes());
    expect(error).toMatchObject({ code: 'invalid-input', expected: 'base64 of one blob' });
    expect(error.actual).toBe(`${constants.MAX_STRING_LENGTH + 1} characters`);
  });

  test.each(['[', '{"":', '[{"a":'])(
    'a long line of nested %s is refused before it is parsed',
    async (opening) => {
      const header = Buffer.from('{"name":"a"}\n');
      const line = Buffer.alloc(48 * 1024 * 1024, opening);
      line.write('{"name":');
      async function* source(): AsyncGenerator<Uint8Array> {
        yield header;
        yield line;
      }
      const before = process.resourceUsage().maxRSS;
      const error = await storageErrorOf(readNames(source()));
      expect(error).toMatchObject({ code: 'invalid-input', expected: 'lists at most 16 deep' });
      expect(error.message).toContain('line 2');
      // JSON.parse would take gigabytes.
      expect((process.resourceUsage().maxRSS - before) / 1024).toBeLessThan(512);
    },
  );

  test.each<[string, number, string, boolean]>([
    ['a line no deeper than allowed is accepted', 3, '{"a":[{"b":1},{"b":2}],"c":[[]]}', false],
    ['a line one level too deep is refused', 2, '{"a":[{"b":1}]}', true],
    ['brackets in texts do not count', 2, '{"a":["[[[[{{{{\\"[[[["],"[{[":"]]"}', false],
    ['brackets that are closed before the next do not add up', 1, '{}{}{}', false],
    ['a text without its end is accepted', 1, '{"a', false],
    ['an empty line is accepted', 1, '', false],
  ])('the depth of a line is told by its brackets: %s', (_, maximum, text, expected) => {
    expect(nestsDeeperThan(maximum, Buffer.from(text))).toBe(expected);
  });

  test('a long line gives long text, escaped or not', () => {
    expect(parse(`{"path":"${'ü'.repeat(50_000)}"}`).text('path')).toBe('ü'.repeat(50_000));
    const escaped = parse(`{"path":"${'\\"\\\\'.repeat(50_000)}","hex":"${LONG}"}`);
    expect(escaped.text('path')).toBe('"\\'.repeat(50_000));
    expect(escaped.bytes().length).toBe(40_000);
  });

  test.each([
    ['a character that is not a hex digit', `{"hex":"${LONG}zz"}`],
    ['half a pair', `{"hex":"${LONG}a"}`],
    ['a digit that only looks like one', `{"hex":"${LONG}\u0131\u0131"}`],
    ['a raw control character in a text', `{"path":"${'a'.repeat(70_000)}\t"}`],
  ])('a long line with %s is refused', (_, text) => {
    const fields = parse(text);
    expect(() => (text.includes('hex') ? fields.bytes() : fields.text('path'))).toThrow('field');
  });

  test('a long line is scanned once, however many texts it has', () => {
    const many = Array.from({ length: 200_000 }, (_, index) => `"${index}":1`).join(',');
    const start = process.cpuUsage();
    parse(`{${many},"name":"x"}`);
    expect(process.cpuUsage(start).user).toBeLessThan(5_000_000);
  });
});
