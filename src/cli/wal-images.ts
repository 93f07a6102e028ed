/**
 * The page images of WAL records: their digests, and files of them under the names that pg_waldump gives:
 *
 *   TTTTTTTT-HHHHHHHH-LLLLLLLL.SPC.DB.REL.BLOCK_FORK     timeline, LSN of the record, page; 8,192 bytes
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lsn } from '../layers/lsn.ts';
import { forkOfNumber } from '../postgres/fork.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import { restoreBlockImage } from '../wal/block-image.ts';
import type { BlockReference, WalRecord } from '../wal/record-format.ts';
import { createFileOnce } from '../write-once/create-once.ts';
import { checkOutputDirectory } from './output-paths.ts';

/** Number of files that are made durable concurrently. */
const FILES_AT_A_TIME = 32;

/** SHA-256 of each restored page; undefined for a block without an image. Throws `corrupt`, `truncated`. */
export async function imageDigests({ blocks }: WalRecord): Promise<(string | undefined)[]> {
  const digests: (string | undefined)[] = [];
  for (const { image } of blocks) {
    const page = image === undefined ? undefined : await restoreBlockImage(image);
    digests.push(page === undefined ? undefined : createHash('sha256').update(page).digest('hex'));
  }
  return digests;
}

/** Writes the images of records into a directory, each durably and never over another file. */
export class ImageFiles {
  readonly #directory: string;
  readonly #signal: AbortSignal;
  readonly #pending = new Set<Promise<void>>();
  #failure: unknown;
  #hasFailed = false;

  /** Makes the directory if its parent exists. Throws `not-found`, `io`. */
  static async create(directory: string, signal: AbortSignal): Promise<ImageFiles> {
    try {
      await mkdir(directory);
    } catch (error) {
      const failure = fromNodeError('create directory', directory, error);
      if (failure.errno !== 'EEXIST') throw failure;
    }
    await checkOutputDirectory(directory);
    return new ImageFiles(directory, signal);
  }

  private constructor(directory: string, signal: AbortSignal) {
    this.#directory = directory;
    this.#signal = signal;
  }

  /**
   * Restores all images of a record, and begins to write them.
   *
   * Throws: `corrupt`, `truncated` for an image that cannot be restored. Errors of writing, such as `exists`, are
   * thrown by a later call.
   */
  async save(record: WalRecord, place: { timelineId: number; startLsn: Lsn }): Promise<void> {
    for (const block of record.blocks) {
      if (block.image === undefined) continue;
      const page = await restoreBlockImage(block.image);
      while (this.#pending.size >= FILES_AT_A_TIME) await Promise.race(this.#pending);
      this.#throwFailure();
      this.#begin(join(this.#directory, fileNameOf(block, place)), page);
    }
  }

  /** Resolves when all files are durable. Throws as writing them. */
  async finish(): Promise<void> {
    await this.settle();
    this.#throwFailure();
  }

  /** Resolves when no file is being written, even if some failed: for the end of a failed run. */
  async settle(): Promise<void> {
    await Promise.all(this.#pending);
  }

  #begin(path: string, page: Uint8Array): void {
    const writing = createFileOnce(path, page, { signal: this.#signal })
      .catch((error: unknown) => {
        if (!this.#hasFailed) this.#failure = error;
        this.#hasFailed = true;
      })
      .finally(() => this.#pending.delete(writing));
    this.#pending.add(writing);
  }

  #throwFailure(): void {
    if (this.#hasFailed) throw this.#failure;
  }
}

function fileNameOf(
  { spcnode, dbnode, relnode, blkno, forkNumber }: BlockReference,
  { timelineId, startLsn }: { timelineId: number; startLsn: Lsn },
): string {
  const high = Number(startLsn >> 32n);
  const low = Number(startLsn & 0xffff_ffffn);
  const place = [timelineId, high, low].map(hex8).join('-');
  return `${place}.${spcnode}.${dbnode}.${relnode}.${blkno}_${forkOfNumber(forkNumber)}`;
}

function hex8(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}
