/**
 * Keeps finished index blocks until all values are written and the index can follow them.
 *
 * The first blocks stay in memory. Later ones go to a scratch file next to the layer, never synced and always deleted,
 * so that memory does not grow with the number of entries.
 */

import { assert } from '../../assert.ts';
import { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import { checkLimit } from '../../check-options.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { TemporaryFile } from '../../virtual-file/temporary-file.ts';

export interface IndexStoreOptions {
  /** Creates the scratch file; called when it is first needed. */
  readonly createScratch: () => Promise<TemporaryFile>;
  /** Bytes of blocks that stay in memory; default 16 MiB. */
  readonly memoryLimit?: number | undefined;
}

/** The index of a million entries takes 15 MiB; a hundred million entries take hardly more memory. */
const DEFAULT_MEMORY_LIMIT = 16 * 1024 * 1024;

/** Maximum bytes of one array of blocks; blocks are kept in many arrays, so growing copies nothing. */
const MAXIMUM_CHUNK_SIZE = 64 * BLOCK_SIZE;

/** A chunk is at most this fraction of a small memory limit. */
const CHUNKS_IN_MEMORY = 8;

/** Chunks that may wait for the scratch file before `room` is a promise. */
const MAXIMUM_WAITING_CHUNKS = 8;

export class IndexStore {
  readonly #createScratch: () => Promise<TemporaryFile>;
  readonly #chunkSize: number;
  readonly #memoryChunkCount: number;
  /** Chunks in order: those that stay in memory, then those that wait for the scratch file. */
  readonly #chunks: Uint8Array[] = [];
  /** Spilled chunks for reuse: garbage would pile up until it is collected. */
  readonly #free: Uint8Array[] = [];
  #blockCount = 0;
  #scratch: TemporaryFile | undefined;
  #out: BufferedWriter | undefined;
  #spilling: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor({ createScratch, memoryLimit = DEFAULT_MEMORY_LIMIT }: IndexStoreOptions) {
    checkLimit('memory for index blocks', memoryLimit);
    this.#createScratch = createScratch;
    const blocks = Math.max(1, Math.floor(memoryLimit / (CHUNKS_IN_MEMORY * BLOCK_SIZE)));
    this.#chunkSize = Math.min(MAXIMUM_CHUNK_SIZE, blocks * BLOCK_SIZE);
    this.#memoryChunkCount = Math.ceil(memoryLimit / this.#chunkSize);
  }

  get blockCount(): number {
    return this.#blockCount;
  }

  /** Copies a block; returns its number. */
  add(block: Uint8Array): number {
    const offset = (this.#blockCount * BLOCK_SIZE) % this.#chunkSize;
    if (offset === 0) this.#addChunk();
    this.#chunks.at(-1)?.set(block, offset);
    this.#blockCount += 1;
    return this.#blockCount - 1;
  }

  /** Undefined while there is room; else a promise for it, which rejects if the scratch file fails. */
  get room(): Promise<void> | undefined {
    const waiting = this.#chunks.length - this.#memoryChunkCount;
    if (this.#failure === undefined && waiting <= MAXIMUM_WAITING_CHUNKS) return undefined;
    return this.#spilled();
  }

  /** The blocks in order, in chunks; each is valid until the next one is requested. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    await this.#spilled();
    let left = this.#blockCount * BLOCK_SIZE;
    for (const chunk of this.#chunks.slice(0, this.#memoryChunkCount)) {
      yield chunk.subarray(0, Math.min(left, this.#chunkSize));
      left -= this.#chunkSize;
    }
    const spilledSize = this.#out?.offset ?? 0;
    const chunk = new Uint8Array(spilledSize > 0 ? this.#chunkSize : 0);
    for (let offset = 0; offset < spilledSize; offset += this.#chunkSize) {
      await this.#out?.readExactAt(chunk, offset);
      yield chunk;
      left -= this.#chunkSize;
    }
    for (const last of this.#chunks.slice(this.#memoryChunkCount)) {
      yield last.subarray(0, left);
      left -= this.#chunkSize;
    }
  }

  /** Deletes the scratch file. Idempotent. */
  async close(): Promise<void> {
    // `room` and `chunks` report a failure.
    await this.#spilling?.catch(() => {});
    await this.#out?.abandon();
    await this.#scratch?.abandon();
  }

  #addChunk(): void {
    // Only full chunks are spilled; the last one is still being filled.
    if (this.#chunks.length > this.#memoryChunkCount) {
      this.#spilling ??= this.#spill().finally(() => {
        this.#spilling = undefined;
      });
    }
    this.#chunks.push(this.#free.pop() ?? new Uint8Array(this.#chunkSize));
  }

  async #spilled(): Promise<void> {
    await this.#spilling;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Never rejects: the failure is kept for the next call. */
  async #spill(): Promise<void> {
    try {
      this.#scratch ??= await this.#createScratch();
      this.#out ??= new BufferedWriter(this.#scratch.file, { bufferSize: this.#chunkSize });
      while (this.#chunks.length > this.#memoryChunkCount + 1) {
        const [chunk] = this.#chunks.splice(this.#memoryChunkCount, 1);
        assert(chunk !== undefined, 'a chunk waits after those that stay');
        await this.#out.append(chunk);
        this.#free.push(chunk);
      }
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}
