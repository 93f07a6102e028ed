/**
 * Finished index blocks, kept until the values end and the index can follow them.
 *
 * The first ones stay in memory. Where they are more, the later ones go to a scratch file beside the
 * layer, never synced and always deleted, so that memory does not grow with the number of entries.
 */

import { assert } from '../../assert.ts';
import { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import { checkLimit } from '../../check-options.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { TemporaryFile } from '../../virtual-file/temporary-file.ts';

export interface IndexStoreOptions {
  /** Creates the scratch file when it is first needed. */
  readonly createScratch: () => Promise<TemporaryFile>;
  /** Bytes of blocks that stay in memory; default 16 MiB. */
  readonly memoryLimit?: number | undefined;
}

/** The index of a million entries takes 15 MiB: a hundred million take hardly more memory. */
const DEFAULT_MEMORY_LIMIT = 16 * 1024 * 1024;

/** Blocks are kept in arrays of so many bytes at most, so that growing copies nothing. */
const MAXIMUM_CHUNK_SIZE = 64 * BLOCK_SIZE;

/** Of small limits a chunk is a part only. */
const CHUNKS_IN_MEMORY = 8;

/** Chunks that may wait for the scratch file before whoever adds blocks must wait, too. */
const MAXIMUM_WAITING_CHUNKS = 8;

export class IndexStore {
  readonly #createScratch: () => Promise<TemporaryFile>;
  readonly #chunkSize: number;
  readonly #memoryChunkCount: number;
  /** Chunks in order: those that stay, and behind them those that wait for the scratch file. */
  readonly #chunks: Uint8Array[] = [];
  /** Spilled chunks, to be filled again: dropped ones would pile up until they are collected. */
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

  /** The blocks in order, many at a time; a chunk is void when the next one is asked for. */
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

  /** Deletes the scratch file. Doing so again is harmless. */
  async close(): Promise<void> {
    // A failure has been, or will be, told to whoever adds blocks or reads them.
    await this.#spilling?.catch(() => {});
    await this.#out?.abandon();
    await this.#scratch?.abandon();
  }

  #addChunk(): void {
    // Only whole chunks are spilled: the one that fills stays.
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
        assert(chunk !== undefined, 'a chunk waits behind those that stay');
        await this.#out.append(chunk);
        this.#free.push(chunk);
      }
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}
