/**
 * Runs a program that speaks the protocol of `postgres --wal-redo`: it is started once, and serves one page at a time,
 * within limits. After any failure the process is killed, and later requests fail with the same error, because the
 * answers of a confused process cannot be trusted.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import {
  checkArray,
  checkCount,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../../check-options.ts';
import { abortedError, isStorageError, StorageError, throwIfAborted } from '../../errors.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { messageOf } from '../../realms.ts';
import { encodeRedoMessages, type RedoRequest } from './messages.ts';

/** Options of `RedoProcess.start`. */
export interface RedoProcessOptions {
  /** Arguments of the program. Default: `--wal-redo`. */
  readonly args?: readonly string[] | undefined;
  /** Maximum wait for a page, in milliseconds, after which the process is killed. Default: 10,000. */
  readonly timeoutMs?: number | undefined;
}

const REDO_PROCESS_OPTIONS: KnownOptions<RedoProcessOptions> = {
  args: true,
  timeoutMs: true,
};

const DEFAULT_TIMEOUT_MS = 10_000;
/** How much of the end of the program's standard error is kept for messages. */
const KEPT_ERROR_LENGTH = 2048;

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly error: StorageError };

/** A request that waits for its page. */
interface Waiting {
  readonly page: Uint8Array;
  filled: number;
  readonly resolve: (page: Uint8Array) => void;
  readonly reject: (error: StorageError) => void;
}

/**
 * A program that applies WAL records. Calls may overlap; they are answered in order.
 *
 * @example
 * await using redo = RedoProcess.start('/usr/lib/postgresql/17/bin/postgres');
 * const page = await redo.apply({ key, base, records });
 */
export class RedoProcess {
  readonly #program: string;
  readonly #timeoutMs: number;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<void>;
  #state: State = { kind: 'open' };
  #waiting: Waiting | undefined;
  #errorText = '';
  /** Settles with the previous request. */
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Starts the program. If it cannot be started, the first request reports this.
   *
   * @param program Path of the program.
   * @returns The running process; close it when done.
   * @throws `invalid-input`; `io` if the system refuses the arguments, because they are too long.
   */
  static start(program: string, options: RedoProcessOptions = {}): RedoProcess {
    checkWord('program', program);
    checkOptions(options, REDO_PROCESS_OPTIONS);
    if (options.args !== undefined) {
      checkArray('args', options.args);
      for (const argument of options.args) checkWord('argument', argument);
    }
    if (options.timeoutMs !== undefined) checkCount('timeoutMs', options.timeoutMs, { from: 1 });
    return new RedoProcess(program, options);
  }

  private constructor(program: string, options: RedoProcessOptions) {
    const { args = ['--wal-redo'], timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    this.#program = program;
    this.#timeoutMs = timeoutMs;
    this.#process = spawned(program, args);
    this.#exited = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#fail(`cannot be started: ${messageOf(error)}`, error);
        resolve();
      });
      this.#process.once('close', (code, signal) => {
        this.#fail(`ended with ${signal ?? `status ${code}`}`);
        resolve();
      });
    });
    if (!this.#isStarted) return;
    const { stdin, stdout, stderr } = this.#process;
    // A process that is gone also reports its end, which says more than a broken pipe.
    stdin.on('error', () => this.#kill());
    stdout.on('data', (bytes: Buffer) => this.#receive(bytes));
    stderr.on('data', (bytes: Buffer) => {
      this.#errorText = (this.#errorText + bytes.toString('latin1')).slice(-KEPT_ERROR_LENGTH);
    });
  }

  /**
   * Applies records to a page.
   *
   * @returns The page, 8,192 bytes; a new array.
   * @throws `io` if the process fails, ends, answers more than a page, or does not answer in time;
   * `aborted`, which also ends the process; `closed`; `invalid-input`.
   */
  apply(request: RedoRequest, signal?: AbortSignal): Promise<Uint8Array> {
    checkSignal(signal);
    const messages = encodeRedoMessages(request);
    const page = this.#last.then(() => this.#exchange(messages, signal));
    this.#last = page.catch(() => undefined);
    return page;
  }

  /** Ends the process and waits for its end. Idempotent. */
  async close(): Promise<void> {
    if (this.#state.kind === 'open') this.#state = { kind: 'closed' };
    this.#kill();
    await this.#exited;
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #exchange(messages: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
    throwIfAborted(signal);
    // It may have no pipes; then its error is reported later.
    if (!this.#isStarted) await this.#exited;
    this.#throwUnlessOpen();
    const abort = (): void => {
      if (signal !== undefined) this.#end(abortedError(signal));
    };
    signal?.addEventListener('abort', abort, { once: true });
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      this.#waiting = { page: new Uint8Array(PAGE_SIZE), filled: 0, resolve, reject };
    });
    const timer = setTimeout(() => this.#fail('did not answer in time'), this.#timeoutMs);
    this.#process.stdin.write(messages);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  #receive(bytes: Buffer): void {
    const waiting = this.#waiting;
    const room = waiting === undefined ? 0 : PAGE_SIZE - waiting.filled;
    if (waiting === undefined || bytes.length > room) {
      this.#fail('answered more than a page');
      return;
    }
    waiting.page.set(bytes, waiting.filled);
    waiting.filled += bytes.length;
    if (waiting.filled < PAGE_SIZE) return;
    this.#waiting = undefined;
    waiting.resolve(waiting.page);
  }

  #fail(what: string, cause?: unknown): void {
    const said = this.#errorText.trim().split('\n').at(-1) ?? '';
    const error = new StorageError('io', {
      what: `redo program ${what}`,
      path: this.#program,
      actual: said === '' ? undefined : said,
      cause,
    });
    this.#end(error);
  }

  #end(error: StorageError): void {
    if (this.#state.kind === 'open') this.#state = { kind: 'failed', error };
    this.#kill();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#state.kind === 'failed' ? this.#state.error : closedError(this.#program));
  }

  get #isStarted(): boolean {
    return this.#process.pid !== undefined;
  }

  /** Node would send the signal of a process without an ID to process 0: to all processes of our own group. */
  #kill(): void {
    if (this.#isStarted) this.#process.kill('SIGKILL');
  }

  #throwUnlessOpen(): void {
    const state = this.#state;
    if (state.kind === 'failed') {
      throw isStorageError(state.error, 'aborted') ? closedError(this.#program) : state.error;
    }
    if (state.kind === 'closed') throw closedError(this.#program);
  }
}

/** Throws `invalid-input` unless the value can be a word of a command. */
function checkWord(what: string, word: unknown): void {
  checkText(what, word);
  if (word.includes('\0')) {
    throw new StorageError('invalid-input', { what, expected: 'a text without NUL' });
  }
}

function spawned(program: string, args: readonly string[]): ChildProcessWithoutNullStreams {
  try {
    return spawn(program, [...args], { stdio: 'pipe' });
  } catch (cause) {
    const what = `redo program cannot be started: ${messageOf(cause)}`;
    throw new StorageError('io', { what, path: program, cause });
  }
}

function closedError(path: string): StorageError {
  return new StorageError('closed', { what: 'redo program has been ended', path });
}
