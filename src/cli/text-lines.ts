/** The lines of a text file or of standard input, one by one. */
import { open } from 'node:fs/promises';
import { tooLarge } from '../errors.ts';
import { unlessAborted } from '../on-abort.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import type { Context } from './context.ts';

const MAXIMUM_LINE_LENGTH = 64 * 1024;

/** `-` is standard input. Throws `not-found`, `io`, `too-large` for a line of more than 64 KiB, `aborted`. */
export async function* textLines(
  file: string,
  { stdin, signal }: Pick<Context, 'stdin' | 'signal'>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of abortable(file === '-' ? stdin() : bytesOf(file), signal)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
    if (rest.length > MAXIMUM_LINE_LENGTH)
      throw tooLarge('line', { maximum: MAXIMUM_LINE_LENGTH, path: file });
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}

/** Ends the wait for a terminal or a pipe. */
async function* abortable(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  for (;;) {
    const next = await unlessAborted(iterator.next(), signal);
    if (next.done === true) return;
    yield next.value;
  }
}

async function* bytesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    await using handle = await open(file);
    yield* handle.createReadStream({ autoClose: false });
  } catch (error) {
    throw fromNodeError('read file', file, error);
  }
}
