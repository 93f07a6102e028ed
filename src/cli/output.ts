/**
 * One of the two output streams: text is collected into large writes, a write waits until the
 * stream has accepted it, and a closed pipe is distinguished from a full disk.
 */
import { isUint8Array } from 'node:util/types';
import { StorageError, throwIfAborted } from '../errors.ts';
import { unlessAborted } from '../on-abort.ts';
import { isErrorNamed } from '../realms.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import type { JsonPiece, JsonPieces } from './json.ts';

/** The required part of a stream: process.stdout, or a fake. */
export interface OutputStream {
  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): boolean;
  on(event: 'error', listener: (error: Error) => void): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** The reader of a pipe has closed it, which is not a failure. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone';
}

export function isReaderGone(error: unknown): boolean {
  return isErrorNamed(error, 'ReaderGone');
}

export interface OutputOptions {
  /** For messages: `standard output`. */
  readonly name: string;
  readonly isTerminal: boolean;
  readonly colour: boolean;
  /** Ends the wait for a reader that does not read. */
  readonly signal: AbortSignal;
}

const BATCH_LENGTH = 64 * 1024;

/** Writes into the array from `at` on; returns the end. */
export type FillBytes = (target: Uint8Array, at: number) => number;

const NO_BYTES = Buffer.alloc(0);

/** Bytes that are converted to hex digits at a time: one string of all could be too long for V8. */
const HEX_PIECE = 32 * 1024;

/** For one writer: each call only after the promise of the previous one has settled. */
export class Output {
  readonly isTerminal: boolean;
  readonly colour: boolean;
  readonly #name: string;
  readonly #stream: OutputStream;
  readonly #signal: AbortSignal;
  /** Collected bytes, followed by the collected text. */
  #bytes: Buffer = NO_BYTES;
  #length = 0;
  #pending = '';
  #failure: Error | undefined;
  /** What completes the JSON document that was begun. */
  #closing: string | undefined;
  /** Whether the stream has taken anything. */
  #hasSent = false;

  constructor(stream: OutputStream, options: OutputOptions) {
    this.#stream = stream;
    this.#signal = options.signal;
    this.#name = options.name;
    this.isTerminal = options.isTerminal;
    this.colour = options.colour;
    stream.on('error', (error) => {
      this.#failure ??= this.#describe(error);
    });
  }

  /** Characters in a line of the terminal; unlimited elsewhere. */
  get columns(): number {
    return this.isTerminal ? (this.#stream.columns ?? 80) : Number.POSITIVE_INFINITY;
  }

  /** Returns undefined if the text was only collected. */
  write(text: string): Promise<void> | undefined {
    this.#pending += text;
    return this.#length + this.#pending.length >= BATCH_LENGTH ? this.flush() : undefined;
  }

  /**
   * Lets `fill` write at most `maximumLength` bytes of ASCII directly into the collected bytes, then
   * writes the pieces. Returns like `write`.
   */
  writeFilled(maximumLength: number, fill: FillBytes, rest: JsonPieces): Promise<void> | undefined {
    this.#encodePending(maximumLength);
    this.#length = fill(this.#bytes, this.#length);
    return rest.length === 0 ? this.write('') : this.writePieces(rest);
  }

  writePieces(pieces: JsonPieces): Promise<void> | undefined {
    let text = '';
    for (const piece of pieces) {
      if (typeof piece === 'string') text += piece;
      else if (isSmall(piece)) text += hexDigits(piece, 0, piece.length);
      else return this.#writeLargePieces(pieces);
    }
    return this.write(text);
  }

  /** Writes bytes after all text that was written before. */
  async writeBytes(bytes: Uint8Array): Promise<void> {
    await this.flush();
    await this.#send(bytes);
  }

  /** Writes a message immediately, without waiting; errors are ignored. */
  post(text: string): void {
    if (this.#failure === undefined) this.#stream.write(text, () => {});
  }

  /**
   * What is written from now on is a JSON document that `closing` completes wherever it ends between two writes, until
   * `endDocument`.
   */
  beginDocument(closing: string): void {
    this.#closing = closing;
  }

  endDocument(): void {
    this.#closing = undefined;
  }

  /**
   * Completes a document that an error cuts short, so that what is printed is JSON. After an abort this is done only
   * if the stream has taken a part; else nothing is printed.
   */
  completeDocument(): void {
    const closing = this.#closing;
    this.#closing = undefined;
    if (closing === undefined) return;
    if (!this.#signal.aborted) this.#pending += closing;
    else if (this.#hasSent) this.post(closing);
  }

  async flush(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#length > 0) return this.#flushBytes();
    if (this.#pending === '') return;
    const text = this.#pending;
    this.#pending = '';
    await this.#send(text);
  }

  /** The array is reused once the stream has accepted it, but not after a failure. */
  async #flushBytes(): Promise<void> {
    this.#encodePending(0);
    const bytes = this.#bytes;
    const collected = bytes.subarray(0, this.#length);
    this.#bytes = NO_BYTES;
    this.#length = 0;
    await this.#send(collected);
    this.#bytes = bytes;
  }

  /** Converts the collected text to bytes, and makes room for `room` more. */
  #encodePending(room: number): void {
    const text = this.#pending;
    const needed = this.#length + 3 * text.length + room;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(2 * BATCH_LENGTH, needed));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    if (text === '') return;
    this.#length += this.#bytes.write(text, this.#length);
    this.#pending = '';
  }

  async #writeLargePieces(pieces: JsonPieces): Promise<void> {
    // Within them, a document cannot be completed.
    const closing = this.#closing;
    this.#closing = undefined;
    for (const piece of pieces) {
      if (typeof piece === 'string') await this.write(piece);
      else for (const text of textsOf(piece)) await this.write(text);
    }
    this.#closing = closing;
  }

  async #send(chunk: string | Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    throwIfAborted(this.#signal);
    this.#hasSent = true;
    const taken = new Promise<void>((resolve, reject) => {
      this.#stream.write(chunk, (error) => {
        if (error === undefined || error === null) {
          resolve();
          return;
        }
        // A part of it may have been written.
        this.#closing = undefined;
        reject(this.#describe(error));
      });
    });
    await unlessAborted(taken, this.#signal);
  }

  #describe(error: Error): Error {
    const errno = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
    if (errno === 'EPIPE' || errno === 'ERR_STREAM_DESTROYED') return new ReaderGone();
    return fromNodeError(`write to ${this.#name}`, undefined, error);
  }
}

/** Throws `usage` for a terminal: arbitrary bytes could control it. */
export function refuseTerminal(output: Output): void {
  if (!output.isTerminal) return;
  throw new StorageError('usage', {
    what: 'standard output is a terminal: redirect binary data to a file or a pipe',
  });
}

function isSmall(piece: Exclude<JsonPiece, string>): piece is Uint8Array {
  return isUint8Array(piece) && piece.length <= HEX_PIECE;
}

function* textsOf(piece: Exclude<JsonPiece, string>): Generator<string, void, undefined> {
  if (!isUint8Array(piece)) {
    yield* piece.texts;
    return;
  }
  for (let start = 0; start < piece.length; start += HEX_PIECE) {
    yield hexDigits(piece, start, Math.min(start + HEX_PIECE, piece.length));
  }
}

function hexDigits(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('hex');
}
