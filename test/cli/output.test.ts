import { describe, expect, test } from 'vitest';
import { wantsColour } from '../../src/cli/colour.ts';
import { ListWriter } from '../../src/cli/list-writer.ts';
import { Output, type OutputStream, ReaderGone } from '../../src/cli/output.ts';
import { isStorageError } from '../../src/errors.ts';

/** Takes a write only when the test says so. */
class SlowStream implements OutputStream {
  readonly written: (string | Uint8Array)[] = [];
  readonly #waiting: ((error?: Error | null) => void)[] = [];

  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean {
    this.written.push(chunk);
    this.#waiting.push(done);
    return false;
  }

  on(): this {
    return this;
  }

  settle(error?: Error): void {
    for (const done of this.#waiting.splice(0)) done(error);
  }
}

const OPTIONS = {
  name: 'standard output',
  isTerminal: false,
  colour: false,
  signal: new AbortController().signal,
};

describe('an output', () => {
  test('an output collects text until a batch is full', async () => {
    const stream = new SlowStream();
    const output = new Output(stream, OPTIONS);
    expect(output.write('a'.repeat(60_000))).toBeUndefined();
    expect(stream.written).toEqual([]);
    const written = output.write('b'.repeat(6_000));
    stream.settle();
    await written;
    expect(stream.written.map((chunk) => chunk.length)).toEqual([66_000]);
  });

  test('an output collects 65,535 characters, and writes 65,536', async () => {
    const stream = new SlowStream();
    const output = new Output(stream, OPTIONS);
    expect(output.write('a'.repeat(65_535))).toBeUndefined();
    expect(stream.written).toEqual([]);
    const written = output.write('b');
    stream.settle();
    await written;
    expect(stream.written.map((chunk) => chunk.length)).toEqual([65_536]);
  });

  test('an output waits until the stream has taken a batch', async () => {
    const stream = new SlowStream();
    const output = new Output(stream, OPTIONS);
    let isTaken = false;
    const written = output.write('a'.repeat(70_000))?.then(() => {
      isTaken = true;
    });
    await new Promise(setImmediate);
    expect(isTaken).toBe(false);
    stream.settle();
    await written;
    expect(isTaken).toBe(true);
  });

  test('an output writes bytes after the text that was written before', async () => {
    const stream = new SlowStream();
    const output = new Output(stream, OPTIONS);
    output.write('text');
    const written = output.writeBytes(Uint8Array.of(1, 2));
    stream.settle();
    await new Promise(setImmediate);
    stream.settle();
    await written;
    expect(stream.written).toEqual(['text', Uint8Array.of(1, 2)]);
  });

  /** Lets everything be taken immediately. */
  async function settled(stream: SlowStream, written: Promise<void> | undefined): Promise<void> {
    let isDone = written === undefined;
    void written?.then(() => {
      isDone = true;
    });
    while (!isDone) {
      stream.settle();
      await new Promise(setImmediate);
    }
  }

  function fillWith(text: string) {
    return (target: Uint8Array, at: number) => at + Buffer.from(text).copy(target, at);
  }

  test('an output keeps the order of text, of bytes that are written straight into it, and of pieces', async () => {
    const stream = new SlowStream();
    const output = new Output(stream, OPTIONS);
    expect(output.write('ä1')).toBeUndefined();
    expect(output.writeFilled(8, fillWith('two'), [])).toBeUndefined();
    expect(
      output.writeFilled(8, fillWith('three'), [' four ', Uint8Array.of(0xf5)]),
    ).toBeUndefined();
    expect(output.write(' €')).toBeUndefined();
    expect(stream.written).toEqual([]);
    await settled(stream, output.flush());
    output.write('six');
    await settled(stream, output.flush());
    expect(stream.written.map((chunk) => Buffer.from(chunk).toString())).toEqual([
      'ä1twothree four f5 €',
      'six',
    ]);
  });

  test('an output sends filled bytes when a batch is full, and each of them once', async () => {
    const stream = new SlowStream();
    const output = new Output(stream, OPTIONS);
    const lines = Array.from({ length: 3000 }, (_, line) => `${line}`.padEnd(99, '.').concat('\n'));
    const taken: string[] = [];
    stream.write = (chunk, done) => {
      // A view of what is used again: it counts what it holds until it is taken.
      setImmediate(() => {
        taken.push(Buffer.from(chunk).toString());
        done();
      });
      return false;
    };
    for (const line of lines) await output.writeFilled(100, fillWith(line), []);
    await output.flush();
    expect(taken.join('')).toBe(lines.join(''));
    expect(taken.length).toBe(Math.ceil(300_000 / 65_600));
    expect(Math.max(...taken.map(({ length }) => length))).toBe(65_600);
  });

  test('an output makes room for more than a batch', async () => {
    const stream = new SlowStream();
    const output = new Output(stream, OPTIONS);
    const text = 'x'.repeat(300_000);
    output.write('y'.repeat(60_000));
    await settled(stream, output.writeFilled(text.length, fillWith(text), []));
    expect(stream.written.map((chunk) => chunk.length)).toEqual([360_000]);
  });

  test('an output writes over no bytes that a stream still has when it was interrupted', async () => {
    const interruption = new AbortController();
    const stream = new SlowStream();
    const output = new Output(stream, { ...OPTIONS, signal: interruption.signal });
    output.writeFilled(8, fillWith('first'), []);
    const flushed = output.flush().catch(() => 'interrupted');
    interruption.abort();
    expect(await flushed).toBe('interrupted');
    output.writeFilled(8, fillWith('other'), []);
    expect(Buffer.from(stream.written[0] ?? '').toString()).toBe('first');
  });

  test('an output cuts the digits of a large blob into batches', async () => {
    const stream = new SlowStream();
    const output = new Output(stream, OPTIONS);
    const bytes = new Uint8Array(200_000).map((_, index) => index);
    let isDone = false;
    const written = Promise.resolve(output.writePieces(['"', bytes, '"\n']))
      .then(() => output.flush())
      .then(() => {
        isDone = true;
      });
    while (!isDone) {
      stream.settle();
      await new Promise(setImmediate);
    }
    await written;
    expect(stream.written.join('')).toBe(`"${Buffer.from(bytes).toString('hex')}"\n`);
    expect(Math.max(...stream.written.map((chunk) => chunk.length))).toBeLessThan(140_000);
  });

  test('an output stops waiting for a reader that does not read when it is interrupted', async () => {
    const interruption = new AbortController();
    const output = new Output(new SlowStream(), { ...OPTIONS, signal: interruption.signal });
    output.write('text');
    const flushed = output.flush().catch((error: unknown) => error);
    interruption.abort();
    expect(isStorageError(await flushed, 'aborted')).toBe(true);
  });

  test('an output distinguishes a reader that closed the pipe from a full disk', async () => {
    const failWith = async (code: string): Promise<unknown> => {
      const stream = new SlowStream();
      const output = new Output(stream, OPTIONS);
      output.write('text');
      const flushed = output.flush().catch((error: unknown) => error);
      stream.settle(Object.assign(new Error(code), { code }));
      return flushed;
    };
    expect(await failWith('EPIPE')).toBeInstanceOf(ReaderGone);
    const full = await failWith('ENOSPC');
    expect(isStorageError(full, 'io') && full.errno).toBe('ENOSPC');
  });
});

describe('colour', () => {
  test.each([
    ['a terminal', true, {}, true],
    ['a pipe', false, {}, false],
    ['NO_COLOR', true, { NO_COLOR: '1' }, false],
    ['NO_COLOR that is empty', true, { NO_COLOR: '' }, true],
    ['FORCE_COLOR', false, { FORCE_COLOR: '1' }, true],
    ['FORCE_COLOR 0', true, { FORCE_COLOR: '0' }, false],
    ['FORCE_COLOR that is empty', false, { FORCE_COLOR: '' }, false],
    ['both', true, { FORCE_COLOR: '1', NO_COLOR: '1' }, false],
    ['a dumb terminal', true, { TERM: 'dumb' }, false],
    ['a dumb terminal that is forced', true, { TERM: 'dumb', FORCE_COLOR: '3' }, true],
  ])('colour is used as it should be on %s', (_, isTerminal, environment, expected) => {
    expect(wantsColour(environment, isTerminal)).toBe(expected);
  });
});

describe('a JSON document that is cut short', () => {
  /** An output whose stream takes everything immediately, unless `failure` says otherwise. */
  function outputOf({
    signal = OPTIONS.signal,
    failure,
  }: {
    signal?: AbortSignal;
    failure?: Error;
  }) {
    const written: (string | Uint8Array)[] = [];
    const stream: OutputStream = {
      write: (chunk, done) => {
        written.push(chunk);
        done(failure);
        return true;
      },
      on: () => undefined,
    };
    const text = (): string => Buffer.concat(written.map((chunk) => Buffer.from(chunk))).toString();
    return { output: new Output(stream, { ...OPTIONS, signal }), text };
  }

  test('a JSON document that is cut short by an error ends after its last item', async () => {
    const { output, text } = outputOf({});
    const list = new ListWriter(output, 'json');
    await list.write(['{"a":1}']);
    await list.write(['{"a":2}']);
    output.completeDocument();
    await output.flush();
    expect(JSON.parse(text())).toEqual([{ a: 1 }, { a: 2 }]);
  });

  test('a JSON document that is cut short by nothing is completed once', async () => {
    const { output, text } = outputOf({});
    const list = new ListWriter(output, 'json');
    await list.write(['{"a":1}']);
    await list.end();
    output.completeDocument();
    await output.flush();
    expect(JSON.parse(text())).toEqual([{ a: 1 }]);
  });

  test('a JSON document that is cut short as lines is left as it is', async () => {
    const { output, text } = outputOf({});
    await new ListWriter(output, 'ndjson').write(['{"a":1}']);
    output.completeDocument();
    await output.flush();
    expect(text()).toBe('{"a":1}\n');
  });

  test('a JSON document that is cut short by an abort is completed only if a part of it was printed', async () => {
    for (const length of [10, 100_000]) {
      const stop = new AbortController();
      const { output, text } = outputOf({ signal: stop.signal });
      await new ListWriter(output, 'json').write([`"${'x'.repeat(length)}"`]);
      stop.abort();
      output.completeDocument();
      expect(text()).toBe(length === 10 ? '' : `[\n"${'x'.repeat(length)}"\n]\n`);
    }
  });

  test('a JSON document that is cut short within a large item stays as it is', async () => {
    const stop = new AbortController();
    const { output, text } = outputOf({ signal: stop.signal });
    const first = new Uint8Array(40_000).fill(0x11);
    const list = new ListWriter(output, 'json');
    const writing = list.write(['"', first, first, '"']);
    stop.abort();
    await writing?.catch(() => undefined);
    output.completeDocument();
    expect(text()).toMatch(/^(?:\[\n"1+)?$/);
  });

  test('a JSON document that is cut short by a stream that fails stays as it is', async () => {
    const { output, text } = outputOf({ failure: new Error('disk full') });
    const writing = new ListWriter(output, 'json').write([`"${'x'.repeat(70_000)}"`]);
    await writing?.catch(() => undefined);
    output.completeDocument();
    await output.flush().catch(() => undefined);
    expect(text().endsWith(']\n')).toBe(false);
  });
});
