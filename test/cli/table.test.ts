import { describe, expect, test } from 'vitest';
import { formatBytes, formatCount, formatDuration } from '../../src/cli/human.ts';
import { Output, type OutputStream } from '../../src/cli/output.ts';
import { Progress, type ProgressStyle } from '../../src/cli/progress.ts';
import { Table } from '../../src/cli/table.ts';

const NEVER = new AbortController().signal;

class TextStream implements OutputStream {
  text = '';
  readonly columns: number;

  constructor(columns: number) {
    this.columns = columns;
  }

  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
    this.text += chunk;
    done();
    return true;
  }

  on(): this {
    return this;
  }
}

function createOutput({ isTerminal = false, colour = false, columns = 80 } = {}) {
  const stream = new TextStream(columns);
  return {
    stream,
    output: new Output(stream, { name: 'output', isTerminal, colour, signal: NEVER }),
  };
}

describe('a table', () => {
  test('a table aligns its columns and trims its lines', async () => {
    const { stream, output } = createOutput();
    const table = new Table(output, [
      { title: 'NAME' },
      { title: 'SIZE', align: 'right' },
      { title: '' },
    ]);
    await table.row({ cells: ['a', '1', ''] });
    await table.row({ cells: ['long name', '1,000', 'x'] });
    await table.end();
    await output.flush();
    expect(stream.text).toBe(
      ['NAME        SIZE', 'a              1', 'long name  1,000  x', ''].join('\n'),
    );
  });

  test('a table without rows prints nothing', async () => {
    const { stream, output } = createOutput();
    await new Table(output, [{ title: 'NAME' }]).end();
    await output.flush();
    expect(stream.text).toBe('');
  });

  test('a table is written before its last row, and a wider cell pushes its line out', async () => {
    const { stream, output } = createOutput();
    const table = new Table(output, [{ title: 'A' }, { title: 'B' }]);
    for (let row = 0; row < 200; row += 1) await table.row({ cells: ['a', 'b'] });
    await output.flush();
    expect(stream.text.split('\n')).toHaveLength(202);
    await table.row({ cells: ['wider', 'b'] });
    await output.flush();
    expect(stream.text.endsWith('\na  b\nwider  b\n')).toBe(true);
  });

  test('a table lets its last cell wrap on a terminal that is too narrow', async () => {
    const { stream, output } = createOutput({ isTerminal: true, columns: 40 });
    const table = new Table(output, [{ title: 'A' }, { title: 'B' }]);
    await table.row({ cells: ['a', 'b'.repeat(100)] });
    await table.end();
    await output.flush();
    expect(stream.text.split('\n')[1]).toBe(`a  ${'b'.repeat(100)}`);
  });

  test('a table cuts a last cell of bytes to the terminal, but never damage', async () => {
    const { stream, output } = createOutput({ isTerminal: true, columns: 40 });
    const table = new Table(output, [{ title: 'A' }, { title: 'B', overflow: 'cut' }]);
    await table.row({ cells: ['a', 'b'.repeat(100)] });
    await table.row({ cells: ['a', 'c'.repeat(100)], style: 'red' });
    await table.end();
    await output.flush();
    const lines = stream.text.split('\n');
    expect(lines[1]).toBe(`a  ${'b'.repeat(34)}...`);
    expect(lines[2]).toBe(`a  ${'c'.repeat(100)}`);
  });

  test.each([
    ['that fits its terminal exactly is not cut', 40, 37, 'b'.repeat(37)],
    ['that is one character too long is cut', 40, 38, `${'b'.repeat(34)}...`],
    ['of 24 characters is not cut, however narrow the terminal', 10, 24, 'b'.repeat(24)],
    ['of 25 characters is cut on a narrow terminal', 10, 25, `${'b'.repeat(21)}...`],
  ])('a table with a last cell %s', async (_, columns, length, shown) => {
    const { stream, output } = createOutput({ isTerminal: true, columns });
    const table = new Table(output, [{ title: 'A' }, { title: 'B', overflow: 'cut' }]);
    await table.row({ cells: ['a', 'b'.repeat(length)] });
    await table.end();
    await output.flush();
    expect(stream.text.split('\n')[1]).toBe(`a  ${shown}`);
  });

  test('a table paints columns and rows where colour is wanted', async () => {
    const { stream, output } = createOutput({ colour: true });
    const table = new Table(output, [{ title: 'A', style: 'cyan' }, { title: 'B' }]);
    await table.row({ cells: ['a', 'b'] });
    await table.row({ cells: ['c', 'd'], style: 'red' });
    await table.end();
    await output.flush();
    expect(stream.text).toBe('\x1b[1mA  B\x1b[22m\n\x1b[36ma\x1b[39m  b\n\x1b[31mc  d\x1b[39m\n');
  });
});

describe('numbers for people', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [1024 * 1024 - 1, '1.0 MiB'],
    [1024 * 1024 * 100, '100 MiB'],
    [1.5 * 1024 ** 3, '1.5 GiB'],
    [2 ** 53 - 1, '8.0 PiB'],
  ])('a size of %d bytes is formatted as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test('counts have separators, durations minutes', () => {
    expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
    expect([0, 7_400, 65_000, 3_723_000].map(formatDuration)).toEqual([
      '0:00',
      '0:07',
      '1:05',
      '1:02:03',
    ]);
  });

  test('an hour is written with its hour, a second less without', () => {
    expect([3_599_000, 3_600_000].map(formatDuration)).toEqual(['59:59', '1:00:00']);
  });
});

describe('progress', () => {
  async function show(style: ProgressStyle, delayMs: number): Promise<string> {
    const { stream, output } = createOutput({ isTerminal: style === 'bar' });
    const progress = new Progress(output, { label: 'verify' }, style);
    progress.update({ done: 1, total: 100 });
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    progress.update({ done: 50, total: 100, detail: 'name\x1b[2J' });
    progress.finish();
    progress.update({ done: 100, total: 100 });
    return stream.text;
  }

  test('progress of short work is not shown', async () => {
    expect(await show('bar', 0)).toBe('');
    expect(await show('lines', 0)).toBe('');
  });

  test('progress is one line that goes away, with file names escaped and without escape codes', async () => {
    const text = await show('bar', 450);
    expect(text).toMatch(/^\rverify {2}\[={12} {12}\] {3}50% {2}50 B of 100 B {2}\d+ B\/s/);
    expect(text).toMatch(/\r +\r$/);
    expect(text).not.toContain('\x1b');
  });
});
