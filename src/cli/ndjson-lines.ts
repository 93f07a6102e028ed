/**
 * NDJSON from a stream: one JSON object per line, blank lines ignored, in batches of the lines of a
 * chunk. Memory is bounded by the longest line that can be an entry: the hex digits of the largest
 * blob, and its other fields.
 */
import { isUtf8 } from 'node:buffer';
import { MAXIMUM_BLOB_LENGTH } from '../blob-writer/blob-format.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { unlessAborted } from '../on-abort.ts';
import { messageOf } from '../realms.ts';
import { JsonFields } from './json-fields.ts';
import { nestsDeeperThan, parseLongLine } from './long-line.ts';

export const MAXIMUM_LINE_LENGTH = 2 * MAXIMUM_BLOB_LENGTH + 64 * 1024;

/** The first line contains no values. */
const MAXIMUM_HEADER_LENGTH = 64 * 1024;

/** Above this, JSON.parse would need several times the line. */
const LONG_LINE = 4 * 1024 * 1024;

/** An entry needs four levels. */
const MAXIMUM_DEPTH = 16;

/** A shorter line costs little at any depth. */
const SHORT_LINE = 64 * 1024;

const LINE_FEED = 0x0a;
const OPENING_BRACE = 0x7b;

export interface SpecLine {
  /** From 1. */
  readonly number: number;
  readonly fields: JsonFields;
}

export interface LineOptions {
  /** Undefined for standard input. */
  readonly path: string | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: ((bytesRead: number) => void) | undefined;
}

/**
 * Yields the lines of each chunk.
 *
 * Throws `invalid-input` for a line that is not a JSON object in UTF-8, `too-large` for a line that
 * is too long, both with the number of the line; `aborted`.
 */
export async function* readNdjson(
  source: AsyncIterable<Uint8Array>,
  options: LineOptions,
): AsyncGenerator<SpecLine[], void, undefined> {
  const splitter = new LineSplitter(options.path);
  let bytesRead = 0;
  for await (const chunk of untilAborted(source, options.signal)) {
    const lines = splitter.split(chunk);
    if (lines.length > 0) yield lines;
    bytesRead += chunk.length;
    options.onProgress?.(bytesRead);
  }
  const lines = splitter.end();
  if (lines.length > 0) yield lines;
}

class LineSplitter {
  readonly #path: string | undefined;
  #lineNumber = 0;
  #started: Uint8Array[] = [];
  #startedLength = 0;

  constructor(path: string | undefined) {
    this.#path = path;
  }

  split(chunk: Uint8Array): SpecLine[] {
    const lines: SpecLine[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start);
      if (end < 0) break;
      this.#finishLine(chunk.subarray(start, end), lines);
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return lines;
  }

  /** The last line may lack its line feed. */
  end(): SpecLine[] {
    const lines: SpecLine[] = [];
    this.#finishLine(new Uint8Array(0), lines);
    return lines;
  }

  #keep(rest: Uint8Array): void {
    if (rest.length === 0) return;
    this.#started.push(rest);
    this.#startedLength += rest.length;
    // A line with another start is refused early, so that endless zeros do not fill the memory.
    if (this.#started.length === 1) this.#checkStart(rest, this.#lineNumber + 1);
    this.#checkLength(this.#startedLength);
  }

  #finishLine(end: Uint8Array, lines: SpecLine[]): void {
    this.#checkLength(this.#startedLength + end.length);
    const line = this.#started.length === 0 ? end : Buffer.concat([...this.#started, end]);
    this.#started = [];
    this.#startedLength = 0;
    this.#lineNumber += 1;
    if (!isBlank(line)) lines.push({ number: this.#lineNumber, fields: this.#parse(line) });
  }

  #parse(line: Uint8Array): JsonFields {
    this.#checkStart(line, this.#lineNumber);
    if (!isUtf8(line)) throw this.#invalid('text in UTF-8', 'other bytes', this.#lineNumber);
    if (line.length > SHORT_LINE && nestsDeeperThan(MAXIMUM_DEPTH, line)) {
      throw this.#invalid(`lists at most ${MAXIMUM_DEPTH} deep`, 'more', this.#lineNumber);
    }
    try {
      if (line.length > LONG_LINE) return parseLongLine(line);
      return new JsonFields(JSON.parse(utf8(line)), 'line');
    } catch (error) {
      if (isStorageError(error)) throw error;
      const actual = messageOf(error);
      throw this.#invalid('a JSON object', actual, this.#lineNumber);
    }
  }

  #checkStart(line: Uint8Array, number: number): void {
    const first = line.find((byte) => !isSpace(byte));
    if (first === undefined || first === OPENING_BRACE) return;
    const actual = `byte 0x${first.toString(16).padStart(2, '0')}`;
    throw this.#invalid('a JSON object, which starts with {', actual, number);
  }

  #checkLength(length: number): void {
    const maximum = this.#lineNumber === 0 ? MAXIMUM_HEADER_LENGTH : MAXIMUM_LINE_LENGTH;
    if (length <= maximum) return;
    throw new StorageError(this.#lineNumber === 0 ? 'invalid-input' : 'too-large', {
      what: `line ${this.#lineNumber + 1}`,
      path: this.#path,
      expected: `at most ${maximum} bytes`,
      actual: 'more',
    });
  }

  #invalid(expected: string, actual: string, number: number): StorageError {
    const what = `line ${number}`;
    return new StorageError('invalid-input', { what, path: this.#path, expected, actual });
  }
}

/** Throws `aborted` even if the source yields nothing. */
async function* untilAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await unlessAborted(iterator.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not awaited: a source that hangs in a read would never return.
    void iterator.return?.()?.catch(() => {});
  }
}

function isBlank(line: Uint8Array): boolean {
  return line.every(isSpace);
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}
