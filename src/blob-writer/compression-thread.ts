/**
 * The messages between the compression pool and its threads, and the program of a thread: it loads the
 * requested library, reports that it is ready, and compresses one batch after the other.
 */
import type { MessagePort } from 'node:worker_threads';
import { isStorageError, StorageError } from '../errors.ts';
import { type Compressor, type CompressorName, loadCompressor } from '../zstd/compression.ts';
import { CompressionBatch } from './compression-batch.ts';

/** The compressor to use: one library and level give the same frames on every thread. */
export interface CompressorChoice {
  readonly name: CompressorName;
  readonly level: number;
}

export interface CompressionRequest {
  readonly id: number;
  readonly choice: CompressorChoice;
  /** The batch; transferred. */
  readonly buffer: ArrayBuffer;
}

/**
 * Version of these messages: in a bundled program, the file of the threads may be of another version
 * than the pool.
 */
const PROTOCOL = 1;

export type CompressionReply =
  | { readonly kind: 'ready'; readonly protocol: typeof PROTOCOL }
  /** The compressed batch; transferred. */
  | { readonly kind: 'compressed'; readonly id: number; readonly buffer: ArrayBuffer }
  /** The unchanged batch: the thread cannot load the compressor. */
  | { readonly kind: 'declined'; readonly id: number; readonly buffer: ArrayBuffer }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string };

/** Serves the pool until the thread is terminated. Loads `first` before it reports that it is ready. */
export async function serveCompression(port: MessagePort, first: CompressorChoice): Promise<void> {
  const reply = (message: CompressionReply, transferred: ArrayBuffer[] = []): void =>
    port.postMessage(message, transferred);
  const compressors = new CompressorCache();
  await compressors.get(first);
  port.on('message', async ({ id, choice, buffer }: CompressionRequest) => {
    const compressor = await compressors.get(choice).catch(() => undefined);
    if (compressor === undefined) return reply({ kind: 'declined', id, buffer }, [buffer]);
    try {
      compressBatch(new CompressionBatch(buffer), compressor);
      reply({ kind: 'compressed', id, buffer }, [buffer]);
    } catch (error) {
      reply({ kind: 'failed', id, reason: String(error) });
    }
  });
  reply({ kind: 'ready', protocol: PROTOCOL });
}

/** Whether the first message of a thread reports that it can serve this pool. */
export function isReadyReply(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false;
  const { kind, protocol }: { readonly kind?: unknown; readonly protocol?: unknown } = message;
  return kind === 'ready' && protocol === PROTOCOL;
}

function compressBatch(batch: CompressionBatch, compressor: Compressor): void {
  const compression = batch.compression();
  for (let content = compression.next(); content !== undefined; content = compression.next()) {
    compression.store(compressor.compressSync(content));
  }
}

class CompressorCache {
  readonly #loading = new Map<string, Promise<Compressor>>();

  get({ name, level }: CompressorChoice): Promise<Compressor> {
    const key = `${name} ${level}`;
    const loading = this.#loading.get(key) ?? loadCompressor(level, name);
    this.#loading.set(key, loading);
    return loading;
  }
}

/** Wraps whatever a library throws. */
export function compressorFailed(error: unknown): StorageError {
  if (isStorageError(error)) return error;
  return new StorageError('io', { what: `cannot compress: ${String(error)}`, cause: error });
}
