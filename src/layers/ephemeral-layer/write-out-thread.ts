/**
 * A thread that writes frozen layers out while the caller's thread fills the next one: its messages, its program, and
 * its handle on the caller's thread.
 *
 * Both threads see the rows in shared memory. The values are in the scratch file, which the other thread opens for
 * itself. The layer stays readable on the caller's thread. The code that writes a layer is the same on both.
 */
import type { MessagePort, Worker } from 'node:worker_threads';
import { isStorageError, type PlainStorageError, StorageError } from '../../errors.ts';
import { startReadyWorker } from '../../threads.ts';
import { VirtualFile } from '../../virtual-file/virtual-file.ts';
import type { FinishedLayer } from '../layer-file/layer-writer.ts';
import { MemoryIndex } from './memory-index.ts';
import { RowMemory, Rows, type SharedRows } from './rows.ts';
import { SIZES_ON_THREAD, type WriteOutOptions, writeOut } from './write-out.ts';

/** If both names stood in one `new URL`, bundlers would treat the file as an asset. */
const PROGRAM = './write-out-thread.js';
const HERE = import.meta.url;

/** A frozen layer. Requires: its scratch file has all values. */
export interface WriteOutRequest {
  readonly rows: SharedRows;
  readonly scratch: { readonly path: string; readonly size: number };
  readonly options: Omit<WriteOutOptions, 'openFiles' | 'signal'>;
}

type WriteOutReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'written'; readonly layer: FinishedLayer }
  | {
      readonly kind: 'failed';
      readonly error: PlainStorageError | undefined;
      readonly reason: string;
    };

/** Serves until the thread is terminated. */
export function serveWriteOut(port: MessagePort): void {
  const reply = (message: WriteOutReply): void => port.postMessage(message);
  port.on('message', async (request: WriteOutRequest) => {
    try {
      reply({ kind: 'written', layer: await writeRequested(request) });
    } catch (error) {
      const plain = isStorageError(error) ? error.toPlain() : undefined;
      reply({ kind: 'failed', error: plain, reason: String(error) });
    }
  });
  reply({ kind: 'ready' });
}

async function writeRequested(request: WriteOutRequest): Promise<FinishedLayer> {
  const { rows, scratch, options } = request;
  const { path, size } = scratch;
  const file = await VirtualFile.open(path, { read: true });
  try {
    const values = {
      offset: size,
      readExactAt: (target: Uint8Array, offset: number) => file.readExactAt(target, offset),
    };
    const index = new MemoryIndex(Rows.ofShared(rows));
    return await writeOut(index, values, options, SIZES_ON_THREAD);
  } finally {
    await file.close();
  }
}

/** One layer at a time. The thread does not keep the process alive while it has none. */
export class WriteOutThread {
  /** For the rows of the layers that it writes. */
  readonly rowMemory = new RowMemory();
  readonly #program: URL;
  #starting: Promise<Worker | undefined> | undefined;
  /** Of the layer that is being written. */
  #settle: ((reply: WriteOutReply) => void) | undefined;

  /** `program`: default `write-out-thread.js` beside this module. `start` starts the thread. */
  constructor(program: URL = new URL(PROGRAM, HERE)) {
    this.#program = program;
  }

  /** Starts the thread, unless it was started before. If it cannot start, `write` returns undefined. */
  start(): void {
    this.#starting ??= this.#started();
  }

  /** Whether it is running, or starting. */
  get isStarted(): boolean {
    return this.#starting !== undefined;
  }

  /**
   * Writes a layer as `writeOut` does. Requires: none is being written.
   *
   * Returns: undefined if the thread was not started, could not start or has ended; then nothing was written.
   * Throws: as `writeOut`; `io`, with the outcome in doubt, if the thread ends meanwhile.
   */
  async write(request: WriteOutRequest): Promise<FinishedLayer | undefined> {
    const worker = await this.#starting;
    if (worker === undefined || worker.threadId < 0) return undefined;
    const reply = await new Promise<WriteOutReply>((resolve) => {
      this.#settle = resolve;
      worker.ref();
      worker.postMessage(request);
    });
    this.#settle = undefined;
    worker.unref();
    if (reply.kind === 'written') return reply.layer;
    const { error, reason } = reply.kind === 'failed' ? reply : { error: undefined, reason: '' };
    if (error !== undefined) throw new StorageError(error.code, error.details);
    throw new StorageError('io', {
      what: `layer cannot be written: ${reason}`,
      outcome: 'in-doubt',
    });
  }

  /** Ends the thread. Idempotent. */
  async end(): Promise<void> {
    const worker = await this.#starting;
    this.#starting = undefined;
    await worker?.terminate();
  }

  async #started(): Promise<Worker | undefined> {
    const worker = await startReadyWorker(this.#program);
    if (worker === undefined) return undefined;
    const fail = (reason: string): void => {
      this.#settle?.({ kind: 'failed', error: undefined, reason });
    };
    worker.on('message', (reply: WriteOutReply) => this.#settle?.(reply));
    worker.on('error', (error) => fail(`thread failed: ${error.message}`));
    worker.on('exit', () => fail('thread has ended'));
    worker.unref();
    return worker;
  }
}
