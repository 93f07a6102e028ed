/**
 * An append-only writer over a VirtualFile with a fixed number of fixed buffers.
 *
 * One buffer fills while full ones are written in the background, one write at a time, in order. Every write before the
 * end is a full buffer at `startOffset` plus a multiple of the buffer size. If no buffer is free, `append` returns a
 * promise, which provides backpressure.
 *
 * One writer at a time: appends land in call order, and their offsets are assigned before the
 * first await. Readers may run concurrently and see everything appended, flushed or not.
 */

import { assert } from '../assert.ts';
import { ViewedBytes } from '../byte-words.ts';
import { checkBytes, checkCount, checkObject } from '../check-options.ts';
import { abortedError, StorageError, throwIfAborted } from '../errors.ts';
import { onAbort } from '../on-abort.ts';
import { valueText } from '../printable.ts';
import type { VirtualFile } from '../virtual-file/virtual-file.ts';
import {
  type BufferedWriterOptions,
  checkEnd,
  checkMultiple,
  checkOptions,
  checkWaiting,
  DEFAULT_BUFFER_SIZE,
  EXACT,
  type WriterEnd,
} from './buffered-writer-options.ts';
import { checkFile } from './byte-source.ts';
import { copyOverlap } from './read-range.ts';

/** For `checkWaiting`. */
const WAITING = 'appends that wait: await the promises that append returns';

interface FilledBuffer {
  readonly buffer: ViewedBytes;
  readonly offset: number;
}

/** An append that found no free buffer; `rest` is what is not buffered yet. */
interface WaitingAppend {
  rest: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'finishing' }
  | { readonly kind: 'finished' }
  | { readonly kind: 'abandoned' }
  | { readonly kind: 'poisoned'; readonly error: unknown };

/**
 * Appends bytes to a file through buffers that are written in the background. The first error is final:
 * every later call fails with it. End every writer with `finish` or `abandon`; both leave the file open.
 *
 * @example
 * const out = new BufferedWriter(file);
 * await out.append(bytes);   // waits only if no buffer is free
 * await out.finish();
 * await file.sync();         // nothing is durable before
 */
export class BufferedWriter {
  /** The file that is written. The caller syncs and closes it. */
  readonly file: VirtualFile;
  /** Bytes of each buffer. */
  readonly bufferSize: number;
  readonly #startOffset: number;
  readonly #signal: AbortSignal | undefined;
  readonly #stopListening: () => void;
  #state: State = { kind: 'open' };
  readonly #free: ViewedBytes[] = [];
  /** The buffer being filled; undefined while all are waiting to be written. */
  #current: ViewedBytes | undefined;
  /** File offset of the current buffer's first byte. */
  #currentOffset: number;
  #fill = 0;
  /** Full buffers in file order; the first one may be in flight. */
  readonly #filled: FilledBuffer[] = [];
  readonly #waiting: WaitingAppend[] = [];
  #waitingBytes = 0;
  #flushing: Promise<void> | undefined;
  readonly #syncEvery: number | undefined;
  readonly #onWrite: BufferedWriterOptions['onWrite'];
  /** Bytes written since the last sync began. */
  #unsyncedBytes = 0;
  #syncing: Promise<unknown> | undefined;
  #finishing: Promise<number> | undefined;

  /**
   * @param file open for writing
   * @throws `invalid-input` for a wrong option, `aborted` if the signal has fired already
   */
  constructor(file: VirtualFile, options: BufferedWriterOptions = {}) {
    checkFile(file);
    checkObject('options', options);
    const { startOffset = 0, bufferSize = DEFAULT_BUFFER_SIZE, bufferCount = 2 } = options;
    const { syncEvery } = options;
    checkOptions({ ...options, startOffset, bufferSize, bufferCount });
    throwIfAborted(options.signal, file.path);
    this.file = file;
    this.bufferSize = bufferSize;
    this.#syncEvery = syncEvery;
    this.#onWrite = options.onWrite;
    this.#startOffset = startOffset;
    this.#currentOffset = startOffset;
    for (let index = 0; index < bufferCount; index += 1) {
      this.#free.push(new ViewedBytes(file.newBuffer(bufferSize)));
    }
    this.#current = this.#free.pop();
    this.#signal = options.signal;
    const { signal } = options;
    this.#stopListening = signal === undefined ? () => {} : onAbort(signal, () => this.#abort());
  }

  /** File offset of the next append, in bytes. */
  get offset(): number {
    return this.#currentOffset + this.#fill + this.#waitingBytes;
  }

  /**
   * Appends the bytes at `offset`. The order of calls is the order in the file, awaited or not. If a
   * returned promise is not awaited, its error surfaces on the next call.
   *
   * Durability: none before `finish` and a sync of the file.
   *
   * @param bytes must not change until a returned promise settles
   * @returns nothing if there was room, otherwise a promise that resolves once the bytes are buffered; the
   * signal ends the wait
   * @throws `closed`, `aborted`, the first write error, `too-large` if more than 64 MiB of appends wait,
   * `invalid-input` unless `bytes` is a Uint8Array
   */
  append(bytes: Uint8Array): void | Promise<void> {
    this.#throwUnlessOpen();
    checkBytes(bytes, 'bytes to append');
    const current = this.#current;
    if (current !== undefined && this.#waiting.length === 0) {
      const room = this.bufferSize - this.#fill;
      if (bytes.length < room) {
        current.bytes.set(bytes, this.#fill);
        this.#fill += bytes.length;
        return;
      }
    }
    checkWaiting(WAITING, this.#waitingBytes, this.file.path);
    return this.#appendAcross(bytes);
  }

  /**
   * Appends both or neither, back to back; otherwise as `append`.
   *
   * @internal
   */
  appendPair(first: Uint8Array, second: Uint8Array): void | Promise<void> {
    this.#throwUnlessOpen();
    checkBytes(first, 'bytes to append');
    checkBytes(second, 'bytes to append');
    checkWaiting(WAITING, this.#waitingBytes, this.file.path);
    const firstDone = this.#appendAcross(first);
    const secondDone = this.#appendAcross(second);
    return secondDone ?? firstDone;
  }

  /**
   * Maximum number of bytes that can be claimed now; 0 if an append would throw.
   *
   * @internal
   */
  get room(): number {
    if (this.#state.kind !== 'open' || this.#current === undefined) return 0;
    return this.#waiting.length > 0 ? 0 : this.bufferSize - this.#fill - 1;
  }

  /**
   * Reserves `length` bytes of the current buffer, which the caller fills before any other call.
   *
   * @internal
   * @returns their index in `buffer`; -1 if they do not fit, and `append` must be used
   * @throws as `append`
   */
  claim(length: number): number {
    this.#throwUnlessOpen();
    const at = this.#fill;
    if (this.#current === undefined || this.#waiting.length > 0) return -1;
    if (at + length >= this.bufferSize) return -1;
    this.#fill = at + length;
    return at;
  }

  /**
   * The buffer of the last claim.
   *
   * @internal
   */
  get buffer(): ViewedBytes {
    assert(this.#current !== undefined, 'the last claim succeeded');
    return this.#current;
  }

  /**
   * Appends zeros up to the next multiple of `multiple` bytes from the start of the file.
   *
   * @returns as `append`
   * @throws `invalid-input` unless `multiple` is an integer from 1 to 1 GiB; and as `append`
   */
  pad(multiple: number): void | Promise<void> {
    checkMultiple(multiple);
    const excess = this.offset % multiple;
    if (excess > 0) return this.append(new Uint8Array(multiple - excess));
  }

  /**
   * Fills the target with appended bytes from file offset `offset`, whether or not they are flushed.
   *
   * @throws `out-of-range` for bytes that are not appended yet, or that still wait for a buffer; `io`, and
   * the first write error
   */
  async readExactAt(target: Uint8Array, offset: number): Promise<void> {
    checkBytes(target, 'target');
    this.throwIfFailed();
    const end = Number.isSafeInteger(offset) ? offset + target.length : Number.NaN;
    const readable = this.#currentOffset + this.#fill;
    if (!Number.isSafeInteger(offset) || offset < this.#startOffset || end > readable) {
      throw new StorageError('out-of-range', {
        what: 'read of appended bytes',
        path: this.file.path,
        offset: typeof offset === 'number' ? offset : undefined,
        expected: `offsets from ${this.#startOffset} to ${readable}`,
        actual: `${target.length} bytes from offset ${valueText(offset)}`,
      });
    }
    // Copied before the first await, since the buffers may be reused after it.
    let flushedEnd = this.#currentOffset;
    if (this.#current !== undefined)
      copyOverlap(this.#current.bytes, this.#currentOffset, target, offset);
    for (const { buffer, offset: bufferOffset } of this.#filled) {
      copyOverlap(buffer.bytes, bufferOffset, target, offset);
      flushedEnd = Math.min(flushedEnd, bufferOffset);
    }
    if (offset < flushedEnd) {
      await this.file.readExactAt(target.subarray(0, flushedEnd - offset), offset);
    }
  }

  /**
   * Resolves once every full buffer is written and no append waits. The signal ends the wait for appends, not
   * for a write in flight.
   *
   * Durability: none.
   *
   * @throws as `append`
   */
  async flushed(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing;
    this.throwIfFailed();
    if (this.#state.kind === 'abandoned') throw this.#reason();
    assert(this.#filled.length === 0 && this.#waiting.length === 0, 'every full buffer is written');
  }

  /**
   * Writes everything that is left, waiting appends included, and then `head` at the start of the file.
   * Nothing can be appended after the call. The file stays open.
   *
   * Durability: none before the file is synced.
   *
   * @param end how the last buffer is written; default `{ kind: 'exact' }`
   * @param head at most `startOffset` bytes
   * @returns the size of the file in bytes
   * @throws `invalid-input`; otherwise as `append`
   */
  async finish(end: WriterEnd = EXACT, head?: Uint8Array): Promise<number> {
    this.#throwUnlessOpen();
    checkEnd(end);
    if (head !== undefined) checkBytes(head, 'head of the file');
    checkCount('start offset, after the head', this.#startOffset, { from: head?.length ?? 0 });
    this.#state = { kind: 'finishing' };
    this.#finishing = this.#writeRest(end, head);
    return this.#finishing;
  }

  /** Throws the first write error, or `aborted`, if there is one. */
  throwIfFailed(): void {
    if (this.#state.kind === 'poisoned') throw this.#reason();
  }

  /**
   * Discards what is not written yet and waits for the write and the sync in flight. Waiting appends reject
   * with `closed`. The file stays open. Never rejects; idempotent.
   */
  async abandon(): Promise<void> {
    this.#end({ kind: 'abandoned' });
    await Promise.allSettled([this.#flushing, this.#finishing, this.#syncing]);
  }

  #appendAcross(bytes: Uint8Array): void | Promise<void> {
    const rest = this.#waiting.length > 0 ? bytes : this.#fillBuffers(bytes);
    if (rest.length === 0 && this.#waiting.length === 0) return;
    // The signal may have fired while a flush was started; then nothing would end the wait.
    this.#throwUnlessOpen();
    this.#waitingBytes += rest.length;
    const buffered = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ rest, resolve, reject });
    });
    // If the promise is not awaited, the error surfaces on the next call.
    buffered.catch(() => {});
    return buffered;
  }

  /** Copies what fits into the free buffers; returns the rest. */
  #fillBuffers(bytes: Uint8Array): Uint8Array {
    let done = 0;
    while (done < bytes.length && this.#current !== undefined) {
      const length = Math.min(bytes.length - done, this.bufferSize - this.#fill);
      this.#current.bytes.set(bytes.subarray(done, done + length), this.#fill);
      this.#fill += length;
      done += length;
      if (this.#fill === this.bufferSize) this.#startFlush(this.#current);
    }
    return bytes.subarray(done);
  }

  #startFlush(full: ViewedBytes): void {
    this.#filled.push({ buffer: full, offset: this.#currentOffset });
    this.#currentOffset += this.bufferSize;
    this.#fill = 0;
    this.#current = this.#free.pop();
    this.#flushing ??= this.#flushFilled();
  }

  /**
   * Never rejects: a failure poisons the writer, and the next call reports it. `#flushing` is cleared in the
   * same step that finds nothing to write, so that a buffer filled right after starts a new flush.
   */
  async #flushFilled(): Promise<void> {
    for (;;) {
      const next = this.#filled[0];
      if (next === undefined || !this.#isWriting()) {
        this.#flushing = undefined;
        return;
      }
      try {
        await this.#write(next.buffer.bytes, next.offset);
      } catch (error) {
        this.#end({ kind: 'poisoned', error });
        continue;
      }
      this.#filled.shift();
      this.#syncWritten(next.buffer.bytes.length);
      if (this.#current === undefined) this.#current = next.buffer;
      else this.#free.push(next.buffer);
      this.#serveWaiting();
    }
  }

  /** Starts a sync if one is due. A failure poisons the file: its next write or sync reports it. */
  #syncWritten(written: number): void {
    if (this.#syncEvery === undefined) return;
    this.#unsyncedBytes += written;
    if (this.#unsyncedBytes < this.#syncEvery || this.#syncing !== undefined) return;
    this.#unsyncedBytes = 0;
    this.#syncing = Promise.allSettled([this.file.syncData()]).then(() => {
      this.#syncing = undefined;
    });
  }

  #serveWaiting(): void {
    while (this.#current !== undefined) {
      const [first] = this.#waiting;
      if (first === undefined) return;
      const rest = this.#fillBuffers(first.rest);
      this.#waitingBytes -= first.rest.length - rest.length;
      first.rest = rest;
      if (rest.length > 0) return;
      this.#waiting.shift();
      first.resolve();
    }
  }

  async #writeRest(end: WriterEnd, head: Uint8Array | undefined): Promise<number> {
    try {
      await this.flushed();
      const size = await this.#writeTail(end);
      this.#throwUnlessWriting();
      if (head !== undefined) await this.#write(head, 0);
      this.#throwUnlessWriting();
      this.#end({ kind: 'finished' });
      return size;
    } catch (error) {
      this.#end({ kind: 'poisoned', error });
      throw error;
    }
  }

  async #writeTail(end: WriterEnd): Promise<number> {
    const contentEnd = this.#currentOffset + this.#fill;
    const multiple = end.kind === 'exact' ? 1 : end.multiple;
    const padding = (multiple - (contentEnd % multiple)) % multiple;
    if (this.#fill + padding > 0) {
      const tail = new Uint8Array(this.#fill + padding);
      assert(this.#current !== undefined, 'a flushed writer has a current buffer');
      tail.set(this.#current.bytes.subarray(0, this.#fill));
      await this.#write(tail, this.#currentOffset);
    }
    if (end.kind !== 'pad-then-truncate') return contentEnd + padding;
    await this.file.setLength(contentEnd);
    return contentEnd;
  }

  #write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#onWrite?.(bytes, offset);
    return this.file.writeAllAt(bytes, offset);
  }

  #abort(): void {
    assert(this.#signal !== undefined, 'only a signal aborts');
    this.#end({ kind: 'poisoned', error: abortedError(this.#signal, this.file.path) });
  }

  #end(state: State): void {
    if (!this.#isWriting()) return;
    this.#state = state;
    this.#stopListening();
    for (const { reject } of this.#waiting.splice(0)) reject(this.#reason());
  }

  #isWriting(): boolean {
    return this.#state.kind === 'open' || this.#state.kind === 'finishing';
  }

  #throwUnlessWriting(): void {
    if (!this.#isWriting()) throw this.#reason();
  }

  #throwUnlessOpen(): void {
    if (this.#state.kind !== 'open') throw this.#reason();
  }

  /** Returns: the error of every call from now on. */
  #reason(): unknown {
    if (this.#state.kind === 'poisoned') return this.#state.error;
    return new StorageError('closed', {
      what: `writer is ${this.#state.kind}`,
      path: this.file.path,
    });
  }
}
