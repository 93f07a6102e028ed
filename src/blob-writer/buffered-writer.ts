/**
 * An append-only writer over a VirtualFile with a fixed number of fixed buffers.
 *
 * One buffer fills while the full ones are written behind it, one write at a time, in order. Every
 * write before the end is a whole buffer at `startOffset` plus a multiple of the buffer size. When
 * no buffer is free, `append` returns a promise: that is the backpressure.
 *
 * One writer at a time: appends land in call order, and their offsets are assigned before the
 * first await. Readers may run beside it and see everything appended, flushed or not.
 */
import { assert } from '../assert.ts';
import { ViewedBytes } from '../byte-words.ts';
import { checkBytes } from '../check-bytes.ts';
import { checkCount, checkOneOf, checkSignal } from '../check-options.ts';
import { abortedError, StorageError, throwIfAborted } from '../errors.ts';
import { onAbort } from '../on-abort.ts';
import type { VirtualFile } from '../virtual-file/virtual-file.ts';

export interface BufferedWriterOptions {
  /** File offset of the first append; what lies before it is written at the end. */
  readonly startOffset?: number | undefined;
  /** Bytes; default 1 MiB. */
  readonly bufferSize?: number | undefined;
  /** At least 2; default 2. */
  readonly bufferCount?: number | undefined;
  /**
   * After so many bytes of whole buffers were written they are synced, while others are appended, so
   * that a sync at the end finds little left to do. One at a time; a failure poisons the file. By
   * default nothing is synced.
   */
  readonly syncEvery?: number | undefined;
  /** Once aborted, every call rejects with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** How the last, partly filled buffer is written. Every byte that was appended is in the file. */
export type WriterEnd =
  /** As it is: the file ends after the last byte that was appended. */
  | { readonly kind: 'exact' }
  /** Followed by zeros up to the next multiple of that many bytes. */
  | { readonly kind: 'zero-pad'; readonly multiple: number }
  /** Written as whole multiples, then cut: for files that take aligned writes only. */
  | { readonly kind: 'pad-then-truncate'; readonly multiple: number };

const EXACT: WriterEnd = { kind: 'exact' };
const END_KINDS: readonly WriterEnd['kind'][] = ['exact', 'zero-pad', 'pad-then-truncate'];

export const DEFAULT_BUFFER_SIZE = 1024 * 1024;

/** Of a buffer, or of the zeros that are appended at once. */
const MAXIMUM_ARRAY_SIZE = 1024 * 1024 * 1024;

/** Bytes that appends may leave waiting when their promises are not awaited. */
const MAXIMUM_WAITING_BYTES = 64 * 1024 * 1024;

interface FilledBuffer {
  readonly buffer: ViewedBytes;
  readonly offset: number;
}

/** The rest of an append that found no free buffer. */
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

export class BufferedWriter {
  readonly file: VirtualFile;
  readonly bufferSize: number;
  readonly #startOffset: number;
  readonly #signal: AbortSignal | undefined;
  readonly #stopListening: () => void;
  #state: State = { kind: 'open' };
  readonly #free: ViewedBytes[] = [];
  /** The buffer that fills; undefined while all are waiting to be written. */
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
  /** Bytes of whole buffers that no sync covers yet. */
  #unsyncedBytes = 0;
  #syncing: Promise<unknown> | undefined;
  #finishing: Promise<number> | undefined;

  constructor(file: VirtualFile, options: BufferedWriterOptions = {}) {
    const { startOffset = 0, bufferSize = DEFAULT_BUFFER_SIZE, bufferCount = 2 } = options;
    const { syncEvery } = options;
    checkCount('buffer size', bufferSize, { from: 1, to: MAXIMUM_ARRAY_SIZE });
    checkCount('number of buffers', bufferCount, { from: 2 });
    checkCount('start offset', startOffset);
    if (syncEvery !== undefined) checkCount('bytes between syncs', syncEvery, { from: 1 });
    checkSignal(options.signal);
    throwIfAborted(options.signal, file.path);
    this.file = file;
    this.bufferSize = bufferSize;
    this.#syncEvery = syncEvery;
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

  /** File offset that the next append gets. */
  get offset(): number {
    return this.#currentOffset + this.#fill + this.#waitingBytes;
  }

  /**
   * Appends the bytes at `offset`.
   *
   * Requires: the bytes stay unchanged until a returned promise settles.
   * Returns: nothing when there was room; else a promise that resolves once they are buffered.
   * Throws: `closed`, `aborted`, the first write error, `too-large` when appends pile up unawaited,
   * `invalid-input` for what is not a Uint8Array.
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
    this.#throwIfTooMuchWaits();
    return this.#appendAcross(bytes);
  }

  /** Appends both, one behind the other, or neither; as `append` otherwise. */
  appendPair(first: Uint8Array, second: Uint8Array): void | Promise<void> {
    this.#throwUnlessOpen();
    checkBytes(first, 'bytes to append');
    checkBytes(second, 'bytes to append');
    this.#throwIfTooMuchWaits();
    const firstDone = this.#appendAcross(first);
    const secondDone = this.#appendAcross(second);
    return secondDone ?? firstDone;
  }

  /** The most bytes that can be claimed now; 0 also where an append would throw. */
  get room(): number {
    if (this.#state.kind !== 'open' || this.#current === undefined) return 0;
    return this.#waiting.length > 0 ? 0 : this.bufferSize - this.#fill - 1;
  }

  /**
   * Takes `length` bytes of the current buffer for the caller to fill before any other call.
   *
   * Returns: their index in `buffer`; -1 when they do not fit, and `append` must be used.
   * Throws: as `append`.
   */
  claim(length: number): number {
    this.#throwUnlessOpen();
    const at = this.#fill;
    if (this.#current === undefined || this.#waiting.length > 0) return -1;
    if (at + length >= this.bufferSize) return -1;
    this.#fill = at + length;
    return at;
  }

  /** The buffer that the last claim points into. */
  get buffer(): Uint8Array {
    return this.viewedBuffer.bytes;
  }

  /** The same, with a view of it. */
  get viewedBuffer(): ViewedBytes {
    assert(this.#current !== undefined, 'only a successful claim leads here');
    return this.#current;
  }

  /**
   * Appends zeros up to the next multiple of `multiple` bytes from the start of the file.
   * Throws: `invalid-input` unless that is an integer from 1 to 1 GiB; and as `append`.
   */
  pad(multiple: number): void | Promise<void> {
    checkCount('multiple to pad to', multiple, { from: 1, to: MAXIMUM_ARRAY_SIZE });
    const excess = this.offset % multiple;
    if (excess > 0) return this.append(new Uint8Array(multiple - excess));
  }

  /**
   * Fills the target with bytes that were appended from `offset` on, wherever they are now.
   * Throws: `out-of-range` for bytes that are not appended yet or wait for a buffer.
   */
  async readExactAt(target: Uint8Array, offset: number): Promise<void> {
    this.throwIfFailed();
    const end = offset + target.length;
    const readable = this.#currentOffset + this.#fill;
    if (!Number.isSafeInteger(offset) || offset < this.#startOffset || end > readable) {
      throw new StorageError('out-of-range', {
        what: 'read of appended bytes',
        path: this.file.path,
        offset,
        expected: `offsets from ${this.#startOffset} to ${readable}`,
        actual: `${offset} to ${end}`,
      });
    }
    // What is in memory is copied before the first await: its buffer may be reused after it.
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
   * Resolves once every full buffer is written and no append waits.
   * Throws: as `append`.
   */
  async flushed(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing;
    this.throwIfFailed();
    if (this.#state.kind === 'abandoned') throw this.#reason();
    assert(this.#filled.length === 0 && this.#waiting.length === 0, 'all that is full is written');
  }

  /**
   * Writes what is left, appends that still wait included: the tail as `end` says, by default exactly
   * as it is, and then `head` at the start of the file. The file stays open, and is to be synced.
   * Nothing can be appended from the call on.
   *
   * Requires: the head lies before the start offset.
   * Returns: the size that the file has now.
   * Throws: `invalid-input`; else as `append`.
   * Durability: none before the file is synced.
   */
  async finish(end: WriterEnd = EXACT, head?: Uint8Array): Promise<number> {
    this.#throwUnlessOpen();
    checkOneOf('end of the file', end?.kind, END_KINDS);
    if (end.kind !== 'exact') {
      checkCount('multiple to pad to', end.multiple, { from: 1, to: MAXIMUM_ARRAY_SIZE });
    }
    if (head !== undefined) checkBytes(head, 'head of the file');
    checkCount('start offset, behind the head', this.#startOffset, { from: head?.length ?? 0 });
    this.#state = { kind: 'finishing' };
    this.#finishing = this.#writeRest(end, head);
    return this.#finishing;
  }

  /** Throws the first write error, or `aborted`, once there is one. */
  throwIfFailed(): void {
    if (this.#state.kind === 'poisoned') throw this.#reason();
  }

  /** Gives up: waits for the write and the sync in flight, drops the rest. The file stays open. */
  async abandon(): Promise<void> {
    this.#end({ kind: 'abandoned' });
    await Promise.allSettled([this.#flushing, this.#finishing, this.#syncing]);
  }

  #throwIfTooMuchWaits(): void {
    if (this.#waitingBytes <= MAXIMUM_WAITING_BYTES) return;
    throw new StorageError('too-large', {
      what: 'appends that wait; await what append returns',
      path: this.file.path,
      expected: `at most ${MAXIMUM_WAITING_BYTES} bytes`,
      actual: `${this.#waitingBytes}`,
    });
  }

  #appendAcross(bytes: Uint8Array): void | Promise<void> {
    const rest = this.#waiting.length > 0 ? bytes : this.#fillBuffers(bytes);
    if (rest.length === 0 && this.#waiting.length === 0) return;
    // The signal may have fired while a flush was started: then nobody would end the wait.
    this.#throwUnlessOpen();
    this.#waitingBytes += rest.length;
    const buffered = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ rest, resolve, reject });
    });
    // Whoever does not await it hears of a failure from the next call: the error stays.
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
   * Never rejects: a failure poisons the writer, and the next call reports it. It ends in the same
   * step in which it finds nothing to write, so that a buffer filled right after starts another.
   */
  async #flushFilled(): Promise<void> {
    for (;;) {
      const next = this.#filled[0];
      if (next === undefined || !this.#isWriting()) {
        this.#flushing = undefined;
        return;
      }
      try {
        await this.file.writeAllAt(next.buffer.bytes, next.offset);
      } catch (error) {
        this.#end({ kind: 'poisoned', error });
        continue;
      }
      this.#filled.shift();
      this.#syncBehind(next.buffer.bytes.length);
      if (this.#current === undefined) this.#current = next.buffer;
      else this.#free.push(next.buffer);
      this.#serveWaiting();
    }
  }

  /** A failure poisons the file: its next write or sync reports that. */
  #syncBehind(written: number): void {
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
      if (head !== undefined) await this.file.writeAllAt(head, 0);
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
      await this.file.writeAllAt(tail, this.#currentOffset);
    }
    if (end.kind !== 'pad-then-truncate') return contentEnd + padding;
    await this.file.setLength(contentEnd);
    return contentEnd;
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

  /** Why this writer takes nothing more. */
  #reason(): unknown {
    if (this.#state.kind === 'poisoned') return this.#state.error;
    return new StorageError('closed', {
      what: `writer is ${this.#state.kind}`,
      path: this.file.path,
    });
  }
}

function copyOverlap(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
): void {
  const start = Math.max(sourceOffset, targetOffset);
  const end = Math.min(sourceOffset + source.length, targetOffset + target.length);
  if (start >= end) return;
  target.set(source.subarray(start - sourceOffset, end - sourceOffset), start - targetOffset);
}
