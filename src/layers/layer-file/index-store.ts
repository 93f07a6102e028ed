/**
 * Finished index blocks, kept until the values end and the index can follow them.
 *
 * The first ones stay in memory. Where they are more, the later ones go to a scratch file beside the
 * layer, never synced and always deleted, so that memory does not grow with the number of entries.
 */

import { assert } from '../../assert.ts';
import { BufferedWriter } from '../../blob-writer/buffered-writer.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { TemporaryFile } from '../../virtual-file/temporary-file.ts';

export interface IndexStoreOptions {
  /** Creates the scratch file when it is first needed. */
  readonly createScratch: () => Promise<TemporaryFile>;
  /** Bytes of blocks that stay in memory; default 32 MiB. */
  readonly memoryLimit?: number | undefined;
}

const DEFAULT_MEMORY_LIMIT = 32 * 1024 * 1024;

/** Blocks are kept in arrays of this many bytes, so that growing copies nothing. */
const CHUNK_SIZE = 64 * BLOCK_SIZE;

/** Chunks that may wait for the scratch file before whoever adds blocks must wait, too. */
const MAXIMUM_WAITING_CHUNKS = 16;

export class IndexStore {
  readonly #createScratch: () => Promise<TemporaryFile>;
  readonly #memoryChunkCount: number;
  /** Chunks in order: those that stay, and behind them those that wait for the scratch file. */
  readonly #chunks: Uint8Array[] = [];
  #blockCount = 0;
  #scratch: TemporaryFile | undefined;
  #out: BufferedWriter | undefined;
  #spilling: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor({ createScratch, memoryLimit = DEFAULT_MEMORY_LIMIT }: IndexStoreOptions) {
    this.#createScratch = createScratch;
    this.#memoryChunkCount = Math.ceil(memoryLimit / CHUNK_SIZE);
  }

  get blockCount(): number {
    return this.#blockCount;
  }

  /** Copies a block; returns its number. */
  add(block: Uint8Array): number {
    const offset = (this.#blockCount * BLOCK_SIZE) % CHUNK_SIZE;
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
      yield chunk.subarray(0, Math.min(left, CHUNK_SIZE));
      left -= CHUNK_SIZE;
    }
    const spilledSize = this.#out?.offset ?? 0;
    const chunk = new Uint8Array(spilledSize > 0 ? CHUNK_SIZE : 0);
    for (let offset = 0; offset < spilledSize; offset += CHUNK_SIZE) {
      await this.#out?.readExactAt(chunk, offset);
      yield chunk;
      left -= CHUNK_SIZE;
    }
    for (const last of this.#chunks.slice(this.#memoryChunkCount)) {
      yield last.subarray(0, left);
      left -= CHUNK_SIZE;
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
    this.#chunks.push(new Uint8Array(CHUNK_SIZE));
  }

  async #spilled(): Promise<void> {
    await this.#spilling;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Never rejects: the failure is kept for the next call. */
  async #spill(): Promise<void> {
    try {
      this.#scratch ??= await this.#createScratch();
      this.#out ??= new BufferedWriter(this.#scratch.file, { bufferSize: CHUNK_SIZE });
      while (this.#chunks.length > this.#memoryChunkCount + 1) {
        const [chunk] = this.#chunks.splice(this.#memoryChunkCount, 1);
        assert(chunk !== undefined, 'a chunk waits behind those that stay');
        await this.#out.append(chunk);
      }
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}
